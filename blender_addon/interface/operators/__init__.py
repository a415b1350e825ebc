# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user can do: each operator calls functions and holds no logic."""

from . import (
    draft,
    engine,
    farm,
    generate,
    layouts,
    loras,
    mattes,
    models,
    motion,
    presets,
    prompt,
    refining,
    shots,
    subjects,
    takes,
    timed_phrases,
    turns,
    viewing,
)

_MODULES = (
    turns,
    draft,
    subjects,
    prompt,
    motion,
    layouts,
    mattes,
    loras,
    timed_phrases,
    presets,
    shots,
    generate,
    refining,
    farm,
    takes,
    viewing,
    engine,
    models,
)


def register():
    """Add the operators."""
    for module in _MODULES:
        module.register()


def unregister():
    """Take the operators away."""
    for module in reversed(_MODULES):
        module.unregister()
