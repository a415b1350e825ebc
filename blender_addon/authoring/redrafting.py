# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene shows as a plan, and a changed plan back into the scene; who is not changed stays
untouched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import bpy
import numpy as np

from .. import compat
from ..engine.plans import MAX_KEYS, MAX_SUBJECTS, Key, Plan, Shot, Subject
from ..errors import PeekabooError
from ..masks import sampling
from ..masks.cast import Role
from ..shot import subjects
from ..shot.size import picture_of
from .drafts import View, add, box_of, in_world, lens_at, look, move_camera, shot_range, write
from .fitting import fit, unit_points
from .keyframing import check_free


@dataclass(frozen=True)
class Present:
    """What a scene shows, as a plan.

    Attributes:
        plan: of one shot.
        objects: of its subjects, by their ids.
        view: of the camera.
        sizes: what each object is at its first key: points of its solid around its origin in the camera's
            space, (n, 3), and its scale, (3,).
        moves: how each object moves, as :func:`moves_of` states it.
    """

    plan: Plan
    objects: dict[str, Any]
    view: View
    sizes: dict[str, tuple[np.ndarray, np.ndarray]]
    moves: dict[str, tuple]

    @property
    def holds(self) -> bool:
        """Whether its objects still move as they did: an answer may take minutes, in which people work."""
        return all(moves_of(obj) == self.moves[name] for name, obj in self.objects.items())


def moves_of(obj) -> tuple:
    """All that keyframes say of an object, and where it is where there are none."""
    curves = tuple(
        (curve.data_path, curve.array_index, tuple((key.co.x, key.co.y) for key in curve.keyframe_points))
        for curve in compat.fcurves(obj)
    )
    return curves or (tuple(obj.location), tuple(obj.rotation_euler), tuple(obj.scale))


def present(scene) -> Present:
    """State the enabled subjects of the current shot as a plan; those that a box cannot stand for are left
    out.

    Raises:
        PeekabooError: there is no camera, or nobody to change.
    """
    first, last = shot_range(scene)
    candidates = [
        obj
        for obj in subjects.marked(scene)
        if obj.peekaboo.enabled and subjects.is_kept(obj) and _points(obj) is not None
    ]
    frames = {obj: _key_frames(obj, first, last) for obj in candidates[:MAX_SUBJECTS]}
    if not frames:
        raise PeekabooError("There is no subject to change: make a draft first, or add a subject.")
    view = look(scene, first, last, {frame for own in frames.values() for frame in own})
    matrices = _matrices(scene, frames)
    to_camera = np.linalg.inv(view.matrix)
    away = {place: -(to_camera @ matrix[:, 3])[2] for place, matrix in matrices.items()}
    before = [distance for distance in away.values() if distance > 1e-3] or [view.near]
    view = replace(view, near=min(view.near, *before), far=max(view.far, *before))
    planned: list[Subject] = []
    objects: dict[str, Any] = {}
    sizes: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for obj, own in frames.items():
        keys = [_key(obj, frame, matrices[obj, frame], to_camera, view) for frame in own]
        if any(key is None for key in keys) or not view.still:
            continue
        name = _id(obj.name, objects)
        planned.append(Subject(name, obj.peekaboo.phrase or obj.name, "box", tuple(keys)))  # type: ignore[arg-type]
        objects[name] = obj
        matrix = to_camera @ matrices[obj, own[0]]
        sizes[name] = _points(obj) @ matrix[:3, :3].T, np.array(obj.scale)
    if not planned:
        raise PeekabooError("No subject is before a camera that stands still: change the keyframes by hand.")
    shot = Shot(
        scene.peekaboo.prompt or " ".join(one.phrase for one in planned), "", "none", 0.3, tuple(planned)
    )
    width, height = picture_of(scene)
    moves = {name: moves_of(obj) for name, obj in objects.items()}
    return Present(Plan(width / height, (shot,)), objects, view, sizes, moves)


def _matrices(scene, frames: Mapping[Any, Sequence[int]]) -> dict[tuple[Any, int], np.ndarray]:
    """World matrices of objects at frames of their own, by both."""
    times = sorted({frame for own in frames.values() for frame in own})

    def read(sampler: sampling.Sampler) -> dict:
        return {
            (obj, frame): sampler.matrix(obj, frame)
            for frame in times
            for obj in frames
            if frame in frames[obj]
        }

    return sampling.sample(scene, [Role((obj,)) for obj in frames], times, read)


