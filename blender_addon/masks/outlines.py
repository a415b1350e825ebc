# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a scene's subjects, and their shapes in world space as they are evaluated at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import PeekabooError
from . import solids as shapes
from .geometry import Hulls, Triangles, triangles_of
from .projection import Shape

MAX_SUBJECTS = 255
"""A label map has 8 bits, and 0 is the background."""

SHAFT = 0.035
"""Half the thickness of a drawn arrow head, over the display size."""

THINNEST = 1e-6
"""What flattens a shape leaves it this thick, relative to its size, so that it keeps an inside."""


def rendered_objects(scene, update: bool = True) -> set:
    """The objects that a render of the scene would hold, if they themselves are not hidden from render.

    Args:
        scene: the user's.
        update: see also what a script has just linked; not allowed while Blender draws.
    """
    objects: set = set()

    def gather(layer_collection):
        if not layer_collection.exclude and not layer_collection.collection.hide_render:
            objects.update(layer_collection.collection.objects)
            for child in layer_collection.children:
                gather(child)

    for layer in scene.view_layers:
        if layer.use:
            if update:
                layer.update()  # a collection that a script has just linked is not there before
            gather(layer.layer_collection)
    return objects


def subjects_of(scene) -> list:
    """List the enabled subjects that a scene would render, by name.

    Raises:
        PeekabooError: there is none, or more than a label map can tell apart.
    """
    subjects = used_subjects(scene)
    if not subjects:
        raise PeekabooError(
            f'The scene "{scene.name}" has no subject: mark an object as one and give it a phrase of the '
            "prompt."
        )
    if len(subjects) > MAX_SUBJECTS:
        raise PeekabooError(
            f'The scene "{scene.name}" has {len(subjects)} subjects: disable some, at most {MAX_SUBJECTS} '
            "can be told apart."
        )
    return subjects


def used_subjects(scene, update: bool = True) -> list:
    """The enabled subjects that a scene would render, by name; see :func:`rendered_objects`."""
    rendered = rendered_objects(scene, update)
    used = [obj for obj in rendered if obj.peekaboo.is_subject and obj.peekaboo.enabled]
    return sorted(used, key=lambda obj: obj.name)


def shapes_of(obj, depsgraph, hulls: Hulls | None = None) -> list[Shape]:
    """Make the world-space shapes of an evaluated object; none while it is hidden from render or has no size.

    Args:
        obj: evaluated.
        depsgraph: what evaluated it.
        hulls: remembers convex hulls between frames.

    Raises:
        PeekabooError: the object can have no extent, or its transform is not made of numbers.
    """
    if obj.hide_render:
        return []
    matrix = _solid_matrix(obj)
    if matrix is None:
        return []
    if obj.type == "EMPTY" and obj.instance_type != "COLLECTION":
        return [_empty_shape(obj, matrix)]
    parts = [_in_world(part, part_matrix) for part, part_matrix in _parts(obj, depsgraph)]
    parts = [part for part in parts if len(part.vertices)]
    if not parts:
        return []
    if obj.peekaboo.outline == "SURFACE":
        return [shapes.TriangleMesh(*part) for part in parts]
    # In the object's own space a hull stays the same while the object as a whole moves
    to_local = np.linalg.inv(matrix)
    points = np.vstack([_transform(part.vertices, to_local) for part in parts])
    hull = (hulls or Hulls()).hull(obj.name, points)
    return [shapes.TriangleMesh(*_in_world(hull, matrix))]


def outer_points(obj, depsgraph) -> np.ndarray:
    """World points whose convex hull holds an evaluated object: float64 (n, 3), none while it is not seen.

    Raises as :func:`shapes_of`.
    """
    points = [np.empty((0, 3))]
    for shape in shapes_of(obj, depsgraph):
        if isinstance(shape, shapes.TriangleMesh):
            points.append(shape.vertices)
        elif isinstance(shape, shapes.Solid | shapes.Plate):
            points.append(shape.bounds[:, :3] / shape.bounds[:, 3:])
    return np.vstack(points)


