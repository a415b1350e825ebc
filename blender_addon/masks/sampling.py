# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample a scene's animation into label maps, as a render of it would show its subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

import bpy
import numpy as np

from ..errors import PeekabooError
from . import cameras, drivers, hiders, missing, outlines, projection, simulations, unfollowed
from .cast import Cast, Role, background_sets, may_show, rendered_collections, rendered_objects
from .geometry import Hulls
from .stage import Stage, on_stage

T = TypeVar("T")

SHUTTER_SAMPLES = 8
"""How many moments of the open shutter are looked at for motion blur."""
EDGE_SAMPLES = 4
"""How many places of a pixel are looked at for smooth edges, along its width and its height."""
STRIDE = 7
LOOK = 64
"""Width and height of a picture that nobody gets."""
FAR = 1e10
"""Depth of a pixel in which nothing is seen, as Blender has it."""


def sample(
    scene,
    roles: Sequence[Role],
    times: Sequence[float],
    work: Callable[[Sampler], T],
    hulls: Hulls | None = None,
    hides: bool | None = None,
) -> T:
    """Let ``work`` sample a scene.

    Args:
        scene: the user's; its settings say whether other objects hide subjects and whether motion blurs.
        roles: of its subjects; label k is ``roles[k - 1]``.
        times: scene times that will be asked for, which decide what cameras are needed.
        work: gets the sampler, and must not keep it.
        hulls: remembers convex hulls from one time that a scene is sampled to the next.
        hides: whether other objects hide subjects; as the scene's settings say by default.

    Returns:
        What ``work`` returns, and it raises what that raises.

    Raises:
        PeekabooError: the scene has no camera, what is linked is not in its file, rigid bodies have not been
            baked, Blender is rendering, or it does not run a driver.
        UnbakedError: what is seen depends on simulations, and they have been neither baked nor played.
    """

    def work_on(stage: Stage) -> T:
        if not simulations.is_played(scene) and (found := simulations.unbaked(scene, stage.objects)):
            raise simulations.UnbakedError(found)
        done = work(Sampler(scene, cast, stage, hulls or Hulls(), hides))
        drivers.check_allowed(counted)
        return done

    seen_by = [cameras.camera_at(scene, time) for time in times]
    cast = Cast(scene, roles)
    staged = staged_objects(scene, cast, seen_by, hides)
    always = {*cast.marked, *cast.drawn, *seen_by}
    counted = [obj for obj in staged if obj in always or may_show(obj)]
    around = [*rendered_collections(scene), *background_sets(scene)] if _hides(scene, hides) else ()
    missing.check(counted, around)
    unfollowed.check_smoke(filter(may_show, cast.owners))
    simulations.check_bodies(scene, counted)
    return on_stage(scene, staged, seen_by[0], work_on)


def sample_played(
    scene,
    roles: Sequence[Role],
    times: Sequence[float],
    work: Callable[[Sampler], T],
    on_play: Callable[[int, int], None] | None = None,
) -> T:
    """Let ``work`` sample a scene, which is played before if there are simulations without a bake.

    Arguments and errors as :func:`sample`; ``on_play`` is that of :func:`simulations.played`. Where it is
    played, ``work`` has not been called before.
    """
    try:
        return sample(scene, roles, times, work)
    except simulations.UnbakedError as unbaked:
        with simulations.played(scene, unbaked.start, max(times), on_play):
            return sample(scene, roles, times, work)


@contextmanager
def known(
    scene,
    roles: Sequence[Role],
    times: Sequence[float],
    on_play: Callable[[int, int], None] | None = None,
    hides: bool | None = None,
) -> Iterator[None]:
    """Let all simulations be known within a block; arguments and errors as :func:`sample_played`."""
    with ExitStack() as stack:
        try:
            sample(scene, roles, times, lambda _: None, hides=hides)
        except simulations.UnbakedError as unbaked:
            stack.enter_context(simulations.played(scene, unbaked.start, max(times), on_play))
        yield


def frames_to_play(
    scene, roles: Sequence[Role], times: Sequence[float], hides: bool | None = None
) -> tuple[int, float] | None:
    """First and last of what has to be shown for simulations to be known; None where all of them are.

    Arguments are those of :func:`sample`; whatever keeps the scene from being sampled is told by that.
    """
    if not simulations.unbaked(scene, bpy.data.objects):
        return None
    try:
        sample(scene, roles, times, lambda _: None, hides=hides)
    except simulations.UnbakedError as unbaked:
        return unbaked.start, max(times)
    except PeekabooError:
        pass
    return None


