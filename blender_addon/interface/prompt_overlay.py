# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt of the shot at the playhead, below the camera's frame, with its phrases in their colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import blf
import bpy

from .. import changes
from ..errors import PeekabooError
from ..shot import shots
from ..shot.prompt import colored
from ..shot.subjects import Color
from .overlay import looks_through_camera, picture_on_screen
from .sidebar import from_memory
from .strokes import LETTERS
from .typesetting import Face, Run, lines_of

LEADING = 1.45
"""Of a line, in heights of letters."""
MARGIN = 6.0
"""Between the frame and the text, in pixels of an interface that is not scaled."""
MOST_LINES = 4
"""More would cover too much; the last ends with an ellipsis."""
LEAST_WIDTH = 8
"""Of a line, in heights of letters: what is narrower cannot be read."""
PLAIN = (0.85, 0.85, 0.85)
FONT, RIM = 0, 3
"""The interface's font, and how wide the dark rim of letters is."""

Places: TypeAlias = tuple[tuple[int, int, Color], ...]
"""Start and end of a phrase's characters in the prompt, and its colour."""

_handle: Any = None
_places: tuple[tuple, Places] | None = None
"""What it depends on where phrases stand in the prompt that was drawn last, and that: viewports are drawn at
each move of a view."""


def lines_for(context, width: float, size: float) -> list[list[Run]]:
    """The lines of the prompt of the shot at the playhead.

    Args:
        context: whose scene is meant.
        width: of a line, in pixels.
        size: of the letters, in pixels.

    Raises:
        PeekabooError: there are no shots, such as where the scene has no frames.
    """
    global _places
    scene = context.scene
    shot = shots.shot_at(scene, scene.frame_current)
    key = (changes.count_of_views(), scene.session_uid, shot)
    if _places is None or _places[0] != key:
        _places = key, tuple(colored(scene, shot))
    return _lines(shot.prompt, _places[1], width, size, context.preferences.view.font_path_ui)


@lru_cache(maxsize=16)  # while an animation plays they stay
def _lines(prompt: str, places: Places, width: float, size: float, _font: str) -> list[list[Run]]:
    blf.size(FONT, size)
    face = Face(lambda text: blf.dimensions(FONT, text)[0], blf.dimensions(FONT, "a b")[0] / 3)
    lines = lines_of(prompt, places, width, face, MOST_LINES + 1)
    if len(lines) > MOST_LINES:
        lines = lines[:MOST_LINES]
        lines[-1] = [*lines[-1], Run("…")]
    return lines


def room_for(left: float, right: float, region_width: float, margin: float) -> tuple[float, float]:
    """Where lines below a frame begin, and how wide they are: within the frame, and what is seen of it."""
    begin = max(left, margin)
    return begin, min(right, region_width - margin) - begin


def top_for(bottom: float, height: float, margin: float) -> float:
    """Where lines below a frame have their top; in it, or in what is seen of it, where below is no room."""
    below = bottom - margin
    return below if below - height > margin else max(bottom, 0.0) + height + margin


@from_memory(in_view=True)
def _draw() -> None:
    """Draw over a viewport that looks through its scene's camera."""
    context: Any = bpy.context
    settings = context.scene.peekaboo
    if not (settings.show_outlines and settings.show_prompt and looks_through_camera(context)):
        return
    picture = picture_on_screen(context)
    if picture is None:
        return
    origin, (right, _) = picture
    scale = context.preferences.system.ui_scale
    size, margin = LETTERS * scale, MARGIN * scale
    left, width = room_for(origin[0], origin[0] + right[0], context.region.width, margin)
    if width < LEAST_WIDTH * size:
        return
    try:
        lines = lines_for(context, width, size)
    except PeekabooError:
        return
    top = top_for(origin[1], LEADING * size * len(lines), margin)
    blf.size(FONT, size)
    blf.enable(FONT, blf.SHADOW)
    blf.shadow(FONT, RIM, 0.0, 0.0, 0.0, 1.0)
    for number, line in enumerate(lines, start=1):
        x = left
        for run in line:
            blf.position(FONT, x, top - LEADING * size * number, 0)
            blf.color(FONT, *(run.color or PLAIN), 1.0)
            blf.draw(FONT, run.text)
            x += blf.dimensions(FONT, f"{run.text} a")[0] - blf.dimensions(FONT, "a")[0]
    blf.disable(FONT, blf.SHADOW)


def register():
    """Draw in all 3D viewports."""
    global _handle
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister():
    """Draw no more."""
    global _handle, _places
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = _places = None
    _lines.cache_clear()
