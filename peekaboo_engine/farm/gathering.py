# SPDX-License-Identifier: GPL-3.0-or-later
"""The last task of a farm: what became of all clips, for people and for the edit."""

from __future__ import annotations

import time
from pathlib import Path

from .. import batch, batch_report
from .messages import Messages
from .plan import Plan, check_owner
from .results import Result, results_of
from .sheet import write_sheets
from .timeline import write_edits

REPORT = "report.json"


def gather(plan: Plan, out: Path, told: Messages) -> int:
    """Write the report, contact sheets and an edit of each scene into the output folder.

    Args:
        plan: of the clips.
        out: output folder of the plan, and of no other.
        told: gets to know how it goes, and what failed.

    Returns:
        Exit code: 0 where all clips are there, 3 where some are, 1 where none is.

    Raises:
        EngineError: ``other_job``, ``not_written``, ``cannot_write``.
    """
    begun = time.monotonic()
    check_owner(plan, out)
    results = results_of(plan, out)
    undecodable = write_sheets(results, out, told.progress)
    results = [
        result.failed(undecodable[result.clip.name]) if result.clip.name in undecodable else result
        for result in results
    ]
    report = batch.report([result.task for result in results], begun)
    batch_report.write(report, out / REPORT)
    write_edits(results, out)
    there, failed = _parted(results)
    for result in failed:
        told.status(f"{result.clip.name}: {result.task.message}")
    told.status(f"{len(there)} of {len(results)} clips are in {out}, and {REPORT} says what became of each")
    if failed:
        names = ", ".join(result.clip.name for result in failed[:MOST_NAMED])
        more = f" and {len(failed) - MOST_NAMED} more" if len(failed) > MOST_NAMED else ""
        told.error("some_failed", f"{len(failed)} of {len(results)} clips are missing: {names}{more}.")
    return batch.exit_code(result.task for result in results)


MOST_NAMED = 8
"""Missing clips that a sentence lists."""


def _parted(results: list[Result]) -> tuple[list[Result], list[Result]]:
    """Those whose clips are there, and the others."""
    return (
        [result for result in results if result.file is not None],
        [result for result in results if result.file is None],
    )
