# SPDX-License-Identifier: GPL-3.0-or-later
"""Flamenco as far as a job type meets it: Manager's compiler, by Node, and what a worker does with a task."""

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MANAGER = Path(__file__).with_name("flamenco_manager.js")


class RefusedError(Exception):
    """Manager does not take the job, or its compiler ended with what it says."""


def compiled(job_type: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Compile a submitted job; returns ``jobType``, and ``tasks`` whose dependencies are their numbers.

    Raises:
        RefusedError: see there.
    """
    node = shutil.which("node")
    if node is None:
        reason = "needs Node 18 or newer on PATH, which compiles Flamenco's job type: install nodejs"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    made = subprocess.run(
        [node, MANAGER, job_type], input=json.dumps(job), capture_output=True, text=True, timeout=60
    )
    if made.returncode != 0:
        raise RefusedError(made.stderr.strip())
    return json.loads(made.stdout)


@dataclass
class Farm:
    """Workers that do the tasks of a compiled job, one after another.

    Attributes:
        tasks: of the job.
        variables: of Manager, by name.
        environment: of what workers start.
        ended: numbers of the tasks that ended well.
        failed: numbers of those that did not.
    """

    tasks: list[dict[str, Any]]
    variables: dict[str, str]
    environment: dict[str, str]
    ended: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    def work(self, *task_types: str) -> list[str]:
        """Do all that a worker of some types of tasks may do; returns the names of what ended well."""
        before = len(self.ended)
        while ready := [
            number
            for number, task in enumerate(self.tasks)
            if number not in {*self.ended, *self.failed}
            and task["type"] in task_types
            and {*self.ended}.issuperset(task["dependencies"])
        ]:
            number = ready[0]
            good = all(self._call(command) for command in self.tasks[number]["commands"])
            (self.ended if good else self.failed).append(number)
        return [self.tasks[number]["name"] for number in self.ended[before:]]

    def _call(self, command: dict[str, Any]) -> bool:
        parameters = {name: self._expanded(value) for name, value in command["parameters"].items()}
        match command["name"]:
            case "exec":
                words = [parameters["exe"], *parameters["args"]]
            case "blender-render":
                words = [parameters["exe"], *shlex.split(parameters.get("exeArgs", ""))]
                words += [*parameters["argsBefore"], parameters["blendfile"], *parameters["args"]]
            case other:
                raise AssertionError(f"this worker has not learnt {other}")
        run = subprocess.run(
            words,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        print(f"$ {shlex.join(words)}\n{run.stdout}({run.returncode})")
        return run.returncode == 0

    def _expanded(self, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list):
            return [str(self._expanded(each)) for each in value]
        for name, meant in self.variables.items():
            value = value.replace(f"{{{name}}}", meant)
        return value
