# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m peekaboo_engine evaluate``: layouts in, a table, JSON and a report out."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import EngineError, shown
from ..loading import load_model
from ..models import ModelEntry, find_model
from ..placement import Placement
from ..sampling import Sampling
from ..schedules import find_schedule
from ..video import replacing
from .clips import ClipStore, Stopped
from .comparison import Comparison, Failure, Outcome
from .controls import Control, choose_controls
from .detection import Detector, load_detector
from .layouts import Layout, LayoutSet, combine, read_layouts, spread
from .report import write_report
from .request import Prompts, Request
from .results import as_json, table_of, written
from .scenes import Scene, make_scene
from .sheet import write_sheet
from .text_agreement import TextAgreement

#: For text of files and models: no brackets taken for markup, no colours.
_PLAIN: Any = {"markup": False, "highlight": False, "soft_wrap": True}


def evaluate(request: Request, placement: Placement) -> None:
    """Run a request, show its table, write its files.

    Clips and their records are kept in a folder beside the JSON; a run with the same settings takes what is
    there.

    Raises:
        EngineError: for what in the request cannot work, before a model is loaded; ``nothing_measured`` if
            not one clip came out; after all is written, ``stopped`` on Ctrl-C, and ``some_failed`` if not all
            clips came out.
    """
    entry = find_model(request.model)
    controls = _controls(request, entry)
    found = read_layouts(request.layouts)
    prompts = _prompts(request, entry)
    scenes = _scenes(request, entry, found, prompts)
    device, _ = placement.resolve()
    detector = load_detector(request.detector or _usual_detector(prompts), str(device))
    agreement = TextAgreement.load(request.clip, str(device)) if request.clip else None
    for phrase in {phrase for scene in scenes for phrase in scene.phrases}:
        detector.check(phrase)

    console = Console()
    console.print(shown(f"{found.name}: {len(scenes)} of {len(found.layouts)} layouts"), **_PLAIN)
    for finding in found.findings:
        console.print(shown(f"  {finding}"), **_PLAIN)
    sampling = _sampling(request, entry)
    model = load_model(entry, placement)
    store = ClipStore(request.json.with_suffix(".clips"))
    outcome = _run(Comparison(model, detector, sampling, store, agreement), scenes, controls)
    if not outcome.clips:
        raise (
            _stopped(0)
            if outcome.stopped
            else EngineError("nothing_measured", f"Not one clip came out: {outcome.failures[0].error}")
        )
    if outcome.stopped:
        measured = {clip.scene for clip in outcome.clips}
        scenes = [scene for scene in scenes if scene.id in measured]
    facts = _facts(request, found, scenes, sampling, detector, prompts)
    if agreement:
        facts["clip"] = agreement.identity()
    result = as_json(outcome, controls, model, facts)
    _write(request, result, outcome, store, console)
    if outcome.stopped:
        raise _stopped(len(scenes))
    if outcome.failures:
        first = outcome.failures[0]
        raise EngineError(
            "some_failed",
            f"{len(outcome.failures)} clips failed, the first of them {first.scene} under {first.control} "
            f"({first.error.rstrip('.')}); the same command tries them again.",
        )


def _sampling(request: Request, entry: ModelEntry) -> Sampling:
    name = entry.schedule if request.schedule is None else request.schedule
    schedule = find_schedule(name, entry.family)
    steps = schedule.steps if schedule else entry.num_inference_steps
    if schedule and request.steps not in (None, steps):
        raise EngineError("bad_option", f"{schedule.title} has {steps} steps of its own; leave --steps out.")
    guidance = (schedule or entry).guidance_scale
    return Sampling(
        steps if request.steps is None else request.steps,
        guidance if request.guidance_scale is None else request.guidance_scale,
        schedule,
    )


def _stopped(layouts: int) -> EngineError:
    so_far = f"The table has what is done (layouts: {layouts})" if layouts else "The clips so far are kept"
    return EngineError("stopped", f"Stopped. {so_far}; the same command goes on from here.")


