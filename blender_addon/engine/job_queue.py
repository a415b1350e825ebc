# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that wait for the engine, one that runs, and how they ended; imports no bpy.

The engine is given one job at a time, so that its end costs no more than that one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import PeekabooError
from . import process as engine_client
from .jobs import Job
from .keeper import Keeper
from .process import Event, Failure, Settings


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        text: a sentence for the panel.
        failed: whether that is an error.
        folder: of the clip, if there is one.
    """

    text: str
    failed: bool = False
    folder: Path | None = None


class Queue:
    """Jobs, first come first served.

    Attributes:
        waiting: for the engine, in their order.
        running: the one that the engine works on.
        arrived: those whose clips wait for being imported.
        outcomes: of the jobs since the queue was last empty, and of the engine.
    """

    def __init__(self):
        self.waiting: list[Job] = []
        self.running: Job | None = None
        self.arrived: list[Job] = []
        self.outcomes: list[Outcome] = []
        self.keeper = Keeper()

    @property
    def busy(self) -> bool:
        """Whether there is a job that has not ended."""
        return bool(self.waiting or self.running or self.arrived)

    def add(self, job: Job) -> None:
        """Put a job at the end."""
        if not self.busy:
            self.outcomes.clear()
        self.waiting.append(job)

    def cancel(self, job: Job) -> None:
        """End a job and keep nothing of it; a clip that is there is kept."""
        if job in self.waiting:
            self.waiting.remove(job)
            _discard(job)
        elif job is self.running and job.cancelled is None:
            job.cancelled = time.monotonic()
            if self.keeper.engine is not None:
                self.keeper.engine.cancel_job(job.id)

    def cancel_all(self) -> None:
        """End all jobs."""
        for job in [*self.waiting, *([self.running] if self.running else [])]:
            self.cancel(job)

    def advance(self, settings: Callable[[], Settings], logs: Path) -> None:
        """Take in what the engine says, and give it the next job when it has none; never waits.

        Args:
            settings: gives those of the engine when one is wanted; may raise PeekabooError.
            logs: the folder for engines' logs.
        """
        for event in self.keeper.poll():
            self._hear(event)
        self.keeper.reap()
        self._give_up_on_cancelled()
        if self.running is None and self.waiting:
            self._begin(settings, logs)

    def leave(self, patience: float) -> None:
        """End the engine within about that many seconds, and with it all jobs that have no clip yet."""
        self.keeper.end(patience)
        for job in [*self.waiting, *([self.running] if self.running else [])]:
            _discard(job)
        self.waiting, self.running = [], None

    def _begin(self, settings: Callable[[], Settings], logs: Path) -> None:
        try:
            engine = self.keeper.obtain(settings(), logs)
        except PeekabooError as error:
            self._fail(self.waiting.pop(0), str(error))
            return
        if engine is not None:
            job = self.running = self.waiting.pop(0)
            job.attempts += 1
            engine.generate(job.id, job.folder / "job", job.folder)

    def _hear(self, event: Event) -> None:
        job = self.running
        about = getattr(event, "job", None)
        if isinstance(event, Failure) and about is None:
            self._engine_is_gone(event)
        elif job is not None and about == job.id:
            job.take(event)
            if isinstance(event, Failure):
                self.running = None
                self._fail(job, event.message)
            elif job.clip is not None:
                self.running = None
                self.arrived.append(job)

    def _engine_is_gone(self, failure: Failure) -> None:
        job, self.running = self.running, None
        if job is None:
            if failure.code != "left":  # by itself, when it had nothing to do for long
                self.outcomes.append(Outcome(failure.message, failed=True))
        elif failure.code == "left" and not job.heard and job.attempts == 1 and job.cancelled is None:
            self.waiting.insert(0, job)  # it left just when the job came
        else:
            self._fail(job, failure.message)

    def _give_up_on_cancelled(self) -> None:
        """Let go of an engine that does not stop a job when it is asked to."""
        job = self.running
        if job is None or job.cancelled is None:
            return
        if time.monotonic() > job.cancelled + engine_client.CANCEL_SECONDS:
            self.keeper.let_go(patience=0)
            self.running = None
            self._fail(job, "")

    def _fail(self, job: Job, message: str) -> None:
        _discard(job)
        if job.cancelled is not None:
            self.outcomes.append(Outcome("The generation was cancelled; nothing was kept of it."))
        elif all(outcome.text != message for outcome in self.outcomes):
            self.outcomes.append(Outcome(message, failed=True))


def _discard(job: Job) -> None:
    shutil.rmtree(job.folder, ignore_errors=True)
