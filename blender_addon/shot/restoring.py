# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring back what a take was made with: the inverse of :mod:`.job`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import bpy
import numpy as np

from .. import compat
from ..borders import places
from ..engine import catalogue
from ..errors import PeekabooError
from . import loras, settings, shots, stating, subjects, timed_phrases
from .model import is_of_others, model_of

STRENGTH = "peekaboo.strength"
"""Data path of a subject's strength, from its object."""
OWN = ("prompt", "seed")
"""Settings that a shot between markers may have for itself."""
SAME_STRENGTH = 6e-5
"""Up to so much strengths are the same: a job has them with four digits."""


class _Change(NamedTuple):
    """A property that gets a value."""

    owner: Any
    name: str
    value: Any


def restore(scene, job: Mapping, folder: Path | None = None) -> list[str]:
    """Set a scene as it was for a job, as far as its objects still exist; where they are is left alone.

    Prompt, phrases over time, model, seed, sampling, control, what makes the masks, phrases, outlines and
    strengths of the subjects, frame range (of a picture, its frame too) and frame rate are brought back;
    where a shot between markers has just those frames, it gets prompt and seed, and all frames stay. What an
    older job does not tell becomes what it is in a new scene, and is said. Subjects that the take did not
    have are disabled, not removed.

    Args:
        scene: that gets the settings.
        job: as ``job.json`` states it, checked.
        folder: of the job, where the pictures are that it starts from and ends with.

    Returns:
        What could not be brought back, in words.

    Raises:
        PeekabooError: a setting cannot be what the job says; then nothing was changed.
    """
    stated = {subject["name"]: subject for subject in job["subjects"]}
    found = {name: obj for name in stated if (obj := scene.objects.get(name)) is not None}
    foreign = is_of_others(scene, job["model"])
    changes = _of_shot(scene, job, foreign)
    untold = _untold(scene, job)
    for name, obj in found.items():
        changes += _changes(obj.peekaboo, stated[name], settings.SUBJECT)
    for change in changes:
        if problem := stating.problem(change.owner, change.name, change.value):
            raise PeekabooError(f"The take's settings cannot be restored: {problem}")
    for change in changes:
        setattr(change.owner, change.name, change.value)
    timed_phrases.set_list(scene, job["prompt"], job.get("timed_phrases", ()))
    for obj in subjects.marked(scene):
        obj.peekaboo.enabled = obj.name in found
    left = _restore_pictures(scene, job, folder)
    if foreign:
        where = f'"{job["model"]}", on another machine'
        left.append(f"the model is {where}: type that path yourself where you trust whoever made the take")
    if untold:
        left.append(f"the take does not tell {', '.join(untold)}, which are as in a new scene")
    left += [f'no object "{name}" is left' for name in stated if name not in found]
    for name, obj in found.items():
        if not obj.peekaboo.is_subject:
            subjects.mark(scene, obj)
        if not _restore_strength(obj, stated[name].get("strength"), job["timing"]["scene_frames"]):
            left.append(f'the strength of "{name}" is driven')
    return left


def _of_shot(scene, job: Mapping, foreign: bool) -> list[_Change]:
    timing = job["timing"]
    times = timing["scene_frames"]
    first, last = timing["frame_start"], timing["frame_start"] + timing["frame_count"] - 1
    changes = _changes(scene.peekaboo, job, settings.SHOT)
    changes.append(_Change(scene.peekaboo, "loras", loras.text_of(job.get("loras", ()))))
    changes += [_Change(scene.render, name, timing[name]) for name in ("fps", "fps_base")]
    if len(times) == 1:  # a picture of it
        changes.append(_Change(scene, "frame_current", round(times[0])))
    if foreign:
        changes = [change for change in changes if change.name != "model"]
    changes += _of_size(scene, job, foreign)
    shot = shots.with_range(scene, first, last)
    if shot is not None:
        own = scene.timeline_markers[shot.marker].peekaboo
        prompt = "" if job["prompt"] == scene.peekaboo.prompt else job["prompt"]
        changes = [change for change in changes if change.name not in OWN]
        return [*changes, _Change(own, "prompt", prompt), _Change(own, "seed", job["seed"])]
    return [*changes, _Change(scene.peekaboo, "seed_mode", "FIXED"), *_of_range(scene, first, last)]


