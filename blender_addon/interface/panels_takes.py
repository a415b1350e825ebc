# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels that list takes: in the viewport's sidebar, and in the sequencer's."""

from __future__ import annotations

from contextlib import suppress

import bpy
from bpy.props import BoolProperty, IntProperty

from .. import compat, memory
from ..errors import PeekabooError, shown
from ..takes import mask_strips, reels, viewing
from ..takes.strips import (
    JOB_PROPERTY,
    MOST_STARS,
    NOTE_PROPERTY,
    RATING_PROPERTY,
    choose,
    finish_of,
    folder_of,
    is_take,
    job_of,
)
from . import icons
from .model_choice import draw_visit
from .sidebar import Drawn, SidebarPanel, draw_colored, draw_sentence, width_in_lines
from .typesetting import LINE_HEIGHT

IN_GRID, ON_CARD = 4.6, 5.0
"""Sides of a take's picture in heights of a line: among pictures, and of the active one."""
MOST_PICTURES = 24
"""Of takes beside one another: each takes its time at each drawing."""


class PEEKABOO_UL_takes(bpy.types.UIList):
    """The strips that the engine has made, among a sequencer's."""

    def draw_item(self, _context, layout, _data, item, _icon, _active_data, _active_property):
        """Draw a small picture, the name, how good it is, and whether it is seen."""
        row = layout.row(align=True)
        if _damage(item):
            row.label(icon="ERROR")
        elif icon := _thumbnail_in_list(item):
            row.label(icon_value=icon)
        else:
            row.label(icon="FILE_MOVIE" if item.type == "MOVIE" else "FILE_IMAGE")
        row.prop(item, "name", text="", emboss=False)
        facts = row.row()
        facts.alignment = "RIGHT"
        facts.label(text=f"{'★' * _stars(item)} ch {item.channel}".strip())
        row.prop(item, "mute", text="", icon="HIDE_ON" if item.mute else "HIDE_OFF", emboss=False)

    def filter_items(self, _context, data, property_name):
        """Show takes only, as they lie: the highest channel first, and in it the earliest."""
        strips = list(getattr(data, property_name))
        flags = [self.bitflag_filter_item if is_take(strip) else 0 for strip in strips]
        order = sorted(range(len(strips)), key=lambda i: (-strips[i].channel, compat.strip_range(strips[i])))
        places = [0] * len(strips)
        for place, index in enumerate(order):
            places[index] = place
        return flags, places


class _TakesPanel(Drawn):
    bl_label = "Takes"
    bl_order = 5

    def draw_header_preset(self, context):
        """Draw whether takes are pictures beside one another."""
        self.layout.prop(
            context.window_manager, "peekaboo_pictures", text="", icon="IMGDISPLAY", emboss=False
        )

    @classmethod
    def poll(cls, context):
        """There are takes."""
        return bool(reels.takes(reels.edited_scene(context)))

    def draw(self, context):
        """Draw the list or the pictures, and what can be done with the active one."""
        layout, scene, manager = self.layout, reels.edited_scene(context), context.window_manager
        holder = reels.holder_of(scene)
        editor = holder.sequence_editor
        _draw_place(layout, context, scene, holder)
        if manager.peekaboo_pictures:
            _draw_pictures(layout, context, reels.takes(scene))
        else:
            strips = compat.all_strips_name(editor)
            layout.template_list(
                "PEEKABOO_UL_takes", "", editor, strips, manager, "peekaboo_active_take", rows=3, maxrows=3
            )
        strip = reels.active_take(scene)
        if strip is None:
            layout.label(text="Choose a take in the list", icon="INFO")
            return
        with suppress(PeekabooError):  # relative to a .blend that was never saved
            draw_visit(layout, folder_of(strip))
        _draw_card(layout, context, strip)
        _draw_views(layout, scene, strip)
        row = layout.row(align=True)
        row.operator("peekaboo.retake", icon="FILE_REFRESH")
        row.operator("peekaboo.ask_refine", text="Refine", icon="SHADERFX")
        row = layout.row(align=True)
        row.operator("peekaboo.restore_settings", icon="LOOP_BACK")
        row.operator("peekaboo.open_take", text="", icon="FILE_FOLDER")
        row.operator("peekaboo.delete_take", text="", icon="TRASH")
        _draw_finish(layout, strip)


class PEEKABOO_PT_takes(_TakesPanel, SidebarPanel, bpy.types.Panel):
    """Clips that the scene's sequencer has."""


class PEEKABOO_PT_sequencer_takes(_TakesPanel, bpy.types.Panel):
    """The same, beside them."""

    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Peekaboo"


def _draw_place(layout, context, scene, holder) -> None:
    """Draw the way back from a reel, and what there is to say of where the takes are."""
    if reels.is_reel(context.scene):
        layout.operator("peekaboo.show_scene", text=f"Back to {shown(scene.name)}", icon="LOOP_BACK")
    if holder == scene and not reels.is_reel(holder):
        layout.prop(scene.render, "use_sequencer", text="F12 Renders the Takes, Not the 3D Scene")
    if reels.misplaced(scene):
        own = scene.peekaboo.takes_in == "own"
        where = "a Scene of Their Own" if own else shown(scene.name)
        layout.operator("peekaboo.move_takes", text=f"Move Takes to {where}", icon="SCENE_DATA")


