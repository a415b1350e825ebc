# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo: animated placeholders in a scene steer a video diffusion model."""


def register():
    """Add the add-on's properties to Blender."""
    from . import properties  # here, so that the package's bpy-free modules import in any Python

    properties.register()


def unregister():
    """Take away what :func:`register` added."""
    from . import properties

    properties.unregister()
