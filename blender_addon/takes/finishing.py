# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth and enlarged clips of takes: which one a strip shows, that or the clip of the model's own frames."""

from __future__ import annotations

from pathlib import Path

from .. import compat
from ..borders import places
from ..errors import PeekabooError
from . import folders, strips, viewing


def show(strip, clip: Path) -> None:
    """Let a take show another file of its folder, as large as the one before, also in the camera's view.

    Where that is gone, it is as large as goes into the scene's picture, as a clip that has just come.
    """
    path, images = strips.path_in_file(clip), viewing.images_of(strip)
    before, after = _size(strip, strips.file_of(strip)), _size(strip, path)
    if strip.type == "MOVIE":
        strip.filepath = path
    else:
        strip.elements[0].filename = clip.name
    if all(before) and all(after):  # Blender scales a strip's own pictures, however many pixels these have
        strip.transform.scale_x *= before[0] / after[0]
        strip.transform.scale_y *= before[1] / after[1]
    elif all(after):
        render = strip.id_data.render
        fitting = min(render.resolution_x / after[0], render.resolution_y / after[1])
        strip.transform.scale_x = strip.transform.scale_y = fitting
    for image in images:
        image.filepath = path


def show_original(strip) -> None:
    """Let a take show the clip of the model's own frames again.

    Raises:
        PeekabooError: it is gone.
    """
    clip = strips.folder_of(strip) / (folders.CLIP if strip.type == "MOVIE" else folders.PICTURE)
    if not places.is_file(clip):
        raise PeekabooError(f'There is no clip at "{clip}": generate it again.')
    show(strip, clip)


def _size(strip, path: str) -> tuple[int, int]:
    """Width and height of what a file shows, as a strip names it; zeros where Blender cannot read it.

    A strip goes on to tell the size of the file that it was made with, so that one is made to ask.
    """
    editor, (start, end) = strip.id_data.sequence_editor, compat.strip_range(strip)
    made = compat.strips(editor)
    add = made.new_movie if strip.type == "MOVIE" else made.new_image
    asked = add(
        name="Size", filepath=path, channel=strips.free_channel(editor, start, end), frame_start=start
    )
    try:
        return compat.movie_size(asked)[1:]
    finally:
        made.remove(asked)
