# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframe subjects along a motion that has a name, as the scene's camera sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import compat
from ..errors import PeekabooError
from ..masks import cameras, outlines, sampling
from ..shot import shots
from ..shot.size import picture_of
from . import keys, motions
from .beyond import Span
from .keys import Pose
from .motions import Body, Motion, Room, Stage

DENSEST = 120
"""Frames at most at which a moving camera is looked at: each up to here."""
INSTANT = 1e-4
"""Part of the time over which a speed is measured."""
SHRINK, SMALLEST = 0.9, 1e-6
"""A subject that is too large for the picture is made smaller by steps, down to this factor."""
BEHIND = 10.0
"""Distance for a subject that is behind the camera, in multiples of the camera's display size."""
ASTRAY = 0.25
"""How far off its path few keyframes may lead a subject while the camera zooms, over half of the picture."""


def animate(scene, objects: Sequence, depsgraph, name: str, depth: float = 0.0, size: float = 0.0) -> None:
    """Keyframe subjects over the shot that is at the current frame, in the place of their keyframes there.

    The keys of location, and of scale where it changes, are few: two for a straight way. A subject follows a
    camera that moves by a constraint, so that the picture shows the way as it does under a still one; only
    where cameras follow one another within the shot, or a zoom would lead astray, every frame has a key.

    Args:
        scene: with a camera.
        objects: the subjects.
        depsgraph: that has evaluated the scene at its current frame.
        name: a key of :data:`motions.MOTIONS`.
        depth: distance from the camera; 0 for each subject's own.
        size: part of the picture that a subject takes up at that distance, 0..1, or less where that does not
            fit; 0 for its own size.

    Raises:
        PeekabooError: one does not fit, or something else moves it; nothing is changed then.
    """
    shot = shots.shot_at(scene, scene.frame_current)
    frames = list(range(shot.first, max(shot.first, shot.last) + 1))
    first, last = shots.range_of(scene)
    span = Span(
        frames[0],
        frames[-1],
        before=min(first, scene.frame_start) < frames[0],  # a preview range leaves frames out
        after=max(last, scene.frame_end) > frames[-1],
    )
    for obj in objects:
        check_free(obj, carried=True)
        if span.sides and keys.repeats(obj):
            raise PeekabooError(
                f'The keyframes of "{obj.name}" are repeated by the modifier Cycles, so that a motion in one '
                "shot would change the others: mute it, or choose another subject."
            )
    width, height = picture_of(scene)
    view = _look(scene, frames, width / height)
    planned = []
    for obj in objects:
        _check_apart(view, obj)
        planned.append((obj, *_plan(view, obj, depsgraph, motions.MOTIONS[name], frames, depth, size)))
    for obj, poses, factor in planned:
        keys.write(obj, poses, np.array(obj.scale) * factor, span)
        keys.carry(obj, view.carrier, view.start, span)
        keys.hold_at(obj, view.cuts)


def _plan(
    view: View, obj, depsgraph, motion: Motion, frames: Sequence[int], depth: float, size: float
) -> tuple[list[Pose], float]:
    """The poses of a subject on its way, and the factor by which it is made larger for it."""
    body = view.at_start(body_of(obj, depsgraph), keys.carried_at(obj, depsgraph))
    seen = np.array(obj.evaluated_get(depsgraph).matrix_world.translation)
    place = view.back[:3, :3] @ seen + view.back[:3, 3]
    first = next(iter(view.stages.values()))
    if not depth:
        depth = first.depth(place)
        if depth <= first.nearest:
            depth = BEHIND * view.display_size
    home = first.spot(place) if first.depth(place) > first.nearest else np.zeros(2)
    factor = first.enlargement(body, size, depth) if size else 1.0
    walk = _Walk(motion, body.scaled(factor), home, depth, view.aspect)
    while size and factor > SMALLEST and not walk.fits(view.stages.values()):
        factor *= SHRINK
        walk = dataclasses.replace(walk, body=body.scaled(factor))
    if len(view.stages) == 1:
        return walk.along(first, frames), factor
    poses = walk.between(view.stages, frames)
    if view.cuts or not walk.keeps_to(poses, view.stages):
        poses = walk.with_camera(view.stages, frames)
    return poses, factor


