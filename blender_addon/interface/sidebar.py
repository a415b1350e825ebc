# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels of the tab "Peekaboo" share."""

from __future__ import annotations

import textwrap
from functools import wraps

import bpy

from .. import memory, windows
from ..errors import shown
from ..making import set_up
from ..takes import reels

LETTER_WIDTH = 6.4
"""Width of an average letter of the interface's font at scale 1, in pixels."""
PANEL_MARGIN = 64
"""Pixels of a sidebar's width that its icon, frame and scroll bar take at scale 1."""


LINE, PICTURE_MARGIN, MOST_LINES = 20, 44, 20.0
"""Pixels of a line and beside a picture, at scale 1; and the lines that a picture takes at most."""


LOOK_SECONDS, SOON = 1.0, 0.05
"""How long after a panel was drawn the disk is looked at for it: where it is known, and where it is not."""


class Drawn:
    """A panel or a menu that draws what is known of the disk, and is drawn again where that changes."""

    def __init_subclass__(cls, **options):
        """Let its functions draw from memory."""
        super().__init_subclass__(**options)
        for name in ("draw", "draw_header", "draw_header_preset"):
            if name in vars(cls):
                setattr(cls, name, _from_memory(vars(cls)[name]))


def _from_memory(function):
    @wraps(function)
    def draw(self, context):  # Blender counts its arguments
        with memory.drawing():
            function(self, context)
        look_soon()

    return draw


def look_soon() -> None:
    """Have the disk looked at, for what was asked while something was drawn."""
    asked, is_new = memory.is_asked()
    if asked and not bpy.app.background and not bpy.app.timers.is_registered(_look):
        bpy.app.timers.register(_look, first_interval=SOON if is_new else LOOK_SECONDS)


def _look() -> None:
    if memory.look_again():
        windows.redraw()


class SidebarPanel(Drawn):
    """Where the panels are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Peekaboo"

    @classmethod
    def poll(cls, context):
        """The viewport shows no scene of takes, in which there is nothing to place."""
        return not reels.is_reel(context.scene)


def draw_set_up(layout, context) -> None:
    """Draw the button that makes the engine's environment, and how that goes."""
    if set_up.can_cancel():
        layout.operator("peekaboo.cancel_set_up", icon="CANCEL")
    else:
        text = f"Set Up Engine ({set_up.gigabytes():g} GB)..."
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("peekaboo.set_up_engine", text=text, icon="IMPORT")
    text, failed = set_up.status()
    if text:
        draw_sentence(layout, context, text, "ERROR" if failed else "INFO")


def width_in_lines(context) -> float:
    """The room that a picture has in the region's width, in heights of a line."""
    return min(
        MOST_LINES, (context.region.width / context.preferences.system.ui_scale - PICTURE_MARGIN) / LINE
    )


def letters_in_line(context, width: float | None = None) -> int:
    """How many letters a line has room for, beside an icon.

    Args:
        context: of the region.
        width: in pixels at scale 1, of a dialog; the region's without it.
    """
    if width is None:
        width = context.region.width / context.preferences.system.ui_scale
    return max(16, int((width - PANEL_MARGIN) / LETTER_WIDTH))


def draw_sentence(layout, context, text: str, icon: str, width: float | None = None) -> None:
    """Draw a text in as many lines as the width asks for.

    Args:
        layout: to draw in.
        context: of the region.
        text: what to say.
        icon: before the first line.
        width: see :func:`letters_in_line`.
    """
    column = layout.column(align=True)
    column.scale_y = 0.75
    for number, line in enumerate(textwrap.wrap(shown(text), letters_in_line(context, width))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")
