# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes drawn onto frames, for the pictures that people look at."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .comparison import MeasuredClip
from .metrics import Box

WANTED, FOUND = (255, 255, 255), (255, 212, 0)
_EDGE = (0, 0, 0)
_FONT = ImageFont.load_default(11)


def outlined(clip: MeasuredClip, index: int, frame: np.ndarray, found: bool = True) -> Image.Image:
    """A frame with the boxes that were wanted, and those that were found unless not asked for.

    Args:
        clip: has the boxes.
        index: of the frame in the clip.
        frame: uint8 (height, width, 3), of any size.
        found: whether detections are drawn.
    """
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    for number, track in enumerate(clip.tracks, start=1):
        name = str(number) if len(clip.tracks) > 1 else ""
        _outline(draw, track.wanted[index], WANTED, name)
        if found:
            _outline(draw, track.found[index], FOUND, name)
    return picture


def write_name(picture: Image.Image, name: str) -> None:
    """Write a name into the lower left corner, legible on any ground."""
    at = 5, picture.height - 4
    ImageDraw.Draw(picture).text(
        at, name, fill=WANTED, font=_FONT, anchor="ld", stroke_width=1, stroke_fill=_EDGE
    )


def _outline(draw: ImageDraw.ImageDraw, box: Box | None, colour: tuple[int, int, int], name: str) -> None:
    """A box of two pixels with a dark edge that shows it on any ground, and a name in its corner."""
    if box is None:
        return
    width, height = draw.im.size
    x1, y1, x2, y2 = box[0] * (width - 1), box[1] * (height - 1), box[2] * (width - 1), box[3] * (height - 1)
    draw.rectangle((x1, y1, x2, y2), outline=_EDGE, width=3)
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=2)
    # Names of wanted boxes stand at the left, of found ones at the right: both can be read where boxes agree.
    at, anchor = ((x1 + 5, y1 + 3), "la") if colour == WANTED else ((x2 - 4, y1 + 3), "ra")
    draw.text(at, name, fill=colour, font=_FONT, anchor=anchor, stroke_width=1, stroke_fill=_EDGE)
