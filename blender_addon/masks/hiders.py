# SPDX-License-Identifier: GPL-3.0-or-later
"""What hides subjects: of all that a render shows, the little that is before them in the picture.

A scene may have thousands of objects, and to read and draw a surface takes a hundred times as long as to find
its bounding box. So that is looked at first, and what cannot hide anything is neither read nor drawn, nor has
to be something that masks can follow.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from . import projection, solids, unfollowed
from .cast import SURFACED, Cast
from .geometry import spread_of
from .projection import Camera, Exposed, Labelled, Shape
from .surfaces import Surfaces, in_world, seen

FAR = 1e30
"""A coordinate beyond all others."""


def hide(found: Labelled, view: Camera, depsgraph, cast: Cast, everywhere: bool = False) -> None:
    """Hide subjects that were found behind all else; in place.

    Args:
        found: subjects alone.
        view: that has found them.
        depsgraph: see :func:`occluders`, which raises the same.
        cast: see there.
        everywhere: find out, too, how near all else is where there is no subject.
    """
    height, width = found.labels.shape
    exposed = Exposed(view, width, height, everywhere)
    exposed.add(found)
    projection.hide(found, view, occluders(depsgraph, cast, exposed))


def occluders(depsgraph, cast: Cast, exposed: Exposed) -> Iterator[Shape]:
    """The surfaces of what is no subject's and may hide what is exposed.

    Args:
        depsgraph: of a scene that holds what may hide subjects.
        cast: of subjects, which are left out with what they instance.
        exposed: what of the picture can be hidden.

    Raises:
        PeekabooError: masks cannot follow what may hide something.
    """
    shown, around = _Bounds(depsgraph, cast).before(exposed)
    if not around:
        return
    read = Surfaces(depsgraph, cast)
    for index, instance in enumerate(depsgraph.object_instances):
        if index not in around:
            continue
        if index not in shown:
            read.check(instance, None)
            continue
        surface = read.of(instance, None)
        if surface is not None and len(surface.triangles):
            yield solids.TriangleMesh(*in_world(surface, np.array(instance.matrix_world, float)))


def check_displacement(depsgraph, cast: Cast, exposed: Exposed) -> None:
    """Make sure that nothing which is exposed, and no subject, is displaced by a material.

    Raises:
        PeekabooError: something is.
    """
    _, around = _Bounds(depsgraph, cast).before(exposed)
    for index, instance, owner in seen(depsgraph, cast):
        if owner is not None or index in around:
            unfollowed.check_displacement(instance, cast.scene)


class _Bounds:
    """Where all is that is seen and no subject's, by bounding boxes.

    What a render shows of curves, texts, surfaces and metaballs is among the instances once more, as a mesh.
    """

    def __init__(self, depsgraph, cast: Cast):
        """Read them: that of some data once, however many objects have it."""
        self._indices: list[int] = []
        self._of: list[int] = []  # which of the boxes
        self._matrices: list[float] = []
        self._hair: list[float] = []
        self._unbounded: set[int] = set()
        spreads: list[np.ndarray] = []
        known: dict[int, int] = {}
        hair: dict = {}
        may_be_hairy = len(bpy.data.particles) > 0
        for index, instance, owner in seen(depsgraph, cast):
            obj, kind = instance.object, instance.object.type
            if owner is not None or kind in unfollowed.CLEAR:
                continue
            if kind in unfollowed.BOUNDLESS:
                self._unbounded.add(index)
                continue
            if kind in SURFACED and kind != "MESH":
                continue
            data = obj.data.as_pointer()
            if data not in known:
                spread = spread_of(obj)
                known[data] = len(spreads) if len(spread) else -1
                spreads += [spread] if len(spread) else []
            if known[data] < 0:
                continue
            self._indices.append(index)
            self._of.append(known[data])
            self._matrices += [value for row in instance.matrix_world for value in row]
            if may_be_hairy and obj.original not in hair:
                hair[obj.original] = unfollowed.reach_of_hair(obj)
            self._hair.append(hair.get(obj.original, 0.0) if may_be_hairy else 0.0)
        points = np.concatenate([np.empty((0, 3), np.float32), *spreads])
        starts = np.cumsum([0, *map(len, spreads)])[:-1]
        # What is not a number is not drawn, what is infinite is drawn in part
        self._low, self._high = (
            np.nan_to_num(least.reduceat(points, starts), posinf=FAR, neginf=-FAR) if len(starts) else points
            for least in (np.fmin, np.fmax)
        )

    def before(self, exposed: Exposed) -> tuple[set[int], set[int]]:
        """What may hide what is exposed, by places among instances: those with a surface that may, and all.

        What a renderer alone knows the outline of may be anywhere around its box, up to the size of that.
        """
        indices = np.array(self._indices, int)
        matrices = np.array(self._matrices).reshape(-1, 4, 4).swapaxes(1, 2)
        low, high = (box[np.array(self._of, int), None].astype(float) for box in (self._low, self._high))

        def those_within(room: np.ndarray) -> set[int]:
            corners = np.ones((len(indices), 8, 4))
            corners[..., :3] = np.where(solids.CORNERS, high + room, low - room)
            return self._unbounded.union(indices[exposed.may_be_hidden_by(corners @ matrices)].tolist())

        room = np.linalg.norm(high - low, axis=2, keepdims=True) + np.reshape(self._hair, (-1, 1, 1))
        return those_within(np.zeros_like(room)), those_within(room)
