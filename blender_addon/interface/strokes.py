# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines, rectangles and labels over a viewport, in pixels of its region unless a matrix is set."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Any

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

LETTERS, LABEL = 12.0, 1.6
"""Height of what is written, in pixels of an interface that is not scaled, and from one label to the next, in
heights of letters."""
GROUND_COLOR = (0.0, 0.0, 0.0, 0.6)
"""Below what is written."""


def draw_boxes(boxes: np.ndarray, color: tuple[float, ...]) -> None:
    """Fill rectangles (n, 2, 2) of the region, given by two corners each."""
    fill(boxes_batch(boxes), color)


def boxes_batch(boxes: np.ndarray) -> Any:
    """Rectangles as :func:`fill` draws them; None without any."""
    if not len(boxes):
        return None
    low, high = boxes[:, 0], boxes[:, 1]
    right, left = np.c_[high[:, 0], low[:, 1]], np.c_[low[:, 0], high[:, 1]]
    points: Any = np.stack([low, right, high, low, high, left], axis=1).reshape(-1, 2).astype(np.float32)
    return batch_for_shader(gpu.shader.from_builtin("UNIFORM_COLOR"), "TRIS", {"pos": points})


def fill(batch: Any, color: tuple[float, ...]) -> None:
    """Draw rectangles, or nothing."""
    if batch is None:
        return
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.bind()
    shader.uniform_float("color", color)
    batch.draw(shader)


def draw_lines(segments: np.ndarray, color: tuple[float, ...], width: float) -> None:
    """Draw line segments (n, 2, 2), in pixels of the region."""
    stroke(lines_batch(segments), color, width)


def lines_batch(segments: np.ndarray) -> Any:
    """Line segments as :func:`stroke` draws them; None without any."""
    if not len(segments):
        return None
    points: Any = np.pad(segments.reshape(-1, 2), ((0, 0), (0, 1))).astype(np.float32)
    return batch_for_shader(gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR"), "LINES", {"pos": points})


def stroke(batch: Any, color: tuple[float, ...], width: float) -> None:
    """Draw lines so many pixels wide, of an interface that is not scaled, or nothing."""
    if batch is None:
        return
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    shader.bind()
    viewport: Any = gpu.state.viewport_get()
    shader.uniform_float("viewportSize", viewport[2:])
    shader.uniform_float("lineWidth", width * bpy.context.preferences.system.ui_scale)
    shader.uniform_float("color", color)
    batch.draw(shader)


def stacked(
    places: Sequence[Iterable[float]], widths: Sequence[float], height: float
) -> list[tuple[float, float]]:
    """Lower left corners of labels of one height, each so much further down that it is over no other."""
    found: list[tuple[float, float]] = []
    taken: list[tuple[float, float, float]] = []  # minus the lower end, so that the highest come first
    for (left, low), width in zip(places, widths, strict=True):
        for minus_other, start, end in taken:
            if left < end and start < left + width and abs(low + minus_other) < height:
                low = -minus_other - height
        insort(taken, (-low, left, left + width))
        found.append((left, low))
    return found


def write(context, labels: Sequence[tuple[str, Iterable[float], tuple[float, ...]]]) -> None:
    """Write texts in colours whose lower left corners are at pixels of the region, readable on any ground."""
    size = LETTERS * context.preferences.system.ui_scale
    blf.size(0, size)
    grounds = []
    for text, (left, low), _ in labels:
        right = left + blf.dimensions(0, text)[0]
        grounds.append([(left - size / 4, low - size / 4), (right + size / 4, low + 1.25 * size)])
    draw_boxes(np.array(grounds).reshape(-1, 2, 2), GROUND_COLOR)
    for text, (left, low), color in labels:
        blf.position(0, left, low, 0)
        blf.color(0, *color)
        blf.draw(0, text)
