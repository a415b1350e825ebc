# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that panels show: the engine's small PNGs as icons.

They are read here, not by Blender, which would leave a copy of each among the desktop's thumbnails.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import bpy.utils.previews
import numpy as np

from .. import memory
from ..borders.places import read_file
from ..memory import remembered

MAX_SIDE, MAX_BYTES = 2048, 16 * 2**20
"""Pixels of a picture's side, and bytes of its file."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_icons: Any = None
_versions: dict[str, int] = {}
"""Of each picture, the one that was read last."""


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
        at_top: of the square that Blender gives an icon, whose middle a wide picture else takes; always the
            same for one path.
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
    height, width = pixels.shape[:2]
    rgba = np.zeros((max(width, height) if at_top else height, width, 4), np.float32)
    rgba[-height:, :, :3] = pixels[::-1] / np.float32(255)  # Blender's rows begin at the bottom
    rgba[-height:, :, 3] = 1.0
    preview.image_size = width, len(rgba)
    preview.image_pixels_float.foreach_set(rgba.ravel())
    return True


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
    memory.forget()
