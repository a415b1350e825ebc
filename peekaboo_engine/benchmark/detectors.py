# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a subject of the `shapes` world in a frame, by colour and by shape, with plain numpy.

Colour: a pixel belongs to a colour if it is saturated (which no ground is) and that colour's hue is the
nearest. The largest connected blob of the colour is the candidate. Shape: the blob, stretched to a square,
is compared with the silhouettes of all shapes; the candidate counts only if the shape asked for overlaps it
best. Coordinates are relative to the frame: x1, y1, x2, y2 in 0..1, y down.
"""

from __future__ import annotations

import colorsys
import math
from functools import cache

import numpy as np

from .shapes_world import COLOURS, SHAPES

Box = tuple[float, float, float, float]

_MIN_SATURATION = 0.55
_MIN_VALUE = 0.25
_MIN_AREA = 0.003  # of the frame: a blob smaller than that has no shape to speak of
_MIN_OVERLAP = 0.5  # IoU of silhouettes below which a blob has none of the shapes
_GRID = 32  # silhouettes are compared at _GRID x _GRID


def detect_subject(frame: np.ndarray, colour: str, shape: str) -> Box | None:
    """Return the box of the subject in a frame, or None if it is not there.

    `frame` is (height, width, 3), uint8 or float in 0..1. A blob of the colour with another shape is not the
    subject. Raises KeyError for a colour, ValueError for a shape that is not of the `shapes` world.
    """
    wanted = SHAPES.index(shape)
    blob = largest_blob(colour_mask(frame, colour))
    if blob.mean() < _MIN_AREA:
        return None
    rows, columns = np.flatnonzero(blob.any(1)), np.flatnonzero(blob.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    overlaps = silhouette_overlaps(blob[top:bottom, left:right])
    if overlaps[wanted] < _MIN_OVERLAP or overlaps.argmax() != wanted:
        return None
    height, width = blob.shape
    return left / width, top / height, right / width, bottom / height


def colour_mask(frame: np.ndarray, colour: str) -> np.ndarray:
    """Return where a frame (height, width, 3) shows the colour: bool (height, width)."""
    wanted = list(COLOURS).index(colour) if colour in COLOURS else None
    if wanted is None:
        raise KeyError(colour)
    rgb = frame.astype(np.float32) / 255 if frame.dtype == np.uint8 else frame.astype(np.float32)
    value, low = rgb.max(-1), rgb.min(-1)
    chroma = value - low
    saturated = (chroma > _MIN_SATURATION * value) & (value > _MIN_VALUE)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / safe % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    away = np.abs(hue[..., None] / 6 - _hues())
    return saturated & (np.minimum(away, 1 - away).argmin(-1) == wanted)


@cache
def _hues() -> np.ndarray:
    return np.array([colorsys.rgb_to_hsv(*rgb)[0] for rgb in COLOURS.values()], np.float32)


def largest_blob(mask: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected part of a mask, bool and of its shape; all False for an empty mask."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while (
        True
    ):  # every pixel takes the largest label along its run, in rows and in columns, until nothing changes
        spread = _spread_along_rows(_spread_along_rows(labels, mask).T, mask.T).T
        if np.array_equal(spread, labels):
            break
        labels = spread
    if not mask.any():
        return mask
    counts = np.bincount(labels[mask])
    return labels == counts.argmax()


def _spread_along_rows(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give every run of True in a row of `mask` the largest label in it."""
    flat = np.pad(mask, ((0, 0), (0, 1))).ravel()  # a False after each row keeps runs apart
    values = np.pad(labels, ((0, 0), (0, 1))).ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False))
    if not len(edges):
        return labels
    largest = np.maximum.reduceat(values, edges)[::2]
    spread = np.zeros_like(values)
    spread[flat] = np.repeat(largest, edges[1::2] - edges[::2])
    return spread.reshape(mask.shape[0], -1)[:, :-1]


def silhouette_overlaps(blob: np.ndarray) -> np.ndarray:
    """IoU of a cropped blob, stretched to a square, with each silhouette, in the order of SHAPES."""
    rows, columns = (
        np.minimum((np.arange(_GRID) + 0.5) * size / _GRID, size - 1).astype(int) for size in blob.shape
    )
    square = blob[np.ix_(rows, columns)]
    return np.array([(square & s).sum() / (square | s).sum() for s in _silhouettes()])


@cache
def _silhouettes() -> tuple[np.ndarray, ...]:
    """Filled outlines in the order of SHAPES: ball, cube, star, ring, cone."""
    centres = (np.arange(_GRID) + 0.5) * 2 / _GRID - 1
    x, y = np.meshgrid(centres, centres)
    radius = np.hypot(x, y)
    star = np.array(
        [
            (math.sin(k * math.pi / 5) * r, -math.cos(k * math.pi / 5) * r)
            for k, r in enumerate([1.0, 0.46] * 5)
        ]
    )
    star = 2 * (star - star.min(0)) / np.ptp(star, axis=0) - 1
    cone = (np.abs(x) <= (y + 1) / 1.82) & (y <= 0.82 + 0.18 * np.sqrt(np.clip(1 - x * x, 0, None)))
    return (
        radius <= 1,
        np.ones_like(radius, bool),
        _filled(star, x, y),
        (radius <= 1) & (radius >= 0.46),
        cone,
    )


def _filled(polygon: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Even-odd fill of a polygon (corners, 2) at points x, y."""
    inside = np.zeros_like(x, bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y1 > y) != (y2 > y)
        if y1 != y2:
            inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside
