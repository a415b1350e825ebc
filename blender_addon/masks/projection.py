# SPDX-License-Identifier: GPL-3.0-or-later
"""Project subjects through a camera onto a label map: plain numpy, no Blender in sight.

Every shape answers one question: at which depth does the camera first meet its surface, for each pixel centre
of a rectangle? The nearest answer labels the pixel, so that subjects which run through each other are right
as well.

The maths happens in *clip space*, where a projective camera turns planes into planes and quadrics into
quadrics, and where all pixels of a picture are lines along the third axis. Two choices keep it short and well
conditioned:

* ``w`` is the depth in front of the camera for a perspective camera, and 1 for an orthographic one.
* ``z / w`` is the *depth key*: ``-1 / depth`` (perspective) or ``depth`` (orthographic). Both grow with
  depth, and over a flat surface both are affine in the pixel's position, so that no division per pixel is
  needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

MARGIN = 2
"""Pixels around what a body can reach: a picture may be moved by one, and rounded."""
CLOSE = 1e-6
"""Relative difference of depth keys below which neither is nearer for sure."""


@dataclass(frozen=True)
class Camera:
    """A projective camera, without lens effects.

    Attributes:
        world_to_clip: float64 (4, 4). The picture is -w <= x <= w (left to right), -w <= y <= w (bottom to
            top); for w and z see the module's text.
        near: depth key of the near clipping plane.
        far: depth key of the far clipping plane.
    """

    world_to_clip: np.ndarray
    near: float
    far: float

    @cached_property
    def clip_to_world(self) -> np.ndarray:
        """float64 (4, 4), the inverse of :attr:`world_to_clip`."""
        return np.linalg.inv(self.world_to_clip)

    def moved(self, x: float, y: float) -> Camera:
        """The same view with its picture moved to the right and up, in units of half its width and height."""
        move = np.eye(4)
        move[:2, 3] = x, y
        return replace(self, world_to_clip=move @ self.world_to_clip)


def perspective_camera(world_to_camera, projection_rows, clip_start: float, clip_end: float) -> Camera:
    """Make a perspective :class:`Camera`.

    Args:
        world_to_camera: (4, 4); the camera looks along its -Z axis, +Y is up.
        projection_rows: (2, 4), the first two rows of an OpenGL projection matrix.
        clip_start: distance of the near plane, > 0.
        clip_end: distance of the far plane.
    """
    rows = np.vstack([projection_rows, [0, 0, 0, -1], [0, 0, -1, 0]]).astype(float)
    return Camera(rows @ np.asarray(world_to_camera, float), -1 / clip_start, -1 / clip_end)


def orthographic_camera(world_to_camera, projection_rows, clip_start: float, clip_end: float) -> Camera:
    """Make an orthographic :class:`Camera`; arguments as in :func:`perspective_camera`."""
    rows = np.vstack([projection_rows, [0, 0, -1, 0], [0, 0, 0, 1]]).astype(float)
    return Camera(rows @ np.asarray(world_to_camera, float), clip_start, clip_end)


@dataclass(frozen=True)
class Window:
    """The pixel centres of a rectangle of the picture.

    Attributes:
        rows: rows of the rectangle, 0 at the top.
        columns: columns of the rectangle, 0 at the left.
        x: float64 (columns,), in -1..1 from left to right.
        y: float64 (rows, 1), in -1..1 from bottom to top.
    """

    rows: slice
    columns: slice
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray, camera: Camera, width: int, height: int) -> Window | None:
        """Find the part of a picture that the convex hull of some points can reach; None for none of it.

        Args:
            points: (n, 4), homogeneous, in clip space.
            camera: gives the clipping planes.
            width: of the picture, in pixels.
            height: of the picture, in pixels.
        """
        z, w = points[:, 2], points[:, 3]
        if (z < camera.near * w).all() or (z > camera.far * w).all():
            return None
        left, bottom, right, top = -1.0, -1.0, 1.0, 1.0
        if (z >= camera.near * w).all():  # the projection of points behind the near plane bounds nothing
            corners = points[:, :2] / w[:, None]
            left, bottom = np.maximum(corners.min(axis=0), -1)
            right, top = np.minimum(corners.max(axis=0), 1)
        columns = slice(int((left + 1) / 2 * width), min(width, int((right + 1) / 2 * width) + 1))
        rows = slice(int((1 - top) / 2 * height), min(height, int((1 - bottom) / 2 * height) + 1))
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return cls.of(rows, columns, width, height)

    @classmethod
    def of(cls, rows: slice, columns: slice, width: int, height: int) -> Window:
        """Make the window of these rows and columns of a picture of ``width`` x ``height`` pixels."""
        x = (2 * np.arange(columns.start, columns.stop) + 1) / width - 1
        y = 1 - (2 * np.arange(rows.start, rows.stop) + 1) / height
        return cls(rows, columns, x, y[:, None])

    def affine(self, x: float, y: float, constant: float) -> np.ndarray:
        """Evaluate an affine function of the position at each pixel centre: float64 (rows, columns)."""
        return x * self.x + (y * self.y + constant)


Surface = tuple[Window, np.ndarray]
"""A window and the depth key of the nearest surface at each of its pixels, infinite where there is none."""


class Shape(Protocol):
    """What can be seen."""

    def nearest_surface(self, camera: Camera, width: int, height: int) -> Surface | None:
        """Find what a camera's picture of ``width`` x ``height`` pixels shows; None when it shows nothing."""


