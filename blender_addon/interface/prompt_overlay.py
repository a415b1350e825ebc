# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt of the shot at the playhead, below the camera's frame, with its phrases in their colours."""

from __future__ import annotations

from typing import Any

import blf
import bpy

from .. import changes
from ..errors import PeekabooError
from ..shot import shots
from ..shot.prompt import colored
from .overlay import looks_through_camera, picture_on_screen
from .sidebar import from_memory
from .typesetting import Face, Run, lines_of

LETTERS, LEADING = 12.0, 1.45
"""Height of letters in pixels of an interface that is not scaled, and of a line in those."""
MARGIN = 6.0
"""Between the frame and the text, likewise."""
MOST_LINES = 4
"""More would cover too much; the last ends with an ellipsis."""
PLAIN = (0.85, 0.85, 0.85)
FONT, RIM = 0, 3
"""The interface's font, and how wide the dark rim of letters is."""

_handle: Any = None
_cache: tuple[tuple, list[list[Run]]] | None = None
"""What the lines that were made last depend on, and those: viewports are drawn at each move of a view."""


def lines_for(context, width: float, size: float) -> list[list[Run]]:
    """The lines of the prompt of the shot at the playhead.

    Args:
        context: whose scene is meant.
        width: of a line, in pixels.
        size: of the letters, in pixels.

    Raises:
        PeekabooError: there are no shots, such as where the scene has no frames.
    """
    global _cache
    scene = context.scene
    shot = shots.shot_at(scene, scene.frame_current)
    blf.size(FONT, size)
    key = (changes.count_of_views(), scene.session_uid, shot, width, size)
    if _cache is not None and _cache[0] == key:
        return _cache[1]
    face = Face(lambda text: blf.dimensions(FONT, text)[0], blf.dimensions(FONT, "a b")[0] / 3)
    lines = lines_of(shot.prompt, colored(scene, shot), width, face)
    if len(lines) > MOST_LINES:
        lines = lines[:MOST_LINES]
        lines[-1] = [*lines[-1], Run("…")]
    _cache = key, lines
    return lines


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
    left, width = max(origin[0], margin), right[0] - 2 * margin
    try:
        lines = lines_for(context, width, size)
    except PeekabooError:
        return
    height = LEADING * size * len(lines)
    below = origin[1] - margin
    top = below if below - height > margin else origin[1] + height + margin  # inside, where there is no room
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
    global _handle, _cache
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = _cache = None
