# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures for a program that shows how a job goes and what came of it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import torch

LONGEST_SIDE = 256
"""Pixels; what an interface shows of a clip is not larger."""


def shrink(pixels: np.ndarray) -> np.ndarray:
    """Scale a picture down to :data:`LONGEST_SIDE` by averaging; one that is smaller stays as it is.

    Args:
        pixels: uint8 (height, width, 3).

    Returns:
        uint8 (height, width, 3).
    """
    factor = LONGEST_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = [max(1, round(side * factor)) for side in pixels.shape[:2]]
    channels = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(channels, size, mode="area")[0]
    return scaled.round().to(torch.uint8).permute(1, 2, 0).numpy()


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG whose rows have no filter, so that a reader needs no more than zlib.

    Args:
        path: where to.
        pixels: uint8 (height, width, 3), sRGB, row 0 at the top.

    Raises:
        OSError: the disk does not take it.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a row begins with its filter: 0 is none
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
