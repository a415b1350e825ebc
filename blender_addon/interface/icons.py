# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that panels show: the engine's small PNGs as icons.

They are read here, not by Blender, which would leave a copy of each among the desktop's thumbnails.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy.utils.previews
import numpy as np

from .. import memory
from ..borders.places import read_file
from ..memory import remembered

MAX_SIDE, MAX_BYTES = 2048, 16 * 2**20
"""Pixels of a picture's side, and bytes of its file."""
BLOCKS, DIM = 5, np.float32(0.5)
"""Of what surrounds a picture in its square: the colours in a row of it, and how bright they are."""
CHIP_SIDE, CHIP_HALF, CHIP_CORNER = 32, 11.0, 4.0
"""Of the icon that shows a colour, in its pixels: the side, half of what is filled, and its rounding."""
MOST_CHIPS = 256
"""Colours that are kept: one that is dragged through others leaves each of them."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_icons: Any = None
_versions: dict[str, int] = {}
"""Of each picture, the one that was read last."""
_chips: dict[tuple[int, ...], str] = {}
"""Of each colour, in 0..255, the name of its icon; the one that was drawn last is at the end."""


def read_png(data: bytes) -> np.ndarray:
    """Read a PNG as the engine writes it: RGB of 8 bits, rows without a filter.

    Returns:
        uint8 (height, width, 3), row 0 at the top.

    Raises:
        ValueError: it is none, or of another kind.
    """
    if not data.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    chunks, at = [], len(_SIGNATURE)
    try:
        while at < len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            chunks.append((kind, data[at + 8 : at + 8 + length]))
            at += length + 12
        width, height, *form = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
        if form != [8, 2, 0, 0, 0] or not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise ValueError("another kind of PNG")
        size = height * (1 + 3 * width)
        # no more than that is expanded, whatever is in there
        raw = zlib.decompressobj().decompress(
            b"".join(body for kind, body in chunks if kind == b"IDAT"), size
        )
        rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + 3 * width)
    except (struct.error, zlib.error, KeyError) as error:
        raise ValueError("damaged") from error
    if rows[:, 0].any():
        raise ValueError("another kind of PNG")
    return rows[:, 1:].reshape(height, width, 3)


def icon_of(path: Path, version: int = 0, at_top: bool = False) -> int:
    """The icon of a picture; 0 where it could never be read.

    Args:
        path: of the file.
        version: of what is in it: with another one than the last time it is read again.
        at_top: as :func:`squared` has it; always the same for one path.
    """
    key = str(path)
    _read(path, version, at_top)
    return _icons[key].icon_id if key in _icons else 0


@remembered(False, once=True)
def _read(path: Path, version: int, at_top: bool) -> bool:
    """Make an icon of a picture, in the place of an earlier one; that stays where the file is no picture.

    Returns:
        Whether it is one.
    """
    key = str(path)
    if _versions.get(key) == version:
        return key in _icons
    _versions[key] = version
    try:
        pixels = read_png(read_file(path, MAX_BYTES))
    except (OSError, ValueError):
        return False
    if key in _icons:
        del _icons[key]
    preview = _icons.new(key)
    rgba = squared(pixels, at_top)
    preview.image_size = rgba.shape[1], rgba.shape[0]
    preview.image_pixels_float.foreach_set(rgba.ravel())
    return True


def squared(pixels: np.ndarray, at_top: bool = False) -> np.ndarray:
    """Make a picture square, as Blender draws all icons: around it are its colours, blurred and dim.

    Args:
        pixels: uint8 (height, width, 3), row 0 at the top.
        at_top: a wide picture is at the top instead, above nothing: for one alone in a panel.

    Returns:
        float32 RGBA (side, side, 4) in 0..1, row 0 at the bottom, as Blender has it.
    """
    picture = pixels[::-1] / np.float32(255)
    height, width = picture.shape[:2]
    if at_top and height < width:
        rgba = np.zeros((width, width, 4), np.float32)
        rgba[-height:, :, :3], rgba[-height:, :, 3] = picture, 1
        return rgba
    if height <= width:
        return _between_bands(picture)
    return np.ascontiguousarray(_between_bands(picture.swapaxes(0, 1)).swapaxes(0, 1))


def _between_bands(picture: np.ndarray) -> np.ndarray:
    """A picture that is not taller than wide, float32 (height, width, 3), as :func:`squared` has it."""
    height, side = picture.shape[:2]
    below = (side - height) // 2
    rgba = np.ones((side, side, 4), np.float32)
    rgba[below : below + height, :, :3] = picture
    count = min(BLOCKS, height)
    block = np.arange(height) * count // height  # that each pixel of the middle is in
    means = (block == np.arange(count)[:, None]).astype(np.float32)
    means /= means.sum(axis=1, keepdims=True)
    at = np.clip((np.arange(side) + 0.5) * count / side - 0.5, 0, count - 1)
    near = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count))).astype(np.float32)
    blocks = np.einsum("bi,ijc,dj->bdc", means, picture[:, below : below + height], means, optimize=True)
    for band in (slice(0, below), slice(below + height, side)):
        rgba[band, :, :3] = DIM * np.einsum("yb,bdc,xd->yxc", near[band], blocks, near, optimize=True)
    return rgba


def chip_of(color: Sequence[float]) -> int:
    """The icon of a display colour: a square with round corners, made once."""
    levels = tuple(round(255 * min(max(level, 0.0), 1.0)) for level in color)
    if levels in _chips:
        _chips[levels] = _chips.pop(levels)  # those that are not drawn go first
    else:
        while len(_chips) >= MOST_CHIPS:
            del _icons[_chips.pop(next(iter(_chips)))]
        _chips[levels] = "chip #{:02x}{:02x}{:02x}".format(*levels)
        preview = _icons.new(_chips[levels])
        preview.icon_size = CHIP_SIDE, CHIP_SIDE
        preview.icon_pixels_float.foreach_set(_chip(levels).ravel())
    return _icons[_chips[levels]].icon_id


def _chip(levels: Sequence[int]) -> np.ndarray:
    """Pixels of a chip, float32 RGBA (side, side, 4)."""
    away = np.abs(np.arange(CHIP_SIDE) - (CHIP_SIDE - 1) / 2) - (CHIP_HALF - CHIP_CORNER)
    outside = np.hypot(*np.meshgrid(np.maximum(away, 0), np.maximum(away, 0))) - CHIP_CORNER
    rgba = np.ones((CHIP_SIDE, CHIP_SIDE, 4), np.float32)
    rgba[..., :3] = np.asarray(levels, np.float32) / np.float32(255)
    return rgba * np.clip(0.5 - outside, 0, 1)[..., None].astype(np.float32)  # premultiplied, as it is drawn


def register():
    """Make room for pictures."""
    global _icons
    _icons = bpy.utils.previews.new()


def unregister():
    """Let go of all pictures."""
    global _icons
    bpy.utils.previews.remove(_icons)
    _icons = None
    _versions.clear()
    _chips.clear()
    memory.forget()
