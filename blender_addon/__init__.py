# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo: animated placeholders in a scene steer a video diffusion model."""


def _modules() -> list:
    # here, so that the bpy-free modules import in any Python
    from . import (
        cli,
        engine_state,
        generation,
        operators,
        overlay,
        panels,
        panels_generate,
        preferences,
        properties,
    )

    return [
        properties,
        preferences,
        generation,
        engine_state,
        operators,
        panels,
        panels_generate,
        overlay,
        cli,
    ]


def register():
    """Add all that the add-on has to Blender."""
    for module in _modules():
        module.register()


def unregister():
    """Take away what :func:`register` added."""
    for module in reversed(_modules()):
        module.unregister()