def _write(
    request: Request, result: dict[str, Any], outcome: Outcome, store: ClipStore, console: Console
) -> None:
    """Show the table; write JSON, page and sheet, and name each file."""
    with replacing(request.json) as temporary:
        temporary.write_text(written(result) + "\n", encoding="utf-8")
    table = table_of(result["rows"])
    width = Measurement.get(console, console.options.update(width=1000), table).maximum
    console.print(table, width=max(width, console.width), crop=False)  # wrapped by the terminal, not cut
    console.print(shown(f"{request.json}"), **_PLAIN)
    clips = outcome.complete([row["control"] for row in result["rows"]], request.report_clips)
    if request.report:
        page = write_report(request.report, result, outcome, clips, store)
        console.print(shown(f"{page}"), **_PLAIN)
    if request.sheet and clips:
        write_sheet(request.sheet, clips, store)
        console.print(shown(f"{request.sheet}"), **_PLAIN)


def _controls(request: Request, entry: ModelEntry) -> list[Control]:
    names = [name.strip() for name in request.controls.split(",") if name.strip()]
    try:
        masked_steps = [int(text) for text in request.masked_steps.split(",") if text.strip()]
    except ValueError:
        masked_steps = [-1]
    if not names or any(steps < 0 for steps in masked_steps):
        raise EngineError(
            "bad_option", "Give --controls and --masked-steps as lists such as none,peekaboo and 0,2,4."
        )
    steps = entry.num_inference_steps if request.steps is None else request.steps
    return choose_controls(names, masked_steps, entry.masked_steps_of(steps), entry.family)


def _prompts(request: Request, entry: ModelEntry) -> Prompts:
    if request.prompts != Prompts.auto:
        return request.prompts
    return Prompts.shapes if entry.embedded else Prompts.layouts


def _usual_detector(prompts: Prompts) -> str:
    return "segmenter" if prompts == Prompts.shapes else "owlvit"


def _scenes(request: Request, entry: ModelEntry, found: LayoutSet, prompts: Prompts) -> list[Scene]:
    layouts = _several(found.layouts, request.subjects)
    layouts = spread(layouts, request.limit) if request.limit else layouts
    return [make_scene(layout, entry, prompts, request.seed) for layout in _part(layouts, request.part)]


def _several(layouts: list[Layout], subjects: int) -> list[Layout]:
    """Layouts of one subject each, combined; jobs have their own number."""
    if subjects == 1 or layouts[0].labels is not None:
        return layouts
    return combine(layouts, subjects)


def _part(layouts: list[Layout], part: str) -> list[Layout]:
    """The K-th of N parts of the layouts, from "K/N": for several processes that share the work."""
    number, slash, parts = part.partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise EngineError("bad_option", f'--part is "{part}"; give it as 2/4, the second of four parts.')
    chosen = layouts[int(number) - 1 :: int(parts)]
    if not chosen:
        raise EngineError("bad_option", f"There are {len(layouts)} layouts, too few for part {part}.")
    return chosen


def _run(comparison: Comparison, scenes: list[Scene], controls: list[Control]) -> Outcome:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, _stop_when_asked() as stop_if_asked:
        task = progress.add_task("clips", total=len(scenes) * len(controls))

        def done(scene: Scene, control: Control, failure: Failure | None) -> None:
            progress.update(
                task, advance=1, description=escape(shown(f"{control.name}: {scene.prompt}"[:40]))
            )
            if failure:
                progress.console.print(shown(f"{scene.id}, {control.name}: {failure.error}"), **_PLAIN)

        return comparison.run(scenes, controls, done, stop_if_asked)


@contextlib.contextmanager
def _stop_when_asked() -> Iterator[Callable[[], None]]:
    """Give a function that ends the run once Ctrl-C or a polite request to end has come.

    An exception straight from a signal can come up within a fork or a destructor, and is lost there.
    """
    asked = False

    def see(number, frame) -> None:
        nonlocal asked
        if asked:  # twice: at once, wherever that is
            raise KeyboardInterrupt
        asked = True

    def stop_if_asked() -> None:
        if asked:
            raise Stopped

    before = {number: signal.signal(number, see) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_if_asked
    except KeyboardInterrupt:
        raise _stopped(0) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _facts(
    request: Request,
    found: LayoutSet,
    scenes: list[Scene],
    sampling: Sampling,
    detector: Detector,
    prompts: Prompts,
) -> dict[str, object]:
    return {
        "command": shlex.join(["python", "-m", "peekaboo_engine", *sys.argv[1:]]),
        "layouts": {
            "name": found.name,
            "sha256": found.sha256,
            "layouts": len(found.layouts),
            "used": len(scenes),
            "findings": found.findings,
        },
        "prompts": prompts.value,
        "detector": detector.identity(),
        "sampling": sampling.described(),
        "seed": request.seed,
    }
