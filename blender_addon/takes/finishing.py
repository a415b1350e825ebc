# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth and enlarged clips of takes: which one a strip shows, that or the clip of the model's own frames."""

from __future__ import annotations

from pathlib import Path

from ..borders import places
from ..errors import PeekabooError
from . import folders, strips, viewing


def show(strip, clip: Path, finish: dict) -> None:
    """Let a take show its clip as it was finished, also in the camera's view.

    Args:
        strip: the take.
        clip: the file in its folder.
        finish: as a job states it.
    """
    path, images = strips.path_in_file(clip), viewing.images_of(strip)
    if strip.type == "MOVIE":
        strip.filepath = path
    else:
        strip.elements[0].filename = clip.name
    strip[strips.FINISH_PROPERTY] = strips.finish_in_words(finish)
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
    show(strip, clip, {})
