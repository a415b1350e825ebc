# SPDX-License-Identifier: GPL-3.0-or-later
"""The outlines of a scene's subjects: their shapes in world space, as they are evaluated at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from ..errors import PeekabooError
from . import solids
from .cast import SURFACED, Cast, Role
from .geometry import Hulls, Triangles
from .projection import Shape
from .surfaces import Surfaces, in_world, seen, transformed

SHAFT = 0.035
"""Half the thickness of a drawn arrow head, over the display size."""

THINNEST = 1e-6
"""What flattens a shape leaves it this thick, relative to its size, so that it keeps an inside."""


def shapes_at(cast: Cast, depsgraph, hulls: Hulls | None = None) -> list[list[Shape]]:
    """Make the world-space shapes of each subject of a cast; none of one that is hidden or has no size.

    Args:
        cast: who is seen.
        depsgraph: has evaluated them.
        hulls: remembers convex hulls between frames.

    Raises:
        PeekabooError: an object can have no extent, or its transform is not made of numbers.
    """
    parts: dict = {obj: [] for obj in cast.marked}
    if cast.owners:
        for owner, part in _surfaces(depsgraph, cast):
            parts[owner].append(part)
    return [
        [
            shape
            for obj in role.objects
            for shape in _shapes(obj, parts[obj], cast, depsgraph, hulls or Hulls())
        ]
        for role in cast.roles
    ]


def _shapes(obj, parts: list[Triangles], cast: Cast, depsgraph, hulls: Hulls) -> Iterator[Shape]:
    """The shapes of one marked object, from its parts in world space."""
    evaluated = obj.evaluated_get(depsgraph)
    for empty in (empty for empty, whole in cast.drawn.items() if whole == obj):
        shown = empty.evaluated_get(depsgraph)
        matrix = None if shown.hide_render else _solid_matrix(shown)
        if matrix is not None:
            yield empty_shape(shown, matrix, shown.empty_display_size)
    if obj in cast.drawn and not parts:
        return
    if parts and evaluated.peekaboo.outline == "SURFACE":
        yield from (solids.TriangleMesh(*part) for part in parts)
    elif parts:
        # In the object's own space a hull stays the same while the object as a whole moves
        matrix = _solid_matrix(evaluated)
        matrix = np.eye(4) if matrix is None else matrix
        to_local = np.linalg.inv(matrix)
        hull = hulls.hull(obj.name, np.vstack([transformed(part.vertices, to_local) for part in parts]))
        yield solids.TriangleMesh(*in_world(hull, matrix))
    elif obj.type not in SURFACED and obj not in cast.owners.values() and not evaluated.hide_render:
        kind = obj.bl_rna.properties["type"].enum_items[obj.type].name.lower()
        raise PeekabooError(
            f'The subject "{obj.name}" is of type {kind}, which has no extent: use an empty or a mesh '
            "instead."
        )


def outer_points(obj, depsgraph) -> np.ndarray:
    """World points whose convex hull holds a subject's object: float64 (n, 3), none while it is not seen.

    Args:
        obj: an original object of the depsgraph's scene.
        depsgraph: has evaluated that.

    Raises as :func:`shapes_at`.
    """
    cast = Cast(depsgraph.scene.original, [Role((obj,))])
    points = [np.empty((0, 3))]
    for shape in chain.from_iterable(shapes_at(cast, depsgraph)):
        if isinstance(shape, solids.TriangleMesh):
            points.append(shape.vertices)
        elif isinstance(shape, solids.Solid | solids.Plate):
            points.append(shape.bounds[:, :3] / shape.bounds[:, 3:])
    return np.vstack(points)


def _surfaces(depsgraph, cast: Cast) -> Iterator[tuple[Any, Triangles]]:
    """Surfaces of subjects in world space, with the marked object that each is seen for."""
    read = Surfaces(depsgraph, cast)
    for _, instance, owner in seen(depsgraph, cast):
        if owner is None:
            continue
        surface = read.of(instance, owner)
        if surface is None or not len(surface.vertices):
            continue
        matrix = np.array(instance.matrix_world, float)
        if not np.isfinite(matrix).all():
            raise _not_a_number(instance.object)
        yield owner, in_world(surface, matrix)


def _not_a_number(obj) -> PeekabooError:
    return PeekabooError(
        f'The subject "{obj.name}" has a transform that is not a number: repair its drivers and constraints.'
    )


def _solid_matrix(obj) -> np.ndarray | None:
    """The object's local-to-world matrix, made to have an inverse; None for one that leaves no area."""
    matrix = np.array(obj.matrix_world, float)
    if not np.isfinite(matrix).all():
        raise _not_a_number(obj)
    axes = matrix[:3, :3]
    if abs(np.linalg.det(axes)) > THINNEST * np.prod(np.linalg.norm(axes, axis=0)):
        return matrix
    left, stretch, right = np.linalg.svd(axes)
    if stretch[1] <= THINNEST * stretch[0]:
        return None
    if stretch[2] < THINNEST * stretch[0]:
        matrix[:3, :3] = left * np.maximum(stretch, THINNEST * stretch[0]) @ right
    return matrix


def empty_shape(obj, matrix: np.ndarray, size: float) -> solids.Solid | solids.Plate:
    """The extent of what Blender draws for an empty, which has no geometry of its own.

    See docs/reference/empties.png.

    Args:
        obj: the empty.
        matrix: from its own space, (4, 4).
        size: that it is drawn at.
    """
    match obj.empty_display_type:
        case "SPHERE":
            return solids.ellipsoid(matrix, size)
        case "CIRCLE":
            return solids.disc(matrix, size)
        case "CONE":
            return solids.pyramid(matrix, size, 2 * size)
        case "IMAGE":
            width, height = _image_size(obj, size)
            left, bottom = obj.empty_image_offset[0] * width, obj.empty_image_offset[1] * height
            return solids.rectangle(matrix, left, bottom, left + width, bottom + height)
        case "ARROWS":
            return solids.box(matrix, (0, 0, 0), (size, size, size))
        case "SINGLE_ARROW":
            return solids.box(matrix, (-SHAFT * size, -SHAFT * size, 0), (SHAFT * size, SHAFT * size, size))
        case _:  # CUBE, PLAIN_AXES
            return solids.box(matrix, (-size, -size, -size), (size, size, size))


def _image_size(obj, size: float) -> tuple[float, float]:
    """Width and height of an image empty: the longer side has the display size."""
    if obj.data is None or not all(obj.data.size):
        return size, size
    width = obj.data.size[0] * obj.data.display_aspect[0]
    height = obj.data.size[1] * obj.data.display_aspect[1]
    return size * min(1, width / height), size * min(1, height / width)
