# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the clips of a plan: the clip is there, or a ``problem.json`` in its folder says why not."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from ..batch import Task
from ..documents import read_json
from ..errors import EngineError
from ..existing import whole_clip
from ..video import replacing
from .plan import Clip, Plan, Shot

PROBLEM = "problem.json"
NO_MASKS = "no_masks"
"""Code of a problem that the add-on's task tells."""


@dataclass(frozen=True)
class Problem:
    """Why there is no clip: an error's code and its sentence."""

    code: str
    message: str


def read_problem(folder: Path) -> Problem | None:
    """Why the clip of a folder is not there; None where nothing is known of it."""
    try:
        stated = read_json(folder / PROBLEM)
        return Problem(str(stated["code"]), str(stated["message"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_problem(folder: Path, problem: Problem | None) -> None:
    """Write why there is no clip, or take that away, which does no harm where it stays beside a clip.

    Raises:
        EngineError: ``not_written``.
    """
    if problem is None:
        with suppress(OSError):
            (folder / PROBLEM).unlink(missing_ok=True)
        return
    text = json.dumps({"code": problem.code, "message": problem.message})
    with replacing(folder / PROBLEM) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")


@dataclass(frozen=True)
class Result:
    """What became of a clip.

    Attributes:
        shot: of the plan.
        clip: of the shot.
        file: the movie or picture, as it was finished if its job asks for that; None without.
        frames: that it has.
        task: the same for a report.
    """

    shot: Shot
    clip: Clip
    file: Path | None
    frames: int
    task: Task

    def failed(self, problem: Problem) -> Result:
        """The same without a clip, for a reason."""
        self.task.fail(problem.code, problem.message)
        return replace(self, file=None, frames=0)


def results_of(plan: Plan, out: Path) -> list[Result]:
    """Look at all clips of a plan; one counts only if it is of the masks that are there, and whole."""
    return [_result(shot, clip, out / clip.name) for shot in plan.shots for clip in shot.clips]


def _result(shot: Shot, clip: Clip, folder: Path) -> Result:
    task = Task(folder / "job", folder)
    found = whole_clip(folder / "job", folder)
    if found is None:
        problem = read_problem(folder) or Problem("no_clip", "It was not made yet; run its task again.")
        return Result(shot, clip, None, 0, task).failed(problem)
    file, record = found
    if not is_job_of(clip, record["job"]):
        return Result(shot, clip, None, 0, task).failed(other_job(folder))
    task.outcome, task.clip = "made", file.name
    task.seconds, task.device = _seconds(record), str(record.get("device", ""))
    return Result(shot, clip, file, int(record["job"]["timing"]["frame_count"]), task)


def _seconds(record: dict[str, Any]) -> float:
    """What the phases of a clip took together; 0 where the record does not tell."""
    stated = record.get("seconds")
    numbers = stated.values() if isinstance(stated, dict) else ()
    return round(sum(each for each in numbers if isinstance(each, int | float)), 1)


def is_job_of(clip: Clip, job: dict[str, Any]) -> bool:
    """Whether a job is of a clip: of its seed and its model; a folder has another path on each machine."""
    planned, stated = clip.model, str(job.get("model"))
    same = stated == planned
    if planned.startswith("//"):
        # which reads both slashes, but would take two of them for the name of a share
        same = PureWindowsPath(stated).name == PureWindowsPath(planned.lstrip("/")).name
    return same and job.get("seed") == clip.seed


def other_job(folder: Path) -> Problem:
    """Its masks are of another export of the same job."""
    return Problem(
        "other_masks", f"{folder} has the masks of another model or seed; run the task that makes its masks."
    )


def check_task(folder: Path, clip: Clip) -> Problem | None:
    """Make sure that a clip has its job.

    Returns:
        What was wrong with its shot, so that it has none; None where the job is there, whatever it says.

    Raises:
        EngineError: ``no_job`` where nobody has looked at its shot yet, ``other_masks`` where that was for
            another clip; ``bad_path`` where the folder is a link, which would lead out of the output folder.
    """
    if folder.is_symlink():
        raise EngineError(
            "bad_path", f"{folder} is a link to another folder, which is left alone; remove it."
        )
    if (folder / "job" / "job.json").is_file():
        with suppress(OSError, ValueError):  # which making it says better
            stated = read_json(folder / "job" / "job.json")
            if isinstance(stated, dict) and not is_job_of(clip, stated):
                other = other_job(folder)
                raise EngineError(other.code, other.message)
        return None
    problem = read_problem(folder)
    if problem is None or problem.code != NO_MASKS:
        raise EngineError(
            "no_job",
            f"{folder} has no masks for {clip.name}; run the task first that makes the masks of its shot.",
        )
    return problem
