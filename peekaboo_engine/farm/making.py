# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of a farm that makes one clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import batch
from ..batch import Task
from ..errors import EngineError
from ..placement import Placement
from .messages import Messages
from .plan import Plan, check_owner
from .results import Problem, check_task, keep_problem

OF_THE_MACHINE = {
    "bad_lora",
    "bad_model",
    "busy_folder",
    "cancelled",
    "cannot_write",
    "engine_died",
    "half_downloaded",
    "model_not_loaded",
    "newer_schema",
    "no_device",
    "no_engine",
    "no_peft",
    "not_downloaded",
    "not_written",
    "out_of_memory",
    "too_large",
    "unexpected",
    "unknown_model",
    "unsupported_pipeline",
}
"""Errors that another machine need not have: their task fails, and the scheduler may try it elsewhere."""


def generate(plan: Plan, name: str, out: Path, device: str, force: bool, told: Messages) -> None:
    """Make a clip whose masks are there, unless it is there itself.

    What is wrong with the clip is kept for the task that gathers, and is no error.

    Args:
        plan: of the clip.
        name: of the clip.
        out: output folder of the plan, and of no other.
        device: see :class:`.placement.Placement`.
        force: whether to make it again.
        told: gets to know how it goes.

    Raises:
        EngineError: this machine cannot make it.
        KeyboardInterrupt: the task was ended; nothing of the clip is left.
    """
    folder = out / plan.clip(name).name
    check_owner(plan, out)
    if problem := check_task(folder, name):
        told.status(f"No masks, and so no clip: {problem.message}")
        return
    task = Task(folder / "job", folder)
    batch.run([task], [device], Placement(), force, lambda line: None, _watch(told))
    if task.outcome != "failed":
        keep_problem(folder, None)
        told.status(f"{folder / task.clip} was there" if task.outcome == "kept" else f"{folder / task.clip}")
        return
    if task.code in OF_THE_MACHINE:
        raise EngineError(task.code, task.message)
    keep_problem(folder, Problem(task.code, task.message))
    told.status(f"No clip: {task.message}")


def _watch(told: Messages) -> Callable[[dict[str, Any]], None]:
    def watch(event: dict[str, Any]) -> None:
        match event.get("event"):
            case "phase":
                told.status(str(event["phase"]))
            case "progress":
                told.progress(int(event["step"]), int(event["total"]))
            case "notice":
                told.status(str(event["message"]))

    return watch
