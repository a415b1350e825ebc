# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of label maps: each subject in its colour."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..borders import places
from ..errors import PeekabooError

Color = tuple[float, float, float]
"""Red, green and blue, 0..1 in sRGB; a label k has the colour ``colors[k - 1]``."""

TINT, LINE = 70, 255
"""Opacity of an outlined mask's inside and of its outline, of 255."""


def flat(labels: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """Draw a label map on black: uint8 (height, width) becomes uint8 (height, width, 3)."""
    return _bytes([(0, 0, 0), *colors])[labels]


def outlined(labels: np.ndarray, colors: Sequence[Color], scale: int) -> np.ndarray:
    """Draw tints with outlines: uint8 (height, width) becomes uint8 (scale height, scale width, 4), RGBA."""
    palette = np.array([(0, 0, 0, 0), *((*color, TINT) for color in _bytes(colors))], np.uint8)
    large = labels.repeat(scale, axis=0).repeat(scale, axis=1)
    edge = np.zeros(large.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            edge |= np.roll(large, step, axis) != large
    edge[[0, -1]], edge[:, [0, -1]] = False, False  # the picture's own edge is no outline, and rolls over
    picture = palette[large]
    picture[edge & (large > 0), 3] = LINE
    return picture


def _bytes(colors: Sequence[Color]) -> np.ndarray:
    return np.rint(255 * np.array(colors, float)).astype(np.uint8).reshape(-1, 3)


def write(pictures: Iterable[np.ndarray], folder: Path) -> list[Path]:
    """Write a picture for each frame, ``0001.png`` and so on, each whole or not at all; returns their paths.

    Args:
        pictures: as :func:`png` takes them.
        folder: gets them; made if need be.

    Raises:
        PeekabooError: the folder cannot be written.
    """
    names = []
    try:
        with places.opened(folder) as opened:
            for number, picture in enumerate(pictures, start=1):
                names.append(f"{number:04}.png")
                opened.write(names[-1], lambda file, picture=picture: file.write(png(picture)))
    except OSError as error:
        raise PeekabooError(
            f'The masks cannot be written to "{folder}" ({error.strerror}): choose another folder, or make '
            "room there."
        ) from None
    return [folder / name for name in names]


def png(pixels: np.ndarray) -> bytes:
    """Encode a picture of 8 or 16 bits: uint8 or uint16 (height, width, 1, 3 or 4), row 0 at the top."""
    height, width, channels = pixels.shape
    size = pixels.dtype.itemsize
    # A row begins with its filter: 0 is none
    rows = np.zeros((height, 1 + size * channels * width), np.uint8)
    rows[:, 1:] = pixels.astype(f">u{size}").reshape(height, -1).view(np.uint8)
    kind_of_color = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * size, kind_of_color, 0, 0, 0)  # not interlaced
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level=1)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data
