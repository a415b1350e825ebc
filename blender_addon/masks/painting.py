# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of label maps: each subject in its colour."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import PeekabooError


def write_masks(labels: np.ndarray, colors: Sequence[tuple[float, float, float]], folder: Path) -> list[Path]:
    """Write a picture of each frame's masks, ``0001.png`` and so on, each subject in its colour on black.

    Args:
        labels: uint8 (frames, height, width).
        colors: red, green and blue of each subject, 0..1 in sRGB.
        folder: gets the pictures.

    Raises:
        PeekabooError: the folder cannot be written.
    """
    palette = (255 * np.array([(0, 0, 0), *colors])).round().astype(np.uint8)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            drafts = [Path(name) / f"{number:04}.png" for number in range(1, len(labels) + 1)]
            for draft, frame in zip(drafts, labels, strict=True):
                draft.write_bytes(png(palette[frame]))
            return [draft.replace(folder / draft.name) for draft in drafts]
    except OSError:
        raise PeekabooError(
            f'The pictures cannot be written to "{folder}": choose another folder, or free some space.'
        ) from None


def png(pixels: np.ndarray) -> bytes:
    """Encode a picture of 8 bits in sRGB: uint8 (height, width, 1, 3 or 4), row 0 at the top."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + channels * width), np.uint8)  # a row begins with its filter: 0 is none
    rows[:, 1:] = pixels.reshape(height, channels * width)
    kind_of_color = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, kind_of_color, 0, 0, 0)  # 8 bits, not interlaced
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data