def _of_size(scene, job: Mapping, foreign: bool) -> list[_Change]:
    """The size of a job's clip: that of the model, which is the scene's where the job's is left alone."""
    width, height, num_frames = job["width"], job["height"], job["num_frames"]
    own = width, height, num_frames
    with suppress(PeekabooError):  # of a model that is gone
        own = catalogue.model_size(model_of(scene) if foreign else job["model"])
    settings, is_own = scene.peekaboo, own[:2] == (width, height)
    custom = [_Change(settings, "width", width), _Change(settings, "height", height)]
    return [
        _Change(settings, "size", "model" if is_own else "custom"),
        *([] if is_own else custom),
        _Change(settings, "frames", "model" if own[2] == num_frames else "shot"),
    ]


def _of_range(scene, start: int, end: int) -> list[_Change]:
    """The range that clips are made of: see :func:`.shots.range_of`."""
    kind = "preview_" if scene.use_preview_range else ""
    return [_Change(scene, f"frame_{kind}end", end), _Change(scene, f"frame_{kind}start", start)]


def _restore_pictures(scene, job: Mapping, folder: Path | None) -> list[str]:
    """Take the pictures of a take itself: the user's own file may be another by now."""
    gone = []
    for choice, field, setting, what in (
        ("start_from", "first_frame", "picture", "starts from"),
        ("end_with", "last_frame", "last_picture", "ends with"),
    ):
        if job.get(choice) != "picture" or not (name := job.get(field)):
            continue
        if folder is None or not places.is_file(folder / name):
            gone.append(f"the picture that it {what} is gone")
            continue
        picture = str(folder / name)  # which moves with the file
        setattr(scene.peekaboo, setting, bpy.path.relpath(picture) if bpy.data.filepath else picture)
    return gone


def _changes(owner, job: Mapping, table: Mapping[str, settings.Setting]) -> list[_Change]:
    told = stating.restored(job, table)
    values = {name: told.get(name, _default(owner, name)) for name, setting in table.items() if setting.job}
    return [_Change(owner, name, value) for name, value in values.items()]


def _default(owner, name: str) -> Any:
    return owner.bl_rna.properties[name].default


def _untold(scene, job: Mapping) -> list[str]:
    """Names of the shot's settings that a job does not tell and that are not as in a new scene."""
    owner, told = scene.peekaboo, stating.restored(job, settings.SHOT)
    names = [
        owner.bl_rna.properties[name].name
        for name, setting in settings.SHOT.items()
        if setting.job and name not in told and getattr(owner, name) != _default(owner, name)
    ]
    return [*names, *(["LoRAs"] if "loras" not in job and owner.loras else [])]


def _restore_strength(obj, shares: list[float] | None, times: list[float]) -> bool:
    """Give a subject its strength at each time, where it is another now; whether that was possible."""
    shares = shares or [1.0] * len(times)
    curve = next((curve for curve in compat.fcurves(obj) if curve.data_path == STRENGTH), None)
    held = [curve.evaluate(time) if curve else obj.peekaboo.strength for time in times]
    if np.allclose(np.clip(held, 0, 1), shares, rtol=0, atol=SAME_STRENGTH):
        return True
    animation = obj.animation_data
    if animation and any(driver.data_path == STRENGTH for driver in animation.drivers):
        return False
    compat.own_action(obj)  # copies that share it keep theirs
    compat.remove_fcurves(obj, STRENGTH)
    if min(shares) == max(shares):
        obj.peekaboo.strength = shares[0]
        return True
    for time, share in zip(times, shares, strict=True):
        obj.peekaboo.strength = share
        obj.keyframe_insert(STRENGTH, frame=time)
    for curve in compat.fcurves(obj):
        if curve.data_path == STRENGTH:
            for key in curve.keyframe_points:
                key.interpolation = "LINEAR"
    return True
