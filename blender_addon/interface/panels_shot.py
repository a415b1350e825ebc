# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels that say how a clip is made."""

from __future__ import annotations

import bpy
from bl_ui.utils import PresetPanel

from ..errors import PeekabooError
from ..shot import pictures, schedule, shots, size
from ..shot.layout import mapping_in_words, timing_of
from .model_choice import draw_lora_download, draw_model
from .operators.presets import SUBFOLDER
from .sidebar import Drawn, SidebarPanel, draw_sentence

LABEL_SHARE = 0.4
"""Of a row's width, as Blender has it where properties are split."""


class PEEKABOO_PT_shot_presets(PresetPanel, bpy.types.Panel):
    """The presets that the header of the panel opens."""

    bl_label = "Shot Presets"
    preset_subdir = SUBFOLDER
    preset_operator = "script.execute_preset"
    preset_add_operator = "peekaboo.shot_preset_add"


class PEEKABOO_PT_shot(SidebarPanel, bpy.types.Panel):
    """How the clip is made."""

    bl_label = "Model"
    bl_order = 7
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, _context):
        """Draw the button that opens the presets."""
        PEEKABOO_PT_shot_presets.draw_panel_header(self.layout)

    def draw(self, context):
        """Draw the model with what there is to know of it, the frames, the seed, and where clips go."""
        layout, scene, settings = self.layout, context.scene, context.scene.peekaboo
        layout.use_property_split = True
        layout.use_property_decorate = False
        draw_model(layout, context)
        try:
            shot = shots.shot_at(scene, scene.frame_current)
            clip, num_frames = size.in_words(scene, shot), size.frames_of(scene, shot)
            mapping = mapping_in_words(timing_of(scene, num_frames, shot), num_frames)
        except PeekabooError as error:
            draw_sentence(layout, context, str(error), "ERROR")
        else:
            draw_sentence(layout, context, clip, "INFO")
            draw_sentence(layout, context, mapping, "TIME")
        layout.prop(settings, "size")
        if settings.size == "custom":
            column = layout.column(align=True)
            column.prop(settings, "width")
            column.prop(settings, "height")
        layout.prop(settings, "framing", slider=True)
        layout.prop(settings, "frames")
        column = layout.column(heading="Finish", align=True)
        column.prop(settings, "smooth")
        column.prop(settings, "enlarge")
        layout.prop(settings, "start_from")
        if settings.start_from == "picture":
            layout.prop(settings, "picture")
        if settings.end_with != "nothing" or pictures.may_end(scene):
            layout.prop(settings, "end_with")
        if settings.end_with == "picture":
            layout.prop(settings, "last_picture", text="Picture")
        if problem := pictures.problem(context.scene):
            draw_sentence(layout, context, problem, "ERROR")
        layout.row().prop(settings, "seed_mode", expand=True)
        row = layout.row()
        row.active = settings.seed_mode == "FIXED"
        row.prop(settings, "seed", text=" ")
        layout.prop(settings, "output_folder", text="Output")
        layout.prop(settings, "takes_in")


class _Settings(SidebarPanel):
    """A part of the shot's settings, closed until it is wanted."""

    bl_parent_id = "PEEKABOO_PT_shot"
    bl_options = {"DEFAULT_CLOSED"}
    settings: tuple[str, ...]

    def draw(self, context):
        """Draw the settings below one another."""
        _draw_settings(self.layout, context, self.settings)


def _draw_settings(layout, context, names: tuple[str, ...]) -> None:
    layout.use_property_split = True
    layout.use_property_decorate = False
    for name in names:
        layout.prop(context.scene.peekaboo, name)


class PEEKABOO_MT_schedules(Drawn, bpy.types.Menu):
    """The schedules that the model can follow"""

    bl_label = "Schedules"

    def draw(self, context):
        """Draw a line for each."""
        for name in (*schedule.WITHOUT, *schedule.fitting(context.scene)):
            text = context.scene.peekaboo.bl_rna.properties["schedule"].enum_items[name].name
            self.layout.operator("peekaboo.choose_schedule", text=text).schedule = name


class PEEKABOO_PT_sampling(_Settings, bpy.types.Panel):
    """Numbers of a generation that a model has defaults for."""

    bl_label = "Sampling"
    settings = ("num_inference_steps", "guidance_scale", "masked_steps")

    def draw(self, context):
        """Draw the schedule, of those that the model can follow, and the numbers below it."""
        scene = context.scene
        chosen = scene.peekaboo.bl_rna.properties["schedule"].enum_items[scene.peekaboo.schedule]
        row = self.layout.split(factor=LABEL_SHARE)
        label = row.row()
        label.alignment = "RIGHT"
        label.label(text="Schedule")
        row.menu("PEEKABOO_MT_schedules", text=chosen.name)
        if problem := schedule.problem(scene):
            draw_sentence(self.layout, context, problem, "ERROR")
        elif hint := schedule.hint(scene):
            draw_sentence(self.layout, context, hint, "INFO")
        _draw_settings(self.layout, context, self.settings)


class PEEKABOO_PT_loras(SidebarPanel, bpy.types.Panel):
    """Small weights on top of the model's."""

    bl_label = "LoRAs"
    bl_parent_id = "PEEKABOO_PT_shot"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Draw a box for each, and what adds one."""
        layout = self.layout
        for index, item in enumerate(context.scene.peekaboo.lora_list):
            column = layout.box().column(align=True)
            row = column.row(align=True)
            row.prop(item, "enabled", text="")
            row.prop(item, "source", text="")
            row.operator("peekaboo.remove_lora", text="", icon="X").index = index
            row = column.row(align=True)
            row.active = item.enabled
            row.prop(item, "weight")
            row.prop(item, "expert", text="")
            row.prop(item, "distils", toggle=True)
            draw_lora_download(column, context, item.source)
        layout.operator("peekaboo.add_lora", icon="ADD")


class PEEKABOO_PT_masks(_Settings, bpy.types.Panel):
    """How subjects become masks, and how these act."""

    bl_label = "Masks"
    settings = (
        "motion_blur",
        "method",
        "blocks",
        "special_tokens",
        "gate_second_temporal",
        "widen_small",
    )


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_MT_schedules,
        PEEKABOO_PT_shot_presets,
        PEEKABOO_PT_shot,
        PEEKABOO_PT_sampling,
        PEEKABOO_PT_loras,
        PEEKABOO_PT_masks,
    )
)
