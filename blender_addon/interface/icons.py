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

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_icons: Any = None
_unreadable: set[str] = set()


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
        raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
        rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + 3 * width)
    except (struct.error, zlib.error, KeyError) as error:
        raise ValueError("damaged") from error
    if form != [8, 2, 0, 0, 0] or rows[:, 0].any():
        raise ValueError("another kind of PNG")
    return rows[:, 1:].reshape(height, width, 3)


def icon_of(path: Path) -> int:
    """The icon of a picture that does not change; 0 where it cannot be read. Read once."""
    key = str(path)
    if key in _icons:
        return _icons[key].icon_id
    return 0 if key in _unreadable else load(path)


def load(path: Path) -> int:
    """Read a picture again; returns its icon, or 0."""
    key = str(path)
    try:
        pixels = read_png(path.read_bytes())
    except (OSError, ValueError):
        _unreadable.add(key)
        return 0
    forget(path)
    preview = _icons.new(key)
    preview.image_size = pixels.shape[1], pixels.shape[0]
    rgba = np.ones((*pixels.shape[:2], 4), np.float32)
    rgba[..., :3] = pixels[::-1] / np.float32(255)  # Blender's rows begin at the bottom
    preview.image_pixels_float.foreach_set(rgba.ravel())
    return preview.icon_id


def forget(path: Path) -> None:
    """Let go of a picture that is no longer shown."""
    _unreadable.discard(str(path))
    if str(path) in _icons:
        del _icons[str(path)]


def register():
    """Make room for pictures."""
    global _icons
    _icons = bpy.utils.previews.new()


def unregister():
    """Let go of all pictures."""
    global _icons
    bpy.utils.previews.remove(_icons)
    _icons = None
    _unreadable.clear()
