# SPDX-License-Identifier: GPL-3.0-or-later
"""What a farm's machine does in Blender: the masks of shots of a plan.

Each clip has a folder in the output folder, which is that of a take once the clip is made: ``job`` in it is
written here. What is wrong with a shot is written there as ``problem.json``, which the engine's
``farm/results.py`` reads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy

from .. import paths
from ..borders import places
from ..borders.documents import MAX_BYTES
from ..engine import catalogue
from ..errors import PeekabooError
from ..shot import pictures, schedule, shots
from ..shot.job import make_job, write_job
from ..shot.layout import Layout, read_shot
from ..shot.model import model_of
from . import files, scenes
from . import plan as plans
from .plan import Clip, Plan

PROBLEM = "problem.json"
"""In the folder of a clip: why there is none."""
NO_MASKS = "no_masks"
"""Code of the problems that are written here."""


def masks(
    plan: Plan, name: str, out: Path, progress: Callable[[str, int, int], None], keep_faults: bool = False
) -> str:
    """Write the jobs of the clips of a task's shots; one that is at fault stops no other.

    Args:
        plan: of the open file.
        name: of a task, or of a shot.
        out: output folder of the plan, and of no other.
        progress: is told what is done, and how far of how much.
        keep_faults: whether what this machine lacks for a shot is kept for the last task, and no error.

    Returns:
        What is wrong with a shot, of which clips of some model have no job then; empty where nothing is.

    Raises:
        PeekabooError: this machine cannot do it all.
    """
    claim(plan, out)
    wanted = _shots(plan, name)
    linked = [clip.name for shot in wanted for clip in shot.clips if places.is_link(out / clip.name)]
    if linked:
        raise PeekabooError(
            f'"{out / linked[0]}" is a link to another folder, which is left alone: remove it.'
        )
    _place_caches(plan)
    problems: list[str] = []
    faults: list[PeekabooError] = []
    for shot in wanted:
        try:
            problems.append(_masks_of(shot, out, progress))
        except PeekabooError as error:
            if not keep_faults:
                faults.append(error)
                continue
            _give_up(shot, out, str(error))
            problems.append(str(error))
    if faults:
        raise faults[0]
    return next(filter(None, problems), "")


def give_up(plan: Plan, name: str, out: Path, message: str) -> None:
    """Keep for the last task why this machine cannot make the masks of a task.

    Raises:
        PeekabooError: the output folder is of another plan, or cannot be written.
    """
    claim(plan, out)
    for shot in _shots(plan, name):
        _give_up(shot, out, message)


def _give_up(shot: plans.Shot, out: Path, message: str) -> None:
    for clip in shot.clips:
        _keep_problem(out / clip.name, message)


def _shots(plan: Plan, name: str) -> tuple[plans.Shot, ...]:
    found = plan.shots_of(name)
    if not found:
        raise PeekabooError(f'The plan has no shot "{name}": export the job again, and submit it as it is.')
    return found


def _place_caches(plan: Plan) -> None:
    """Let the open file find what Blender did not restate in its copy, and see that nothing is missing.

    Raises:
        PeekabooError: what the masks depend on is not on this machine.
    """
    known = {cache.of: cache.path for cache in plan.caches}
    for stated in files.stated_paths():
        if not stated.is_restated and stated.block.library is None and (place := known.get(stated.of)):
            stated.state(place)
    missing = [
        file
        for file in files.linked_files()
        if file.is_shape and (file.is_missing or (file.of in known and not file.is_there))
    ]
    if missing:
        raise PeekabooError(
            f"Files that the scene links are not on this machine: {files.in_words(missing)}; add them to "
            "what the farm brings along, or map their paths."
        )


def _masks_of(shot: plans.Shot, out: Path, progress: Callable[[str, int, int], None]) -> str:
    """Write the jobs of a shot's clips; returns what is wrong with it."""
    scene, found = _shot_of(shot)
    problem = ""
    for model, clips in _by_model(shot).items():
        made = _read(scene, found, model, progress)
        if isinstance(made, str):
            problem = problem or made
            for clip in clips:
                _keep_problem(out / clip.name, made)
            continue
        layout, given = made
        for clip in clips:
            job = make_job(scene, layout, clip.seed, given, found)
            write_job(job, layout.labels, out / clip.name / "job", given)
            with suppress(OSError):
                (out / clip.name / PROBLEM).unlink(missing_ok=True)
    return problem


