# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dependency graph has evaluated that a camera may see, and the surfaces of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import PeekabooError
from . import unfollowed
from .cast import ON_ELEMENTS, SHOWN, SURFACED, Cast
from .geometry import Triangles, triangles_of


def seen(depsgraph, cast: Cast) -> Iterator[tuple[int, Any, Any]]:
    """What a camera may see: its place among the depsgraph's instances, itself, and the subject's object.

    An instance holds until the next one, and its place until something is evaluated.

    Args:
        depsgraph: has evaluated the scene, for a viewport or for a render.
        cast: says for which marked object something is seen; None where it is no subject's.

    Raises:
        PeekabooError: something is instanced that Blender shows where it was at some other frame.
    """
    renders = depsgraph.mode == "RENDER"
    for index, instance in enumerate(depsgraph.object_instances):
        obj = instance.object
        if obj.type not in SHOWN or not _is_seen(instance, renders):
            continue
        if instance.is_instance and obj.hide_render and instance.parent.instance_type in ON_ELEMENTS:
            raise PeekabooError(
                f'"{obj.name}" is hidden from render by a keyframe or a driver, and its parent '
                f'"{instance.parent.name}" instances it: Blender shows it nevertheless, where it was at some '
                "other frame; animate its scale instead."
            )
        yield index, instance, cast.owner_of(instance)


def _is_seen(instance, renders: bool) -> bool:
    """Whether a camera sees what a depsgraph lists: one for a viewport also lists what a render hides."""
    obj = instance.object
    is_instance = instance.is_instance
    if not (is_instance or instance.show_self or (instance.show_particles and unfollowed.is_hairy(obj))):
        return False
    if is_instance and instance.particle_system is not None and obj.type in SURFACED - {"MESH"}:
        return False  # a render shows the mesh of such an object alone, which particles do not instance
    whole = instance.parent if is_instance else obj
    hidden = not renders and (obj.hide_render or whole.hide_render)
    return not hidden and obj.visible_camera and whole.visible_camera


class Surfaces:
    """Reads the surfaces of what is seen, each mesh of which there are many instances once."""

    def __init__(self, depsgraph, cast: Cast, by_choice: bool = False):
        """Read what a depsgraph has evaluated, as long as that holds; ``by_choice`` as for a check of it."""
        self._depsgraph = depsgraph
        self._cast = cast
        self._by_choice = by_choice
        self._known: dict[tuple, Triangles | None] = {}  # by owner and mesh

    def of(self, instance, owner) -> Triangles | None:
        """The surface of an instance in its own space, None without one; what owns it, or None.

        Raises:
            PeekabooError: masks cannot follow it.
        """
        obj = instance.object
        is_shared = instance.is_instance and obj.type == "MESH"
        key = (owner, obj.original, obj.data.as_pointer()) if is_shared else None
        if key in self._known:
            return self._known[key]
        self.check(instance, owner)
        is_shown = (instance.is_instance or instance.show_self) and unfollowed.has_surface(obj)
        surface = triangles_of(obj, self._depsgraph) if is_shown else None
        if key is not None:
            self._known[key] = surface
        return surface

    def check(self, instance, owner) -> None:
        """Make sure that masks can follow an instance; raises as :meth:`of`."""
        unfollowed.check(instance, owner, self._cast.scene, self._by_choice)


def transformed(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (n, 3) that went through a matrix (4, 4)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def in_world(surface: Triangles, matrix: np.ndarray) -> Triangles:
    """A surface that was in its own space."""
    return Triangles(transformed(surface.vertices, matrix), surface.triangles)