class Labelled(NamedTuple):
    """What a camera sees.

    Attributes:
        labels: uint8 (height, width): 0 for the background, k for the k-th subject; row 0 is the top of the
            picture.
        extents: int (subjects,): how many pixels each subject would have if nothing hid it.
        nearest: float64 (height, width), the depth key of what is seen; infinite where that is nothing.
    """

    labels: np.ndarray
    extents: np.ndarray
    nearest: np.ndarray


def labelled(
    camera: Camera,
    subjects: Sequence[Sequence[Shape]],
    width: int,
    height: int,
    occluders: Iterable[Shape] = (),
) -> Labelled:
    """Label each pixel with the subject whose surface is nearest at the pixel's centre.

    Args:
        camera: what looks.
        subjects: the shapes of each subject, at most 255 subjects.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        occluders: hide subjects behind them, and are background themselves.
    """
    labels = np.zeros((height, width), np.uint8)
    nearest = np.full((height, width), np.inf)
    extents = np.zeros(len(subjects) + 1, int)
    parts = {label: np.zeros_like(labels, bool) for label, s in enumerate(subjects, 1) if len(s) > 1}
    for label, shape in ((label, shape) for label, shapes in enumerate(subjects, 1) for shape in shapes):
        surface = shape.nearest_surface(camera, width, height)
        if surface is None:
            continue
        window, depth = surface
        _draw(label, surface, labels, nearest)
        if label in parts:
            parts[label][window.rows, window.columns] |= np.isfinite(depth)
        else:
            extents[label] = np.count_nonzero(np.isfinite(depth))
    for label, part in parts.items():
        extents[label] = np.count_nonzero(part)
    found = Labelled(labels, extents[1:], nearest)
    hide(found, camera, occluders)
    return found


def hide(found: Labelled, camera: Camera, occluders: Iterable[Shape]) -> None:
    """Hide what a camera has found behind other shapes, which are background themselves; in place."""
    height, width = found.labels.shape
    for shape in occluders:
        surface = shape.nearest_surface(camera, width, height)
        if surface is not None:
            _draw(0, surface, found.labels, found.nearest)


def _draw(label: int, surface: Surface, labels: np.ndarray, nearest: np.ndarray) -> None:
    """Give pixels the label of a surface where it is nearer than what is there."""
    window, depth = surface
    region = nearest[window.rows, window.columns]
    closer = depth < region
    region[closer] = depth[closer]
    labels[window.rows, window.columns][closer] = label


