# SPDX-License-Identifier: GPL-3.0-or-later
"""``plan.json``: the clips that a farm makes of a .blend, as the add-on's ``farm/plan.py`` writes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .. import __version__
from ..documents import first_fault, read_json
from ..errors import EngineError, one_line

VERSION = 2
FILE = "plan.json"
MOST_CLIPS = 1024
"""Of a plan, as OpenJD has it."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
"""Of a task, and of the folder of a clip."""
Task = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,255}$")]
"""Name of a task that makes several; empty for one that has its own."""
_DEVICES = re.compile("CON|PRN|AUX|NUL|(COM|LPT)[0-9]", re.IGNORECASE)
"""Names that stand for devices on Windows."""
_NUMBERS = re.compile(r"\d{1,9}(\.\d{1,9})*", re.ASCII)


class _Stated(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Clip(_Stated):
    """One clip of a shot: its folder's name, its model, its seed, and the task that makes it with others."""

    name: Name
    model: str
    seed: int
    task: Task = ""


class Shot(_Stated):
    """A shot of a scene: its first and last frame, at ``fps / fps_base`` of the scene, and its clips."""

    name: Name
    scene: str
    title: str
    first: int
    last: int
    fps: int = Field(gt=0)
    fps_base: float = Field(gt=0)
    clips: list[Clip] = Field(max_length=MOST_CLIPS)
    task: Task = ""


class Cache(_Stated):
    """What Blender's tasks have to find; nothing of the engine's."""

    of: str
    path: str


class Plan(_Stated):
    """All that a farm is to make of a .blend; the id tells it from plans of other bundles."""

    version: int
    peekaboo: str = "0"
    id: Name
    blend: str
    shots: list[Shot] = Field(max_length=MOST_CLIPS)
    caches: list[Cache] = []

    @model_validator(mode="after")
    def _has_a_folder_for_each(self) -> Plan:
        for names in ([clip.name for clip in self.clips], [shot.name for shot in self.shots]):
            seen = set()
            for name in names:
                if name.casefold() in seen:
                    raise ValueError(f"{name} is there twice")
                if _DEVICES.fullmatch(name):
                    raise ValueError(f"{name} is the name of a device on Windows")
                seen.add(name.casefold())
        return self

    @property
    def clips(self) -> list[Clip]:
        """Of all shots."""
        return [clip for shot in self.shots for clip in shot.clips]

    def clips_of(self, name: str) -> list[Clip]:
        """The clips of a task, or the one of that name; raises EngineError ``unknown_clip``."""
        if found := [clip for clip in self.clips if name == (clip.task or clip.name)]:
            return found
        if found := [clip for clip in self.clips if clip.name == name]:
            return found
        raise EngineError(
            "unknown_clip", f'The plan has no clip "{name}"; export the job again, and submit it as it is.'
        )


def read_plan(path: Path, remedy: str = "export it again") -> Plan:
    """Read a plan, which may be anybody's.

    Args:
        path: of it.
        remedy: what helps where it is damaged.

    Raises:
        EngineError: ``bad_plan``; ``newer_schema`` for one of a newer version.
    """
    try:
        stated = read_json(path)
        version = stated.get("version") if isinstance(stated, dict) else None
        made = str(stated.get("peekaboo", "")) if isinstance(stated, dict) else ""
        if (type(version) is int and version > VERSION) or _numbers(made) > _numbers(__version__):
            raise EngineError(
                "newer_schema",
                f"A newer Peekaboo has made the farm job {path} ({made}, and this is {__version__}); install "
                "that one here, or export the job with this one.",
            )
        return Plan.model_validate(stated, strict=True)
    except OSError as error:
        problem = error.strerror or one_line(error)
    except ValidationError as error:
        problem = first_fault(error)
    except ValueError as error:
        problem = one_line(error)
    raise EngineError("bad_plan", f"The farm job {path} cannot be read ({problem}); {remedy}.")


def _numbers(version: str) -> list[int]:
    """Of a version, to compare it; none of what is no version."""
    found = _NUMBERS.match(version)
    return [int(part) for part in found[0].split(".")] if found else []


def check_owner(plan: Plan, out: Path) -> None:
    """Make sure that an output folder is that of a plan.

    Raises:
        EngineError: ``other_job``, ``bad_plan``.
    """
    if not (out / FILE).exists():
        return
    there = read_plan(out / FILE, "remove it if the folder has clips of this job")
    if there.id != plan.id:
        raise EngineError(
            "other_job",
            f"{out} has the clips of another farm job, made of {there.blend}; choose another folder, or move "
            "that away.",
        )