def _draw_pictures(layout, context, found: list) -> None:
    """Draw a picture of each take, the active one pressed, as many in a row as there is room."""
    columns = max(1, int(width_in_lines(context) // IN_GRID))
    grid = layout.grid_flow(row_major=True, columns=columns, even_columns=True, align=True)
    active = reels.active_take(reels.edited_scene(context))
    ordered = sorted(found, key=lambda strip: (compat.strip_range(strip)[0], -strip.channel))
    for strip in ordered[:MOST_PICTURES]:
        cell = grid.column(align=True)
        if icon := _thumbnail(strip):
            cell.template_icon(icon, scale=width_in_lines(context) / columns)
        else:
            cell.label(icon="FILE_MOVIE")
        text = f"{strip.name} {'★' * _stars(strip)}".strip()
        cell.operator("peekaboo.choose_take", text=text, depress=strip == active).name = strip.name
    if len(found) > MOST_PICTURES:
        layout.label(text=f"and {len(found) - MOST_PICTURES} more: see the list", icon="INFO")


def _draw_card(layout, context, strip) -> None:
    """Draw the active take's picture, beside it stars, note and facts, and its prompt."""
    if damage := _damage(strip):
        draw_sentence(layout, context, damage, "ERROR")
        return
    job, row = job_of(strip), layout.row()
    if icon := _thumbnail(strip):
        picture = row.column()
        picture.ui_units_x = ON_CARD
        picture.template_icon(icon, scale=ON_CARD)
    column = row.column(align=True)
    if RATING_PROPERTY in strip:  # older takes have none
        stars = column.row(align=True)
        stars.alignment = "LEFT"
        for number in range(1, MOST_STARS + 1):
            icon = "SOLO_ON" if number <= _stars(strip) else "SOLO_OFF"
            stars.operator("peekaboo.rate_take", text="", icon=icon, emboss=False).stars = number
    if NOTE_PROPERTY in strip:
        column.prop(strip, f'["{NOTE_PROPERTY}"]', text="", placeholder="note")
    facts = column.column(align=True)
    facts.scale_y = LINE_HEIGHT
    facts.label(text=shown(strip.name))
    facts.label(text=f"Seed {job['seed']}, {shown(job['model'])}")
    start, end = compat.strip_range(strip)
    facts.label(text=f"Frames {start}–{end - 1}")
    draw_colored(layout, context, shown(job["prompt"]), ())


def _draw_views(layout, scene, strip) -> None:
    """Draw the ways to look at a take."""
    row = layout.row(align=True)
    row.operator("peekaboo.show_clip", icon="PLAY")
    in_camera = _is_in_camera(scene, strip)
    row.operator("peekaboo.show_in_camera", icon="VIEW_CAMERA", depress=in_camera)
    row = layout.row(align=True)
    over = mask_strips.shown_over(strip) is not None
    row.operator(
        "peekaboo.show_masks", text="Hide Masks" if over else "Show Masks", icon="MOD_MASK", depress=over
    )
    alone = viewing.is_alone(strip)
    row.operator("peekaboo.show_alone", icon="SOLO_ON" if alone else "SOLO_OFF", depress=alone)
    row.operator("peekaboo.next_take", text="", icon="ARROW_LEFTRIGHT")


def _draw_finish(layout, strip) -> None:
    """Draw whether the take is smooth and as large as the scene."""
    row, finish = layout.row(align=True), finish_of(strip)
    for kind, text, icon in (("smooth", "Smooth", "SMOOTHCURVE"), ("enlarge", "Enlarge", "FULLSCREEN_ENTER")):
        if kind == "enlarge" or strip.type == "MOVIE":
            row.operator("peekaboo.finish_take", text=text, icon=icon, depress=finish[kind]).kind = kind


def _is_in_camera(scene, strip) -> bool:
    try:
        return viewing.in_camera(scene, strip) is not None
    except PeekabooError:  # no camera
        return False


def _damage(strip) -> str | None:
    """What is wrong with what a take remembers; None where nothing is."""
    try:
        job_of(strip)
    except PeekabooError as error:
        return str(error)
    return None


def _stars(strip) -> int:
    stated = strip.get(RATING_PROPERTY)
    return min(max(stated, 0), MOST_STARS) if isinstance(stated, int) else 0


def _thumbnail(strip) -> int:
    try:
        folder = folder_of(strip)
    except PeekabooError:  # relative to a .blend that was never saved
        return 0
    version = hash(str(strip[JOB_PROPERTY]))  # a new take may have the folder of one that was deleted
    return icons.icon_of(folder / "thumbnail.png", version)


def _thumbnail_in_list(strip) -> int:
    with memory.drawing():
        return _thumbnail(strip)


def _active_index(_manager) -> int:
    strip = reels.active_take(reels.edited_scene(bpy.context))
    if strip is None:
        return -1
    return compat.all_strips(strip.id_data.sequence_editor).find(strip.name)


def _select_by_index(_manager, index: int) -> None:
    editor = reels.holder_of(reels.edited_scene(bpy.context)).sequence_editor
    choose(editor, compat.all_strips(editor)[index])


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_UL_takes, PEEKABOO_PT_takes, PEEKABOO_PT_sequencer_takes)
)


def register():
    """Add the panels, and which take is active in them: the sequencer's own."""
    bpy.types.WindowManager.peekaboo_active_take = IntProperty(
        name="Active Take",
        description="The active strip, as an index of the sequencer's",
        get=_active_index,
        set=_select_by_index,
        options={"SKIP_SAVE"},
    )
    bpy.types.WindowManager.peekaboo_pictures = BoolProperty(
        name="Pictures", description="Show takes as pictures beside one another", default=False
    )
    _register_classes()


def unregister():
    """Take them away."""
    _unregister_classes()
    del bpy.types.WindowManager.peekaboo_pictures
    del bpy.types.WindowManager.peekaboo_active_take
