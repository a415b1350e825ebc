# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the engine as a subprocess in its own Python, and read its events; imports no bpy.

A reader thread turns the engine's JSON lines into messages on a queue and does nothing else. Whoever started
the engine drains the queue: a plain loop (:meth:`EngineProcess.events`), or a timer of Blender's
(:meth:`EngineProcess.poll`).

The engine watches its stdin and stops when that closes, so that it never outlives the process that started
it.
"""

from __future__ import annotations

import json
import logging
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import faults
from ..borders import places
from ..errors import PeekabooError
from . import isolation, systems
from .messages import (
    MAX_LINE,
    Event,
    Failure,
    Hello,
    Model,
    Notice,
    Phase,
    Planned,
    Preview,
    Progress,
    Result,
    Start,
    parse,
)
from .whereabouts import engine_folder

_log = logging.getLogger(__name__)

__all__ = [
    "Downloader",
    "EngineProcess",
    "EngineSettings",
    "Event",
    "Failure",
    "Hello",
    "Model",
    "Notice",
    "Phase",
    "Preview",
    "Progress",
    "Result",
    "Start",
    "WarmEngine",
]

START_SECONDS = 20.0
"""How long the engine's process may take to give a sign of life."""
HELLO_SECONDS = 60.0
"""How long it may then take to say hello: to import torch from a cold disk."""
CANCEL_SECONDS = 10.0
"""How long the engine may take to finish its step after its stdin was closed."""
TERMINATE_SECONDS = 3.0
"""How long the engine may take to end after SIGTERM."""
REAP_INTERVAL = 0.02
"""Seconds between two looks at an engine that is waited for."""

