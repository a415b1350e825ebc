# SPDX-License-Identifier: GPL-3.0-or-later
"""``plan.json``: the clips that a farm makes of a .blend, as the add-on's ``farm/plan.py`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..documents import read_json
from ..errors import EngineError, one_line

VERSION = 1
FILE = "plan.json"
MOST_CLIPS = 1024
"""Of a plan, as OpenJD has it."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
"""Of a task, and of the folder of its clip."""


class _Stated(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Clip(_Stated):
    """One clip of a shot: its folder's name, its model, and its seed."""

    name: Name
    model: str
    seed: int


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


class Plan(_Stated):
    """All that a farm is to make of a .blend; the id tells it from plans of other bundles."""

    version: int
    id: Name
    blend: str
    shots: list[Shot] = Field(max_length=MOST_CLIPS)

    def clip(self, name: str) -> Clip:
        """Find a clip; raises EngineError ``unknown_clip``."""
        for shot in self.shots:
            for clip in shot.clips:
                if clip.name == name:
                    return clip
        raise EngineError(
            "unknown_clip", f'The plan has no clip "{name}"; export the job again, and submit it as it is.'
        )


def read_plan(path: Path) -> Plan:
    """Read a plan, which may be anybody's.

    Raises:
        EngineError: ``bad_plan``; ``newer_schema`` for one of a newer version.
    """
    try:
        stated = read_json(path)
        version = stated.get("version") if isinstance(stated, dict) else None
        if type(version) is int and version > VERSION:
            raise EngineError(
                "newer_schema",
                f"A newer Peekaboo has made the farm job {path} (its version is {version}, and {VERSION} is "
                "known here); install that one here, or export the job with this one.",
            )
        return Plan.model_validate(stated, strict=True)
    except OSError as error:
        problem = error.strerror or one_line(error)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        problem = one_line(error)
    raise EngineError("bad_plan", f"The farm job {path} cannot be read ({problem}); export it again.")


def check_owner(plan: Plan, out: Path) -> None:
    """Make sure that an output folder is that of a plan.

    Raises:
        EngineError: ``other_job``, ``bad_plan``.
    """
    if (out / FILE).exists() and (there := read_plan(out / FILE)).id != plan.id:
        raise EngineError(
            "other_job",
            f"{out} has the clips of another farm job, made of {there.blend}; choose another folder, or move "
            "that away.",
        )