def claim(plan: Plan, out: Path) -> None:
    """Let an output folder be that of a plan; tasks of other plans are refused there from then on.

    Raises:
        PeekabooError: it is of another one, or cannot be written.
    """
    text = f"{json.dumps(plan.stated(), indent=1)}\n".encode()
    try:
        with places.opened(out) as folder:
            if folder.claim(plans.FILE, text):
                return
            _await_whole(out / plans.FILE)
            there = plans.read(out / plans.FILE, "remove it if the folder has clips of this job")
            _require(there, plan, out)
            if there != plan:  # tasks that begin at once do not replace what each of them reads
                folder.write(plans.FILE, lambda file: file.write(text))
    except OSError as error:
        raise PeekabooError(
            f'The output folder "{out}" cannot be written ({error.strerror or error}): free some space, or '
            "choose another one."
        ) from None


def _await_whole(path: Path) -> None:
    """Wait a little for a machine that is writing its claim, on a disk without hard links."""
    until = time.monotonic() + CLAIM_SECONDS
    while time.monotonic() < until:
        with suppress(OSError):
            if places.read_file(path, MAX_BYTES, follow=True).endswith(b"\n"):
                return
        time.sleep(0.05)


CLAIM_SECONDS = 2.0
"""That writing a claim takes at most."""


def _require(there: Plan, plan: Plan, out: Path) -> None:
    if there.id != plan.id:
        raise PeekabooError(
            f'The output folder "{out}" has the clips of another farm job, made of {there.blend}: choose '
            "another folder, or move that away."
        )


def _shot_of(planned: plans.Shot) -> tuple[Any, shots.Shot]:
    """The scene of a planned shot in the open file, and the shot."""
    scene = bpy.data.scenes.get(planned.scene)
    found: list[shots.Shot] = [] if scene is None else shots.shots_of(scene)
    for shot in found:
        if (shot.title, shot.first, shot.last) == (planned.title, planned.first, planned.last):
            return scene, shot
    of = f', shot "{planned.title}"' if planned.title else ""
    raise PeekabooError(
        f'The file has no scene "{planned.scene}"{of} in frames {planned.first} to {planned.last}: give the '
        ".blend of the farm job, or export it again."
    )


def _by_model(shot: plans.Shot) -> dict[str, list[Clip]]:
    found: dict[str, list[Clip]] = {}
    for clip in shot.clips:
        found.setdefault(clip.model, []).append(clip)
    return found


def _read(
    scene, shot: shots.Shot, model: str, progress: Callable[[str, int, int], None]
) -> tuple[Layout, dict[str, pictures.Picture]] | str:
    """A shot's layout for a model, and the pictures that it is given; or what is wrong with it.

    Raises:
        PeekabooError: the machine lacks the model's folder or the picture.
    """
    settings = scene.peekaboo
    settings.model = model
    catalogue.model_size(model_of(scene))
    for picture in map(paths.absolute, scenes.pictures_of(settings).values()):
        if not places.is_file(picture):
            raise PeekabooError(
                f'The picture "{picture}" is not on this machine: add it to what the farm brings along.'
            )
    try:
        pictures.check(scene)
        schedule.check(scene)
        layout = read_shot(
            scene,
            lambda done, total: progress("masks", done, total),
            lambda done, total: progress("simulation", done, total),
            shot,
        )
        return layout, pictures.of(scene, layout.timing.scene_frames)
    except PeekabooError as error:
        return str(error)


def _keep_problem(folder: Path, message: str) -> None:
    """Keep why a clip has no masks; a job of earlier ones is taken away, lest it be made."""
    text = f"{json.dumps({'code': NO_MASKS, 'message': message})}\n".encode()
    try:
        with places.opened(folder) as opened:  # which a link is not
            if not places.is_link(folder / "job"):
                (folder / "job" / "job.json").unlink(missing_ok=True)
            opened.write(PROBLEM, lambda file: file.write(text))
    except OSError as error:
        raise PeekabooError(
            f'"{folder}" cannot be written ({error.strerror or error}): free some space, or choose another '
            "output folder."
        ) from None
