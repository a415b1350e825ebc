# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan to keyframed empties before the camera, and what is there to a plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from .. import compat
from ..engine.plans import Key, Plan, Shot, Subject
from ..errors import PeekabooError
from ..masks import cameras, sampling
from ..shot import phrases, shots, subjects
from ..shot.size import picture_of
from . import placing
from .box_tracks import follow
from .fitting import Lens, fit, unit_points

SHAPES = {"box": "CUBE", "ellipsoid": "SPHERE", "ring": "SPHERE", "cone": "CONE", "cylinder": "CUBE"}
"""Of a plan, to those of empties; an empty's circle lies flat, so that a ring is the ball around it."""
NEAR, FAR = 0.6, 1.4
"""Distances of what is nearest and furthest in a plan, over that of the 3D cursor."""
PAN = 0.8
"""Of the picture that a camera turns by at the most."""


@dataclass(frozen=True)
class View:
    """A scene's camera over the frames of a shot.

    Attributes:
        first, last: frames of the scene.
        camera: the object.
        matrix: camera space to world at the first frame, without scale: (4, 4).
        lens: what it makes of points in its space, by frame.
        still: whether it is the same at all frames.
        near, far: distances of a plan's depths 0 and 1.
    """

    first: int
    last: int
    camera: Any
    matrix: np.ndarray
    lens: dict[int, Lens]
    still: bool
    near: float
    far: float

    def frame(self, time: float) -> int:
        """The frame of a plan's time."""
        return self.first + round(time * (self.last - self.first))

    def distance(self, depth: float) -> float:
        """From the camera, of a plan's depth."""
        return self.near + depth * (self.far - self.near)


def shot_range(scene) -> tuple[int, int]:
    """First and last frame of what the current frame is in: a shot, or a part of one between two cuts.

    Raises:
        PeekabooError: it is a single frame, or the scene's range is empty.
    """
    shot = shots.shot_at(scene, scene.frame_current)
    first, last = shot.first, shot.last
    edges = [first, *cameras.cuts(scene, first, last), last + 1]
    here = min(max(scene.frame_current, first), last)
    for begin, end in pairwise(edges):
        if begin <= here < end:
            first, last = begin, end - 1
    if first == last:
        raise PeekabooError("A draft needs two frames at least: set the scene's frame range.")
    return first, last


def draft(
    scene, plan: Plan, collection=None, frames: tuple[int, int] | None = None
) -> tuple[list, list[str]]:
    """Make the subjects of a plan: empties with keyframes, and the camera's move; returns them and notes.

    Several shots share the range: each gets a part of it, a camera like the scene's, and a marker that cuts
    to it; where a marker cuts there already, it is that one.

    Args:
        scene: with a camera.
        plan: of what is to be seen.
        collection: gets the empties; the scene's own by default.
        frames: first and last one of the draft; see :func:`shot_range` for the default.

    Raises:
        PeekabooError: there is no camera to look through.
    """
    first, last = frames or shot_range(scene)
    if last - first + 1 < 2 * len(plan.shots):
        raise PeekabooError(
            f"{len(plan.shots)} shots need more frames than {last - first + 1}: extend the range."
        )
    edges = [round(edge) for edge in np.linspace(first, last + 1, len(plan.shots) + 1)]
    made, notes, told = [], [], {}
    view = look(scene, first, last)
    for number, shot in enumerate(plan.shots):
        part = replace(view, first=edges[number], last=edges[number + 1] - 1)
        if number:
            part = replace(part, camera=_another_camera(scene, view.camera, number))
        if len(plan.shots) > 1:
            bound = (one for one in cameras.bound_markers(scene) if one.frame == part.first)
            marker = next(bound, None) or scene.timeline_markers.new(f"Shot {number + 1}", frame=part.first)
            marker.camera = part.camera
        for subject in shot.subjects:
            made.append(add(scene, subject, part, collection, alone=len(plan.shots) == 1))
        notes += move_camera(part, shot)
        told[part.first, part.last] = shot.prompt
    _tell(scene, told, made)
    return made, notes


