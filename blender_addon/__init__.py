# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo: animated placeholders in a scene steer a video diffusion model."""


def _modules() -> list:
    # here, so that the bpy-free modules import in any Python
    from . import properties
    from .command import cli
    from .interface import icons as pictures
    from .interface import menus, operators, overlay, panels_generate, panels_shot, panels_takes, preferences
    from .interface import panels_subjects as panels
    from .making import generation
    from .making import set_up as engine_state
    from .masks import stage
    from .shot import check as checking

    return [
        properties,
        stage,
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
