# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all files: where the engine's Python is."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from . import engine_client


class PEEKABOO_AP_preferences(bpy.types.AddonPreferences):
    """The add-on's page in Blender's preferences."""

    bl_idname = __package__

    python: StringProperty(
        name="Existing Python",
        description="A Python that has the engine's packages; empty for the engine's own environment",
        subtype="FILE_PATH",
    )

    def draw(self, _context):
        """Draw the page."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "python")


def _get():
    """The preferences; None while the add-on runs from a checkout, where Blender keeps none for it."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def user_folder() -> Path | None:
    """Where the extension may keep files; None in a checkout."""
    try:
        return Path(bpy.utils.extension_path_user(__package__))
    except ValueError:
        return None


def engine_python() -> Path:
    """Find the Python that the engine runs in.

    Raises:
        PeekabooError: there is none.
    """
    stated = _get()
    explicit = bpy.path.abspath(stated.python) if stated and stated.python else None
    return engine_client.find_python(explicit, user_folder())


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_AP_preferences,))