MOST_MESSAGES = 1000
"""So many wait to be taken, and are taken at a time; an engine that says more has to wait."""


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is started with; with others it is another engine.

    Attributes:
        python: the interpreter that it runs in.
        online: whether it may download a model.
        idle_seconds: after so long without a job it ends by itself.
        device: what it computes on, as torch calls that, or ``auto``.
        steps_back: whether others get the cores first: where there is a window that is to stay lively.
    """

    python: Path
    online: bool
    idle_seconds: float
    device: str = "auto"
    steps_back: bool = True


class EngineProcess:
    """A process of the engine: started, read, and ended in the end."""

    aim = "clip"
    """What is wanted of it, in sentences about its end."""

    def __init__(self, arguments: list[str], python: Path, log: Path, online: bool, steps_back: bool = True):
        """Start it.

        Args:
            arguments: of the engine's command line.
            python: the interpreter that has the engine's requirements.
            log: where the engine's stderr goes.
            online: whether the engine may download a model.
            steps_back: see :class:`EngineSettings`.

        Raises:
            PeekabooError: the interpreter cannot be run, or the log cannot be written.
        """
        self.log = log
        try:
            with places.opened(log.parent) as logs, logs.begin(log.name) as log_file:
                self.process = subprocess.Popen(
                    isolation.command(python, engine_folder() / "start.py", *arguments),
                    cwd=isolation.FOLDER,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log_file,
                    env=isolation.environment(online),
                    start_new_session=True,
                    creationflags=systems.LOW_PRIORITY if steps_back else 0,
                )
        except OSError as error:
            raise PeekabooError(
                f'The engine cannot be started with "{python}" ({error.strerror}): choose another '
                "Python for it."
            ) from None
        if steps_back:
            systems.step_back(self.process.pid)
        self._messages: queue.Queue[Event | None] = queue.Queue(MOST_MESSAGES)
        self._patience = START_SECONDS
        self._deadline: float | None = time.monotonic() + START_SECONDS
        self._ended = False
        self._stop_at: float | None = None
        self._terminated = False
        threading.Thread(target=self._read, name="Peekaboo engine reader", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether the last event has been handed out: one that is about no job and says that all is over."""
        return self._ended

    def poll(self) -> list[Event]:
        """Take the events that have come in, without waiting."""
        events: list[Event] = []
        while not self._ended and len(events) < MOST_MESSAGES:
            try:
                message = self._messages.get_nowait()
            except queue.Empty:
                if self._deadline is not None and time.monotonic() > self._deadline:
                    events.append(self._end(self._no_hello()))
                break
            events.append(self._handle(message))
        return events

    def events(self) -> Iterator[Event]:
        """Wait for events and hand them out, to the last."""
        while not self._ended:
            patience = None if self._deadline is None else max(0, self._deadline - time.monotonic())
            try:
                message = self._messages.get(timeout=patience)
            except queue.Empty:
                yield self._end(self._no_hello())
            else:
                yield self._handle(message)

    def ask(self, **request: Any) -> None:
        """Send a request: one JSON object on a line."""
        with suppress(OSError, ValueError):  # it is gone, or was told to end: the next event says so
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def cancel(self) -> None:
        """End the engine and wait for it: ask, then terminate, then kill.

        Does nothing to one that has ended.
        """
        self.stop()
        while not self.reap():
            time.sleep(REAP_INTERVAL)

    def stop(self, patience: float = CANCEL_SECONDS) -> None:
        """Ask the engine to end, without waiting; keep calling :meth:`reap` afterwards.

        Args:
            patience: seconds that it gets before it is terminated. A later, shorter one counts.
        """
        self._ended = True
        deadline = time.monotonic() + patience
        if self._stop_at is None:
            self._stop_at = deadline
            with suppress(OSError):  # what it has not read when it ended
                self.process.stdin.close()
        self._stop_at = min(self._stop_at, deadline)

    def reap(self) -> bool:
        """Say whether a stopped engine is gone; past its deadlines it is terminated, then killed.

        Never waits, so that Blender's timers can call it.
        """
        if self.process.poll() is not None:
            return True
        overdue = 0.0 if self._stop_at is None else time.monotonic() - self._stop_at
        if overdue > TERMINATE_SECONDS:
            systems.end(self.process, politely=False)
        elif overdue > 0 and not self._terminated:
            self._terminated = True
            self.process.terminate()
        return False

    def _read(self) -> None:
        """Turn lines into messages, and say in any case when there are no more; runs in a thread."""
        try:
            self._read_lines()
        except Exception as error:  # a fault of ours must not leave anybody waiting
            self._messages.put(Failure("reader", faults.kept(_log, error)))
        finally:
            with suppress(subprocess.TimeoutExpired):  # here, since whoever polls must not wait
                self.process.wait(TERMINATE_SECONDS)
            self._messages.put(None)

    def _read_lines(self) -> None:
        """Read until the engine closes its stdout, or writes what has no meaning."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline(MAX_LINE + 1):
            try:
                if len(line) > MAX_LINE:
                    raise ValueError("a line that does not end")
                event = parse(line)
            except (ValueError, KeyError, TypeError):
                event = Failure("protocol", f'The engine wrote what it should not; its log is "{self.log}".')
            if isinstance(event, Progress):  # here, since whoever polls takes several at once, and late
                event = replace(event, at=time.monotonic())
            if event is not None:
                self._messages.put(event)
            if isinstance(event, Failure) and event.code == "protocol" and event.job is None:
                return  # what follows has no meaning; whoever takes this ends the engine

    def _handle(self, message: Event | None) -> Event:
        if isinstance(message, Start):
            self._patience, self._deadline = HELLO_SECONDS, time.monotonic() + HELLO_SECONDS
        if isinstance(message, Hello):
            self._deadline = None
        if message is None:
            message = self._died()
        if isinstance(message, Result) and not places.is_file(message.clip):
            message = Failure(
                "no_clip",
                f'The engine left no clip at "{message.clip}"; its log is "{self.log}".',
                message.job,
            )
        is_last = isinstance(message, Planned) or (
            isinstance(message, Result | Model | Failure) and message.job is None
        )
        return self._end(message) if is_last else message

    def _end(self, event: Event) -> Event:
        self._ended = True
        return event

    def _no_hello(self) -> Failure:
        return Failure(
            "no_hello",
            f'The engine did not answer within {self._patience:.0f} seconds; its log is "{self.log}".',
        )

    def _died(self) -> Failure:
        """Say how an engine ended that closed its stdout without a result."""
        code = self.process.poll()
        if code is None:
            return Failure(
                "silent", f'The engine closed its output without a {self.aim}; its log is "{self.log}".'
            )
        if code == -9:  # SIGKILL, a name that Windows does not know
            return Failure(
                "killed",
                "The engine was killed by SIGKILL, as happens when memory runs out: close other programs, or "
                f'take a smaller model; its log is "{self.log}".',
            )
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        if code and self._deadline is not None:  # it has not said hello
            return Failure(
                "died",
                f"The engine {how} at its start: press Check Engine in the preferences to learn what is "
                f'missing; its log is "{self.log}".',
            )
        return Failure(
            "died" if code else "left",
            f'The engine {how} before the {self.aim} was done; its log is "{self.log}".',
        )


class Downloader(EngineProcess):
    """An engine that downloads a model of the catalogue, or the rest of it, and ends."""

    aim = "download"

    def __init__(self, model: str, python: Path, log: Path):
        """Start it; raises as :class:`EngineProcess`. The model's licence has to be accepted before."""
        arguments = ["models", "download", model, "--accept-licence", "--events"]
        super().__init__(arguments, python, log, online=True)


class WarmEngine(EngineProcess):
    """An engine that runs one job after the other, and keeps the model loaded between them."""

    def __init__(self, settings: EngineSettings, log: Path):
        """Start the engine; raises as :class:`EngineProcess`."""
        arguments = ["serve", "--idle", str(settings.idle_seconds), "--device", settings.device]
        super().__init__(arguments, settings.python, log, settings.online, settings.steps_back)

    def generate(self, job: str, job_folder: Path, out_folder: Path) -> None:
        """Ask for a clip; the events about it carry ``job``."""
        # absolute, since the engine's current folder is another one
        self.ask(request="generate", id=job, job=str(job_folder.absolute()), out=str(out_folder.absolute()))

    def finish(self, job: str, take_folder: Path, finish: dict) -> None:
        """Ask for the clip of a take to be finished, as a job states that; the events carry ``job``."""
        self.ask(request="finish", id=job, take=str(take_folder.absolute()), finish=finish)

    def read(self, model: str, prompt: str) -> None:
        """Ask how much of a prompt a model reads; answered with a :class:`PromptRead`."""
        self.ask(request="read", model=model, prompt=prompt)

    def cancel_job(self, job: str) -> None:
        """Ask for the end of a job; answered with a :class:`Failure` of code ``cancelled``."""
        self.ask(request="cancel", id=job)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those that have no names, such as most for real-time use
        return f"signal {number}"
