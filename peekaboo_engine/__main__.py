# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's command line: ``python -m peekaboo_engine``."""

import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from . import model_commands
from .benchmark.request import Prompts, Request
from .errors import INTERRUPTED, EngineError, shown
from .events import JsonLines, Terminal
from .farm import command as farm
from .inbox import Inbox, parent_listens
from .job import Finish
from .limits import MAX_CLIP_SIDE, MAX_GUIDANCE, MAX_SEED, MAX_STEPS
from .placement import Placement
from .worker import Worker, reporting, serve

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
app.add_typer(model_commands.app, name="models")
app.add_typer(farm.app, name="farm")


class Dtype(StrEnum):
    """Precision of the model."""

    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Savings(StrEnum):
    """What saves memory."""

    fp8 = "fp8"
    groups = "groups"
    nf4 = "nf4"
    tiles = "tiles"


Device = Annotated[
    str,
    typer.Option(help="cpu, cuda:1, mps; auto: the best; cuda:0+cuda:1 make a clip together."),
]
Precision = Annotated[Dtype, typer.Option(help="Precision; auto: half on a GPU, single on the CPU.")]
Offload = Annotated[bool, typer.Option("--offload", help="Only the component at work in GPU memory.")]
Memory = Annotated[
    list[Savings] | None,
    typer.Option(
        help="fp8: denoisers wait in 8 bits; nf4: in 4, on a GPU, by bitsandbytes; groups: each layer on the "
        "GPU while it computes; tiles: decode in tiles. May be repeated."
    ),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile blocks first: slow once, then faster.")]


def _placement(
    device: str, dtype: Dtype, offload: bool, memory: list[Savings] | None, compiled: bool
) -> Placement:
    savings: Any = tuple(each.value for each in memory or ())
    try:
        return Placement(device, dtype.value, offload, savings, "inductor" if compiled else None)
    except EngineError as error:
        raise typer.BadParameter(error.message) from None


@app.command()
def generate(
    jobs: Annotated[
        list[Path], typer.Argument(help="Job folders: job.json and masks.npz.", metavar="JOB...")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for clip.mp4 and clip.json; of several jobs, one in it for each. "
            "[default: beside JOB]"
        ),
    ] = None,
    devices: Annotated[
        str,
        typer.Option(help="An engine on each, which share the jobs: cuda:0,cuda:1."),
    ] = "",
    report: Annotated[
        Path | None, typer.Option(help="JSON of what became of each job; a page with clips comes beside it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make clips again that are there.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="JSON lines on standard output, for programs; one job.")
    ] = False,
    device: Device = "auto",
    dtype: Precision = Dtype.auto,
    offload: Offload = False,
    memory: Memory = None,
    compiled: Compile = False,
) -> None:
    """Generate the clip of a job; or those of many, of which clips that are there are kept."""
    if len(jobs) > 1 or devices or report or force:
        if events:
            raise typer.BadParameter(
                "--events tells of one job, without --devices, --report and --force; leave it out, and read "
                "the file of --report."
            )
        placement = _placement(device, dtype, offload, memory, compiled)
        named = [name.strip() for name in devices.split(",") if name.strip()]
        raise typer.Exit(_batch(jobs, out, named or [device], placement, force, report))
    told: JsonLines | Terminal = JsonLines() if events else Terminal()
    if isinstance(told, JsonLines):
        told.start()
    cancelled = Inbox().stopped if events and parent_listens() else lambda: False
    worker = Worker(_placement(device, dtype, offload, memory, compiled))
    (job,) = jobs
    done = reporting(told, lambda: worker.hello(told)) and worker.run(
        job, out or job.resolve().parent, told, cancelled
    )
    worker.end()
    raise typer.Exit(0 if done else 1)


@app.command()
def finish(
    take: Annotated[Path, typer.Argument(help="Folder of a take: its clip, and what made it in job.")],
    smooth: Annotated[bool, typer.Option("--smooth", help="A picture for each frame of the scene.")] = False,
    enlarge: Annotated[
        str, typer.Option(help="As large as goes into so many pixels.", metavar="WIDTHxHEIGHT")
    ] = "",
) -> None:
    """Smooth or enlarge the clip of a take: smooth.mp4, enlarged.mp4 or smooth_enlarged.mp4, beside it."""
    from .finishing import finish_take

    try:
        width, height = map(int, enlarge.split("x")) if enlarge else (None, None)
        wanted = Finish(smooth=smooth, enlarge=bool(enlarge), width=width, height=height)
    except ValueError:
        raise typer.BadParameter(
            f"--enlarge {enlarge} is no size, such as 1920x1080, up to {MAX_CLIP_SIDE} a side."
        ) from None
    if not wanted.wanted:
        raise typer.BadParameter("Add --smooth, --enlarge WIDTHxHEIGHT, or both.")
    report, started = Terminal(), time.perf_counter()

    def run() -> None:
        report.phase("finish")
        clip = finish_take(take, wanted)
        report.result(clip, take / "clip.json", time.perf_counter() - started, None)

    raise typer.Exit(0 if reporting(report, run) else 1)


@app.command()
def refine(
    take: Annotated[Path, typer.Argument(help="Folder of a take: clip.mp4, and what made it in job.")],
    model: Annotated[str, typer.Option(help="That makes it anew, by name or folder; such as zeroscope-xl.")],
    out: Annotated[Path, typer.Option(help="Folder of the new take.")],
    strength: Annotated[
        float, typer.Option(min=0.01, max=1, help="How much is made anew: 1 keeps nothing of the clip.")
    ] = 0.6,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="[default: the take's]")] = None,
    device: Device = "auto",
    dtype: Precision = Dtype.auto,
    offload: Offload = False,
    memory: Memory = None,
    compiled: Compile = False,
) -> None:
    """Make a take anew by another model, at its size, under the same masks."""
    from .refining import write_refined

    report = Terminal()
    job = out / "job"
    if reporting(report, lambda: write_refined(take, out, model, strength, seed)):
        generate(
            [job],
            out,
            device=device,
            dtype=dtype,
            offload=offload,
            memory=memory,
            compiled=compiled,
        )
    raise typer.Exit(1)


