# SPDX-License-Identifier: GPL-3.0-or-later
"""Cryptomattes: which names fill a pixel, and how much of it each.

After Friedman and Jones, "Fully automatic ID mattes with support for motion blur and transparency", 2015, and
the specification 1.2.0 that Psyop has published. A layer of four channels has two ranks: the code of a name
as a number, and its share of the pixel, those with the largest shares first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

RANKS_A_LAYER = 2
LAYERS = 3
"""Of a matte whose pixels may be shared, as Blender and others have it: six names a pixel."""


def layers(samples: np.ndarray, codes: Sequence[float]) -> list[np.ndarray]:
    """Rank the names of each pixel.

    Args:
        samples: uint8 (samples, height, width), labels that count the same; 0 is nothing.
        codes: of the labels from 1, see :func:`matte_id`.

    Returns:
        float32 (height, width, 4) of each layer: one of a single sample, else :data:`LAYERS`.
    """
    count = 1 if len(samples) == 1 else LAYERS
    ranked = np.zeros((*samples.shape[1:], count * RANKS_A_LAYER, 2), np.float32)
    numbers = np.array([0, *codes], np.float32)
    first = samples[0]
    ranked[..., 0, 0], ranked[..., 0, 1] = numbers[first], first > 0
    shared = (samples != first).any(axis=0)
    found = samples[:, shared]
    shares = np.zeros((len(numbers), found.shape[1]), np.float32)
    for sample in found:
        shares[sample, np.arange(found.shape[1])] += 1 / len(samples)
    shares[0] = 0
    ranks = np.argsort(-shares, axis=0, kind="stable")[: count * RANKS_A_LAYER]
    weights = np.take_along_axis(shares, ranks, axis=0)
    mixed = np.zeros((found.shape[1], count * RANKS_A_LAYER, 2), np.float32)
    mixed[:, : len(ranks), 0] = np.where(weights > 0, numbers[ranks], 0).T
    mixed[:, : len(ranks), 1] = weights.T
    ranked[shared] = mixed
    return [ranked[..., 2 * k : 2 * k + 2, :].reshape(*samples.shape[1:], 4) for k in range(count)]


def fields(layer: str, codes: dict[str, int]) -> dict[str, str]:
    """What a file says of a Cryptomatte: its name, how names become numbers, and the names with their codes.

    Args:
        layer: name of the layer in the file.
        codes: by name.
    """
    key = f"cryptomatte/{murmur3(layer.encode()):08x}"[:19]  # of which seven digits are of the hash
    stated = {
        "name": layer,
        "hash": "MurmurHash3_32",
        "conversion": "uint32_to_float32",
        # as Blender reads it
        "manifest": json.dumps({name: f"{code:08x}" for name, code in codes.items()}, ensure_ascii=False),
    }
    return {f"{key}/{field}": value for field, value in stated.items()}


def matte_id(name: str) -> tuple[int, float]:
    """The code of a name in a Cryptomatte, and the number that stands for it in the pixels.

    The specification takes the 32 bits of a hash for a number's, and has the exponent make it an ordinary
    one.
    """
    code = murmur3(name.encode())
    if (code >> 23) & 255 in (0, 255):
        code ^= 1 << 23
    return code, float(np.array(code, np.uint32).view(np.float32))


def murmur3(text: bytes) -> int:
    """MurmurHash3 of 32 bits with seed 0 (Austin Appleby)."""
    whole = 0xFFFFFFFF
    padded = text + bytes(-len(text) % 4)
    code = 0
    for start in range(0, len(padded), 4):
        block = int.from_bytes(padded[start : start + 4], "little") * 0xCC9E2D51 & whole
        block = (block << 15 | block >> 17) & whole
        code ^= block * 0x1B873593 & whole
        if start + 4 <= len(text):  # the last bytes, fewer than four, go in without this
            code = (code << 13 | code >> 19) & whole
            code = code * 5 + 0xE6546B64 & whole
    code ^= len(text)
    code = (code ^ code >> 16) * 0x85EBCA6B & whole
    code = (code ^ code >> 13) * 0xC2B2AE35 & whole
    return code ^ code >> 16
