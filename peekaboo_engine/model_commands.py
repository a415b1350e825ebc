# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m peekaboo_engine models``: what models there are, and bring them here; needs no torch."""

import json as json_library
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from . import __version__
from .cancelling import interruptible
from .errors import EngineError
from .events import Events, JsonLines, Terminal, say
from .inbox import Inbox, parent_listens
from .loras import in_repository
from .models import ModelEntry, catalogue, known_model
from .repositories import Fault, Progress, Repository
from .worker import reporting

app = typer.Typer(help="What models there are, and bring them here.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a model.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON on standard output, for programs.")]
EventLines = Annotated[bool, typer.Option("--events", help="JSON lines on standard output, for programs.")]

_MEGABYTE = 10**6
_TELL_SECONDS = 0.1
_STATES = {"downloaded": "yes", "half": "in part", "missing": "no"}


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the models known by name."""
    models = catalogue()
    if json:
        told = {name: _described(entry) for name, entry in models.items()}
        say(json_library.dumps(told, indent=2))
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("name", "frames", "size", "GB", "here", "masks"):
        table.add_column(heading, no_wrap=True)
    table.add_column("licence (* limits)", overflow="fold")
    for name, entry in models.items():
        table.add_row(
            name,
            str(entry.num_frames),
            f"{entry.width} x {entry.height}",
            f"{entry.weights_gb.bf16:g}" if entry.weights_gb else "",
            _STATES[entry.state()],
            "yes" if entry.is_driven else "not yet",
            entry.licence + (" *" if entry.limits else ""),
        )
    console = Console()
    console.print(table)
    console.print("GB: weights in half precision. More, limits too: models describe NAME", highlight=False)


@app.command()
def describe(
    model: Annotated[str, typer.Argument(help="Name of a model, or a folder in diffusers' format.")],
    json: Json = False,
) -> None:
    """Tell all that is known of a model, or of a folder."""

    def tell() -> None:
        entry = known_model(model)
        if json:
            say(json_library.dumps(_described(entry), indent=2))
        else:
            console = Console()
            for line in _facts(entry):
                console.print(line, markup=False, highlight=False, soft_wrap=True)

    raise typer.Exit(0 if reporting(Terminal(), tell) else 1)


@app.command()
def download(
    model: Name,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You accept the model's licence and its limits.")
    ] = False,
    events: EventLines = False,
) -> None:
    """Download a model, the rest of it, or a LoRA (OWNER/NAME/FILE.safetensors); what is here is checked."""

    def run(report: Events, cancelled: Callable[[], bool]) -> None:
        if named := in_repository(model):
            _download_lora(model, *named, accept_licence, report, cancelled)
            return
        from . import downloads

        entry = _on_hub(model)
        if not accept_licence:
            raise EngineError(
                "licence",
                f"{entry.title} is under {licence_of(entry)} If you accept that, download it with "
                "--accept-licence.",
            )
        told = _Told(report, cancelled)
        plans = [(repository, downloads.plan(repository)) for repository in entry.repositories]
        downloads.check_space(entry.repositories[0], sum(planned.missing for _, planned in plans))
        folders = [downloads.fetch(repository, planned, told) for repository, planned in plans]
        report.model(model, entry.state(), f"{entry.title} is in {' and '.join(map(str, folders))}.")

    _run(events, run)


def _download_lora(
    source: str, name: str, file: str, accepted: bool, report: Events, cancelled: Callable[[], bool]
) -> None:
    from . import downloads

    repository = Repository(name, only=(file,))
    planned = downloads.plan(repository)
    if not accepted:
        stated = f"is under {planned.licence} by" if planned.licence else "has no licence that is stated on"
        raise EngineError(
            "licence",
            f"The LoRA {file} {stated} its page, https://huggingface.co/{name}. If you accept what that page "
            "says, download it with --accept-licence.",
        )
    folder = downloads.fetch(repository, planned, _Told(report, cancelled))
    report.model(source, repository.state(), f"The LoRA {file} is in {folder}.")


@app.command()
def verify(model: Name, events: EventLines = False) -> None:
    """Hold the files of a model against their sizes and hashes."""

    def run(report: Events, cancelled: Callable[[], bool]) -> None:
        from . import downloads

        entry = _on_hub(model)
        if entry.state() == "missing":
            raise EngineError("not_downloaded", f"{entry.title} is not on this machine: nothing to verify.")
        told = _Told(report, cancelled)
        faults: list[Fault] = []
        count = 0
        for repository in entry.repositories:
            record = repository.record() or downloads.plan(repository).record
            told.phase("verify", sum(file.size for file in record.files))
            faults += repository.faults(record, told.advance)
            count += len(record.files)
        if faults:
            raise _faulty(model, entry, count, faults)
        report.model(model, entry.state(), f"All {count} files of {entry.title} are right.")

    _run(events, run)


@app.command()
def assemble(
    file: Annotated[Path, typer.Argument(help="A denoiser in one file, .safetensors or .gguf.")],
    base: Annotated[str, typer.Option(help="The model that it was made from: downloaded, or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder that is made; it must not be there yet.")],
    part: Annotated[
        str | None, typer.Option(help="Of a model with two denoisers, which: transformer, transformer_2.")
    ] = None,
) -> None:
    """Make a model's folder of a single file and the rest of the model that it was made from."""

    def run(report: Events, cancelled: Callable[[], bool]) -> None:
        from .assembling import assemble as make

        report.phase("assemble")
        make(file, base, part, out)
        report.model(str(out), "downloaded", f"{out} is a model: --model {out}, or its path in Blender.")

    _run(False, run)