def _batch(
    jobs: list[Path],
    out: Path | None,
    devices: list[str],
    placement: Placement,
    force: bool,
    path: Path | None,
) -> int:
    from . import batch, batch_report

    tasks: list[batch.Task] = []

    def begin() -> None:
        if path is not None:
            batch_report.check(path)
        tasks.extend(batch.tasks_of(jobs, out))

    begun, stopped = time.monotonic(), False
    if not reporting(Terminal(), begin):
        return 1
    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    try:
        batch.run(tasks, devices, placement, force, lambda line: console.print(shown(line)))
    except KeyboardInterrupt:
        stopped = True
    made = batch.report(tasks, begun)
    batch_report.show(made)
    written = path is None or reporting(Terminal(), lambda: batch_report.write(made, path))
    return INTERRUPTED if stopped else batch.exit_code(tasks) if written else 1


@app.command("plan")
def plan_command(
    text: Annotated[
        str, typer.Argument(help='What is to be seen, such as "a red ball rolls from left to right".')
    ] = "",
    change: Annotated[Path | None, typer.Option(help="Plan that the text changes.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON for the plan. [default: standard output]")] = None,
    layouts: Annotated[Path | None, typer.Option(help="JSON of box tracks, as evaluate takes them.")] = None,
    aspect: Annotated[float, typer.Option(min=0.1, max=10, help="Of the picture: width / height.")] = 16 / 9,
    endpoint: Annotated[
        str, typer.Option(help="OpenAI-compatible server to plan with, such as http://localhost:11434/v1.")
    ] = "",
    model: Annotated[str, typer.Option(help="Language model of that server.")] = "",
    events: Annotated[
        bool, typer.Option("--events", help="A request on standard input, JSON lines out; for programs.")
    ] = False,
) -> None:
    """Plan boxes over time from a sentence; the key of an endpoint is read from PEEKABOO_ENDPOINT_KEY."""
    from .planning import command

    if events:
        lines = JsonLines()
        lines.start()
        raise typer.Exit(0 if reporting(lines, lambda: command.answer(sys.stdin.buffer, lines)) else 1)
    asked = command.Asked(
        text=text, change=change, out=out, layouts=layouts, aspect=aspect, endpoint=endpoint, model=model
    )
    raise typer.Exit(0 if reporting(Terminal(), lambda: command.plan(asked)) else 1)