class Exposed:
    """What a camera has found so far, for telling which other bodies need to be looked at.

    Only what is nearer than a subject where that is seen can hide it. A picture of all depths exposes every
    pixel to everything.
    """

    def __init__(self, camera: Camera, width: int, height: int, everywhere: bool = False):
        """Begin with a picture of nothing, or with one in which whatever is seen counts."""
        self._camera = camera
        self._deepest = np.full((height, width), np.inf if everywhere else -np.inf)

    def add(self, found: Labelled) -> None:
        """Count what was found, through this camera or one that was moved by up to a pixel."""
        seen = np.where(found.labels > 0, found.nearest, -np.inf)
        np.maximum(self._deepest, seen, out=self._deepest)

    def may_be_hidden_by(self, boxes: np.ndarray) -> np.ndarray:
        """Tell which bodies may hide something.

        Args:
            boxes: (n, 8, 4), homogeneous world points whose convex hulls hold the bodies.

        Returns:
            bool (n,); true for more than do, and for all that do.
        """
        found = np.zeros(len(boxes), bool)
        rows, columns = (np.flatnonzero((self._deepest > -np.inf).any(axis=axis)) for axis in (1, 0))
        if not (len(rows) and len(boxes)):
            return found
        points = boxes @ self._camera.world_to_clip.T
        whole = self._is_within(points, slice(rows[0], rows[-1]), slice(columns[0], columns[-1]))
        lows, highs, keys = self._reached(points)
        for k in np.flatnonzero(whole & (keys < self._deepest.max())):
            (row, column), (below, right) = lows[k], highs[k]
            found[k] = (self._deepest[row:below, column:right] > keys[k]).any()
        return found

    def _is_within(self, points: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Whether bodies, by their points in clip space, may be seen in a part of the picture: bool (n,)."""
        (height, width), camera = self._deepest.shape, self._camera
        left, right = (2 * (columns.start - MARGIN) / width - 1, 2 * (columns.stop + 1 + MARGIN) / width - 1)
        top, bottom = (1 - 2 * (rows.start - MARGIN) / height, 1 - 2 * (rows.stop + 1 + MARGIN) / height)
        x, y, z, w = np.moveaxis(points, -1, 0)
        # Behind the camera, too, these are the two sides of a plane through it
        sides = (x < left * w, x > right * w, y < bottom * w, y > top * w, z < camera.near * w)
        return ~np.any([side.all(axis=1) for side in (*sides, z > camera.far * w)], axis=0)

    def _reached(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First row and column that bodies can reach, int (n, 2), past the last, and nearest depth keys."""
        size = np.array(self._deepest.shape)
        x, y, z, w = np.moveaxis(points, -1, 0)
        is_cut = (z < self._camera.near * w).any(axis=1)  # what is behind the near plane projects anywhere
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.stack([(1 - y / w) / 2, (1 + x / w) / 2], axis=-1)
            keys = np.where(is_cut, -np.inf, (z / w).min(axis=1))
        places[is_cut] = ((0, 0), *[(1, 1)] * 7)
        pixels = np.nan_to_num(size * places)
        lows = np.clip(np.floor(pixels.min(axis=1)) - MARGIN, 0, size).astype(int)
        highs = np.clip(np.floor(pixels.max(axis=1)) + 1 + MARGIN, 0, size).astype(int)
        return lows, highs, keys - CLOSE * np.abs(keys)


def label_map(
    camera: Camera,
    subjects: Sequence[Sequence[Shape]],
    width: int,
    height: int,
    occluders: Iterable[Shape] = (),
) -> np.ndarray:
    """The labels alone of what :func:`labelled` finds: uint8 (height, width)."""
    return labelled(camera, subjects, width, height, occluders).labels


def coverage(labels: np.ndarray, count: int, cell: int = 8, span: int = 1) -> np.ndarray:
    """Measure how much of each cell of a coarse grid the subjects fill, e.g. at a model's latent resolution.

    A video autoencoder that compresses time makes one latent frame of the first frame alone, and one of every
    ``span`` frames after it; the coverage of a latent frame is the mean over the frames that it stands for.

    Args:
        labels: (frames, height, width), as :func:`label_map` makes them.
        count: number of subjects.
        cell: width and height of a cell in pixels; both sizes of the picture are multiples of it.
        span: frames that a latent frame after the first stands for; a last group may be shorter.

    Returns:
        float32 (1 + ceil((frames - 1) / span), count, height / cell, width / cell), 0..1.
    """
    frames, height, width = labels.shape
    cells = labels.reshape(frames, height // cell, cell, width // cell, cell)
    full = np.stack([(cells == k + 1).mean(axis=(2, 4), dtype=np.float32) for k in range(count)], axis=1)
    groups = np.split(full, range(1, frames, span))
    return np.stack([group.mean(axis=0) for group in groups])
