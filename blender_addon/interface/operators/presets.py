# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that keep settings of a shot as Blender's presets, in the user's presets/peekaboo_shot."""

import bpy
from bl_operators.presets import AddPresetBase

from ...shot import settings

SUBFOLDER = "peekaboo_shot"


class PEEKABOO_OT_shot_preset_add(AddPresetBase, bpy.types.Operator):
    """Add or remove a preset of how clips are made"""

    bl_idname = "peekaboo.shot_preset_add"
    bl_label = "Add Shot Preset"
    preset_menu = "PEEKABOO_PT_shot_presets"
    preset_subdir = SUBFOLDER

    # Whole paths: names made by preset_defines are lost to Blender 4.3 under Python 3.13, as Debian has it.
    preset_values = [
        f"bpy.context.scene.peekaboo.{name}" for name, setting in settings.SHOT.items() if setting.in_presets
    ]


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_shot_preset_add,))
