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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..borders.documents import read_json
from ..borders.places import DEVICES
from ..engine import catalogue, whereabouts
from ..errors import PeekabooError

VERSION = 2
"""Of ``plan.json``; the engine's ``farm/plan.py`` reads the same."""

MOST_CLIPS = 1024
"""Of a plan: so many values a parameter of an OpenJD task may have."""

FILE = "plan.json"
OUTPUT = "clips"
"""Folder beside the plan that gets the clips, unless a scheduler is told another."""
FAULTS = ("fail", "keep")
"""What becomes of a machine's fault: its task fails, so that another machine may try it; or it is kept for
the last task, which then runs in any case. The first is usual."""
MIB_IN_GB = 10**9 / 2**20

Kind = Literal["masks", "generate", "gather"]
"""Of a task: masks of shots, by Blender; clips, by the engine; and what is handed back, by the engine."""


@dataclass(frozen=True)
class Clip:
    """One clip of a shot.

    Attributes:
        name: of its folder in the output folder; of letters, digits, ``_`` and ``-``, and of this clip alone.
        model: that makes it: a name of the catalogue, or a folder relative to the .blend (``//``).
        seed: of it.
        task: that makes it, with others of its model; empty for one of its own.
    """

    name: str
    model: str
    seed: int
    task: str = ""


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
        task: that makes its masks, with those of other shots; empty for one of its own.
    """

    name: str
    scene: str
    title: str
    first: int
    last: int
    fps: int
    fps_base: float
    clips: tuple[Clip, ...]
    task: str = ""


@dataclass(frozen=True)
class Cache:
    """Files that masks depend on and that a machine could do without, so that it has to be told of them.

    Attributes:
        of: what reads them; see :attr:`.files.Stated.of`.
        path: where they lie, relative to the .blend (``//``), where Blender does not restate it in its copy;
            empty where the .blend says it.
    """

    of: str
    path: str


@dataclass(frozen=True)
class Plan:
    """All that a farm is to make of a .blend.

    Attributes:
        id: tells the plan from those of other bundles; one that is exported again keeps it.
        blend: name of the .blend beside ``plan.json``.
        shots: in the order of their scenes and frames.
        caches: that were there as it was made.
        version: of its ``plan.json``.
        peekaboo: version of the one that made it, whichever machines hand it on.
    """

    id: str
    blend: str
    shots: tuple[Shot, ...]
    caches: tuple[Cache, ...] = ()
    version: int = VERSION
    peekaboo: str = field(default_factory=whereabouts.engine_version)

    def stated(self) -> dict[str, Any]:
        """The plan as ``plan.json`` states it."""
        return {"version": self.version, "peekaboo": self.peekaboo, **asdict(self)}

    def shots_of(self, name: str) -> tuple[Shot, ...]:
        """The shots of a task for masks, or the one of that name; none where there is no such."""
        return tuple(shot for shot in self.shots if name == (shot.task or shot.name)) or tuple(
            shot for shot in self.shots if shot.name == name
        )


_NAME = re.compile(r"[\w-]{1,255}", re.ASCII)
_NUMBERS = re.compile(r"\d{1,9}(\.\d{1,9})*", re.ASCII)


def read(path: Path, remedy: str = "export it again") -> Plan:
    """Read a ``plan.json``, which may be anybody's.

    Args:
        path: of it.
        remedy: what helps where it is damaged.

    Raises:
        PeekabooError: there is none, it is none, or a newer version of ours has made it.
    """
    try:
        stated = read_json(path)
        version, peekaboo = _whole(stated["version"]), _text(stated.get("peekaboo", "0"))
        _check_versions(version, peekaboo, path)
        plan = Plan(
            _name(stated["id"]),
            _text(stated["blend"]),
            tuple(_shot(each) for each in stated["shots"]),
            tuple(Cache(_text(each["of"]), _beside(each["path"])) for each in stated.get("caches", ())),
            version,
            peekaboo,
        )
        _check_names([shot.name for shot in plan.shots])
        _check_names([clip.name for shot in plan.shots for clip in shot.clips])
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = f"it is damaged: {error}"
    else:
        return plan
    raise PeekabooError(f'The farm job "{path}" cannot be read ({problem}): {remedy}.')


def _check_versions(version: int, made: str, path: Path) -> None:
    """Refuse a plan of another version: of a newer Peekaboo, settings in its .blend may be unknown here."""
    own = whereabouts.engine_version()
    if version > VERSION or _numbers(made) > _numbers(own):
        raise PeekabooError(
            f'A newer Peekaboo has made the farm job "{path}" ({made}, and this is {own}): install that one '
            "here, or export the job with this one."
        )


def _numbers(version: str) -> list[int]:
    found = _NUMBERS.match(version)
    if found is None:
        raise ValueError(f'"{version}" is no version')
    return list(map(int, found[0].split(".")))


def _check_names(names: list[str]) -> None:
    """Refuse names that are not of one folder each, on every system."""
    seen = set()
    for name in names:
        if name.casefold() in seen:
            raise ValueError(f'"{name}" is there twice')
        if DEVICES.fullmatch(name):
            raise ValueError(f'"{name}" is the name of a device on Windows')
        seen.add(name.casefold())


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
            Clip(_name(each["name"]), _text(each["model"]), _whole(each["seed"]), _task(each.get("task", "")))
            for each in stated["clips"]
        ),
        _task(stated.get("task", "")),
    )


def _task(value: Any) -> str:
    return _name(value) if _text(value) else ""


def _name(value: Any) -> str:
    if not _NAME.fullmatch(_text(value)):
        raise ValueError(f'"{value}" is no name of a task')
    return value


def _beside(value: Any) -> str:
    if _text(value) and not value.startswith("//"):
        raise ValueError(f'"{value}" is not relative to the .blend')
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
        name: of what it makes: a shot or a clip, or several under one name; empty for the last task, which
            gathers.
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
        faults: what becomes of a machine's fault: see :data:`FAULTS`.
        mapping: a file of OpenJD's that says which paths are others on the farm; empty without.
    """

    blender: str
    python: str
    start: str
    blend: str
    plan: str
    out: str
    faults: str
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
    faults = ["--faults", places.faults]
    if kind == "masks":
        blender = [places.blender, places.blend, "--command", "peekaboo"]
        mapping = ["--path-mapping", places.mapping] if places.mapping else []
        return [*blender, "farm-masks", places.plan, name, "--out", places.out, *mapping, *faults, *told]
    of_clips = ([name], faults) if kind == "generate" else ([], [])
    engine = [places.python, "-I", "-u", places.start, "farm", kind]
    return [*engine, places.plan, *of_clips[0], "--out", places.out, *of_clips[1], *told]


def steps(plan: Plan) -> list[Step]:
    """The steps of a plan, in their order: masks, the clips of each model, and what gathers them."""
    names = dict.fromkeys(shot.task or shot.name for shot in plan.shots)
    masks = Step("Masks", "masks", tuple(Task("masks", name) for name in names))
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
    needs: dict[tuple[str, str], dict[tuple[Kind, str], None]] = {}
    for shot, clip in _clips(plan):
        own = needs.setdefault((clip.model, clip.task or clip.name), {})
        own["masks", shot.task or shot.name] = None
    found: dict[str, list[Task]] = {}
    for (model, name), masks in needs.items():
        found.setdefault(model, []).append(Task("generate", name, tuple(masks)))
    return found


TASK_SECONDS = 600.0
"""Of a task that makes several clips, about: what a machine that fails loses at most."""
MOST_CLIPS_A_TASK = 32
USUAL_CLIPS_A_TASK = 4
"""Where nobody knows how long a clip takes."""


def clips_a_task(seconds: Sequence[float]) -> int:
    """How many clips a task makes, for which it loads their model once.

    Args:
        seconds: that single clips take, as far as that is known.
    """
    if not seconds:
        return USUAL_CLIPS_A_TASK
    return max(1, min(MOST_CLIPS_A_TASK, round(TASK_SECONDS * len(seconds) / sum(seconds))))


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
