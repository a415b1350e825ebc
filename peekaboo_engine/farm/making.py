# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of a farm that makes clips: those of one model, one after another in one engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import batch
from ..batch import Task
from ..errors import EngineError
from ..placement import Placement
from .messages import Messages
from .plan import Clip, Plan, check_owner
from .results import Problem, check_task, keep_problem

OF_THE_MACHINE = {
    "bad_lora",
    "bad_model",
    "busy_folder",
    "cancelled",
    "cannot_write",
    "device_lost",
    "engine_died",
    "half_downloaded",
    "model_not_loaded",
    "newer_schema",
    "no_device",
    "no_engine",
    "no_job",
    "no_peft",
    "not_downloaded",
    "not_written",
    "other_masks",
    "out_of_memory",
    "too_large",
    "unexpected",
    "unknown_model",
    "unsupported_pipeline",
}
"""Errors that another machine, or another order of tasks, need not have: their task fails, and the scheduler
may try it elsewhere."""


def generate(
    plan: Plan, name: str, out: Path, device: str, force: bool, keep_faults: bool, told: Messages
) -> None:
    """Make the clips of a task whose masks are there, unless they are there themselves.

    What is wrong with a clip is kept for the task that gathers, and stops no other; no error either, but for
    faults of the machine.

    Args:
        plan: of the clips.
        name: of the task, or of one clip.
        out: output folder of the plan, and of no other.
        device: see :class:`.placement.Placement`.
        force: whether to make them again.
        keep_faults: whether faults of the machine are no error either.
        told: gets to know how it goes.

    Raises:
        EngineError: this machine cannot make one.
        KeyboardInterrupt: the task was ended; of the clip that was being made nothing is left.
    """
    clips = plan.clips_of(name)
    check_owner(plan, out)
    faults: dict[str, Problem] = {}
    tasks: dict[str, Task] = {}
    for clip in clips:
        try:
            if problem := check_task(out / clip.name, clip):
                told.status(f"No masks, and so no clip: {problem.message}")
            else:
                tasks[clip.name] = Task(out / clip.name / "job", out / clip.name)
        except EngineError as error:
            if error.code == "bad_path":
                raise
            faults[clip.name] = Problem(error.code, error.message)
    try:
        own = list(tasks.values())
        batch.run(own, [device], Placement(), force, lambda line: None, _watch(own, told))
    finally:  # also of those that were made before the task was ended
        for clip_name, task in tasks.items():
            if fault := _ended(task, told):
                faults[clip_name] = fault
    _tell(faults, clips, out, keep_faults, told)


def _ended(task: Task, told: Messages) -> Problem | None:
    """Keep what became of a clip; returns what is wrong with the machine."""
    problem = Problem(task.code, task.message)
    match task.outcome:
        case "made" | "kept":
            keep_problem(task.out, None)
            was = " was there" if task.outcome == "kept" else ""
            told.status(f"{task.out / task.clip}{was}")
        case "failed" if task.code in OF_THE_MACHINE:
            return problem
        case "failed":
            keep_problem(task.out, problem)
            told.status(f"No clip: {task.message}")
    return None


def _tell(
    faults: dict[str, Problem], clips: Sequence[Clip], out: Path, keep_faults: bool, told: Messages
) -> None:
    """Keep the faults of a machine, for a report that is made by hand too, and raise the first."""
    for clip_name, fault in faults.items():
        with suppress(EngineError):  # the fault may be that nothing can be written
            keep_problem(out / clip_name, fault)
        if keep_faults or len(clips) > 1:
            told.status(f"No clip: {fault.message}")
    if not faults or keep_faults:
        return
    name, fault = next(iter(faults.items()))
    several = f"{len(faults)} of {len(clips)} clips were not made, the first of them {name}: "
    raise EngineError(fault.code, several * (len(clips) > 1) + fault.message)


def _watch(tasks: Sequence[Task], told: Messages) -> Callable[[dict[str, Any]], None]:
    """Tell how far all tasks are, by what the engine says of one."""

    def watch(event: dict[str, Any]) -> None:
        match event.get("event"):
            case "phase":
                told.status(str(event["phase"]))
            case "progress":
                done = sum(task.outcome != "left" for task in tasks)
                total = int(event["total"])
                told.progress(done * total + int(event["step"]), len(tasks) * total)
            case "notice":
                told.status(str(event["message"]))

    return watch
