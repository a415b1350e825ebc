# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels about what is to be where: subjects, the prompt that names them, and the check of the shot."""

from __future__ import annotations

from typing import Any

import bpy

from .. import memory
from ..errors import PeekabooError, shown
from ..making import generation
from ..masks.cast import SURFACED
from ..shot import check, shots, subjects
from ..shot.prompt import colored, faulty_subjects, prompt_problem
from .sidebar import SidebarPanel, draw_colored, draw_sentence, letters_in_line

FRAMES_IN_ROW, MOST_FRAMES = 4, 12
"""Buttons beside one another that go to frames of a finding, and how many it has at most."""
MILD = {"CUT", "PART"}
"""Findings that are no faults: what one may have meant."""

_faulty: set[str] = set()
"""Names of the objects in the list whose phrases have a problem, their own or with one another."""


class PEEKABOO_UL_subjects(bpy.types.UIList):
    """The subjects among a scene's objects."""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property):
        """Draw whether it is used, its colour, its phrase, and whether the prompt has that."""
        subject = item.peekaboo
        row = layout.row()
        row.prop(subject, "enabled", text="")
        swatch = row.row()
        swatch.ui_units_x = 0.8
        swatch.prop(subject, "color", text="")
        words = row.row()
        words.active = subject.enabled
        words.prop(subject, "phrase", text="", emboss=False, placeholder=f"phrase of {item.name}")
        if subject.enabled:
            row.label(icon="ERROR" if item.name in _faulty else "CHECKMARK")

    def filter_items(self, _context, data, property_name):
        """Show subjects only, by name; once for all rows, see which phrases have a problem."""
        global _faulty
        objects = getattr(data, property_name)
        with memory.drawing():
            _faulty = faulty_subjects(data, objects)
        flags = [self.bitflag_filter_item if obj.peekaboo.is_subject else 0 for obj in objects]
        return flags, bpy.types.UI_UL_list.sort_items_by_name(objects)


class PEEKABOO_PT_prompt(SidebarPanel, bpy.types.Panel):
    """What the clip shows."""

    bl_label = "Prompt"
    bl_order = 0

    def draw_header_preset(self, _context):
        """Draw the button that opens the texts in a wide dialog."""
        self.layout.operator("peekaboo.edit_prompt", text="", icon="GREASEPENCIL", emboss=False)

    def draw(self, context):
        """Draw the prompt, whole where its line is too short, and what is wrong with it and the phrases."""
        layout, shot = self.layout, context.scene.peekaboo
        layout.prop(shot, "prompt", text="", placeholder="a red ball on grass")
        places = colored(context.scene)
        if places or len(shot.prompt) > letters_in_line(context):
            draw_colored(layout, context, shot.prompt, places)
        if cut := generation.cut_of(context.scene, shot.prompt):
            draw_sentence(layout, context, cut, "ERROR")
        if problem := prompt_problem(context.scene):
            draw_sentence(layout, context, problem, "ERROR")
        layout.prop(shot, "negative_prompt", text="", placeholder="not wanted: blurry, text, ...")


class PEEKABOO_PT_timed_phrases(SidebarPanel, bpy.types.Panel):
    """Words of the prompt that some frames alone show."""

    bl_label = "Phrases Over Time"
    bl_parent_id = "PEEKABOO_PT_prompt"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        """Draw a box for each, and what adds one."""
        layout = self.layout
        for index, entry in enumerate(context.scene.peekaboo.timed_phrases):
            column = layout.box().column(align=True)
            row = column.row(align=True)
            row.prop(entry, "enabled", text="")
            row.prop(entry, "phrase", text="", placeholder="words of the prompt")
            if entry.from_markers:
                row.label(icon="MARKER")
            row.operator("peekaboo.remove_timed_phrase", text="", icon="X").index = index
            row = column.row(align=True)
            row.active = entry.enabled
            for name in ("frame_start", "frame_end", "fade"):
                row.prop(entry, name)
        row = layout.row(align=True)
        row.operator("peekaboo.add_timed_phrase", text="Add", icon="ADD")
        row.operator("peekaboo.take_timed_phrases", icon="MARKER_HLT")


