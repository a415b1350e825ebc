# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes in world space, and where a camera first meets them; plain numpy.

All of them are hollow, as in Blender's renderers: a camera that stands inside one, or whose near plane cuts
it open, sees the far wall. See :mod:`projection` for clip space and depth keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .projection import Camera, Surface, Window

EDGE_ON = 1e-12
"""A plane whose normal is this close to the picture plane, relatively, hides nothing at a definite depth."""

PAIRS_PER_BATCH = 1_000_000
"""Bound on the (triangle, pixel) pairs that are tested at once; it limits memory, not the result."""


CORNERS = np.indices((2, 2, 2)).reshape(3, 8).T.astype(bool)
"""Which corners of a box lie at its maximum, for each axis: (8, 3)."""


@dataclass(frozen=True)
class Solid:
    """A convex body: the homogeneous world points p of ``planes @ p <= 0`` and ``p @ quadric @ p <= 0``.

    Attributes:
        bounds: (n, 4), homogeneous points whose convex hull holds the body.
        planes: (m, 4), may be empty.
        quadric: (4, 4), symmetric, of an ellipsoid, or None.
    """

    bounds: np.ndarray
    planes: np.ndarray
    quadric: np.ndarray | None = None

    def nearest_surface(self, camera: Camera, width: int, height: int) -> Surface | None:
        """Find the depth key of the nearest visible surface for each pixel; None when out of the picture."""
        window = Window.around(self.bounds @ camera.world_to_clip.T, camera, width, height)
        if window is None:
            return None
        enter, leave = self._chord(camera, window)
        hit = np.where(enter >= camera.near, enter, leave)
        hidden = (enter > leave) | (hit < camera.near) | (hit > camera.far)
        hit[hidden] = np.inf
        return window, hit

    def _chord(self, camera: Camera, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Depth keys at which each pixel's line enters and leaves the body; enter > leave where it misses."""
        shape = (len(window.y), len(window.x))
        enter, leave = np.full(shape, -np.inf), np.full(shape, np.inf)
        for a, b, c, d in self.planes @ camera.clip_to_world:
            if abs(c) <= EDGE_ON * np.sqrt(a * a + b * b + c * c + d * d):
                enter[window.affine(a, b, d) > 0] = np.inf
            elif c < 0:
                np.maximum(enter, window.affine(-a / c, -b / c, -d / c), out=enter)
            else:
                np.minimum(leave, window.affine(-a / c, -b / c, -d / c), out=leave)
        if self.quadric is not None:
            near_root, far_root = _quadric_chord(self.quadric, camera, window)
            np.maximum(enter, near_root, out=enter)
            np.minimum(leave, far_root, out=leave)
        return enter, leave


def _quadric_chord(quadric: np.ndarray, camera: Camera, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Solve ``a z^2 + 2 b z + c <= 0`` along each pixel's line, for an ellipsoid."""
    q = camera.clip_to_world.T @ quadric @ camera.clip_to_world
    a = q[2, 2]
    b = window.affine(q[0, 2], q[1, 2], q[2, 3])
    c = (
        q[0, 0] * window.x**2
        + window.y * (2 * q[0, 1] * window.x + q[1, 1] * window.y)
        + window.affine(2 * q[0, 3], 2 * q[1, 3], q[3, 3])
    )
    discriminant = b * b - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    if a > 0:
        enter, leave = (-b - root) / a, (-b + root) / a
    else:  # a <= 0: the camera's centre is inside; only the far wall is ahead
        ahead = c / (root - b) if a == 0 else (-b + root) / a
        enter, leave = np.full_like(b, -np.inf), ahead
    enter[discriminant < 0] = np.inf
    return enter, leave


@dataclass(frozen=True)
class Plate:
    """A flat shape: the points of ``plane @ p == 0`` with ``sides @ p <= 0`` and ``p @ quadric @ p <= 0``.

    Attributes:
        bounds: (n, 4), homogeneous points whose convex hull holds the shape.
        plane: (4,).
        sides: (m, 4), may be empty.
        quadric: (4, 4), symmetric, of a cylinder that cuts the outline out of the plane, or None.
    """

    bounds: np.ndarray
    plane: np.ndarray
    sides: np.ndarray
    quadric: np.ndarray | None = None

    def nearest_surface(self, camera: Camera, width: int, height: int) -> Surface | None:
        """Find the depth key of the shape for each pixel; None when out of the picture or seen edge-on."""
        window = Window.around(self.bounds @ camera.world_to_clip.T, camera, width, height)
        a, b, c, d = self.plane @ camera.clip_to_world
        if window is None or abs(c) <= EDGE_ON * np.sqrt(a * a + b * b + c * c + d * d):
            return None
        z = window.affine(-a / c, -b / c, -d / c)
        hidden = (z < camera.near) | (z > camera.far)
        for side in self.sides @ camera.clip_to_world:
            hidden |= window.affine(side[0], side[1], side[3]) + side[2] * z > 0
        if self.quadric is not None:
            x, y = np.broadcast_arrays(window.x, window.y)
            points = np.stack([x, y, z, np.ones_like(z)], axis=-1) @ camera.clip_to_world.T
            hidden |= np.einsum("...i,ij,...j->...", points, self.quadric, points) > 0
        z[hidden] = np.inf
        return window, z


@dataclass(frozen=True)
class TriangleMesh:
    """A triangle mesh in world space; both sides of a triangle are seen.

    Attributes:
        vertices: float64 (n, 3).
        triangles: int (m, 3), rows of ``vertices``.
    """

    vertices: np.ndarray
    triangles: np.ndarray

    def nearest_surface(self, camera: Camera, width: int, height: int) -> Surface | None:
        """Rasterise the triangles; None when out of the picture.

        A triangle's edge functions come from homogeneous coordinates (Olano and Greer, "Triangle scan
        conversion using 2D homogeneous coordinates", 1997), so that none has to be clipped first.
        """
        points = np.c_[self.vertices, np.ones(len(self.vertices))] @ camera.world_to_clip.T
        window = Window.around(points, camera, width, height) if len(points) else None
        if window is None:
            return None
        depth = np.full((height, width), np.inf)
        corners = points[self.triangles]
        reach = _pixel_bounds(corners, camera, window, width, height)
        sizes = np.maximum(reach[:, 2] - reach[:, 0], 0) * np.maximum(reach[:, 3] - reach[:, 1], 0)
        seen = np.flatnonzero(sizes)
        for batch in np.split(seen, np.flatnonzero(np.diff(np.cumsum(sizes[seen]) // PAIRS_PER_BATCH)) + 1):
            _rasterise(depth, corners[batch], reach[batch], sizes[batch], camera)
        return window, depth[window.rows, window.columns]


def _pixel_bounds(corners: np.ndarray, camera: Camera, window: Window, width: int, height: int) -> np.ndarray:
    """Rectangles of pixels that triangles can reach: int (m, 4), first and past-the-last column and row."""
    z, w = corners[..., 2], corners[..., 3]
    whole = [window.columns.start, window.rows.start, window.columns.stop, window.rows.stop]
    bounds = np.tile(np.array(whole), (len(corners), 1))
    ahead = (z >= camera.near * w).all(axis=1)
    x = (corners[ahead, :, 0] / w[ahead] + 1) / 2 * width
    y = (1 - corners[ahead, :, 1] / w[ahead]) / 2 * height
    bounds[ahead, 0] = np.clip(x.min(axis=1), whole[0], whole[2])
    bounds[ahead, 1] = np.clip(y.min(axis=1), whole[1], whole[3])
    bounds[ahead, 2] = np.clip(np.floor(x.max(axis=1)) + 1, whole[0], whole[2])
    bounds[ahead, 3] = np.clip(np.floor(y.max(axis=1)) + 1, whole[1], whole[3])
    bounds[(z < camera.near * w).all(axis=1) | (z > camera.far * w).all(axis=1)] = 0
    return bounds


def _rasterise(depth: np.ndarray, corners: np.ndarray, reach: np.ndarray, sizes: np.ndarray, camera: Camera):
    """Lower ``depth`` to the depth keys of these triangles, where they are seen."""
    height, width = depth.shape
    v0, v1, v2 = (corners[:, i][:, [0, 1, 3]] for i in range(3))
    edges = np.stack([np.cross(v1, v2), np.cross(v2, v0), np.cross(v0, v1)], axis=1)
    volume = np.einsum("mi,mi->m", v0, edges[:, 0])
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # triangles seen edge-on become NaN, and so are never hit
        edges /= volume[:, None, None]
    depth_plane = np.einsum("mv,mvi->mi", corners[..., 2], edges)
    slack = -1e-12 * np.abs(edges).max(
        axis=2
    )  # adjacent triangles must not let a pixel on their edge slip through

    triangle = np.repeat(np.arange(len(sizes)), sizes)
    offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    spans = reach[triangle, 2] - reach[triangle, 0]
    column, row = reach[triangle, 0] + offset % spans, reach[triangle, 1] + offset // spans
    x, y = (2 * column + 1) / width - 1, 1 - (2 * row + 1) / height

    inside = np.ones(len(triangle), bool)
    for i in range(3):
        edge = edges[triangle, i]
        inside &= edge[:, 0] * x + edge[:, 1] * y + edge[:, 2] >= slack[triangle, i]
    hit = np.flatnonzero(inside)
    plane = depth_plane[triangle[hit]]
    z = plane[:, 0] * x[hit] + plane[:, 1] * y[hit] + plane[:, 2]
    visible = (z >= camera.near) & (z <= camera.far)
    np.minimum.at(depth, (row[hit][visible], column[hit][visible]), z[visible])


def box(matrix, minimum=(-1, -1, -1), maximum=(1, 1, 1)) -> Solid:
    """Make the box between two local corners; the local-to-world matrix (4, 4) may mirror and shear it.

    Raises:
        numpy.linalg.LinAlgError: the matrix flattens the box.
    """
    to_local = np.linalg.inv(np.asarray(matrix, float))
    planes = [*(-np.eye(4)[:3]), *np.eye(4)[:3]]
    for axis in range(3):
        planes[axis][3] += minimum[axis]
        planes[axis + 3][3] -= maximum[axis]
    return Solid(_corners(matrix, minimum, maximum), np.array(planes) @ to_local)


def ellipsoid(matrix, radius: float = 1) -> Solid:
    """Make the image of a ball around the local origin under a local-to-world matrix (4, 4).

    Raises as :func:`box`.
    """
    to_local = np.linalg.inv(np.asarray(matrix, float))
    quadric = to_local.T @ np.diag([1, 1, 1, -(radius**2)]) @ to_local
    return Solid(_corners(matrix, [-radius] * 3, [radius] * 3), np.empty((0, 4)), quadric)


def disc(matrix, radius: float = 1) -> Plate:
    """Make the flat disc of local XZ around the origin, as Blender draws a circle empty.

    Raises as :func:`box`.
    """
    to_local = np.linalg.inv(np.asarray(matrix, float))
    quadric = to_local.T @ np.diag([1, 0, 1, -(radius**2)]) @ to_local
    bounds = _corners(matrix, [-radius, 0, -radius], [radius, 0, radius])
    return Plate(bounds, to_local[1], np.empty((0, 4)), quadric)


def rectangle(matrix, left: float, bottom: float, right: float, top: float) -> Plate:
    """Make a flat rectangle in local XY, as Blender draws an image empty; raises as :func:`box`."""
    to_local = np.linalg.inv(np.asarray(matrix, float))
    sides = np.array([[-1, 0, 0, left], [0, -1, 0, bottom], [1, 0, 0, -right], [0, 1, 0, -top]], float)
    return Plate(_corners(matrix, [left, bottom, 0], [right, top, 0]), to_local[2], sides @ to_local)


def pyramid(matrix, radius: float = 1, height: float = 2, sides: int = 8) -> Solid:
    """Make a pyramid on a regular polygon in local XZ, apex on +Y, as Blender draws a cone empty.

    Raises as :func:`box`.
    """
    to_local = np.linalg.inv(np.asarray(matrix, float))
    turn = 2 * np.pi * np.arange(sides) / sides
    rim = np.stack([radius * np.cos(turn), np.zeros(sides), radius * np.sin(turn), np.ones(sides)], axis=1)
    middle = turn + np.pi / sides  # a face's normal points between two corners of the rim
    inner = radius * np.cos(np.pi / sides)  # distance of the rim's edges from the axis
    faces = np.stack(
        [np.cos(middle), np.full(sides, inner / height), np.sin(middle), np.full(sides, -inner)], axis=1
    )
    planes = np.vstack([[0, -1, 0, 0], faces])
    corners = np.vstack([rim, [0, height, 0, 1]])
    return Solid(corners @ np.asarray(matrix, float).T, planes @ to_local)


def _corners(matrix, minimum, maximum) -> np.ndarray:
    """The eight corners of a local box in world space: (8, 4), homogeneous."""
    corners = np.ones((8, 4))
    corners[:, :3] = np.where(CORNERS, maximum, minimum)
    return corners @ np.asarray(matrix, float).T
