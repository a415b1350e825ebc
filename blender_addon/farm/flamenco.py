# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a job of Flamenco, Blender Studio's farm (https://flamenco.blender.org).

``peekaboo.js`` is the job type, which Flamenco Manager compiles to tasks; ``flamenco.json`` is a job of it,
as Manager's interface takes one (``POST /api/v3/jobs``, schema ``SubmittedJob``). Commands and their order
are those of :mod:`.plan`; the job type gives them Flamenco's form. What lies elsewhere on a worker's machine
is left to Manager's variables: of its own are ``{blender}`` and ``{blenderArgs}``, and a farm adds
``{peekabooPython}`` and ``{peekabooStart}``. Imports no bpy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from . import plan as plans
from .plan import Kind, Places, Plan

VERSION = 2
"""Of the setting ``tasks``, which the job type reads."""
FILE, JOB_TYPE = "flamenco.json", "peekaboo.js"
PRIORITY = 50
"""Flamenco's own."""
TASK_TYPE = "peekaboo"
"""Of the tasks that make clips: a worker does what its ``task_types`` lists, so not all have to have the
GPU."""
PLATFORMS = {"win32": "windows"}
"""What Go calls a system, where that is another name than Python's."""

_NAME = "<name>"
_PLACES = Places(
    blender="{blender}",
    python="{peekabooPython}",
    start="{peekabooStart}",
    blend="<blend>",
    plan="<plan>",
    out="<out>",
    faults="<faults>",
)
"""Variables of Manager's, and words that the job type puts paths for."""


def tasks(plan: Plan) -> dict[str, Any]:
    """What the job type makes tasks of: a command for each kind, and each task with what it waits for.

    A task is its kind, its name, and the numbers of tasks before it.
    """
    wanted = [task for step in plans.steps(plan) for task in step.tasks]
    numbers = {(task.kind, task.name): number for number, task in enumerate(wanted)}
    kinds: list[Kind] = ["masks", "generate", "gather"]
    return {
        "version": VERSION,
        "blend": plan.blend,
        "plan": plans.FILE,
        "commands": {kind: plans.command(kind, _NAME, _PLACES) for kind in kinds},
        "tasks": [[task.kind, task.name, [numbers[need] for need in task.needs]] for task in wanted],
    }


def job(plan: Plan, title: str, folder: Path, system: str = sys.platform) -> dict[str, Any]:
    """The job of a plan, as Manager takes it.

    Args:
        plan: of the job.
        title: of the job.
        folder: that the plan and its .blend lie in; Manager's two-way variables make of it what it is on
            other systems.
        system: this one, as ``sys.platform`` has it.
    """
    return {
        "name": title,
        "type": Path(JOB_TYPE).stem,
        "priority": PRIORITY,
        "submitter_platform": PLATFORMS.get(system, system),
        "settings": {
            "folder": str(folder),
            "output_folder": str(folder / plans.OUTPUT),
            "generate_task_type": TASK_TYPE,
            "machine_faults": plans.FAULTS[0],
            "tasks": json.dumps(tasks(plan), separators=(",", ":")),
        },
    }


def documents(plan: Plan, title: str, folder: Path) -> dict[str, str]:
    """The files of a job for Flamenco, by name: the job, and the job type that Manager needs for it."""
    return {
        FILE: f"{json.dumps(job(plan, title, folder), indent=1)}\n",
        JOB_TYPE: Path(__file__).with_name(JOB_TYPE).read_text("utf-8"),
    }
