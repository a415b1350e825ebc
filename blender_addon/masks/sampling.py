# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample a scene's animation into label maps, as a render of it would show its subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import numpy as np

from . import cameras, outlines, projection, simulations
from .cast import Cast, Role, rendered_objects
from .geometry import Hulls
from .stage import Stage, on_stage

T = TypeVar("T")

SHUTTER_SAMPLES = 8
"""How many moments of the open shutter are looked at for motion blur."""


def sample(
    scene,
    roles: Sequence[Role],
    times: Sequence[float],
    work: Callable[[Sampler], T],
    hulls: Hulls | None = None,
    played: bool = False,
) -> T:
    """Let ``work`` sample a scene.

    Args:
        scene: the user's; its settings say whether other objects hide subjects and whether motion blurs.
        roles: of its subjects; label k is ``roles[k - 1]``.
        times: scene times that will be asked for, which decide what cameras are needed.
        work: gets the sampler, and must not keep it.
        hulls: remembers convex hulls from one time that a scene is sampled to the next.
        played: whether the scene has been played, see :func:`simulations.played`.

    Returns:
        What ``work`` returns, and it raises what that raises.

    Raises:
        PeekabooError: the scene has no camera, rigid bodies have not been baked, or Blender is rendering.
        UnbakedError: what is seen depends on simulations, and they have been neither baked nor played.
    """

    def work_on(stage: Stage) -> T:
        if not played and (found := simulations.unbaked(scene, stage.objects)):
            raise simulations.UnbakedError(found)
        return work(Sampler(scene, cast, stage, hulls or Hulls()))

    seen_by = [cameras.camera_at(scene, time) for time in times]
    cast = Cast(scene, roles)
    staged = staged_objects(scene, cast, seen_by)
    simulations.check_bodies(scene, staged)
    return on_stage(
        scene,
        staged,
        seen_by[0],
        work_on,
    )


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
            return sample(scene, roles, times, work, played=True)


@contextmanager
def known(
    scene,
    roles: Sequence[Role],
    times: Sequence[float],
    on_play: Callable[[int, int], None] | None = None,
) -> Iterator[None]:
    """Let all simulations be known within a block; arguments and errors as :func:`sample_played`."""
    with ExitStack() as stack:
        try:
            sample(scene, roles, times, lambda _: None)
        except simulations.UnbakedError as unbaked:
            stack.enter_context(simulations.played(scene, unbaked.start, max(times), on_play))
        yield


def staged_objects(scene, cast: Cast, seen_by: Iterable) -> dict:
    """The objects that a scene is sampled with, as keys: subjects, what may hide them, and cameras."""
    objects = cast.objects | dict.fromkeys(seen_by)
    if scene.peekaboo.occluded_by_scene:
        objects |= dict.fromkeys(rendered_objects(scene))
    return objects


class Sampler:
    """Makes label maps of a scene at any time; see :func:`sample`."""

    def __init__(self, scene, cast: Cast, stage: Stage, hulls: Hulls):
        """Sample the subjects of a cast, which the stage holds."""
        self._scene = scene
        self._cast = cast
        self._stage = stage
        self._hulls = hulls
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
        what is nearest at any moment counts as such.

        Args:
            time: in scene frames.
            width: of the map, in pixels.
            height: of the map, in pixels.
            aspect: of the picture; that of square pixels by default.

        Raises:
            PeekabooError: a camera or a subject that cannot be projected.
        """
        camera = cameras.camera_at(self._scene, time)
        if not self._scene.peekaboo.motion_blur:
            return self._label_moment(time, camera, (width, height), aspect)
        extents, nearest = np.zeros(len(self._cast.roles), int), np.full((height, width), np.inf)
        seen = np.zeros((len(self._cast.roles) + 1, height, width), np.uint8)
        rows, columns = np.indices((height, width), sparse=True)
        for moment in self._shutter(time):
            found = self._label_moment(moment, camera, (width, height), aspect)
            seen[found.labels, rows, columns] += 1
            extents = np.maximum(extents, found.extents)
            nearest = np.minimum(nearest, found.nearest)
        longest = seen[1:].argmax(axis=0) + 1
        labels = np.where(seen[1:].any(axis=0), longest, 0).astype(np.uint8)
        return projection.Labelled(labels, extents, nearest)

    def strengths(self, time: float) -> list[float]:
        """The strength of each subject at a time, with its keyframes and drivers.

        Of several objects that are one subject, the strongest counts.
        """
        self._go_to(time)  # motion blur has gone on to other moments
        return [
            max(obj.evaluated_get(self._stage.depsgraph).peekaboo.strength for obj in role.objects)
            for role in self._cast.roles
        ]

    def view(self, time: float, aspect: float) -> projection.Camera:
        """What the scene's camera sees at a time; see :func:`cameras.view`."""
        return self._view(time, cameras.camera_at(self._scene, time), aspect)

    def _shutter(self, time: float) -> np.ndarray:
        """Moments spread evenly over the time that the shutter is open around a frame."""
        length = self._scene.render.motion_blur_shutter
        opening = {"START": 0, "CENTER": -0.5, "END": -1}[self._scene.render.motion_blur_position] * length
        return time + opening + (np.arange(SHUTTER_SAMPLES) + 0.5) / SHUTTER_SAMPLES * length

    def _label_moment(
        self, time: float, camera, size: tuple[int, int], aspect: float | None
    ) -> projection.Labelled:
        view = self._view(time, camera, aspect or size[0] / size[1])
        depsgraph = self._stage.depsgraph
        shapes = outlines.shapes_at(self._cast, depsgraph, self._hulls)
        hiders: Iterable[projection.Shape] = ()
        if self._scene.peekaboo.occluded_by_scene:
            hiders = outlines.occluders(depsgraph, self._cast)
        return projection.labelled(view, shapes, *size, hiders)

    def _view(self, time: float, camera, aspect: float) -> projection.Camera:
        """Evaluate the stage at a time, seen through one of the cameras."""
        self._go_to(time)
        depsgraph = self._stage.depsgraph
        return cameras.view(camera.evaluated_get(depsgraph), depsgraph, self._scene.render, aspect)

    def _go_to(self, time: float) -> None:
        if time != self._time:
            self._stage.go_to(time)
            self._time = time