class PEEKABOO_PT_subjects(SidebarPanel, bpy.types.Panel):
    """What is to be where."""

    bl_label = "Subjects"
    bl_order = 1

    def draw(self, context):
        """Draw the list, and of the active subject what is set most often."""
        layout, scene = self.layout, context.scene
        row = layout.row()
        row.template_list(
            "PEEKABOO_UL_subjects", "", scene, "objects", scene.peekaboo, "active_subject", rows=3
        )
        buttons = row.column(align=True)
        buttons.operator("peekaboo.add_subject", text="", icon="ADD")
        buttons.operator("peekaboo.remove_subject", text="", icon="REMOVE")
        buttons.menu("PEEKABOO_MT_subjects", text="", icon="DOWNARROW_HLT")
        buttons.prop(scene.peekaboo, "show_outlines", text="", icon="OVERLAY")
        if bpy.ops.peekaboo.make_subjects.poll():
            layout.operator("peekaboo.make_subjects")
        if subjects.marked(scene):
            layout.prop(scene.peekaboo, "occluded_by_scene")
        obj = context.object
        if obj is not None and obj.peekaboo.is_subject:
            row = layout.row(align=True)
            row.prop(obj.peekaboo, "phrase", text="", placeholder=f"phrase of {obj.name}")
            row.operator("peekaboo.pick_phrase", text="", icon="EYEDROPPER")
            row.operator_menu_enum("peekaboo.animate_subject", "motion", text="Animate", icon="ANIM")


class PEEKABOO_PT_subject(SidebarPanel, bpy.types.Panel):
    """What else there is to set of the active subject."""

    bl_label = "Active Subject"
    bl_parent_id = "PEEKABOO_PT_subjects"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        """The active object is a subject."""
        return context.object is not None and context.object.peekaboo.is_subject

    def draw(self, context):
        """Draw its object, colour and outline, and what can be keyframed."""
        obj = context.object
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(obj, "name", text="Object")
        column.prop(obj.peekaboo, "color")
        has_parts = obj.instance_type == "COLLECTION" or any(child.type in SURFACED for child in obj.children)
        if obj.type == "EMPTY" and not has_parts:
            column.prop(obj, "empty_display_type", text="Shape")
            column.prop(obj, "empty_display_size", text="Size")
        else:
            column.prop(obj.peekaboo, "outline")
        column.use_property_decorate = True  # these can be keyframed
        column.prop(obj.peekaboo, "strength", slider=True)
        column.prop(obj, "hide_render", text="In the Clip", invert_checkbox=True, toggle=False)


class PEEKABOO_PT_check(SidebarPanel, bpy.types.Panel):
    """What the shot may disappoint with."""

    bl_label = "Shot Check"
    bl_order = 2
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        """There is a subject to look at."""
        return super().poll(context) and bool(subjects.marked(context.scene))

    def draw_header_preset(self, context):
        """Draw how many things there are to say, and ask for another check after a change."""
        try:
            shot = _current_shot(context)
        except PeekabooError:
            self.layout.label(icon="ERROR")
            return
        report = check.report_of(context.scene, shot)
        if report is not None:
            serious = [finding for finding in report.findings if finding.kind not in MILD]
            icon: Any = "ERROR" if report.problem or serious else "INFO" if report.findings else "CHECKMARK"
            count = len(report.findings) + bool(report.problem)
            self.layout.active = not check.is_pending(context.scene, shot)  # else of what was there before
            self.layout.label(text=f"{count}" if count else "", icon=icon)

    def draw(self, context):
        """Draw what the last check of the shot at the current frame has found."""
        layout, scene = self.layout, context.scene
        try:
            shot = _current_shot(context)
        except PeekabooError as error:
            draw_sentence(layout, context, str(error), "ERROR")
            return
        report, heavy = check.report_of(scene, shot), check.is_heavy(scene)
        if heavy and check.is_pending(scene, shot):
            layout.operator("peekaboo.check_shot", icon="VIEWZOOM")
        column = layout.column()
        if shot.marker is not None:
            column.label(text=f"{shown(shot.title)}: {shot.first}–{shot.last}", icon="VIEW_CAMERA")
        if report is None:
            column.label(text="Too heavy to be checked in passing" if heavy else "Looking at the shot…")
            return
        column.active = not check.is_pending(scene, shot)
        if report.problem:
            draw_sentence(column, context, report.problem, "ERROR")
        for finding in report.findings:
            draw_sentence(column, context, finding.text, "INFO" if finding.kind in MILD else "ERROR")
            _draw_frames(column, finding.ranges)
        if not report.problem and not report.findings:
            column.label(text="All subjects are in view", icon="CHECKMARK")


def _draw_frames(layout, ranges: tuple[tuple[int, int], ...]) -> None:
    """Draw buttons that go to the frames of a finding."""
    flow = layout.grid_flow(row_major=True, columns=FRAMES_IN_ROW, even_columns=True, align=True)
    for first, last in ranges[:MOST_FRAMES]:
        text = str(first) if first == last else f"{first}–{last}"
        flow.operator("peekaboo.go_to_frame", text=text).frame = first


def _current_shot(context) -> shots.Shot:
    return shots.shot_at(context.scene, context.scene.frame_current)


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_UL_subjects,
        PEEKABOO_PT_prompt,
        PEEKABOO_PT_timed_phrases,
        PEEKABOO_PT_subjects,
        PEEKABOO_PT_subject,
        PEEKABOO_PT_check,
    )
)