def staged_objects(scene, cast: Cast, seen_by: Iterable, hides: bool | None = None) -> dict:
    """The objects that a scene is sampled with, as keys: subjects, what may hide them, and cameras."""
    objects = cast.objects | dict.fromkeys(seen_by)
    if _hides(scene, hides):
        objects |= dict.fromkeys(obj for obj in rendered_objects(scene) if not unfollowed.is_smoke(obj))
    return objects


def _hides(scene, hides: bool | None) -> bool:
    """Whether other objects hide subjects: see :func:`sample`."""
    return scene.peekaboo.occluded_by_scene if hides is None else hides


class Picture(NamedTuple):
    """A frame as other programs get it.

    Attributes:
        samples: uint8 (samples, height, width), labels at places and moments that count the same; row 0 is
            the top.
        depths: float32 (height, width), of what the pixels' centres show at the frame itself, along the
            camera's axis; :data:`FAR` where that is nothing.
    """

    samples: np.ndarray
    depths: np.ndarray


class Sampler:
    """Makes label maps of a scene at any time; see :func:`sample`."""

    def __init__(self, scene, cast: Cast, stage: Stage, hulls: Hulls, hides: bool | None = None):
        """Sample the subjects of a cast, which the stage holds."""
        self._scene = scene
        self._cast = cast
        self._stage = stage
        self._hulls = hulls
        self._hides = _hides(scene, hides)
        self._by_choice = hides is None
        self._time: float | None = None  # that the stage is at

    def label_map(self, time: float, width: int, height: int, aspect: float | None = None) -> np.ndarray:
        """The labels alone of what :meth:`labelled` finds: uint8 (height, width)."""
        return self.labelled(time, width, height, aspect).labels

    def labelled(
        self, time: float, width: int, height: int, aspect: float | None = None
    ) -> projection.Labelled:
        """Label each pixel with the subject that is seen there.

        With motion blur, a pixel that any subject passes while the shutter is open has the label of the one
        that is seen there the longest; a subject's extent is then that of its largest moment, and
        what is nearest at any moment counts as such. Of all else only what hides subjects is looked for.

        Args:
            time: in scene frames.
            width: of the map, in pixels.
            height: of the map, in pixels.
            aspect: of the picture; that of square pixels by default.

        Raises:
            PeekabooError: a camera or a subject that cannot be projected.
        """
        camera = cameras.camera_at(self._scene, time)
        if not (self._scene.peekaboo.motion_blur and self._cast.roles):
            return self._label_moment(time, camera, (width, height), aspect)
        extents, nearest = np.zeros(len(self._cast.roles), int), np.full((height, width), np.inf)
        seen = np.zeros((len(self._cast.roles) + 1, height, width), np.uint8)
        rows, columns = np.indices((height, width), sparse=True)
        for moment in self._shutter(time, SHUTTER_SAMPLES):
            found = self._label_moment(moment, camera, (width, height), aspect)
            seen[found.labels, rows, columns] += 1
            extents = np.maximum(extents, found.extents)
            nearest = np.minimum(nearest, found.nearest)
        longest = seen[1:].argmax(axis=0) + 1
        labels = np.where(seen[1:].any(axis=0), longest, 0).astype(np.uint8)
        return projection.Labelled(labels, extents, nearest)

    def picture(
        self, time: float, width: int, height: int, aspect: float, smooth: bool, deep: bool = True
    ) -> Picture:
        """See a frame as a renderer does, which looks at several moments of an open shutter.

        Args:
            time: in scene frames.
            width: in pixels.
            height: in pixels.
            aspect: of the picture.
            smooth: look at places all over each pixel, not at its centre alone.
            deep: find the depths of what is no subject's, too.

        Raises:
            PeekabooError: as :meth:`labelled`.
        """
        camera, size = cameras.camera_at(self._scene, time), (width, height)
        centre = self._label_moment(time, camera, size, aspect, deep)
        depths = depths_of(centre.nearest, self._view(time, camera, aspect))
        looks = self._looks(time, smooth)
        if not looks:
            return Picture(centre.labels[None], depths)
        samples = []
        for moment, places in groupby(looks, key=itemgetter(0)):
            view, shapes = self._look(moment, camera, aspect)
            views = [view.moved(2 * x / width, 2 * y / height) for _, x, y in places]
            shared = self._shared_hiders(view, views, shapes, size)
            samples += [projection.label_map(moved, shapes, *size, shared) for moved in views]
        return Picture(np.stack(samples), depths)

    def _shared_hiders(
        self,
        view: projection.Camera,
        views: Sequence[projection.Camera],
        shapes: Sequence[Sequence[projection.Shape]],
        size: tuple[int, int],
    ) -> list[projection.Shape]:
        """What hides subjects from any of some views, each moved from one by less than a pixel."""
        if not self._hides:
            return []
        exposed = projection.Exposed(view, *size)
        for moved in views:
            exposed.add(projection.labelled(moved, shapes, *size))
        return list(hiders.occluders(self._stage.depsgraph, self._cast, exposed, self._by_choice))

    def _looks(self, time: float, smooth: bool) -> list[tuple[float, float, float]]:
        """Moments, and how far the picture is moved to the right and up for them, in pixels.

        None where the pixels' centres are looked at, and the frame itself.
        """
        blurred = self._scene.peekaboo.motion_blur
        if not smooth:
            return [(moment, 0, 0) for moment in self._shutter(time, SHUTTER_SAMPLES)] if blurred else []
        steps = (np.arange(EDGE_SAMPLES) + 0.5) / EDGE_SAMPLES - 0.5
        places = [(x, y) for y in steps for x in steps]
        if not blurred:
            return [(time, x, y) for x, y in places]
        # A step that has no factor with their number goes through all places, never along a row
        moments = self._shutter(time, len(places))
        return [(moment, *places[k * STRIDE % len(places)]) for k, moment in enumerate(moments)]

    def strengths(self, time: float) -> list[float]:
        """The strength of each subject at a time, with its keyframes and drivers.

        Of several objects that are one subject, the strongest counts.
        """
        self._go_to(time)  # motion blur has gone on to other moments
        return [
            max(obj.evaluated_get(self._stage.depsgraph).peekaboo.strength for obj in role.objects)
            for role in self._cast.roles
        ]

    def check_clay(self, time: float, aspect: float) -> None:
        """Make sure that all which is in the picture at a time looks the same without its materials.

        Raises:
            PeekabooError: as :meth:`labelled`, or a material displaces something.
        """
        view, _ = self._look(time, cameras.camera_at(self._scene, time), aspect)
        exposed = projection.Exposed(view, LOOK, LOOK, everywhere=True)
        hiders.check_displacement(self._stage.depsgraph, self._cast, exposed)

    def view(self, time: float, aspect: float) -> projection.Camera:
        """What the scene's camera sees at a time; see :func:`cameras.view`."""
        return self._view(time, cameras.camera_at(self._scene, time), aspect)

    def matrix(self, obj, time: float) -> np.ndarray:
        """Local to world space of a camera, or another object of the scene, at a time: float64 (4, 4)."""
        self._go_to(time)
        return np.array(obj.evaluated_get(self._stage.depsgraph).matrix_world, float)

    def _shutter(self, time: float, count: int) -> np.ndarray:
        """Moments spread evenly over the time that the shutter is open around a frame."""
        length = self._scene.render.motion_blur_shutter
        opening = {"START": 0, "CENTER": -0.5, "END": -1}[self._scene.render.motion_blur_position] * length
        return time + opening + (np.arange(count) + 0.5) / count * length

    def _label_moment(
        self, time: float, camera, size: tuple[int, int], aspect: float | None, deep: bool = False
    ) -> projection.Labelled:
        view, shapes = self._look(time, camera, aspect or size[0] / size[1])
        found = projection.labelled(view, shapes, *size)
        if self._hides:
            hiders.hide(found, view, self._stage.depsgraph, self._cast, deep, self._by_choice)
        return found

    def _look(
        self, time: float, camera, aspect: float
    ) -> tuple[projection.Camera, list[list[projection.Shape]]]:
        """What looks at a time, and the shapes of each subject."""
        view = self._view(time, camera, aspect)
        return view, outlines.shapes_at(self._cast, self._stage.depsgraph, self._hulls)

    def _view(self, time: float, camera, aspect: float) -> projection.Camera:
        """Evaluate the stage at a time, seen through one of the cameras."""
        self._go_to(time)
        depsgraph = self._stage.depsgraph
        return cameras.view(camera.evaluated_get(depsgraph), depsgraph, self._scene.render, aspect)

    def _go_to(self, time: float) -> None:
        if time != self._time:
            self._stage.go_to(time)
            self._time = time


def depths_of(nearest: np.ndarray, view: projection.Camera) -> np.ndarray:
    """Distances along a camera's axis, float32, from depth keys; :data:`FAR` where nothing is seen."""
    perspective = view.near < 0  # the key is -1 / depth then
    with np.errstate(divide="ignore"):
        found = -1 / nearest if perspective else nearest
    return np.where(np.isfinite(nearest), found, FAR).astype(np.float32)
