# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder that a farm takes: a copy of the open .blend, the plan of its clips, and a scheduler's job."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import bpy

from .. import paths, saving
from ..borders import places
from ..errors import PeekabooError
from ..masks.simulations import Turns
from ..shot import pictures, prompt, schedule
from . import files, flamenco, openjd, scenes
from . import plan as plans
from .plan import Plan
from .scenes import Wanted

Farm = Literal["openjd", "flamenco"]
"""Whose documents a job has: Open Job Description's, or Flamenco's."""

DOCUMENTS = {*openjd.FILES.values(), flamenco.FILE, flamenco.JOB_TYPE}
"""What a folder may have for a scheduler."""
MIB = 2**20
A_TURN = 16 * MIB
"""Bytes of simulations that are copied in a turn."""


@dataclass(frozen=True)
class Bundle:
    """What was written.

    Attributes:
        folder: with all of it.
        plan: of its clips.
        notes: sentences about what may not be as it was meant.
    """

    folder: Path
    plan: Plan
    notes: tuple[str, ...]


def write(
    wanted: Sequence[Wanted],
    models: Sequence[str],
    folder: Path,
    prompt_of_all: str | None = None,
    farm: Farm = "openjd",
    clips_a_task: int | None = None,
) -> Bundle:
    """Write a bundle at once; see :func:`write_in_turns`."""
    work = write_in_turns(wanted, models, folder, prompt_of_all, farm, clips_a_task)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def write_in_turns(
    wanted: Sequence[Wanted],
    models: Sequence[str],
    folder: Path,
    prompt_of_all: str | None = None,
    farm: Farm = "openjd",
    clips_a_task: int | None = None,
) -> Turns[Bundle]:
    """Write a bundle. One that is there of an earlier export is replaced, and its clips stay.

    The .blend comes first, then its simulations a turn at a time, and what a scheduler reads last. The open
    file stays as it is, and need not be saved: its copy has what is not saved, too.

    Args:
        wanted: what is to be made.
        models: names or folders, each of which makes all of it; those of the scenes by default.
        folder: new, empty, or of an earlier bundle.
        prompt_of_all: takes the place of those that shots have of their own.
        farm: whose documents the folder gets.
        clips_a_task: see :func:`.scenes.plan_of`.

    Raises:
        PeekabooError: a shot cannot be made as it is, a file is missing that the masks depend on, or the
            folder cannot be written.
    """
    if not bpy.data.filepath:
        raise PeekabooError("The scene was never saved to a file, and a farm job has a copy of one: save it.")
    id = _id(folder)
    source = Path(bpy.data.filepath)
    if _is_same(folder / source.name, source):
        raise PeekabooError(
            f'"{bpy.data.filepath}" is the copy that a farm job has: open the file that it was made of, '
            "or choose another folder."
        )
    own = list({each.scene.name: each.scene for each in wanted}.values())
    notes = _check(wanted, models)
    plan = scenes.plan_of(wanted, models, id, folder, clips_a_task)
    texts = _documents(plan, own, folder, farm)
    try:
        with places.opened(folder) as opened:
            with scenes.located(own, folder, prompt_of_all):
                saving.save_blend(folder / source.name)
            for name in DOCUMENTS:  # of an earlier export: what is not whole is not submitted
                (folder / name).unlink(missing_ok=True)
            stated = f"{json.dumps(plan.stated(), indent=1)}\n"
            opened.write(plans.FILE, lambda file: file.write(stated.encode()))
            yield from _copy_caches(source, folder)  # left or failed now, the folder can be exported to again
            for name, text in texts.items():
                opened.write(name, lambda file, text=text: file.write(text.encode()))
    except OSError as error:
        raise PeekabooError(
            f'The farm job cannot be written to "{folder}" ({error.strerror or error}): choose another '
            "folder, or free disk space."
        ) from None
    return Bundle(folder, plan, notes)


def _documents(plan: Plan, own: Sequence[Any], folder: Path, farm: Farm) -> dict[str, str]:
    """The files by name that a scheduler reads."""
    title = paths.file_name(Path(bpy.data.filepath).stem)
    if farm == "flamenco":
        return flamenco.documents(plan, title, folder.absolute())
    return openjd.documents(plan, title, *_references(own, plan, folder))


