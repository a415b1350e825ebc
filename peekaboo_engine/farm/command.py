# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands ``farm generate`` and ``farm gather``, which the tasks of a farm call."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import INTERRUPTED, EngineError, shown
from .messages import Messages

app = typer.Typer(help="Tasks of a render farm.", no_args_is_help=True)

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="plan.json of the job.")]
Out = Annotated[Path, typer.Option(help="Output folder of the job.")]
OpenJd = Annotated[bool, typer.Option("--openjd", help="Print progress as OpenJD reads it.")]


@app.command("generate")
def generate_command(
    plan: PlanFile,
    name: Annotated[str, typer.Argument(metavar="TASK", help="Of a task of the plan, or of a clip.")],
    out: Out,
    openjd: OpenJd = False,
    force: Annotated[bool, typer.Option("--force", help="Make clips again that are there.")] = False,
    faults: Annotated[
        Literal["fail", "keep"],
        typer.Option(help="Whether a fault of this machine fails the task, or is kept for the last one."),
    ] = "fail",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto takes the best.")] = "auto",
) -> None:
    """Make the clips of a task, those that are not there."""
    from .making import generate
    from .plan import read_plan

    told = Messages(openjd)

    def run() -> int:
        generate(read_plan(plan), name, out, device, force, faults == "keep", told)
        return 0

    raise typer.Exit(_reported(told, run))


@app.command("gather")
def gather_command(plan: PlanFile, out: Out, openjd: OpenJd = False) -> None:
    """Write report, contact sheet and edits of the clips; exit code 0: all are there, 3: some, 1: none."""
    from .gathering import gather
    from .plan import read_plan

    told = Messages(openjd)
    raise typer.Exit(_reported(told, lambda: gather(read_plan(plan), out, told)))


def _reported(told: Messages, run: Callable[[], int]) -> int:
    """Run a task; whatever it raises is one sentence. Returns the exit code."""
    try:
        return run()
    except EngineError as error:
        told.error(error.code, error.message)
    except KeyboardInterrupt:
        told.error("cancelled", "The task was cancelled: run it again.")
        return INTERRUPTED
    except Exception as error:  # a defect of ours: the scheduler's log has it
        typer.echo(shown(traceback.format_exc(), lines=True).rstrip(), err=True)
        told.error(
            "unexpected", f"The task failed ({type(error).__name__}: {error}); please report it with the log."
        )
    return 1