@dataclass(frozen=True)
class View:
    """What is seen of a shot, in the space in which subjects are keyed.

    That is the world's; or, where one camera moves through the shot, the world as it goes along with it,
    which is the world itself at the shot's start.

    Attributes:
        stages: by frame, in that space; a single one where all frames are alike.
        aspect: width / height of the picture.
        display_size: that of the camera.
        cuts: frames that are the last before another camera.
        carrier: the camera that moves; None where none does, or several.
        start: its matrix at the start of the shot, without scale, (4, 4).
        back: from the world at the scene's current frame to that space, (4, 4).
    """

    stages: dict[int, Stage]
    aspect: float
    display_size: float
    cuts: set[int]
    carrier: Any
    start: np.ndarray
    back: np.ndarray

    def at_start(self, body: Body, carried: bool) -> Body:
        """A body as it was measured at the current frame, turned back if it is ``carried`` there."""
        if not carried:
            return body
        turn = self.back[:3, :3]
        axes = None if body.axes is None else turn @ body.axes
        return Body(body.points @ turn.T, axes, body.turning)


def _look(scene, frames: Sequence[int], aspect: float) -> View:
    """See what the scene's cameras see of a shot."""
    step = -(-len(frames) // DENSEST)
    times = [*frames[:-1:step], frames[-1]]
    used = [cameras.camera_at(scene, time) for time in times]
    now = min(max(scene.frame_current, frames[0]), frames[-1])

    def look(sampler: sampling.Sampler) -> dict:
        return {
            time: (sampler.view(time, aspect), cameras.without_scale(sampler.matrix(camera, time)))
            for time, camera in sorted({**dict(zip(times, used, strict=True)), now: used[0]}.items())
        }

    found = sampling.sample(scene, [], times, look)
    start, still = found[times[0]][1], np.eye(4)
    moves = not all(np.allclose(matrix, start, rtol=1e-5, atol=1e-6) for _, matrix in found.values())
    carrier = used[0] if moves and len(set(used)) == 1 else None
    away = {time: matrix @ np.linalg.inv(start) if carrier else still for time, (_, matrix) in found.items()}
    stages = {time: Stage(found[time][0], away[time]) for time in times}
    first = next(iter(stages.values()))
    if all(stage.sees_as(first) for stage in stages.values()):
        stages = {times[0]: first}
    return View(
        stages,
        aspect,
        used[0].data.display_size,
        {time for (time, camera), (_, other) in pairwise(zip(times, used, strict=True)) if camera != other},
        carrier,
        start,
        np.linalg.inv(away[now]),
    )


def _check_apart(view: View, obj) -> None:
    """Make sure that a camera which a subject goes along with does not itself go after the subject.

    Raises:
        PeekabooError: it does.
    """
    if view.carrier is not None and _follows(view.carrier, obj, set()):
        raise PeekabooError(
            f'The camera "{view.carrier.name}" follows the subject "{obj.name}": let it follow something '
            "else, or animate the subject by hand."
        )


def _follows(obj, other, seen: set) -> bool:
    """Whether an object is placed by another, through parents, constraints and drivers."""
    if obj is None or obj in seen:
        return False
    seen.add(obj)
    targets = [obj.parent]
    for constraint in obj.constraints:
        if not constraint.mute:
            targets.append(getattr(constraint, "target", None))
            targets += [target.target for target in getattr(constraint, "targets", ())]
    for driver in obj.animation_data.drivers if obj.animation_data else ():
        targets += [
            target.id for variable in driver.driver.variables for target in variable.targets if target.id
        ]
    return any(
        target == other or (isinstance(target, type(other)) and _follows(target, other, seen))
        for target in targets
        if target is not None
    )


def check_free(obj, carried: bool = False) -> None:
    """Make sure that nothing but keyframes moves a subject, or also a camera that it was made to go with.

    Raises:
        PeekabooError: something else does.
    """
    drivers = obj.animation_data.drivers if obj.animation_data else ()
    if obj.parent is not None:
        problem = f'follows its parent "{obj.parent.name}": clear that'
    elif any(not each.mute and not (carried and keys.is_carrying(each)) for each in obj.constraints):
        problem = "is moved by a constraint: mute that"
    elif any(driver.data_path in {"location", "scale"} for driver in drivers):
        problem = "is moved by a driver: remove that"
    elif obj.rigid_body is not None:
        problem = "is part of a rigid body simulation: take it out"
    else:
        return
    raise PeekabooError(f'The subject "{obj.name}" {problem}, or choose another subject.')


def body_of(obj, depsgraph) -> Body:
    """Measure a subject around its origin, as it is evaluated.

    Raises:
        PeekabooError: it has no extent.
    """
    evaluated = obj.evaluated_get(depsgraph)
    matrix = np.array(evaluated.matrix_world, float)
    origin = matrix[:3, 3]
    turning = any(curve.data_path.startswith(("rotation", "delta_rot")) for curve in compat.fcurves(obj))
    if obj.type == "EMPTY" and obj.empty_display_type in {"SPHERE", "CIRCLE"}:
        axes = matrix[:3, :3] * obj.empty_display_size
        if obj.empty_display_type == "CIRCLE":
            axes = axes[:, [0, 2]]
        if np.any(axes):
            return Body(np.zeros((1, 3)), axes, turning)
    points = outlines.outer_points(obj, depsgraph)
    if not len(points) or not np.any(points - origin):
        raise PeekabooError(f'The subject "{obj.name}" has no size that is seen: give it one first.')
    return Body(points - origin, None, turning)


@dataclass(frozen=True)
class _Walk:
    """A subject on its way along a motion."""

    motion: Motion
    body: Body
    home: np.ndarray
    depth: float
    aspect: float

    def fits(self, stages: Iterable[Stage]) -> bool:
        """Whether there is room for the subject at all times."""
        return all(stage.room(self.body, self.depth, self.home, self.aspect) for stage in stages)

    def along(self, stage: Stage, frames: Sequence[int]) -> list[Pose]:
        """Few poses, with the speeds that make a smooth curve of them."""
        room, length = self._room(stage), len(frames) - 1
        knots = {frames[0] + round(knot * length): knot for knot in reversed(self.motion.knots)}
        values = {knot: self._value(stage, room, knot) for knot in knots.values()}
        poses = []
        for frame, knot in sorted(knots.items()):
            before = max((other for other in values if other < knot), default=None)
            after = min((other for other in values if other > knot), default=None)
            leaving = arriving = None
            if before is not None:
                speed = (self._value(stage, room, knot - INSTANT) - values[knot]) / INSTANT
                arriving = speed * (knot - before) / 3
            if after is not None:
                speed = (self._value(stage, room, knot + INSTANT) - values[knot]) / INSTANT
                leaving = speed * (after - knot) / 3
            poses.append(Pose(frame, values[knot], arriving, leaving))
        return poses

    def between(self, stages: dict[int, Stage], frames: Sequence[int]) -> list[Pose]:
        """Few poses, each right under the stage that is nearest to its frame, with straight lines between."""
        length = len(frames) - 1
        knots = {frames[0] + round(knot * length): knot for knot in reversed(self.motion.knots)}
        poses = []
        for frame, knot in sorted(knots.items()):
            stage = stages[min(stages, key=lambda known: abs(known - frame))]
            poses.append(Pose(frame, self._value(stage, self._room(stage), knot)))
        return poses

    def keeps_to(self, poses: list[Pose], stages: dict[int, Stage]) -> bool:
        """Whether straight lines between poses keep the whole subject in view, and about on its path."""
        times, values = [pose.frame for pose in poses], np.stack([pose.value for pose in poses])
        length = max(1, times[-1] - times[0])
        for frame, stage in stages.items():
            value = np.array([np.interp(frame, times, part) for part in values.T])
            body = self.body.scaled(value[3])
            depth = stage.depth(value[:3])
            if depth <= stage.nearest:
                return False
            spot, room = stage.spot(value[:3]), stage.room(body, depth, self.home, self.aspect)
            if room is None or (spot < room.low - motions.MARGIN).any():
                return False
            x, y, _ = self.motion.path((frame - times[0]) / length, self._room(stage))
            if (spot > room.high + motions.MARGIN).any() or np.abs(spot - (x, y)).max() > ASTRAY:
                return False
        return True

    def with_camera(self, stages: dict[int, Stage], frames: Sequence[int]) -> list[Pose]:
        """A pose for each stage of a moving camera."""
        length = max(1, len(frames) - 1)
        return [
            Pose(frame, self._value(stage, self._room(stage), (frame - frames[0]) / length))
            for frame, stage in stages.items()
        ]

    def _room(self, stage: Stage) -> Room:
        room = stage.room(self.body, self.depth, self.home, self.aspect)
        if room is None:
            raise PeekabooError(
                f"The subject does not fit into the camera's frame at a distance of {self.depth:.3g}: choose "
                "a larger distance, or let it be made smaller."
            )
        return room

    def _value(self, stage: Stage, room: Room, time: float) -> np.ndarray:
        x, y, distance = self.motion.path(time, room)
        if not stage.perspective:  # whose picture shows no distance
            smaller = (1 - 1 / motions.FAR_AWAY) * (distance - 1) / (motions.FAR_AWAY - 1)
            return np.append(stage.point(x, y, self.depth), 1 - smaller)
        furthest = max(self.depth, stage.furthest - self.body.radius)
        return np.append(stage.point(x, y, min(self.depth * distance, furthest)), 1.0)