def _tell(scene, told: dict[tuple[int, int], str], made: list) -> None:
    """Write a draft into prompts: behind what they say where that names subjects that were there before.

    In a scene that is cut each shot gets a prompt of its own by that, since those of others do not name who
    is new: the scene's own would want them in every shot.

    Args:
        scene: has the draft.
        told: what it says, by the frames that it is for.
        made: the new subjects.
    """
    before, new = scene.peekaboo.prompt, set(made)
    there = [obj for obj in subjects.marked(scene) if obj.peekaboo.enabled and obj not in new]

    def added(prompt: str, text: str, kept: bool = False) -> str:
        kept = kept or any(phrases.occurs(prompt, obj.peekaboo.phrase) for obj in there)
        return f"{prompt.rstrip(' .,')}, {text}" if kept else text

    cut = [shot for shot in shots.shots_of(scene) if shot.marker is not None]
    if len(cut) > 1:
        for shot in cut:
            marker, text = scene.timeline_markers[shot.marker], told.get((shot.first, shot.last))
            if text is not None:
                marker.peekaboo.prompt = added(shot.prompt, text, shot.is_own_prompt)
            elif before.strip() and not shot.is_own_prompt:
                marker.peekaboo.prompt = before
        if before.strip():
            return
    scene.peekaboo.prompt = added(before, " ".join(told.values()))


def _another_camera(scene, camera, number: int):
    other = camera.copy()
    other.data = camera.data.copy()
    other.animation_data_clear()
    other.name = f"{camera.name} {number + 1}"
    scene.collection.objects.link(other)
    return other


def look(scene, first: int, last: int, frames: Iterable[int] = ()) -> View:
    """See what the scene's camera sees from the first to the last frame, and at some between."""
    width, height = picture_of(scene)
    times = sorted({*frames, *(first + round(part * (last - first)) for part in np.linspace(0, 1, 9))})
    camera = cameras.camera_at(scene, first)

    def read(sampler: sampling.Sampler) -> dict:
        views = {}
        for time in times:
            projection = sampler.view(time, width / height)
            pose = sampler.matrix(camera, time)
            views[time] = projection.world_to_clip, _without_scale(pose)
        return views

    views = sampling.sample(scene, [], times, read)
    clip, matrix = views[times[0]]
    still = all(np.allclose(other, clip, rtol=1e-5, atol=1e-6) for other, _ in views.values())
    lenses = {time: Lens.of(*view) for time, view in views.items()}
    base = placing.distance_of_cursor(scene)
    return View(first, last, camera, matrix, lenses, still, NEAR * base, FAR * base)


def _without_scale(matrix: np.ndarray) -> np.ndarray:
    place, turn, _ = Matrix(matrix.tolist()).decompose()
    return np.array(Matrix.LocRotScale(place, turn, None))


# --- subjects --------------------------------------------------------------------------------------------


def add(scene, subject: Subject, view: View, collection, alone: bool):
    """Make an empty that fills a subject's boxes."""
    empty: Any = bpy.data.objects.new(subject.id.capitalize(), None)
    empty.empty_display_type, empty.empty_display_size = SHAPES[subject.shape], 1.0
    subjects.mark(scene, empty, subject.phrase)
    (collection or scene.collection).objects.link(empty)
    if view.still:
        empty.rotation_euler = Matrix(view.matrix.tolist()).to_euler()
    else:
        follow(empty, view.camera)
    points = unit_points(empty.empty_display_type)
    poses = {}
    for key in subject.keys:
        frame = view.frame(key.time)
        origin, scale = fit(points, box_of(key), view.distance(key.depth), lens_at(view, frame), stretch=True)
        poses[frame] = in_world(view, origin) if view.still else origin, scale
    write(empty, poses)
    if not alone:
        for frame, hidden in ((view.first - 1, True), (view.first, False), (view.last + 1, True)):
            empty.hide_render = hidden
            empty.keyframe_insert("hide_render", frame=frame)
        for curve in compat.fcurves(empty):
            for key in curve.keyframe_points if curve.data_path == "hide_render" else ():
                key.interpolation = "CONSTANT"
    return empty