def occluders(depsgraph, subjects: set) -> Iterator[shapes.TriangleMesh]:
    """The surfaces of all rendered objects that are no subjects.

    Args:
        depsgraph: of a scene that holds what may hide subjects.
        subjects: original objects, left out with what they instance.
    """
    for instance in depsgraph.object_instances:
        obj = instance.object
        source = (instance.parent or obj) if instance.is_instance else obj
        if source.original in subjects or obj.hide_render or not obj.visible_camera:
            continue
        if obj.type not in {"MESH", "CURVE", "SURFACE", "META", "FONT"}:
            continue
        surface = triangles_of(obj, depsgraph)
        if surface is not None and len(surface.triangles):
            yield shapes.TriangleMesh(*_in_world(surface, np.array(instance.matrix_world)))


def _solid_matrix(obj) -> np.ndarray | None:
    """The object's local-to-world matrix, made to have an inverse; None for one that leaves no area."""
    matrix = np.array(obj.matrix_world, float)
    if not np.isfinite(matrix).all():
        raise PeekabooError(
            f'The subject "{obj.name}" has a transform that is not a number: repair its drivers and '
            "constraints."
        )
    axes = matrix[:3, :3]
    if abs(np.linalg.det(axes)) > THINNEST * np.prod(np.linalg.norm(axes, axis=0)):
        return matrix
    left, stretch, right = np.linalg.svd(axes)
    if stretch[1] <= THINNEST * stretch[0]:
        return None
    if stretch[2] < THINNEST * stretch[0]:
        matrix[:3, :3] = left * np.maximum(stretch, THINNEST * stretch[0]) @ right
    return matrix


def _parts(obj, depsgraph) -> Iterator[tuple[Triangles, np.ndarray]]:
    """What an object is made of, with local-to-world matrices: its own surface and what it instances."""
    own = triangles_of(obj, depsgraph) if obj.type != "EMPTY" else None
    if own is not None:
        yield own, np.array(obj.matrix_world, float)
    instanced = False
    if obj.is_instancer or any(modifier.type == "NODES" for modifier in obj.modifiers):
        for instance in depsgraph.object_instances:
            if instance.is_instance and instance.parent and instance.parent.original == obj.original:
                part = triangles_of(instance.object, depsgraph)
                if part is not None and not instance.object.hide_render:
                    instanced = True
                    yield part, np.array(instance.matrix_world, float)
    if own is None and not instanced and obj.type != "EMPTY":
        kind = obj.bl_rna.properties["type"].enum_items[obj.type].name.lower()
        raise PeekabooError(
            f'The subject "{obj.name}" is of type {kind}, which has no extent: use an empty or a mesh '
            "instead."
        )


def _transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _in_world(surface: Triangles, matrix: np.ndarray) -> Triangles:
    return Triangles(_transform(surface.vertices, matrix), surface.triangles)


def _empty_shape(obj, matrix: np.ndarray) -> Shape:
    """The extent of what Blender draws for an empty, which has no geometry of its own.

    See docs/reference/empties.png.
    """
    size = obj.empty_display_size
    match obj.empty_display_type:
        case "SPHERE":
            return shapes.ellipsoid(matrix, size)
        case "CIRCLE":
            return shapes.disc(matrix, size)
        case "CONE":
            return shapes.pyramid(matrix, size, 2 * size)
        case "IMAGE":
            width, height = _image_size(obj)
            left, bottom = obj.empty_image_offset[0] * width, obj.empty_image_offset[1] * height
            return shapes.rectangle(matrix, left, bottom, left + width, bottom + height)
        case "ARROWS":
            return shapes.box(matrix, (0, 0, 0), (size, size, size))
        case "SINGLE_ARROW":
            return shapes.box(matrix, (-SHAFT * size, -SHAFT * size, 0), (SHAFT * size, SHAFT * size, size))
        case _:  # CUBE, PLAIN_AXES
            return shapes.box(matrix, (-size, -size, -size), (size, size, size))


def _image_size(obj) -> tuple[float, float]:
    """Width and height of an image empty: the longer side has the display size."""
    size = obj.empty_display_size
    if obj.data is None or not all(obj.data.size):
        return size, size
    width = obj.data.size[0] * obj.data.display_aspect[0]
    height = obj.data.size[1] * obj.data.display_aspect[1]
    return size * min(1, width / height), size * min(1, height / width)
