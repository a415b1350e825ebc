# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generation tells the world while it runs: JSON lines for a program, a progress bar for a person.

Protocol 1, one JSON object a line on standard output, nothing else there: ``start`` (before torch is
imported, which takes a while), ``hello`` (protocol, engine, torch, diffusers, device), ``phase`` (phase:
load, denoise, decode, write, finish), ``progress`` (step, total), ``notice`` (message), ``result`` (clip,
info, seconds, peak_memory_mb), ``error`` (code, message), of ``plan`` also ``plan`` (plan, notes); from
``serve`` also ``preview`` (path: a PNG of what is being denoised, replaced by later ones and gone when the
job ends), ``freed``, ``read`` (tokens, most, end: of a prompt, see :class:`.control.prompts.PromptRead`; all
null where the model is not there), and ``id`` with every event of a job. From ``models`` the phases are
download and verify, ``progress`` counts megabytes (10^6 bytes), and ``model`` (name, state: downloaded, half
or missing; message) comes last. A reader passes over events that it does not know.
"""

import copy
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from .errors import EngineError, shown

PROTOCOL = 1
_PLAIN: Any = {"markup": False, "highlight": False, "soft_wrap": True}


class Events(Protocol):
    """Where a generation reports."""

    def hello(self, **versions: str) -> None:
        """The engine is up: its versions and device."""

    def phase(self, phase: str) -> None:
        """A phase begins: load, denoise, decode or write."""

    def progress(self, step: int, total: int) -> None:
        """Denoising step ``step`` of ``total`` is done."""

    def preview(self, path: Path) -> None:
        """A picture of what is being denoised is at ``path``, for now."""

    def notice(self, message: str) -> None:
        """Something that a person should know, in one sentence; the job goes on."""

    def result(self, clip: Path, info: Path, seconds: float, peak_memory_mb: float | None) -> None:
        """The clip is on disk."""

    def model(self, name: str, state: str, message: str) -> None:
        """What was asked for of a model is done; its state then, and a sentence about it."""

    def error(self, code: str, message: str) -> None:
        """There will be no clip."""


def say(text: str) -> None:
    """Print what a command was asked for; it ends where nobody reads on, as behind ``| head``.

    Raises:
        SystemExit: nobody does.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left would be tried again, and said, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


class JsonLines:
    """Events as JSON lines on what was standard output; from then on, prints go to standard error.

    Libraries print. That must not reach the stream that a program reads, not even from C, so the file
    descriptor itself is moved.
    """

    def __init__(self):
        sys.stdout.flush()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._about: dict[str, str] = {}
        self._lock = threading.Lock()  # the inbox refuses jobs from a thread of its own
        os.dup2(2, 1)

    def about(self, job_id: str) -> "JsonLines":
        """The same stream, with ``id`` in every event."""
        same = copy.copy(self)
        same._about = {"id": job_id}
        return same

    def _send(self, event: str, **fields) -> None:
        line = json.dumps({"event": event, **self._about, **fields}) + "\n"
        with self._lock, suppress(OSError):  # nobody reads any more, which the inbox learns, too
            self._stream.write(line)
            self._stream.flush()

    def refuse(self, job_id: str, error: EngineError) -> None:
        """A job is not taken."""
        self.about(job_id).error(error.code, error.message)

    def start(self) -> None:
        """The process runs: a sign of life before the imports that take long."""
        self._send("start")

    def freed(self) -> None:
        """The loaded model is forgotten."""
        self._send("freed")

    def read(self, tokens: int | None, most: int | None, end: int | None) -> None:
        """How much of a prompt is read."""
        self._send("read", tokens=tokens, most=most, end=end)

    def plan(self, plan: dict[str, Any], notes: list[str]) -> None:
        """A text is planned; notes are sentences about what may not be as it says."""
        self._send("plan", plan=plan, notes=notes)

    def hello(self, **versions: str) -> None:
        """See :class:`Events`."""
        self._send("hello", protocol=PROTOCOL, **versions)

    def phase(self, phase: str) -> None:
        """See :class:`Events`."""
        self._send("phase", phase=phase)

    def progress(self, step: int, total: int) -> None:
        """See :class:`Events`."""
        self._send("progress", step=step, total=total)

    def preview(self, path: Path) -> None:
        """See :class:`Events`."""
        self._send("preview", path=str(path))

    def notice(self, message: str) -> None:
        """See :class:`Events`."""
        self._send("notice", message=message)

    def result(self, clip: Path, info: Path, seconds: float, peak_memory_mb: float | None) -> None:
        """See :class:`Events`."""
        self._send("result", clip=str(clip), info=str(info), seconds=seconds, peak_memory_mb=peak_memory_mb)

    def model(self, name: str, state: str, message: str) -> None:
        """See :class:`Events`."""
        self._send("model", name=name, state=state, message=message)

    def error(self, code: str, message: str) -> None:
        """See :class:`Events`."""
        self._send("error", code=code, message=message)


_UNITS = {"download": "download (MB)", "verify": "verify (MB)"}
"""Phases that do not count steps, with what they count."""


class Terminal:
    """Events as a progress bar."""

    def __init__(self):
        self._console = Console()
        self._bar = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task: TaskID | None = None

    def hello(self, **versions: str) -> None:
        """See :class:`Events`."""
        self._console.print(" ".join(f"{name} {value}" for name, value in versions.items()), **_PLAIN)

    def phase(self, phase: str) -> None:
        """See :class:`Events`."""
        self._finish_phase()
        self._bar.start()
        self._task = self._bar.add_task(_UNITS.get(phase, phase), total=None)

    def _finish_phase(self) -> None:
        if self._task is not None and self._bar.tasks[self._task].total is None:
            self._bar.update(self._task, total=1, completed=1)  # a phase without steps

    def progress(self, step: int, total: int) -> None:
        """See :class:`Events`."""
        if self._task is not None:
            self._bar.update(self._task, completed=step, total=total)

    def preview(self, path: Path) -> None:
        """See :class:`Events`; a terminal shows no pictures."""

    def notice(self, message: str) -> None:
        """See :class:`Events`."""
        self._console.print(shown(message), style="yellow", **_PLAIN)

    def result(self, clip: Path, info: Path, seconds: float, peak_memory_mb: float | None) -> None:
        """See :class:`Events`."""
        self._finish_phase()
        self._bar.stop()
        memory = f", {peak_memory_mb:.0f} MB of memory at most" if peak_memory_mb else ""
        self._console.print(shown(f"{clip} in {seconds:.1f} s{memory}"), **_PLAIN)

    def model(self, name: str, state: str, message: str) -> None:
        """See :class:`Events`."""
        self._finish_phase()
        self._bar.stop()
        self._console.print(shown(message), **_PLAIN)

    def error(self, code: str, message: str) -> None:
        """See :class:`Events`."""
        self._bar.stop()
        Console(stderr=True).print(shown(message), style="red", **_PLAIN)
