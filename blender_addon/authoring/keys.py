# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframes of a subject over one shot: what it does in the others stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import bpy
import numpy as np
from mathutils import Matrix

from .. import compat
from . import beyond
from .beyond import Span

CARRIED = "Peekaboo: "
"""How the names of constraints begin by which a subject goes along with a moving camera."""


@dataclass(frozen=True)
class Pose:
    """Where a subject is, and how large.

    Attributes:
        frame: of the scene.
        value: x, y, z of its location, and the factor of its scale: (4,).
        arriving: change of the value to a third of the way back to the pose before, on a smooth path.
        leaving: change of the value to a third of the way to the next pose, on a smooth path.
    """

    frame: int
    value: np.ndarray
    arriving: np.ndarray | None = None
    leaving: np.ndarray | None = None


def write(obj, poses: Sequence[Pose], scale: np.ndarray, span: Span) -> None:
    """Put keyframes in the place of those that location and scale have in a shot.

    Args:
        obj: the subject.
        poses: its own, by their frames.
        scale: that of the factor 1, (3,).
        span: the shot. At every frame beyond, the subject stays where it was, and jumps there.
    """
    compat.own_action(obj)  # copies that share it keep theirs
    span = _with_keys_beyond(obj, span)
    grows = any(pose.value[3] != poses[0].value[3] for pose in poses)
    resized = not np.allclose(scale * poses[0].value[3], np.array(obj.scale), rtol=1e-6)
    was_keyed = any(curve.data_path == "scale" for curve in compat.fcurves(obj))
    keyed = {"location": True, "scale": grows or bool(span.sides and (resized or was_keyed))}
    kept = {path: _beyond(obj, path, span) for path in keyed if keyed[path]}
    for curve in compat.fcurves(obj):
        if curve.data_path in kept:  # before it may be empty, and so go with its modifiers
            beyond.put_back(curve, kept[curve.data_path][curve.array_index])
    for path in keyed:
        _clear(obj, path, span)
    for pose in poses:
        obj.location = pose.value[:3] - np.array(obj.delta_location)
        obj.keyframe_insert("location", frame=pose.frame)
        obj.scale = scale * pose.value[3]
        if keyed["scale"]:
            obj.keyframe_insert("scale", frame=pose.frame)
    for curve in compat.fcurves(obj):
        axis = curve.array_index
        if curve.data_path == "location":
            _shape(curve, poses, axis, 1.0, span)
        elif curve.data_path == "scale":
            _shape(curve, poses, 3, scale[axis], span)
        if curve.data_path in kept:
            beyond.put_back(curve, kept[curve.data_path][axis])


def _with_keys_beyond(obj, span: Span) -> Span:
    """A shot, beyond which there also are frames where the subject has keys there."""
    frames = [
        key.co.x
        for curve in compat.fcurves(obj)
        if curve.data_path in {"location", "scale"}
        for key in curve.keyframe_points
    ]
    return Span(
        span.first,
        span.last,
        before=span.before or any(map(span.follows, frames)),
        after=span.after or any(map(span.precedes, frames)),
    )


def _beyond(obj, path: str, span: Span) -> list[list[beyond.Key]]:
    """The keys that each part of a property of three numbers is to have beyond a shot."""
    kept = [beyond.still(value, span) for value in getattr(obj, path)]
    for curve in compat.fcurves(obj):
        if curve.data_path == path and len(curve.keyframe_points):
            kept[curve.array_index] = beyond.of(curve, span)
    return kept


def repeats(obj) -> bool:
    """Whether the way of a subject beyond its keyframes is what they are, over and over."""
    return any(
        curve.data_path in {"location", "scale"}
        and any(modifier.type == "CYCLES" and not modifier.mute for modifier in curve.modifiers)
        for curve in compat.fcurves(obj)
    )


def hold_at(obj, frames: set[int]) -> None:
    """Let a subject jump after keyframes of some frames."""
    for curve in compat.fcurves(obj):
        if curve.data_path in {"location", "scale"}:
            for key in curve.keyframe_points:
                if round(key.co.x) in frames:
                    key.interpolation = "CONSTANT"


