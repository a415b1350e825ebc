# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels that make clips and show how that goes: in the viewport's sidebar, and in the sequencer's."""

from __future__ import annotations

import bpy
from bpy.props import IntProperty

from ..engine.orders import Order, duration
from ..errors import PeekabooError, shown
from ..making import engine_choice, estimates, generation, set_up
from ..shot import shots
from ..shot.shots import Shot
from ..takes import colors, reels
from . import icons
from .sidebar import Drawn, SidebarPanel, draw_sentence, draw_set_up, width_in_lines

STARTING = {"start", "load"}
"""Phases before the denoising."""


class _GeneratePanel(Drawn):
    bl_label = "Generate"
    bl_order = 4

    def draw(self, context):
        """Draw the button, the queue, how the last clips ended, and the engine."""
        layout = self.layout
        orders = generation.unfinished()
        _draw_button(layout, context, bool(orders))
        if orders:
            _draw_queue(layout, context, orders)
        else:
            _draw_estimate(layout, reels.edited_scene(context), context.window_manager.peekaboo_takes)
            _draw_missing_engine(layout, context)
        for ended in generation.outcomes():
            draw_sentence(layout, context, ended.text, "ERROR" if ended.failed else "INFO")
        _draw_colors(layout, context)
        _draw_engine(layout)


class PEEKABOO_PT_generate(_GeneratePanel, SidebarPanel, bpy.types.Panel):
    """Make clips, and see how it goes."""


class PEEKABOO_PT_sequencer_generate(_GeneratePanel, bpy.types.Panel):
    """The same, beside the clips."""

    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Peekaboo"


def _draw_button(layout, context, queues: bool) -> None:
    row = layout.row(align=True)
    row.scale_y = 1.5
    count = context.window_manager.peekaboo_takes
    verb = "Add to Queue" if queues else "Generate"
    made = _shots(reels.edited_scene(context))
    names = f"{len(made)} Shots" if len(made) > 1 else shown(made[0].title) if made else ""
    what = [names] * bool(names) + [f"{count} Takes"] * (count > 1)
    text = f"{verb}: {' × '.join(what)}" if what else verb
    row.operator("peekaboo.generate", text=text, icon="RENDER_ANIMATION").count = count
    number = row.row(align=True)
    number.ui_units_x = 3.5
    number.prop(context.window_manager, "peekaboo_takes", text="")


def _shots(scene) -> list[Shot]:
    """The shots that are made; none where there is something wrong with them, which the button says."""
    try:
        return shots.enabled(scene)
    except PeekabooError:
        return []


def _draw_estimate(layout, scene, count: int) -> None:
    """Say how long it will take, where that is known from earlier clips."""
    seconds = estimates.seconds_of(scene, _shots(scene), count, generation.has_loaded)
    if seconds:
        layout.label(text=f"About {duration(seconds)}, as earlier clips took here", icon="TIME")


def _draw_queue(layout, context, orders: list[Order]) -> None:
    running = generation.current()
    if running is not None:
        if len(orders) > 1 or running.shot:
            layout.label(text=running.title)
        layout.progress(factor=running.factor, text=running.text)
        starts = running.phase in STARTING and running.finish is None
        if starts and (usual := estimates.start_of(running.job["model"])):
            layout.label(text=f"Until the first step it took {duration(usual)} last time", icon="TIME")
        if running.notice:
            draw_sentence(layout, context, running.notice, "INFO")
        again = {"text": "End the Engine Now"} if running.cancelled is not None else {}
        layout.operator("peekaboo.cancel", icon="CANCEL", **again).job = running.id
    waiting = [order for order in orders if order is not running]
    if waiting:
        column = layout.column(align=True)
        for order in waiting:
            row = column.row(align=True)
            row.label(text=order.title, icon="SORTTIME")
            row.operator("peekaboo.cancel", text="", icon="X", emboss=False).job = order.id
        layout.operator("peekaboo.cancel_all")
    if running is not None and running.preview is not None:
        icon = icons.icon_of(running.preview, running.previews, at_top=True)
        if icon:
            layout.template_icon(icon, scale=width_in_lines(context))


def _draw_missing_engine(layout, context) -> None:
    problem = ""
    try:
        engine_choice.engine_python()
    except PeekabooError as error:
        problem = str(error)
    if not problem and not set_up.is_busy():
        return
    if not set_up.status()[0]:
        draw_sentence(layout, context, problem, "ERROR")
    draw_set_up(layout, context)


def _draw_colors(layout, context) -> None:
    """Say what changes the colours of clips, and offer to show them as they are where that can be."""
    scene = reels.edited_scene(context)
    takes = reels.takes(scene)
    if not takes:
        return
    holder = takes[0].id_data
    causes = colors.alterations(holder)
    matched = all(colors.are_as_on_disk(holder, strip) for strip in takes)
    if matched and not causes:
        return
    what = " and ".join(causes) or f"the view transform {holder.view_settings.view_transform}"
    can_match = holder != scene or not matched
    way = "." if can_match else ': choose "A Scene of Their Own" in Takes In, and press Move Takes.'
    draw_sentence(
        layout, context, f"The colors of clips are changed by {what} of {shown(holder.name)}{way}", "ERROR"
    )
    if can_match:
        layout.operator("peekaboo.match_colors", text="Match Colors")


def _draw_engine(layout) -> None:
    if generation.engine_is_up():
        row = layout.row()
        device = generation.engine_device()
        row.label(text=f"Engine on {device}" if device else "Engine is starting", icon="MEMORY")
        row.operator("peekaboo.free_memory")


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_PT_generate, PEEKABOO_PT_sequencer_generate)
)


def register():
    """Add the panels, and how many takes they ask for."""
    bpy.types.WindowManager.peekaboo_takes = IntProperty(
        name="Takes",
        description="How many clips to make at once, each with a seed of its own",
        default=1,
        min=1,
        max=99,
    )
    _register_classes()


def unregister():
    """Take them away."""
    _unregister_classes()
    del bpy.types.WindowManager.peekaboo_takes
