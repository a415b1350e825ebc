# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo: animated placeholders in a scene steer a video diffusion model."""


def _modules() -> list:
    # here, so that the bpy-free modules import in any Python
    from . import generation, operators, panels, preferences, properties

    return [properties, preferences, generation, operators, panels]


def register():
    """Add all that the add-on has to Blender."""
    for module in _modules():
        module.register()


def unregister():
    """Take away what :func:`register` added."""
    for module in reversed(_modules()):
        module.unregister()