def _points(obj) -> np.ndarray | None:
    """Points of an object's solid in its own space; None of what no box can stand for."""
    if obj.type == "EMPTY" and obj.instance_type == "NONE" and not obj.children:
        return unit_points(obj.empty_display_type) * obj.empty_display_size
    return np.array(obj.bound_box) if obj.type == "MESH" else None


def _key_frames(obj, first: int, last: int) -> list[int]:
    """Frames of an object's keyframes in a range, at most as many as a plan has, both ends among them."""
    found = {
        round(key.co.x)
        for curve in compat.fcurves(obj)
        for key in curve.keyframe_points
        if curve.data_path in {"location", "scale"} and first <= key.co.x <= last
    }
    between = sorted(found - {first, last})
    room = MAX_KEYS - 2
    if len(between) > room:
        between = [between[index * len(between) // room] for index in range(room)]
    return [first, *between, last]


def _key(obj, frame: int, matrix: np.ndarray, to_camera: np.ndarray, view: View) -> Key | None:
    points = _points(obj) @ (to_camera @ matrix)[:3, :3].T + (to_camera @ matrix)[:3, 3]
    if points[:, 2].max() > -1e-3:
        return None
    x1, y1, x2, y2 = lens_at(view, frame).box(points)
    distance = -(to_camera @ matrix)[2, 3]
    depth = (distance - view.near) / max(1e-9, view.far - view.near)
    key = Key((frame - view.first) / (view.last - view.first), (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1,
              min(1.0, max(0.0, depth)))  # fmt: skip
    fits = -1 <= key.x <= 2 and -1 <= key.y <= 2 and 1e-4 <= key.width <= 1.5 and 1e-4 <= key.height <= 1.5
    return key if fits else None


def _id(name: str, taken: dict) -> str:
    base = re.sub(r"[^\w -]+", " ", name).strip()[:50] or "subject"
    found, number = base, 2
    while found in taken:
        found, number = f"{base} {number}", number + 1
    return found


def change(scene, before: Present, plan: Plan, collection=None) -> tuple[list, list[str]]:
    """Let a scene show a changed plan: who is as before stays untouched; returns whom it changed, and notes.

    Raises:
        PeekabooError: something but keyframes moves one of them.
    """
    shot, old = plan.shots[0], {subject.id: subject for subject in before.plan.shots[0].subjects}
    changed = [subject for subject in shot.subjects if _differs(subject, old.get(subject.id))]
    for subject in changed:
        if subject.id in before.objects:
            check_free(before.objects[subject.id])
    made = []
    for subject in changed:
        obj = before.objects.get(subject.id)
        if obj is None:
            made.append(add(scene, subject, before.view, collection, alone=True))
        else:
            _rewrite(obj, subject, before)
            made.append(obj)
    for name in old.keys() - {subject.id for subject in shot.subjects}:
        obj = before.objects[name]
        if obj.type == "EMPTY" and obj.override_library is None:
            _take_out(scene, obj)
        else:
            subjects.unmark(obj)
    scene.peekaboo.prompt = shot.prompt
    return made, move_camera(before.view, shot)


def _take_out(scene, obj) -> None:
    """Remove an object as Blender's Delete does: from a scene, and from the file where no other has it."""
    for holder in obj.users_collection:
        if holder == scene.collection or holder in scene.collection.children_recursive:
            holder.objects.unlink(obj)
    if not obj.users_scene:
        bpy.data.objects.remove(obj)


def _differs(subject: Subject, old: Subject | None) -> bool:
    """Whether keys are others by more than a plan is rounded to."""
    if old is None or len(old.keys) != len(subject.keys):
        return True
    was, wanted = (np.array([astuple(key) for key in one.keys]) for one in (old, subject))
    return not np.allclose(was, wanted, atol=2e-4)


def _rewrite(obj, subject: Subject, before: Present) -> None:
    points, scale = before.sizes[subject.id]
    offset = np.array(obj.delta_location)
    poses = {}
    for key in subject.keys:
        frame = before.view.frame(key.time)
        lens, distance = lens_at(before.view, frame), before.view.distance(key.depth)
        origin, factors = fit(points, box_of(key), distance, lens, stretch=False)
        poses[frame] = in_world(before.view, origin) - offset, scale * factors[0]
    write(obj, poses)