def carried_at(obj, depsgraph) -> bool:
    """Whether a subject goes along with a camera at the frame that a depsgraph has evaluated."""
    return any(
        is_carrying(constraint) and not constraint.mute and constraint.influence > 0
        for constraint in obj.evaluated_get(depsgraph).constraints
    )


def is_carrying(constraint) -> bool:
    """Whether a constraint is one that :func:`carry` has made."""
    return constraint.type == "CHILD_OF" and constraint.name.startswith(CARRIED)


def carry(obj, camera, matrix: np.ndarray, span: Span) -> None:
    """Let a subject go along with a camera during a shot, or, without one, with none.

    Its keyframes then say where it would be if the camera had stayed as it was at the shot's start.

    Args:
        obj: the subject, which has an action of its own.
        camera: an object, or None.
        matrix: that of the camera at the start of the shot, without its scale, (4, 4).
        span: the shot.
    """
    for constraint in [each for each in obj.constraints if is_carrying(each)]:
        _let_go(obj, constraint, span)
    if camera is None:
        return
    constraint = obj.constraints.new("CHILD_OF")
    constraint.name = f"{CARRIED}{camera.name}"
    constraint.target = camera
    constraint.use_scale_x = constraint.use_scale_y = constraint.use_scale_z = False
    constraint.set_inverse_pending = False
    constraint.inverse_matrix = Matrix(np.linalg.inv(matrix).tolist())
    constraint.influence = 1.0
    if span.sides:
        _key_influence(obj, constraint, span, 1.0, beyond.still(0.0, span))


def _let_go(obj, constraint, span: Span) -> None:
    """Take a constraint out of a shot; and away, where no other shot needs it."""
    path = _influence_path(constraint)
    curve = next((each for each in compat.fcurves(obj) if each.data_path == path), None)
    if curve is None or not len(curve.keyframe_points):
        kept = beyond.still(constraint.influence, span)
    else:
        kept = beyond.of(curve, span)
    if not any(key.value for key in kept):
        compat.remove_fcurves(obj, path)
        obj.constraints.remove(constraint)
        return
    _clear(obj, path, span)
    _key_influence(obj, constraint, span, 0.0, kept)


def _influence_path(constraint) -> str:
    return f'constraints["{bpy.utils.escape_identifier(constraint.name)}"].influence'


def _key_influence(obj, constraint, span: Span, value: float, kept: Sequence[beyond.Key]) -> None:
    """Key what a constraint does in a shot, as it does other things beyond."""
    constraint.influence = value
    constraint.keyframe_insert("influence", frame=span.first)
    path = _influence_path(constraint)
    for curve in compat.fcurves(obj):
        if curve.data_path == path:
            for key in curve.keyframe_points:
                if span.holds(key.co.x):
                    key.interpolation = "CONSTANT"
            beyond.put_back(curve, kept)


def _clear(obj, path: str, span: Span) -> None:
    """Remove the keyframes that a property has in a shot, and its F-Curves where none are left."""
    left = False
    for curve in compat.fcurves(obj):
        if curve.data_path != path:
            continue
        for key in reversed(curve.keyframe_points):
            if span.holds(key.co.x):
                curve.keyframe_points.remove(key, fast=True)
        curve.update()
        left = left or len(curve.keyframe_points) > 0
    if not left:
        compat.remove_fcurves(obj, path)


def _shape(curve, poses: Sequence[Pose], part: int, unit: float, span: Span) -> None:
    """Give an F-Curve the speeds of the poses, or straight lines where there are none, and a cut at the
    shot's end.
    """
    own = [key for key in curve.keyframe_points if span.holds(key.co.x)]
    for key, pose in zip(own, poses, strict=True):
        smooth = pose.leaving is not None or pose.arriving is not None
        key.interpolation = "BEZIER" if smooth else "LINEAR"
        key.handle_left_type = key.handle_right_type = "FREE" if smooth else "VECTOR"
    for (left, start), (right, end) in pairwise(zip(own, poses, strict=True)):
        if start.leaving is None or end.arriving is None:
            continue
        third = (end.frame - start.frame) / 3
        left.handle_right = start.frame + third, left.co.y + unit * start.leaving[part]
        right.handle_left = end.frame - third, right.co.y + unit * end.arriving[part]
    if span.after:
        own[-1].interpolation = "CONSTANT"
    curve.update()