@app.command("serve")
def serve_command(
    idle: Annotated[float, typer.Option(help="Seconds without a request after which the engine ends.")] = 900,
    part: Annotated[int, typer.Option(hidden=True, help="Which of several devices is this process's.")] = 0,
    meeting: Annotated[Path | None, typer.Option(hidden=True, help="Where they find one another.")] = None,
    device: Device = "auto",
    dtype: Precision = Dtype.auto,
    offload: Offload = False,
    memory: Memory = None,
    compiled: Compile = False,
) -> None:
    """Run jobs as requests come in on standard input, with models kept loaded; for programs."""
    events = JsonLines()
    events.start()
    inbox = Inbox(events.refuse)

    def end(number, frame):
        inbox.close()
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    placement = replace(_placement(device, dtype, offload, memory, compiled), number=part)
    worker = Worker(placement, previews=not part)

    def begin() -> None:
        worker.hello(events)
        if meeting is not None:
            from .splitting import join

            join(placement, meeting)

    up = reporting(events, begin)
    if up:
        with suppress(KeyboardInterrupt):  # while it waits; one in the middle of a job ends that
            serve(worker, events, inbox, idle)
    raise typer.Exit(0 if up else 1)


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="Name of a model, or a folder in diffusers' format.")],
    layouts: Annotated[
        Path, typer.Option(help="Layouts file (imc_inputs.json), job folder, folder of those, or DAVIS.")
    ],
    json: Annotated[Path, typer.Option(help="Result; clips are kept in a folder beside it.")],
    report: Annotated[Path | None, typer.Option(help="Folder for a page with table, plots, clips.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="PNG for a contact sheet of some layouts.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many layouts, evenly spread.")] = None,
    controls: Annotated[str, typer.Option(help="Rows of the table.")] = "none,peekaboo",
    masked_steps: Annotated[str, typer.Option(help="Sweep, such as 0,2,4,8. [default: the model's]")] = "",
    subjects: Annotated[int, typer.Option(min=1, max=3, help="Subjects in a clip (prompts shapes).")] = 1,
    prompts: Annotated[Prompts, typer.Option(help="auto: shapes for an embedded model.")] = Prompts.auto,
    detector: Annotated[
        str | None, typer.Option(help="segmenter, owlvit, owlv2, grounding-dino, or a folder.")
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(help="Folder of a CLIP: how well clips agree with their prompts.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise, and of drawn prompts.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Denoising steps. [default: the model's]")
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(min=0, max=MAX_GUIDANCE, help="[default: the model's]")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Of few steps, by name. [default: the model's]")
    ] = None,
    part: Annotated[str, typer.Option(help="K/N: the K-th of N parts, to share the work.")] = "1/1",
    report_clips: Annotated[int, typer.Option(min=0, help="Layouts that page and sheet show.")] = 12,
    device: Device = "auto",
    dtype: Precision = Dtype.auto,
    offload: Offload = False,
    memory: Memory = None,
    compiled: Compile = False,
) -> None:
    """Measure control over a model: layouts in; table, JSON and report out. Run again to go on."""
    terminal, placement = Terminal(), _placement(device, dtype, offload, memory, compiled)
    request = Request(
        model=model,
        layouts=layouts,
        json=json,
        report=report,
        sheet=sheet,
        limit=limit,
        controls=controls,
        masked_steps=masked_steps,
        subjects=subjects,
        prompts=prompts,
        detector=detector,
        clip=clip,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        schedule=schedule,
        part=part,
        report_clips=report_clips,
    )

    def run() -> None:
        Worker(placement).hello(terminal)
        from .benchmark import command

        command.evaluate(request, placement)

    raise typer.Exit(0 if reporting(terminal, run) else 1)


def _interrupt(number, frame) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A polite request to end takes the way of Ctrl-C, which removes half-written files.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="peekaboo_engine")
    finally:  # what Python and libraries still do at the exit may be cut off: nothing of ours is lost by it
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
