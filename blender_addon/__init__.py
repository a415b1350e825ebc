# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo: animated placeholders in a scene steer a video diffusion model."""


def _modules() -> list:
    # here, so that the bpy-free modules import in any Python
    from . import changes, faults, properties
    from .command import cli
    from .interface import (
        icons,
        menus,
        model_choice,
        operators,
        overlay,
        panels_draft,
        panels_generate,
        panels_shot,
        panels_shots,
        panels_subjects,
        panels_takes,
        preferences,
        preview_overlay,
        prompt_overlay,
    )
    from .making import downloading, drafting, generation, set_up
    from .masks import guards, stage
    from .shot import check
    from .takes import viewing

    return [
        faults,
        changes,
        properties,
        guards,
        stage,
        check,
        drafting,
        generation,
        viewing,
        set_up,
        downloading,
        preferences,
        icons,
        operators,
        menus,
        model_choice,
        panels_subjects,
        panels_shots,
        panels_generate,
        panels_draft,
        panels_shot,
        panels_takes,
        preview_overlay,
        overlay,
        prompt_overlay,
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
