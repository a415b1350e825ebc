# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that keep settings of a shot as Blender's presets, in the user's presets/peekaboo_shot."""

import bpy
from bl_operators.presets import AddPresetBase

SUBFOLDER = "peekaboo_shot"


class PEEKABOO_OT_shot_preset_add(AddPresetBase, bpy.types.Operator):
    """Add or remove a preset of how clips are made"""

    bl_idname = "peekaboo.shot_preset_add"
    bl_label = "Add Shot Preset"
    preset_menu = "PEEKABOO_PT_shot_presets"
    preset_subdir = SUBFOLDER

    # Whole paths: names made by preset_defines are lost to Blender 4.3 under Python 3.13, as Debian has it.
    preset_values = [
        "bpy.context.scene.peekaboo.model",
        "bpy.context.scene.peekaboo.negative_prompt",
        "bpy.context.scene.peekaboo.seed_mode",
        "bpy.context.scene.peekaboo.num_inference_steps",
        "bpy.context.scene.peekaboo.guidance_scale",
        "bpy.context.scene.peekaboo.method",
        "bpy.context.scene.peekaboo.masked_steps",
        "bpy.context.scene.peekaboo.blocks",
        "bpy.context.scene.peekaboo.special_tokens",
        "bpy.context.scene.peekaboo.gate_second_temporal",
        "bpy.context.scene.peekaboo.occluded_by_scene",
        "bpy.context.scene.peekaboo.motion_blur",
    ]


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_shot_preset_add,))