def _check(wanted: Sequence[Wanted], models: Sequence[str]) -> tuple[str, ...]:
    """Refuse what no machine could make; returns what is to be said of the rest."""
    for each in wanted:
        prompt.check_prompt(each.scene, each.shot)
        before = each.scene.peekaboo.model
        try:
            for model in models or [before]:
                each.scene.peekaboo.model = model
                pictures.check(each.scene)
                schedule.check(each.scene)
        finally:
            each.scene.peekaboo.model = before
    choices = [getattr(each.scene.peekaboo, choice) for each in wanted for choice in pictures.CHOICES]
    rendered = "rendered" in choices
    linked = files.linked_files()
    beside = files.cache_of(Path(bpy.data.filepath))
    if places.is_link(beside) and any(file.path == beside for file in linked):
        raise PeekabooError(
            f'"{beside}" is a link to another folder, and a farm job has a copy of what lies beside the '
            ".blend: put the folder itself there."
        )
    missing = [file for file in linked if file.is_missing]
    needed = [file for file in missing if file.is_shape or rendered]
    if needed:
        raise PeekabooError(
            f"Files that the scene links are not there: {files.in_words(needed)}; find them by File ▸ "
            "External Data ▸ Find Missing Files, bake simulations again, or remove what uses them."
        )
    notes = []
    if missing:
        notes.append(f"Not there, but not needed for the masks: {files.in_words(missing)}.")
    if links := _links_in(beside):
        notes.append(f"Links are not followed, so these simulations are not in the job: {', '.join(links)}.")
    if files.writes_caches():
        notes.append(
            "Simulations that are not baked keep their frames in files, so that one task makes the masks of "
            "all shots, after playing them: bake them to let machines share that work."
        )
    return tuple(notes)


def own_folder(folder: Path) -> Path:
    """A folder that a job of the open file may have: this one or, where that has other files, one in it."""
    try:
        if places.is_file(folder / plans.FILE) or not any(folder.iterdir()):
            return folder
    except OSError:  # there is none, or it cannot be read, which writing it tells
        return folder
    return folder / f"{paths.file_name(Path(bpy.data.filepath).stem)}_farm"


def _is_same(path: Path, other: Path) -> bool:
    """Whether two paths, also by a drive's letter and by a share's name, are of one file."""
    try:
        return path.samefile(other)
    except OSError:  # one is not there
        return False


def _id(folder: Path) -> str:
    """The id of a plan that is there already, or a new one.

    Raises:
        PeekabooError: the folder has something else.
    """
    if places.is_file(folder / plans.FILE):
        return plans.read(folder / plans.FILE).id
    if own_folder(folder) != folder:
        raise PeekabooError(
            f'The folder "{folder}" has files that are of no farm job: choose an empty one, or a new name.'
        )
    return secrets.token_hex(8)


def _references(own: Sequence[Any], plan: Plan, folder: Path) -> tuple[list[str], list[str]]:
    """Files and folders outside of the bundle that tasks read, relative to it; others lie on other drives."""
    linked = files.linked_files()
    found = [path for file in linked for path in file.files()] + scenes.files_of_settings(own)
    models = {clip.model for shot in plan.shots for clip in shot.clips if clip.model.startswith("//")}
    folders = {model.removeprefix("//") for model in models}
    cache = files.own_cache(Path(bpy.data.filepath))
    caches = {file.path for file in linked if file.prefix is not None and file.is_there}
    if cache:
        folders.add(cache.name)  # of which the bundle has a copy
        caches = {path for path in caches if path != cache and cache not in path.parents}
    return _relative(found, folder), sorted({*folders, *_relative(caches, folder)})


def _relative(whole: Iterable[Path], folder: Path) -> list[str]:
    """Paths as they are from a folder; without those on another drive of Windows, which a farm's path mapping
    may know."""
    found = set()
    for path in whole:
        with suppress(ValueError):
            found.add(Path(os.path.relpath(path, folder)).as_posix())
    return sorted(found)


def _copy_caches(source: Path, folder: Path) -> Turns[None]:
    """Copy the simulations beside a .blend, since Blender looks for them beside the copy.

    Those of an earlier export are taken away: Blender would play them where there are none any more. A copy
    that does not come to its end is, too.
    """
    copy = files.cache_of(folder / source.name)
    if places.is_link(copy):
        copy.unlink()
    elif places.is_folder(copy):
        shutil.rmtree(copy)
    cache = files.own_cache(source)
    if cache is None:
        return
    own = _states(cache)
    total = sum(size for size, _ in own.values())
    done = 0
    copy.mkdir()
    try:
        for path in own:
            there = copy / path.relative_to(cache)
            there.parent.mkdir(parents=True, exist_ok=True)
            with places.open_file(path) as read, there.open("xb") as written:
                while data := read.read(MIB):
                    written.write(data)
                    if done // A_TURN != (done := done + len(data)) // A_TURN:
                        yield "Copying simulations, MiB", done // MIB, max(1, total // MIB)
        if _states(cache) != own:
            raise FileNotFoundError
    except FileNotFoundError:  # of two bakes, one would play the frames of both
        shutil.rmtree(copy, ignore_errors=True)
        raise PeekabooError(
            f'The simulations in "{cache}" were changed while they were copied: export the job again.'
        ) from None
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise


def _links_in(cache: Path) -> list[str]:
    """Names of what is linked in a folder of simulations; the first of many."""
    found = [
        name
        for inside, folders, names in os.walk(cache)
        for name in (*folders, *names)
        if places.is_link(Path(inside, name))
    ]
    return found if len(found) <= files.MOST_NAMED else [*found[: files.MOST_NAMED], "…"]


def _states(cache: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the files of simulations; links are not followed, nor copied."""
    found = {}
    for inside, _, names in os.walk(cache):
        for path in (Path(inside, name) for name in names):
            if not places.is_link(path):
                state = path.stat()
                found[path] = state.st_size, state.st_mtime_ns
    return found
