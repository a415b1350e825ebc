# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels about what is to be where: subjects, the prompt that names them, and the check of the shot."""

from __future__ import annotations

import bpy

from ..masks.cast import SURFACED
from ..shot import check, subjects
from ..shot.prompt import faulty_subjects, prompt_problem
from .sidebar import SidebarPanel, draw_sentence

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
        _faulty = faulty_subjects(data, objects)
        flags = [self.bitflag_filter_item if obj.peekaboo.is_subject else 0 for obj in objects]
        return flags, bpy.types.UI_UL_list.sort_items_by_name(objects)


class PEEKABOO_PT_subjects(SidebarPanel, bpy.types.Panel):
    """What is to be where."""

    bl_label = "Subjects"

    def draw(self, context):
        """Draw the list, and the details of the active subject."""
        layout, scene = self.layout, context.scene
        row = layout.row()
        row.template_list(
            "PEEKABOO_UL_subjects", "", scene, "objects", scene.peekaboo, "active_subject", rows=3
        )
        buttons = row.column(align=True)
        buttons.operator("peekaboo.add_subject", text="", icon="ADD")
        buttons.operator("peekaboo.remove_subject", text="", icon="REMOVE")
        buttons.separator()
        buttons.menu("PEEKABOO_MT_subjects", text="", icon="DOWNARROW_HLT")
        layout.operator("peekaboo.make_subjects")
        layout.prop(scene.peekaboo, "show_outlines")
        obj = context.object
        if obj is not None and obj.peekaboo.is_subject:
            _draw_subject(layout, obj)


def _draw_subject(layout, obj) -> None:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    column.prop(obj, "name", text="Object")
    column.prop(obj.peekaboo, "phrase")
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
    layout.operator_menu_enum("peekaboo.animate_subject", "motion", text="Animate", icon="ANIM")


class PEEKABOO_PT_prompt(SidebarPanel, bpy.types.Panel):
    """What the clip shows."""

    bl_label = "Prompt"

    def draw(self, context):
        """Draw the prompt, and what is wrong with it and the phrases."""
        layout, shot = self.layout, context.scene.peekaboo
        layout.prop(shot, "prompt", text="", placeholder="a red ball on grass")
        if problem := prompt_problem(context.scene):
            draw_sentence(layout, context, problem, "ERROR")
        layout.prop(shot, "negative_prompt", text="", placeholder="not wanted: blurry, text, ...")


class PEEKABOO_PT_check(SidebarPanel, bpy.types.Panel):
    """What the shot may disappoint with."""

    bl_label = "Shot Check"

    def draw(self, context):
        """Draw what the last check has found, and ask for another one after a change."""
        layout, scene = self.layout, context.scene
        if not subjects.marked(scene):
            layout.label(text="Add a subject first", icon="INFO")
            return
        report, heavy = check.report_of(scene), check.is_heavy(scene)
        if heavy and check.is_pending(scene):
            layout.operator("peekaboo.check_shot", icon="VIEWZOOM")
        column = layout.column()
        if report is None:
            column.label(text="Too heavy to be checked in passing" if heavy else "Looking at the shot…")
            return
        column.active = not check.is_pending(scene)
        if report.problem:
            draw_sentence(column, context, report.problem, "ERROR")
        for finding in report.findings:
            draw_sentence(column, context, finding.text, "INFO" if finding.kind == "CUT" else "ERROR")
        if not report.problem and not report.findings:
            column.label(text="All subjects are in view", icon="CHECKMARK")


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_UL_subjects,
        PEEKABOO_PT_subjects,
        PEEKABOO_PT_prompt,
        PEEKABOO_PT_check,
    )
)
