# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel that drafts a shot from a text, and the boxes of a draft over the camera view."""

from __future__ import annotations

from typing import Any

import bpy
import gpu
import numpy as np

from ..errors import shown
from ..making import drafting
from ..shot.subjects import new_color
from .overlay import LINE_WIDTH, picture_on_screen
from .sidebar import SidebarPanel, draw_sentence, from_memory
from .strokes import draw_lines

_handle: Any = None


class PEEKABOO_PT_draft(SidebarPanel, bpy.types.Panel):
    """A shot from a sentence."""

    bl_label = "Draft from Text"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 6

    def draw_header_preset(self, context):
        """Draw what can be done with a draft, also while the panel is closed."""
        if drafting.pending(context.scene) is not None:
            row = self.layout.row(align=True)
            row.operator("peekaboo.apply_draft", text="Apply")
            row.operator("peekaboo.discard_draft", text="", icon="X")

    def draw(self, context):
        """Draw the button, what the planner does, and the draft that waits."""
        layout, made = self.layout, drafting.pending(context.scene)
        row = layout.row(align=True)
        row.operator_context = "INVOKE_DEFAULT"
        row.operator("peekaboo.draft", icon="TEXT").change = False
        row.operator("peekaboo.draft", text="Change...", icon="GREASEPENCIL").change = True
        if drafting.is_busy():
            row = layout.row()
            row.label(text="Planning...", icon="SORTTIME")
            row.operator("peekaboo.discard_draft", text="Cancel", icon="CANCEL")
        text, failed = drafting.status()
        if text:
            draw_sentence(layout, context, text, "ERROR" if failed else "INFO")
        if made is not None:
            self._draw_draft(context, made)

    def _draw_draft(self, context, made) -> None:
        layout = self.layout
        box = layout.box().column(align=True)
        for number, shot in enumerate(made.plan.shots, start=1):
            if len(made.plan.shots) > 1:
                box.label(text=f"Shot {number}", icon="CAMERA_DATA")
            for subject in shot.subjects:
                box.label(text=shown(subject.phrase), icon="EMPTY_AXIS")
            if shot.move != "none":
                box.label(text=f"camera: {shot.move}", icon="VIEW_CAMERA")
        for note in made.notes:
            draw_sentence(layout, context, note, "INFO")
        row = layout.row(align=True)
        row.operator("peekaboo.apply_draft", icon="CHECKMARK")
        row.operator("peekaboo.discard_draft", text="Discard", icon="X")


@from_memory(in_view=True)
def _draw() -> None:
    """Draw the boxes of a draft that waits, as they are at the current frame."""
    context: Any = bpy.context
    made = drafting.pending(context.scene)
    picture = picture_on_screen(context) if made is not None else None
    if made is None or picture is None:
        return
    origin, axes = picture
    gpu.state.blend_set("ALPHA")
    first, last = made.range
    time = (context.scene.frame_current - first) / max(1, last - first)
    for number, (x1, y1, x2, y2) in made.plan.boxes_at(time):
        corners = origin + np.array([(x1, 1 - y1), (x2, 1 - y1), (x2, 1 - y2), (x1, 1 - y2)]) @ axes
        edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
        draw_lines(edges, (*new_color(number), 1.0), LINE_WIDTH)
    gpu.state.blend_set("NONE")


_register_classes, _unregister_classes = bpy.utils.register_classes_factory((PEEKABOO_PT_draft,))


def register():
    """Add the panel, and draw in all 3D viewports."""
    global _handle
    _register_classes()
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister():
    """Take both away."""
    global _handle
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = None
    _unregister_classes()
