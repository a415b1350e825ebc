# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels of the tab "Peekaboo" share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps

import bpy

from .. import memory, windows
from ..errors import shown
from ..making import set_up
from ..takes import reels
from .typesetting import (
    ICON_WIDTH,
    LABEL_PADDING,
    LABELS,
    LINE_HEIGHT,
    Face,
    draw_lines,
    lines_of,
    text_width,
)

LETTER_WIDTH = 6.4
"""Width of an average letter of the interface's font at scale 1, in pixels."""
PANEL_MARGIN = 50
"""Pixels of a sidebar's width that its frame, tabs and scroll bar take at scale 1."""


LINE, MOST_LINES = 20, 24.0
"""Pixels of a line, at scale 1; and how wide a picture is at most, in heights of one."""


ICON, NARROWEST = 20, 120
"""Pixels of an icon before a text, and what a line has at least, at scale 1."""


LOOK_SECONDS, SOON = 1.0, 0.05
"""How long after a panel was drawn the disk is looked at for it: where it is known, and where it is not."""

_view_waits = False
"""Whether a viewport was drawn without something that is not known yet; drawing one takes far longer."""


class Drawn:
    """A panel or a menu that draws what is known of the disk, and is drawn again where that changes."""

    def __init_subclass__(cls, **options):
        """Let its functions draw from memory."""
        super().__init_subclass__(**options)
        for name in ("draw", "draw_header", "draw_header_preset"):
            if name in vars(cls):
                setattr(cls, name, _drawn(vars(cls)[name]))


def _drawn(function):
    @wraps(function)
    def draw(self, context):  # Blender counts its arguments
        with from_memory():
            function(self, context)

    return draw


@contextmanager
def from_memory(in_view: bool = False) -> Iterator[None]:
    """Draw, in a block or a function, what is known of the disk, and look at that afterwards.

    Args:
        in_view: in a viewport, which is drawn again once something is known that was not.
    """
    global _view_waits
    with memory.drawing():
        yield
    _view_waits = _view_waits or (in_view and memory.is_asked()[1])
    look_soon()


def look_soon() -> None:
    """Have the disk looked at, for what was asked while something was drawn."""
    asked, is_new = memory.is_asked()
    if asked and not bpy.app.background and not bpy.app.timers.is_registered(_look):
        bpy.app.timers.register(_look, first_interval=SOON if is_new else LOOK_SECONDS)


def _look() -> None:
    global _view_waits
    if memory.look_again():
        windows.redraw()
        if _view_waits:
            windows.redraw_camera_views()
    _view_waits = False


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
    return min(MOST_LINES, line_width(context) / LINE)


def letters_in_line(context) -> int:
    """How many letters a line has room for, beside an icon."""
    return int((line_width(context) - ICON) / LETTER_WIDTH)


def line_width(context, width: float | None = None) -> float:
    """The room that a line has, in pixels at scale 1.

    Args:
        context: of the region.
        width: of a dialog; the region's without it.
    """
    if width is None:
        width = context.region.width / context.preferences.system.ui_scale
    return max(NARROWEST, width - PANEL_MARGIN)


def draw_sentence(layout, context, text: str, icon: str, width: float | None = None) -> None:
    """Draw a text in as many lines as the width asks for.

    Args:
        layout: to draw in.
        context: of the region.
        text: what to say.
        icon: before the first line.
        width: see :func:`line_width`.
    """
    column = layout.column(align=True)
    column.scale_y = LINE_HEIGHT
    face = Face(text_width, LABEL_PADDING + ICON_WIDTH)
    for number, (line,) in enumerate(lines_of(shown(text), (), line_width(context, width), face)):
        column.label(text=line.text, icon=icon if number == 0 else "BLANK1")


def draw_colored(layout, context, text: str, places, width: float | None = None) -> None:
    """Draw a text in as many lines as the width asks for, with a chip before what has a colour.

    Args:
        layout: to draw in.
        context: of the region.
        text: what to say.
        places: see :func:`.typesetting.lines_of`.
        width: see :func:`line_width`.
    """
    draw_lines(layout, lines_of(text, places, line_width(context, width), LABELS))
