# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluated geometry of objects as arrays, and convex hulls of it."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import bmesh
import numpy as np

MANY_POINTS = 2000
"""From here on, points well inside a hull are dropped before it is made."""


class Triangles(NamedTuple):
    """A triangulated surface.

    Attributes:
        vertices: float64 (n, 3).
        triangles: int (m, 3), rows of ``vertices``; a hull also counts vertices that no triangle uses.
    """

    vertices: np.ndarray
    triangles: np.ndarray


def triangles_of(obj, depsgraph) -> Triangles | None:
    """Read the surface of an evaluated object in its own space; None for a type of object that has none."""
    if obj.type == "MESH":
        return _read(obj.data)  # is the evaluated mesh already
    try:
        mesh = obj.to_mesh(depsgraph=depsgraph)
    except RuntimeError:  # "Object does not have geometry data"
        return None
    try:
        return None if mesh is None else _read(mesh)
    finally:
        obj.to_mesh_clear()


def _read(mesh) -> Triangles:
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    mesh.calc_loop_triangles()
    triangles = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("vertices", triangles)
    return Triangles(vertices.reshape(-1, 3).astype(float), triangles.reshape(-1, 3))


def spread_of(obj) -> np.ndarray:
    """Find points with the same bounding box as an evaluated mesh, points or hair: float32 (n, 3).

    Blender's own bounding boxes are not those of now where a script has written positions as an attribute.
    What is not a number is not drawn, and bounds nothing.
    """
    points = obj.data.vertices if obj.type == "MESH" else obj.data.points
    places = np.empty((len(points), 3), np.float32)
    points.foreach_get("position" if obj.type == "CURVES" else "co", places.ravel())
    if obj.type != "MESH" and len(points):
        radii = np.empty(len(points), np.float32)
        points.foreach_get("radius", radii)
        thickest = np.fmax.reduce(radii)
        places = np.concatenate([places - thickest, places + thickest])
    if len(places) > MANY_POINTS:
        return np.stack([np.fmin.reduce(places), np.fmax.reduce(places)])
    return places


class Hulls:
    """Makes convex hulls and remembers the last of each object: most objects move without changing shape."""

    def __init__(self):
        self._last: dict[str, tuple[np.ndarray, Triangles]] = {}

    def hull(self, name: str, points: np.ndarray) -> Triangles:
        """Find the convex hull of an object's points (n, 3), in the object's own space."""
        if name in self._last:
            known, hull = self._last[name]
            if known.shape == points.shape and np.allclose(known, points, rtol=1e-6, atol=1e-7):
                return hull
        hull = convex_hull(points)
        self._last[name] = points, hull
        return hull


def convex_hull(points: np.ndarray) -> Triangles:
    """Find the convex hull of points (n, 3); of points in a plane it is flat, of points on a line empty."""
    if len(points) > MANY_POINTS:
        points = _without_inner(points)
    work = bmesh.new()
    try:
        for point in points:
            work.verts.new(point)
        bmesh.ops.convex_hull(work, input=list(work.verts), use_existing_faces=False)
        work.verts.index_update()
        corners = np.array([vertex.co for vertex in work.verts], float).reshape(-1, 3)
        rows = [[loop.vert.index for loop in triangle] for triangle in work.calc_loop_triangles()]
    finally:
        work.free()
    used, triangles = np.unique(np.array(rows, int).reshape(-1, 3), return_inverse=True)
    return Triangles(corners[used], triangles.reshape(-1, 3))


def _without_inner(points: np.ndarray) -> np.ndarray:
    """Drop points inside the hull of those that lie furthest in some directions (Akl and Toussaint, 1978)."""
    directions = np.array([d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)], float)
    extreme = points[np.unique((points @ directions.T).argmax(axis=0))]
    hull = convex_hull(extreme)
    a, b, c = (hull.vertices[hull.triangles[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    outward = np.sign(np.einsum("mi,mi->m", normals, a - extreme.mean(axis=0)))
    normals *= outward[:, None]
    reach = np.einsum("mi,mi->m", normals, a)
    outside = (points @ normals.T >= reach - 1e-6 * np.abs(reach).max(initial=0)).any(axis=1)
    return points[outside] if len(normals) else points
