# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframe a subject along a motion that has a name, in view of the scene's camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .. import compat
from ..errors import PeekabooError
from ..masks import cameras, outlines, sampling
from ..shot.size import picture_of
from . import motions
from .motions import Body, Motion, Room, Stage

DENSEST = 120
"""Keyframes at most while the camera moves: one a frame up to here."""
INSTANT = 1e-4
"""Part of the time over which a speed is measured."""
SHRINK, SMALLEST = 0.9, 1e-6
"""A subject that is too large for the picture is made smaller by steps, down to this factor."""
BEHIND = 10.0
"""Distance for a subject that is behind the camera, in multiples of the camera's display size."""


@dataclass(frozen=True)
class Pose:
    """Where a subject is, and how large.

    Attributes:
        frame: of the scene.
        value: x, y, z in world space, and the factor of its scale: (4,).
        arriving: change of the value to a third of the way back to the pose before, on a smooth path.
        leaving: change of the value to a third of the way to the next pose, on a smooth path.
    """

    frame: int
    value: np.ndarray
    arriving: np.ndarray | None = None
    leaving: np.ndarray | None = None


def animate(scene, obj, depsgraph, name: str, depth: float = 0.0, size: float = 0.0) -> None:
    """Keyframe a subject over the scene's range, in the place of its keyframes of location and scale.

    Args:
        scene: with a camera.
        obj: the subject.
        depsgraph: that has evaluated the scene at its current frame.
        name: a key of :data:`motions.MOTIONS`.
        depth: distance from the camera; 0 for the subject's own.
        size: part of the picture that the subject takes up at that distance, 0..1, or less where that does
            not fit; 0 for its own size.

    Raises:
        PeekabooError: the subject does not fit, or something else moves it.
    """
    check_free(obj)
    motion = motions.MOTIONS[name]
    frames = list(range(scene.frame_start, max(scene.frame_start, scene.frame_end) + 1))
    width, height = picture_of(scene)
    body = body_of(obj, depsgraph)
    place = np.array(obj.evaluated_get(depsgraph).matrix_world.translation)
    stages = _stages(scene, frames, width / height)
    first = next(iter(stages.values()))
    if not depth:
        depth = first.depth(place)
        if depth <= first.nearest:
            depth = BEHIND * cameras.camera_at(scene, frames[0]).data.display_size
    home = first.spot(place) if first.depth(place) > first.nearest else np.zeros(2)
    factor = first.enlargement(body, size, depth) if size else 1.0
    walk = _Walk(motion, body.scaled(factor), home, depth, width / height)
    while size and factor > SMALLEST and not walk.fits(stages.values()):
        factor *= SHRINK
        walk = dataclasses.replace(walk, body=body.scaled(factor))
    poses = walk.along(first, frames) if len(stages) == 1 else walk.with_camera(stages, frames)
    _write(obj, poses, np.array(obj.scale) * factor)
    _hold_at_cuts(scene, obj, poses)


def check_free(obj) -> None:
    """Make sure that nothing but keyframes moves a subject; raises PeekabooError."""
    drivers = obj.animation_data.drivers if obj.animation_data else ()
    if obj.parent is not None:
        problem = f'follows its parent "{obj.parent.name}": clear that'
    elif any(not constraint.mute for constraint in obj.constraints):
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


def _stages(scene, frames: Sequence[int], aspect: float) -> dict[int, Stage]:
    """What the camera sees at frames, as many as a moving camera asks for; a still one has a single stage."""
    step = -(-len(frames) // DENSEST)
    times = [*frames[:-1:step], frames[-1]]

    def look(sampler: sampling.Sampler) -> dict:
        return {time: sampler.view(time, aspect) for time in times}

    views = sampling.sample(scene, [], times, look)
    still = next(iter(views.values())).world_to_clip
    if all(np.allclose(view.world_to_clip, still, rtol=1e-5, atol=1e-6) for view in views.values()):
        return {times[0]: Stage(views[times[0]])}
    return {time: Stage(view) for time, view in views.items()}


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
        x, y, nearness = self.motion.path(time, room)
        if not stage.perspective:  # whose picture shows no distance
            return np.append(stage.point(x, y, self.depth), nearness)
        furthest = max(self.depth, stage.furthest - self.body.radius)
        return np.append(stage.point(x, y, min(self.depth / nearness, furthest)), 1.0)


def _write(obj, poses: list[Pose], scale: np.ndarray) -> None:
    """Put keyframes in the place of those that location and scale have; ``scale`` is that of the factor 1."""
    grows = any(pose.value[3] != poses[0].value[3] for pose in poses)
    compat.own_action(obj)  # copies that share it keep theirs
    for path in ("location", "scale"):
        compat.remove_fcurves(obj, path)
    for pose in poses:
        obj.location = pose.value[:3] - np.array(obj.delta_location)
        obj.keyframe_insert("location", frame=pose.frame)
        obj.scale = scale * pose.value[3]
        if grows:
            obj.keyframe_insert("scale", frame=pose.frame)
    for curve in compat.fcurves(obj):
        axis = curve.array_index
        if curve.data_path == "location":
            _shape(curve, poses, axis, 1.0)
        elif curve.data_path == "scale":
            _shape(curve, poses, 3, scale[axis])


def _shape(curve, poses: list[Pose], part: int, unit: float) -> None:
    """Give an F-Curve the speeds of the poses, or straight lines where there are none."""
    for key, pose in zip(curve.keyframe_points, poses, strict=True):
        smooth = pose.leaving is not None or pose.arriving is not None
        key.interpolation = "BEZIER" if smooth else "LINEAR"
        key.handle_left_type = key.handle_right_type = "FREE" if smooth else "VECTOR"
    for (left, start), (right, end) in pairwise(zip(curve.keyframe_points, poses, strict=True)):
        if start.leaving is None or end.arriving is None:
            continue
        third = (end.frame - start.frame) / 3
        left.handle_right = start.frame + third, left.co.y + unit * start.leaving[part]
        right.handle_left = end.frame - third, right.co.y + unit * end.arriving[part]
    curve.update()


def _hold_at_cuts(scene, obj, poses: list[Pose]) -> None:
    """Let a subject jump where the scene cuts to another camera."""
    cuts = {
        start.frame
        for start, end in pairwise(poses)
        if cameras.camera_at(scene, start.frame) != cameras.camera_at(scene, end.frame)
    }
    for curve in compat.fcurves(obj):
        if curve.data_path in {"location", "scale"}:
            for key in curve.keyframe_points:
                if round(key.co.x) in cuts:
                    key.interpolation = "CONSTANT"
