# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel that lists the shots that markers cut a scene into."""

from __future__ import annotations

import bpy

from .. import compat, memory
from ..errors import PeekabooError
from ..making import generation
from ..masks.cameras import bound_markers
from ..shot import shots, timed_phrases
from ..shot.layout import mapping_in_words, timing_of
from ..shot.prompt import colored, prompt_problem
from ..shot.shots import Shot
from ..shot.size import frames_of
from ..takes import reels
from .sidebar import SidebarPanel, draw_colored, draw_sentence, letters_in_line

UNBOUND = (
    "No marker has a camera that renders, so the scene is one clip: bind cameras to markers (Marker ▸ Bind "
    "Camera to Markers) to cut it into shots."
)
NARROW = 36
"""Letters of a line, below which a shot's state is its icon, and a number."""


class PEEKABOO_UL_shots(bpy.types.UIList):
    """The markers that begin a shot, among a scene's; those with a prompt of their own have a sign."""

    def draw_item(self, context, layout, data, item, _icon, _active_data, _active_property, index=0):
        """Draw whether it is made with the others, its name, its frames, and how far it is."""
        row = layout.row(align=True)
        row.prop(item.peekaboo, "enabled", text="")
        row.prop(item, "name", text="", emboss=False, placeholder=item.camera.name)
        is_narrow = letters_in_line(context) < NARROW
        if item.peekaboo.prompt.strip() and not is_narrow:
            row.label(icon="TEXT")
        shot = next((shot for shot in shots.shots_of(data) if shot.marker == index), None)
        if shot is None:
            return
        frames = row.row()
        frames.alignment = "RIGHT"
        frames.label(text=f"{shot.first}–{shot.last}" if shot.last >= shot.first else "no frames")
        with memory.drawing():
            text, icon = _status(data, shot)
        state = row.row()
        state.alignment = "LEFT"  # of its width, which the name would shrink otherwise
        state.ui_units_x = 2.2 if is_narrow else 4.6
        if is_narrow:
            text = text.split()[0] if text[0].isdigit() else ""
        state.label(text=text, icon=icon)

    def filter_items(self, _context, data, property_name):
        """Show the markers that have a shot only, by their frames."""
        markers = list(getattr(data, property_name))
        try:
            listed = {shot.marker for shot in shots.shots_of(data)}
        except PeekabooError:
            listed = set()
        flags = [self.bitflag_filter_item if index in listed else 0 for index in range(len(markers))]
        order = sorted(range(len(markers)), key=lambda index: markers[index].frame)
        places = [0] * len(markers)
        for place, index in enumerate(order):
            places[index] = place
        return flags, places


def _status(scene, shot: Shot) -> tuple[str, str]:
    """What there is to say of a shot in a word or two, and an icon."""
    try:
        shots.check_length(shot)
    except PeekabooError:
        return "too short", "ERROR"
    if shot.enabled and prompt_problem(scene, shot=shot):
        return "prompt", "ERROR"
    current = generation.current()
    waiting = [order for order in generation.unfinished() if _is_of(order, scene, shot)]
    if current is not None and current in waiting:
        return "making", "RENDER_ANIMATION"
    if waiting:
        return "queued", "SORTTIME"
    count = sum(shot.holds(start, end - 1) for start, end in map(compat.strip_range, reels.takes(scene)))
    return ("1 take" if count == 1 else f"{count} takes" if count else "no take"), (
        "CHECKMARK" if count else "BLANK1"
    )


def _is_of(order, scene, shot: Shot) -> bool:
    timing = order.job["timing"]
    first = timing["frame_start"] if order.frame_start is None else order.frame_start
    return order.scene == scene.session_uid and shot.holds(first, first + timing["frame_count"] - 1)


class PEEKABOO_PT_shots(SidebarPanel, bpy.types.Panel):
    """The shots of a scene, and what one has for itself."""

    bl_label = "Shots"
    bl_order = 3

    @classmethod
    def poll(cls, context):
        """A marker cuts to a camera, or is likely to be meant to."""
        return super().poll(context) and any(
            not timed_phrases.names_words(marker) or marker.camera
            for marker in context.scene.timeline_markers
        )

    def draw_header(self, context):
        """Draw whether markers cut the scene into clips."""
        self.layout.prop(context.scene.peekaboo, "use_markers", text="")

    def draw(self, context):
        """Draw the list, and camera, prompt, seed and frames of the shot at the current frame."""
        layout, scene = self.layout, context.scene
        layout.active = scene.peekaboo.use_markers
        if not bound_markers(scene):
            draw_sentence(layout, context, UNBOUND, "INFO")
            layout.operator("peekaboo.add_shot", icon="ADD")
            return
        try:
            shot = shots.shot_at(scene, scene.frame_current)
        except PeekabooError as error:
            draw_sentence(layout, context, str(error), "ERROR")
            return
        if shot.marker is None:
            layout.label(text="The scene is one clip, through all cuts", icon="INFO")
            return
        row = layout.row()
        row.template_list(
            "PEEKABOO_UL_shots", "", scene, "timeline_markers", scene.peekaboo, "active_shot", rows=3
        )
        beside = row.column(align=True)
        beside.operator("peekaboo.add_shot", text="", icon="ADD")
        beside.operator("peekaboo.remove_shot", text="", icon="REMOVE")
        beside.separator()
        beside.operator("peekaboo.export_farm_job", text="", icon="NETWORK_DRIVE")
        marker = scene.timeline_markers[shot.marker]
        own = marker.peekaboo
        layout.prop(marker, "camera", text="", icon="CAMERA_DATA")
        layout.prop(own, "prompt", text="", placeholder=scene.peekaboo.prompt or "the scene's prompt")
        if shot.is_own_prompt:
            draw_colored(layout, context, shot.prompt, colored(scene, shot))
        row = layout.row()
        row.prop(own, "seed", text="Seed")
        row.operator("peekaboo.generate", text="This Shot", icon="RENDER_ANIMATION").shots = "CURRENT"
        _draw_facts(layout, context, shot)


def _draw_facts(layout, context, shot: Shot) -> None:
    """Draw what is wrong with a shot, or how its frames map to the model's."""
    scene = context.scene
    if shot.is_own_prompt and (cut := generation.cut_of(scene, shot.prompt)):
        draw_sentence(layout, context, cut, "ERROR")
    try:
        shots.check_length(shot)
        if problem := prompt_problem(scene, shot=shot):
            raise PeekabooError(problem)
        num_frames = frames_of(scene, shot)
    except PeekabooError as error:
        draw_sentence(layout, context, str(error), "ERROR")
        return
    draw_sentence(layout, context, mapping_in_words(timing_of(scene, num_frames, shot), num_frames), "TIME")


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_UL_shots, PEEKABOO_PT_shots))