def lens_at(view: View, frame: int) -> Lens:
    """What a camera's lens is at the nearest frame that was looked at."""
    return view.lens[min(view.lens, key=lambda time: abs(time - frame))]


def box_of(key: Key) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of a key."""
    return key.x - key.width / 2, key.y - key.height / 2, key.x + key.width / 2, key.y + key.height / 2


def in_world(view: View, point: np.ndarray) -> np.ndarray:
    """A point of the camera's space."""
    return (view.matrix @ np.append(point, 1.0))[:3]


def write(obj, poses: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    """Put keyframes of location and scale in the place of those that there are; straight, as a plan is."""
    compat.own_action(obj)
    for path in ("location", "scale"):
        compat.remove_fcurves(obj, path)
    for frame, (location, scale) in sorted(poses.items()):
        obj.location, obj.scale = location, scale
        obj.keyframe_insert("location", frame=frame)
        obj.keyframe_insert("scale", frame=frame)
    for curve in compat.fcurves(obj):
        if curve.data_path in {"location", "scale"}:
            for key in curve.keyframe_points:
                key.interpolation = "LINEAR"
            curve.update()


# --- the camera ------------------------------------------------------------------------------------------


def move_camera(view: View, shot: Shot) -> list[str]:
    """Keyframe a camera's move over a shot; returns why not, where something else moves it."""
    if shot.move == "none" or shot.amount == 0:
        return []
    camera = view.camera
    if why := _moved_by(camera, view):
        return [f'The camera "{camera.name}" {why}, so it does not move {shot.move}.']
    seen = lens_at(view, view.first)
    distance = view.distance(0.5)
    reach = 1 / seen.scale(distance)  # of the picture there, in units
    steps = {
        "in": (0, 0, -distance),
        "out": (0, 0, distance),
        "left": (-reach[0], 0, 0),
        "right": (reach[0], 0, 0),
        "up": (0, reach[1], 0),
        "down": (0, -reach[1], 0),
    }
    begin = camera.matrix_world.copy()
    if shot.move in steps:
        goal = begin @ Matrix.Translation(_unscaled(begin, np.array(steps[shot.move]) * shot.amount))
    else:
        axis, sign = {
            "pan left": ("Y", 1),
            "pan right": ("Y", -1),
            "tilt up": ("X", 1),
            "tilt down": ("X", -1),
        }[shot.move]
        half = np.arctan(reach[0 if axis == "Y" else 1] / 2 / distance)
        goal = begin @ Matrix.Rotation(sign * 2 * half * min(PAN, shot.amount), 4, axis)
    compat.own_action(camera)  # what shares it does not move along
    for frame, matrix in ((view.last, goal), (view.first, begin)):
        camera.matrix_world = matrix
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert(_rotation_path(camera), frame=frame)
    return []


def _moved_by(camera, view: View) -> str | None:
    """What else moves a camera, or may; None where keyframes of its own would be all that does."""
    paths = ("location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle")
    drivers = camera.animation_data.drivers if camera.animation_data else ()
    if any(curve.data_path in paths for curve in compat.fcurves(camera)):
        return "is animated already"
    if any(not constraint.mute for constraint in camera.constraints):
        return "is held by a constraint"
    if any(driver.data_path in paths for driver in drivers):
        return "is moved by a driver"
    if not view.still and camera.parent is not None:
        return f'is moved by its parent "{camera.parent.name}"'
    return None if camera.is_editable else "is linked"


def _unscaled(matrix: Matrix, step: np.ndarray):
    """A step in units of the world, for a matrix with a scale."""
    return Matrix.Diagonal(matrix.to_scale()).inverted_safe() @ Matrix.Identity(3) @ _vector(step)


def _vector(values: np.ndarray):
    return Matrix.Translation(values.tolist()).to_translation()


def _rotation_path(obj) -> str:
    modes = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    return modes.get(obj.rotation_mode, "rotation_euler")
