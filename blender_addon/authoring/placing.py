# SPDX-License-Identifier: GPL-3.0-or-later
"""Make new subjects: empties in view of the camera, or at the 3D cursor."""

from __future__ import annotations

import bpy
from mathutils import Matrix, Vector

from ..errors import PeekabooError
from ..shot import subjects

CAN_HAVE_EXTENT = {"ARMATURE", "EMPTY", "MESH", "CURVE", "SURFACE", "FONT", "META"}
"""Types of objects whose shape can be projected."""

COLUMNS = (0.0, -0.5, 0.5)
"""Where new subjects go in turn, from the left (-1) to the right edge (1) of the camera's frame."""


def add_subject(context, shape: str, size: float, location: Vector, phrase: str = ""):
    """Add an empty that is a subject, select it and nothing else; returns it.

    Args:
        context: with the scene and the collection that get it.
        shape: an ``empty_display_type``.
        size: half its extent, in world units.
        location: of its origin, in world space.
        phrase: that names it in the prompt.
    """
    empty = bpy.data.objects.new("Subject", None)
    empty.empty_display_type, empty.empty_display_size = shape, size
    empty.location = location
    collection_of(context).objects.link(empty)
    subjects.mark(context.scene, empty, phrase)
    subjects.select_only(context.view_layer, empty)
    return empty


def collection_of(context):
    """The collection that gets new objects: the active one, or the scene's where that one is linked."""
    return context.collection if context.collection.is_editable else context.scene.collection


def distance_of_cursor(scene) -> float:
    """How far the 3D cursor is from the scene's camera, along its line of sight.

    Where it is behind the camera, ten times the size that the camera is drawn with.
    """
    place, turn, _ = scene.camera.matrix_world.decompose()
    depth = -(Matrix.LocRotScale(place, turn, None).inverted() @ scene.cursor.location).z
    return depth if depth > scene.camera.data.clip_start else 10.0 * scene.camera.data.display_size


def place_in_view(scene) -> Vector:
    """Find a place before the camera for the next subject, in world space.

    It lies on the horizontal middle line of the camera's frame; see :func:`distance_of_cursor`.

    Raises:
        PeekabooError: there is no camera.
    """
    camera = scene.camera
    if camera is None or camera.type != "CAMERA":
        raise PeekabooError(
            "The scene has no camera to place the subject before: add one, or place it at the 3D cursor."
        )
    place, turn, _ = camera.matrix_world.decompose()
    to_world = Matrix.LocRotScale(place, turn, None)
    depth = distance_of_cursor(scene)
    right, _, left, _ = camera.data.view_frame(scene=scene)
    reach = abs(right.x - left.x) / 2
    if camera.data.type == "PERSP":
        reach *= depth / abs(right.z)
    middle = (right + left) / 2 * (depth / abs(right.z) if camera.data.type == "PERSP" else 1)
    column = COLUMNS[len(subjects.marked(scene)) % len(COLUMNS)]
    return to_world @ Vector((middle.x + column * reach, middle.y, -depth))
