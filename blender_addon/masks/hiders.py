# SPDX-License-Identifier: GPL-3.0-or-later
"""What hides subjects: of all that a render shows, the little that is before them in the picture.

A scene may have thousands of objects, and to read and draw a surface takes a hundred times as long as to find
its bounding box. So that is looked at first, and what cannot hide anything is neither read nor drawn, nor has
to be something that masks can follow.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import bpy
import numpy as np

from . import projection, solids, unfollowed
from .cast import SURFACED, Cast
from .geometry import spread_of
from .projection import Camera, Exposed, Labelled, Shape
from .surfaces import Surfaces, in_world, seen

BEYOND = 1e30
"""A coordinate beyond all others."""
BATCH = 2**16
"""How many boxes are looked at at once; it limits memory, not the result."""


def hide(
    found: Labelled, view: Camera, depsgraph, cast: Cast, everywhere: bool = False, by_choice: bool = True
) -> None:
    """Hide subjects that were found behind all else; in place.

    Args:
        found: subjects alone.
        view: that has found them.
        depsgraph: see :func:`occluders`, which raises the same.
        cast: see there.
        everywhere: find out, too, how near all else is where there is no subject.
        by_choice: see :func:`occluders`.
    """
    height, width = found.labels.shape
    exposed = Exposed(view, width, height, everywhere)
    exposed.add(found)
    projection.hide(found, view, occluders(depsgraph, cast, exposed, by_choice))


def occluders(depsgraph, cast: Cast, exposed: Exposed, by_choice: bool = True) -> Iterator[Shape]:
    """The surfaces of what is no subject's and may hide what is exposed.

    Args:
        depsgraph: of a scene that holds what may hide subjects.
        cast: of subjects, which are left out with what they instance.
        exposed: what of the picture can be hidden.
        by_choice: whether these count because *Occluded by Scene* is on, which is then a way out of errors.

    Raises:
        PeekabooError: masks cannot follow what may hide something.
    """
    shown, around = _Bounds(depsgraph, cast).before(exposed)
    if not around:
        return
    read = Surfaces(depsgraph, cast, by_choice)
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
        self._matrices = array("d")
        self._unbounded: set[int] = set()
        known: dict = {}
        spreads: list[np.ndarray] = []
        rooms: dict[int, float] = {}  # of boxes with hair in them
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
            is_hairy = may_be_hairy and unfollowed.is_hairy(obj)
            key = obj.data.as_pointer(), obj.original if is_hairy else None
            if key not in known:
                spread = spread_of(obj)
                if is_hairy:
                    strands, reach = unfollowed.strands_of(obj)
                    reach += float(np.sum(_sizes(*_boxes([spread]))))
                    spread = np.concatenate([spread, strands])
                    rooms |= {len(spreads): reach} if len(spread) else {}
                known[key] = len(spreads) if len(spread) else None
                spreads += [spread] if len(spread) else []
            if known[key] is not None:
                self._indices.append(index)
                self._of.append(known[key])
                self._matrices.extend([value for row in instance.matrix_world for value in row])
        self._low, self._high = _boxes(spreads)
        self._rooms = _sizes(self._low, self._high)
        for box, room in rooms.items():
            self._rooms[box] = room

    def before(self, exposed: Exposed) -> tuple[set[int], set[int]]:
        """What may hide what is exposed, by places among instances: those with a surface that may, and all.

        What a renderer alone knows the outline of may be anywhere around its box, up to the size of that.
        """
        shown, around = self._unbounded.copy(), self._unbounded.copy()
        for start in range(0, len(self._indices), BATCH):
            some = slice(start, start + BATCH)
            indices, of = np.array(self._indices[some]), np.array(self._of[some])
            matrices = np.array(self._matrices[16 * start : 16 * some.stop]).reshape(-1, 4, 4).swapaxes(1, 2)
            low, high = self._low[of, None], self._high[of, None]
            room = self._rooms[of, None, None]
            for found, space in ((shown, 0 * room), (around, room)):
                corners = np.ones((len(of), 8, 4))
                corners[..., :3] = np.where(solids.CORNERS, high + space, low - space)
                found.update(indices[exposed.may_be_hidden_by(corners @ matrices)].tolist())
        return shown, around


def _boxes(spreads: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest coordinates of sets of points: float64 (sets, 3), or (0, 3) of no point."""
    if not sum(map(len, spreads)):
        return np.empty((0, 3)), np.empty((0, 3))
    points, starts = np.concatenate(spreads), np.cumsum([0, *map(len, spreads)])[:-1]
    # What is not a number is not drawn, what is infinite is drawn in part
    return (
        np.nan_to_num(np.fmin.reduceat(points, starts).astype(float), posinf=BEYOND, neginf=-BEYOND),
        np.nan_to_num(np.fmax.reduceat(points, starts).astype(float), posinf=BEYOND, neginf=-BEYOND),
    )


def _sizes(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The diagonals of boxes: float64 (boxes,)."""
    return np.linalg.norm(high - low, axis=1)
