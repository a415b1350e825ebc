# SPDX-License-Identifier: GPL-3.0-or-later
"""What a farm is to do with a .blend: which tasks there are, what each waits for, which command it calls.

A plan is data, ``plan.json``, which is handed to each task with the name of what it is to make. So a command
line has names of our own making alone, and no scheduler has to quote what an artist called a shot. Every
scheduler gets the same tasks, each in its own notation: :mod:`.openjd`. Imports no bpy.

Tasks end well where a shot is at fault: what is wrong with it is kept beside its masks, the others go on, and
the last task tells. They fail where the machine is: then another one may do it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..borders.documents import read_json
from ..engine import catalogue
from ..errors import PeekabooError

VERSION = 1
"""Of ``plan.json``; the engine's ``farm/plan.py`` reads the same."""

MOST_CLIPS = 1024
"""Of a plan: so many values a parameter of an OpenJD task may have."""

FILE = "plan.json"
OUTPUT = "clips"
"""Folder beside the plan that gets the clips, unless a scheduler is told another."""
MIB_IN_GB = 10**9 / 2**20

Kind = Literal["masks", "generate", "gather"]
"""Of a task: masks of a shot, by Blender; one clip, by the engine; and what is handed back, by the engine."""


@dataclass(frozen=True)
class Clip:
    """One clip of a shot.

    Attributes:
        name: of its folder in the output folder; of letters, digits, ``_`` and ``-``, and of this clip alone.
        model: that makes it: a name of the catalogue, or a folder relative to the .blend (``//``).
        seed: of it.
    """

    name: str
    model: str
    seed: int


@dataclass(frozen=True)
class Shot:
    """A shot of a scene.

    Attributes:
        name: of its task, as a clip's.
        scene: name of the scene.
        title: of the shot, by its marker; empty for a scene as one shot.
        first: its first frame.
        last: its last frame.
        fps: of the scene, over ``fps_base``.
        fps_base: of the scene.
        clips: of it.
    """

    name: str
    scene: str
    title: str
    first: int
    last: int
    fps: int
    fps_base: float
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Plan:
    """All that a farm is to make of a .blend.

    Attributes:
        id: tells the plan from those of other bundles; one that is exported again keeps it.
        blend: name of the .blend beside ``plan.json``.
        shots: in the order of their scenes and frames.
    """

    id: str
    blend: str
    shots: tuple[Shot, ...]

    def stated(self) -> dict[str, Any]:
        """The plan as ``plan.json`` states it."""
        return {"version": VERSION, **asdict(self)}


_NAME = re.compile(r"[\w-]{1,255}", re.ASCII)


def read(path: Path) -> Plan:
    """Read a ``plan.json``, which may be anybody's.

    Raises:
        PeekabooError: there is none, it is none, or a newer version of ours has made it.
    """
    try:
        stated = read_json(path)
        version = stated["version"]
        if type(version) is int and version > VERSION:
            raise PeekabooError(
                f'A newer Peekaboo has made the farm job "{path}" (its version is {version}, and '
                f"{VERSION} is known here): install that one here, or export the job with this one."
            )
        plan = Plan(
            _name(stated["id"]),
            _text(stated["blend"]),
            tuple(_shot(each) for each in stated["shots"]),
        )
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = f"it is damaged: {error}"
    else:
        return plan
    raise PeekabooError(f'The farm job "{path}" cannot be read ({problem}): export it again.')


def _shot(stated: dict) -> Shot:
    return Shot(
        _name(stated["name"]),
        _text(stated["scene"]),
        _text(stated["title"]),
        _whole(stated["first"]),
        _whole(stated["last"]),
        _whole(stated["fps"]),
        float(stated["fps_base"]),
        tuple(
            Clip(_name(each["name"]), _text(each["model"]), _whole(each["seed"])) for each in stated["clips"]
        ),
    )


def _name(value: Any) -> str:
    if not _NAME.fullmatch(_text(value)):
        raise ValueError(f'"{value}" is no name of a task')
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


