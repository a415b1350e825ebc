# SPDX-License-Identifier: GPL-3.0-or-later
"""What a .blend brings to a farm: the plan of its scenes, a copy of itself, and the files that it links."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from . import plan as plans
from .plan import Plan

SHAPES = ("libraries", "cache_files", "volumes", "fonts")
"""Collections of what decides the masks where it lies in files of its own."""
LOOKS = ("images", "movieclips")
"""Collections of what decides how a rendered first frame looks."""
TILES = {"<UDIM>": r"\d{4}", "<UVTILE>": r"u\d+_v\d+"}
"""What stands in the name of an image for the number of a tile, and such numbers."""


@dataclass(frozen=True)
class Wanted:
    """What is to be made of a shot.

    Attributes:
        scene: of the shot.
        shot: as it is now.
        seeds: of its clips.
    """

    scene: Any
    shot: Shot
    seeds: Sequence[int]


def plan_of(wanted: Sequence[Wanted], models: Sequence[str], id: str, folder: Path) -> Plan:
    """Plan the clips of shots, with each model and each seed.

    Args:
        wanted: of the open .blend.
        models: names or folders; those of the scenes by default.
        id: of the plan.
        folder: that it is written to.

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
    made: dict[int, list[plans.Clip]] = {number: [] for number in range(len(names))}
    for name, (number, model, seed) in zip(own, clips, strict=True):
        made[number].append(plans.Clip(name, model, seed))
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
        )
        for number, (name, each) in enumerate(zip(names, wanted, strict=True))
    ]
    return Plan(id, Path(bpy.data.filepath).name, tuple(shots))


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


@dataclass(frozen=True)
class Linked:
    """A file that a .blend links, or many that are linked by one name.

    Attributes:
        path: of it, on this machine.
        is_shape: whether the masks depend on it.
        is_sequence: whether it is a frame of many, whose names differ by its number.
    """

    path: Path
    is_shape: bool
    is_sequence: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether nothing of it is there."""
        return not self.files()

    def files(self) -> list[Path]:
        """The file, or all those of a sequence or of tiles, that are there."""
        pattern = re.escape(self.path.name)
        for tile, numbers in TILES.items():
            pattern = pattern.replace(re.escape(tile), numbers)
        if self.is_sequence:
            pattern = re.sub(r"\d+(?=[^\d.]*\\\.\w+$)", lambda _: r"\d+", pattern)
        if pattern == re.escape(self.path.name):
            return [self.path] if self.path.exists() else []
        with suppress(OSError):
            return sorted(path for path in self.path.parent.iterdir() if re.fullmatch(pattern, path.name))
        return []


def linked_files() -> list[Linked]:
    """The files that the open .blend links, but for what lies in its sequencers."""
    found: dict[Path, Linked] = {}
    for name in (*SHAPES, *LOOKS):
        for item in getattr(bpy.data, name):
            stated = item.filepath
            if not stated or stated == "<builtin>" or getattr(item, "packed_file", None):
                continue
            if getattr(item, "source", "FILE") in {"GENERATED", "VIEWER"}:
                continue
            where = bpy.path.abspath(stated, library=item.library if name != "libraries" else None)
            path = Path(os.path.normpath(paths.absolute(where)))
            sequence = getattr(item, "is_sequence", False) or getattr(item, "source", "") == "SEQUENCE"
            found.setdefault(path, Linked(path, name in SHAPES, sequence))
    return list(found.values())


def missing_in_words(files: Sequence[Linked]) -> str:
    """The names of files that are not there, as a part of a sentence."""
    named = ", ".join(f'"{each.path}"' for each in files[:MOST_NAMED])
    more = len(files) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


MOST_NAMED = 8
"""Missing files that a sentence lists."""


def pictures_of(settings: Any) -> dict[str, str]:
    """The pictures that clips of a scene are given as files, by the settings that say which."""
    files = dict(zip(pictures.CHOICES, ("picture", "last_picture"), strict=True))
    return {
        name: getattr(settings, name)
        for choice, name in files.items()
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
