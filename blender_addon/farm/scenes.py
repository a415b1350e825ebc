# SPDX-License-Identifier: GPL-3.0-or-later
"""What a .blend brings to a farm: the plan of its scenes, a copy of itself, and the files that it links."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from .. import paths
from ..borders import places
from ..engine import catalogue
from ..errors import PeekabooError
from ..shot import loras, pictures
from ..shot.shots import Shot
from ..takes import folders
from . import files
from . import plan as plans
from .plan import Plan


@dataclass(frozen=True)
class Wanted:
    """What is to be made of a shot.

    Attributes:
        scene: of the shot.
        shot: as it is now.
        seeds: of its clips.
        seconds: that a clip takes, by models of which that is known.
    """

    scene: Any
    shot: Shot
    seeds: Sequence[int]
    seconds: Mapping[str, float] = field(default_factory=dict)


def plan_of(
    wanted: Sequence[Wanted], models: Sequence[str], id: str, folder: Path, clips_a_task: int | None = None
) -> Plan:
    """Plan the clips of shots, with each model and each seed.

    Args:
        wanted: of the open .blend.
        models: names or folders; those of the scenes by default.
        id: of the plan.
        folder: that it is written to.
        clips_a_task: how many clips of a model a task makes; by their seconds when left out.

    Raises:
        PeekabooError: there are too many clips, or there is no such model.
    """
    names = paths.file_names([_plain(folders.name_of(each.scene, each.shot.title)) for each in wanted])
    asked = [
        (number, model, seed)
        for number, each in enumerate(wanted)
        for model in dict.fromkeys(models or [each.scene.peekaboo.model])
        for seed in each.seeds
    ]
    if len(asked) > plans.MOST_CLIPS:
        raise PeekabooError(
            f"These are {len(asked)} clips, and a farm job has {plans.MOST_CLIPS} at most: export the shots "
            "in several jobs."
        )
    stated = {model: _model(model, folder) for model in {model for _, model, _ in asked}}
    clips = [(number, stated[model], seed) for number, model, seed in asked]
    several = len({model for _, model, _ in clips}) > 1
    own = paths.file_names(
        [f"{names[number]}{_plain(_suffix(model)) * several}_seed_{seed}" for number, model, seed in clips]
    )
    known = [wanted[number].seconds.get(model) for number, model, _ in asked]
    tasks = _tasks_of_clips(zip(own, (model for _, model, _ in asked), known, strict=True), clips_a_task)
    made: dict[int, list[plans.Clip]] = {number: [] for number in range(len(names))}
    for name, (number, model, seed) in zip(own, clips, strict=True):
        made[number].append(plans.Clip(name, model, seed, tasks[name]))
    masks = _in_tasks(names, len(names) if files.writes_caches() else 1)
    shots = [
        plans.Shot(
            name,
            each.scene.name,
            each.shot.title,
            each.shot.first,
            each.shot.last,
            each.scene.render.fps,
            each.scene.render.fps_base,
            tuple(made[number]),
            masks[name],
        )
        for number, (name, each) in enumerate(zip(names, wanted, strict=True))
    ]
    return Plan(id, Path(bpy.data.filepath).name, tuple(shots), tuple(caches_of(folder)))


def _tasks_of_clips(clips: Iterable[tuple[str, str, float | None]], size: int | None) -> dict[str, str]:
    """Names of the tasks that make clips, as :func:`_in_tasks`; those of a task have one model.

    Args:
        clips: the name of each, its model, and the seconds that it takes, where these are known.
        size: how many a task makes; by their seconds when left out.
    """
    by_model: dict[str, dict[str, float | None]] = {}
    for name, model, seconds in clips:
        by_model.setdefault(model, {})[name] = seconds
    found: dict[str, str] = {}
    for own in by_model.values():
        usual = plans.clips_a_task([seconds for seconds in own.values() if seconds])
        found |= _in_tasks(list(own), size or usual)
    return found


def _in_tasks(names: Sequence[str], size: int) -> dict[str, str]:
    """Names of tasks of so many, by the names of what they make; empty for one that has a task of its own."""
    found: dict[str, str] = {}
    for first in range(0, len(names), size):
        own = names[first : first + size]
        task = f"{own[0]}_and_{len(own) - 1}_more" if len(own) > 1 else ""
        found |= dict.fromkeys(own, task)
    return found


def caches_of(folder: Path) -> Iterator[plans.Cache]:
    """What a plan has to say of the files that masks of the open file depend on.

    Args:
        folder: of the plan, and of the copy of the .blend.
    """
    beside = files.own_cache(Path(bpy.data.filepath))
    for each in files.stated_paths():
        if each.is_shape and each.of and (linked := each.linked()).is_there:
            moved = not each.is_restated and each.block.library is None and each.path.startswith("//")
            # goes along with the .blend then, and lies beside it again
            copied = beside in (linked.path, *linked.path.parents)
            yield plans.Cache(each.of, relative(linked.path, folder) if moved and not copied else "")


def _plain(name: str) -> str:
    """A name of letters that each system's command line takes, and that none takes for an option."""
    plain = "".join(one if one.isascii() else "_" for one in name)
    return f"_{plain[1:]}" if plain.startswith("-") else plain


def _suffix(model: str) -> str:
    return f"_{model.rstrip('/').rpartition('/')[2]}"


def _model(stated: str, folder: Path) -> str:
    """A model as a plan states it, after looking whether there is such a one."""
    if stated in catalogue.catalogue():
        return stated
    whole = paths.absolute(stated)
    catalogue.model_size(str(whole) if places.is_folder(whole) else stated)
    return relative(whole, folder)


def relative(path: Path, folder: Path) -> str:
    """A path as a .blend in a folder has it: beside itself (``//``).

    Raises:
        PeekabooError: it lies on another drive of Windows.
    """
    try:
        return "//" + Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        raise PeekabooError(
            f'"{path}" is on another drive than the farm job in "{folder}": put both on one drive.'
        ) from None


def pictures_of(settings: Any) -> dict[str, str]:
    """The pictures that clips of a scene are given as files, by the settings that say which."""
    own = dict(zip(pictures.CHOICES, ("picture", "last_picture"), strict=True))
    return {
        name: getattr(settings, name)
        for choice, name in own.items()
        if getattr(settings, choice) == "picture" and getattr(settings, name)
    }


@contextmanager
def located(scenes: Sequence[Any], folder: Path, prompt: str | None = None) -> Iterator[None]:
    """Let what scenes state of files be as it is for a .blend in a folder, while that is written.

    Args:
        scenes: with the settings.
        folder: of the copy.
        prompt: takes the place of those that shots have of their own.

    Raises:
        PeekabooError: a file is on another drive.
    """
    before: list[tuple[Any, str, str]] = []

    def state(owner: Any, name: str, value: str) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    try:
        for scene in scenes:
            settings = scene.peekaboo
            for name, stated in pictures_of(settings).items():
                state(settings, name, relative(paths.absolute(stated), folder))
            for lora in settings.lora_list:
                whole = Path(loras.located(lora.source))
                if whole.is_absolute():
                    state(lora, "source", relative(whole, folder))
            if prompt is not None:
                for marker in scene.timeline_markers:
                    state(marker.peekaboo, "prompt", "")
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def files_of_settings(scenes: Sequence[Any]) -> list[Path]:
    """The pictures and LoRAs that clips of scenes are made with."""
    found: list[Path] = []
    for scene in scenes:
        found += map(paths.absolute, pictures_of(scene.peekaboo).values())
        sources = [Path(stated["source"]) for stated in loras.of_job(scene)]
        found += [path for path in sources if path.is_absolute()]
    return found