@dataclass(frozen=True)
class Requirement:
    """What a machine has to have for a model; the least, as its weights alone take it.

    Attributes:
        gpus: how many.
        gpu_mib: memory of the GPU, in MiB; 0 where that is not known.
        mib: memory of the machine, in MiB; 0 where that is not known.
    """

    gpus: int = 0
    gpu_mib: int = 0
    mib: int = 0


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        kind: of it.
        name: of its shot or clip; empty for the last task, which gathers.
        needs: the tasks that are to end before it; by kind and name.
    """

    kind: Kind
    name: str
    needs: tuple[tuple[Kind, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """Tasks that are alike.

    Attributes:
        title: for people, and of this step alone.
        kind: of its tasks.
        tasks: at least one.
        needs: titles of the steps that are to end before it, for schedulers that know no finer order.
        requirement: of each task.
    """

    title: str
    kind: Kind
    tasks: tuple[Task, ...]
    needs: tuple[str, ...] = ()
    requirement: Requirement = Requirement()


@dataclass(frozen=True)
class Places:
    """What a scheduler puts for the programs and paths of a command, in its own notation.

    Attributes:
        blender: the program Blender, which has the extension.
        python: the engine's Python.
        start: the engine's ``start.py``.
        blend: the .blend of the plan.
        plan: ``plan.json``.
        out: the output folder.
        mapping: a file of OpenJD's that says which paths are others on the farm; empty without.
    """

    blender: str
    python: str
    start: str
    blend: str
    plan: str
    out: str
    mapping: str = ""


def command(kind: Kind, name: str, places: Places, openjd: bool = False) -> list[str]:
    """The command of a task, as a program and its arguments.

    Args:
        kind: of the task.
        name: of the task, or what a scheduler puts for it.
        places: what it puts for programs and paths.
        openjd: whether progress is printed as OpenJD reads it.
    """
    told = ["--openjd"] if openjd else []
    if kind == "masks":
        blender = [places.blender, places.blend, "--command", "peekaboo"]
        mapping = ["--path-mapping", places.mapping] if places.mapping else []
        return [*blender, "farm-masks", places.plan, name, "--out", places.out, *mapping, *told]
    names = [name] if kind == "generate" else []
    engine = [places.python, "-I", "-u", places.start, "farm", kind]
    return [*engine, places.plan, *names, "--out", places.out, *told]


def steps(plan: Plan) -> list[Step]:
    """The steps of a plan, in their order: masks, the clips of each model, and what gathers them."""
    masks = Step("Masks", "masks", tuple(Task("masks", shot.name) for shot in plan.shots))
    making = [
        Step(title, "generate", tuple(tasks), (masks.title,), requirement_of(model))
        for (model, title), tasks in zip(_titles(plan).items(), _tasks_by_model(plan).values(), strict=True)
    ]
    made: tuple[tuple[Kind, str], ...] = tuple(
        (task.kind, task.name) for step in making for task in step.tasks
    )
    last = Step("Gather", "gather", (Task("gather", "", made),), tuple(step.title for step in making))
    return [masks, *making, last]


def _clips(plan: Plan) -> Iterator[tuple[Shot, Clip]]:
    for shot in plan.shots:
        for clip in shot.clips:
            yield shot, clip


def _tasks_by_model(plan: Plan) -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {}
    for shot, clip in _clips(plan):
        task = Task("generate", clip.name, (("masks", shot.name),))
        found.setdefault(clip.model, []).append(task)
    return found


LONGEST_TITLE = 64
"""Characters of a step's name in OpenJD."""


def _titles(plan: Plan) -> dict[str, str]:
    """A title for the step of each model: its name, or the last part of its folder's path."""
    titles: dict[str, str] = {}
    for model in dict.fromkeys(clip.model for _, clip in _clips(plan)):
        part = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
        title = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in part)
        title = f"Generate {title}"[: LONGEST_TITLE - 5]
        titles[model] = f"{title} {len(titles) + 1}" if title in titles.values() else title
    return titles


def requirement_of(model: str) -> Requirement:
    """What a machine has to have to make clips with a model, as the catalogue knows it.

    The memory is what was measured, or else what the weights alone take: of a GPU those of the largest
    component, since the engine keeps the others in the machine's memory where they do not fit.
    """
    entry: Mapping[str, Any] | None = catalogue.catalogue().get(model)
    if entry is None:
        return Requirement(gpus=1)
    if entry["embedded"]:
        return Requirement()
    weights = entry["weights_gb"]
    return Requirement(
        gpus=1,
        gpu_mib=round(entry.get("measured_gb", weights["offload"]) * MIB_IN_GB),
        mib=round(weights["bf16"] * MIB_IN_GB),
    )
