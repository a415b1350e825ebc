# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a scene's subjects, and their shapes in world space as they are evaluated at a time."""

import bmesh
import numpy as np

from . import projection
from .errors import PeekabooError

MAX_SUBJECTS = 255
"""A label map has 8 bits, and 0 is the background."""

SHAFT = 0.035
"""Half the thickness of a drawn arrow head, over the display size."""


def subjects_of(scene) -> list:
    """List the enabled subjects in a scene's view layers, by name.

    Raises:
        PeekabooError: there is none, or more than a label map can tell apart.
    """
    layers = [layer for layer in scene.view_layers if layer.use]
    for layer in layers:
        layer.update()  # an object that a script has just linked is not listed before
    objects = {obj for layer in layers for obj in layer.objects}
    subjects = [obj for obj in objects if obj.peekaboo.is_subject and obj.peekaboo.enabled]
    if not subjects:
        raise PeekabooError(
            f'The scene "{scene.name}" has no subject: mark an object as one and give it a phrase of '
            "the prompt."
        )
    if len(subjects) > MAX_SUBJECTS:
        raise PeekabooError(
            f'The scene "{scene.name}" has {len(subjects)} subjects: disable some, at most '
            f"{MAX_SUBJECTS} can be told "
            "apart."
        )
    return sorted(subjects, key=lambda obj: obj.name)


def shapes_of(obj, depsgraph) -> list[projection.Shape]:
    """Make the world-space shapes of an evaluated object; none while it is hidden from render or flat.

    Raises:
        PeekabooError: the object cannot have an extent.
    """
    matrix = np.array(obj.matrix_world)
    if obj.hide_render or not np.isfinite(matrix).all() or _flattens(matrix):
        return []
    if obj.type == "EMPTY":
        return [_empty_shape(obj, matrix)]
    return _hull_of_mesh(obj, depsgraph, matrix)


def _flattens(matrix: np.ndarray) -> bool:
    axes = matrix[:3, :3]
    return abs(np.linalg.det(axes)) <= 1e-12 * np.prod(np.linalg.norm(axes, axis=0)) or not axes.any()


def _empty_shape(obj, matrix: np.ndarray) -> projection.Shape:
    """The extent of what Blender draws for an empty, which has no geometry of its own."""
    size = obj.empty_display_size
    match obj.empty_display_type:
        case "SPHERE":
            return projection.ellipsoid(matrix, size)
        case "CIRCLE":
            return projection.disc(matrix, size)
        case "CONE":
            return projection.pyramid(matrix, size, 2 * size)
        case "IMAGE":
            width, height = _image_size(obj)
            left, bottom = obj.empty_image_offset[0] * width, obj.empty_image_offset[1] * height
            return projection.rectangle(matrix, left, bottom, left + width, bottom + height)
        case "ARROWS":
            return projection.box(matrix, (0, 0, 0), (size, size, size))
        case "SINGLE_ARROW":
            return projection.box(
                matrix, (-SHAFT * size, -SHAFT * size, 0), (SHAFT * size, SHAFT * size, size)
            )
        case _:  # CUBE, PLAIN_AXES
            return projection.box(matrix, (-size, -size, -size), (size, size, size))


def _image_size(obj) -> tuple[float, float]:
    """Width and height of an image empty: the longer side has the display size."""
    size = obj.empty_display_size
    if obj.data is None or not all(obj.data.size):
        return size, size
    width = obj.data.size[0] * obj.data.display_aspect[0]
    height = obj.data.size[1] * obj.data.display_aspect[1]
    return size * min(1, width / height), size * min(1, height / width)


def _hull_of_mesh(obj, depsgraph, matrix: np.ndarray) -> list[projection.Shape]:
    """The convex hull of an object's evaluated geometry."""
    try:
        mesh = obj.to_mesh(depsgraph=depsgraph)
    except RuntimeError:
        kind = obj.bl_rna.properties["type"].enum_items[obj.type].name.lower()
        raise PeekabooError(
            f'The subject "{obj.name}" is a {kind}, which has no extent: use an empty or a mesh instead.'
        ) from None
    vertices = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", vertices)
    obj.to_mesh_clear()
    return [_hull(vertices.reshape(-1, 3).astype(float), matrix)] if len(vertices) else []


def _hull(vertices: np.ndarray, matrix: np.ndarray) -> projection.TriangleMesh:
    """The convex hull of local points, triangulated, in world space."""
    hull = bmesh.new()
    try:
        for vertex in vertices:
            hull.verts.new(vertex)
        bmesh.ops.convex_hull(hull, input=list(hull.verts), use_existing_faces=False)
        hull.verts.index_update()
        corners = np.array([vertex.co for vertex in hull.verts], float)
        triangles = [[loop.vert.index for loop in triangle] for triangle in hull.calc_loop_triangles()]
    finally:
        hull.free()
    world = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return projection.TriangleMesh(world, np.array(triangles, int).reshape(-1, 3))
