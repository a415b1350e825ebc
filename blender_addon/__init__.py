# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo: animated placeholders in a scene steer a video diffusion model."""


def _modules() -> list:
    # here, so that the bpy-free modules import in any Python
    from . import (
        checking,
        cli,
        engine_state,
        generation,
        menus,
        operators,
        overlay,
        panels,
        panels_generate,
        panels_shot,
        panels_takes,
        pictures,
        preferences,
        properties,
    )

    return [
        properties,
        preferences,
        pictures,
        generation,
        engine_state,
        checking,
        operators,
        menus,
        panels,
        panels_generate,
        panels_shot,
        panels_takes,
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
