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

    preset_defines = ["shot = bpy.context.scene.peekaboo"]
    preset_values = [
        "shot.model",
        "shot.negative_prompt",
        "shot.seed_mode",
        "shot.num_inference_steps",
        "shot.guidance_scale",
        "shot.masked_steps",
        "shot.blocks",
        "shot.special_tokens",
        "shot.gate_second_temporal",
        "shot.occluded_by_scene",
        "shot.motion_blur",
    ]


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_shot_preset_add,))