@app.command()
def remove(model: Name, events: EventLines = False) -> None:
    """Remove a model from this machine, for other programs that use the hub's cache, too."""

    def run(report: Events, cancelled: Callable[[], bool]) -> None:
        entry = _on_hub(model)
        if entry.state() == "missing":
            raise EngineError("not_downloaded", f"{entry.title} is not on this machine; nothing was removed.")
        before = [name for name, other in catalogue().items() if other.state() == "downloaded"]
        here = [repository for repository in entry.repositories if repository.state() != "missing"]
        freed = sum(repository.remove() for repository in here) / 1e9
        others = [name for name in before if name != model and catalogue()[name].state() != "downloaded"]
        shared = f" {' and '.join(others)} had the same files." if others else ""
        report.model(model, entry.state(), f"{entry.title} was removed, which frees {freed:.1f} GB.{shared}")

    _run(events, run)


def _described(entry: ModelEntry) -> dict:
    return {**entry.described(), "state": entry.state()}


def _facts(entry: ModelEntry) -> list[str]:
    """What a person wants to know of a model, a line each."""
    frames = str(entry.num_frames)
    if entry.temporal_compression > 1:
        frames += f" (1 + a multiple of {entry.temporal_compression})"
    facts = [
        entry.title,
        f"from {entry.source} ({entry.revision or 'its main branch'}), {entry.pipeline}",
        f"licence: {licence_of(entry)}",
        *([f"nobody has a licence in: {', '.join(entry.excluded)}"] if entry.excluded else []),
        f"{entry.width} x {entry.height} (multiples of {entry.size_multiple}), {frames} frames"
        + (f", {entry.fps:g} a second" if entry.fps else ""),
        f"{entry.num_inference_steps} steps, guidance {entry.guidance_scale:g}, method {entry.method}",
    ]
    if weights := entry.weights_gb:
        facts.append(
            f"weights alone: {weights.bf16:g} GB in half precision, {weights.fp8:g} with denoisers in fp8, "
            f"{weights.offload:g} offloaded"
        )
    if entry.measured_gb:
        facts.append(f"measured: a whole generation took {entry.measured_gb:g} GB")
    if entry.download_gb:
        facts.append(f"download: up to {entry.download_gb:g} GB; here: {_STATES[entry.state()]}")
    facts.append(f"masks: {f'measured, {entry.measured}' if entry.measured else 'untested'}. {entry.tried}")
    return facts


def licence_of(entry: ModelEntry) -> str:
    """A model's licence with its link and limits, in sentences."""
    link = f" ({entry.licence_url})" if entry.licence_url else ""
    return " ".join([f"{entry.licence}{link}.", *entry.limits])


def _on_hub(model: str) -> ModelEntry:
    entry = known_model(model)
    if entry.folder:
        raise EngineError(
            "no_download", f"{entry.title} is a folder on this machine; choose a model of the hub's."
        )
    return entry


def _faulty(model: str, entry: ModelEntry, count: int, faults: list[Fault]) -> EngineError:
    shown = "; ".join(str(fault) for fault in faults[:5]) + ("; …" if len(faults) > 5 else "")
    return EngineError(
        "corrupt",
        f"{len(faults)} of {count} files of {entry.title} are not right ({shown}): "
        f"python -m peekaboo_engine models download {model} --accept-licence fetches these anew.",
    )


class _Told(Progress):
    """A download's progress as events, in megabytes; ends it when it is cancelled."""

    def __init__(self, events: Events, cancelled: Callable[[], bool]):
        self._events = events
        self._cancelled = cancelled
        self._done = self._total = 0
        self._next = 0.0

    def phase(self, name: str, total: int) -> None:
        self._events.phase(name)
        self._done, self._total, self._next = 0, total, 0.0
        self.advance(0)

    def advance(self, count: int) -> None:
        if self._cancelled():
            raise _cancelled()
        self._done = max(0, self._done + count)
        now = time.monotonic()
        if now >= self._next or self._done >= self._total:
            self._next = now + _TELL_SECONDS
            total = -(-self._total // _MEGABYTE)
            whole = self._done >= self._total
            self._events.progress(total if whole else self._done // _MEGABYTE, total)


def _cancelled() -> EngineError:
    return EngineError(
        "cancelled",
        "The download was cancelled; what has arrived is kept, and the next one goes on from there.",
    )


def _run(as_lines: bool, action: Callable[[Events, Callable[[], bool]], None]) -> None:
    """Do it with its events, until it is done, cancelled, or whoever asked is gone."""
    report: JsonLines | Terminal = JsonLines() if as_lines else Terminal()
    if isinstance(report, JsonLines):
        report.start()
        report.hello(engine=__version__, huggingface_hub=version("huggingface_hub"), device="")
    cancelled = Inbox().stopped if as_lines and parent_listens() else lambda: False

    def stop() -> None:
        raise _cancelled()

    def run() -> None:
        try:
            with interruptible(stop, cancelled):
                action(report, cancelled)
        except KeyboardInterrupt:
            raise _cancelled() from None

    raise typer.Exit(0 if reporting(report, run) else 1)
