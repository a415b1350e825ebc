# SPDX-License-Identifier: GPL-3.0-or-later
"""Download a model of the catalogue: in the background, as the panel shows it, or waited for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy

from .. import faults, windows
from ..engine.process import Downloader, Event, Failure, Model, Phase, Progress
from ..errors import PeekabooError
from . import engine_choice

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
LEAVE_SECONDS = 3.0
"""What a download gets to end in when the add-on is disabled or Blender quits."""

_PHASES = {"download": "Downloading", "verify": "Checking what is here"}
CANCELLED = "The download was cancelled; what has arrived is kept."


@dataclass
class Download:
    """A download that goes on.

    Attributes:
        model: its name in the catalogue.
        factor: how far it is, 0 to 1.
        text: what it does, in words.
    """

    model: str
    factor: float = 0.0
    text: str = "Asking the hub"
    _doing: str = ""

    def take(self, event: Event) -> None:
        """Learn of an event of the engine's."""
        if isinstance(event, Phase):
            self._doing = _PHASES.get(event.phase, event.phase)
            self.factor, self.text = 0.0, self._doing
        elif isinstance(event, Progress):
            self.factor = event.step / event.total if event.total else 0.0
            large = event.total >= 1000
            done, whole = (f"{size / 1000:.1f}" if large else f"{size}" for size in (event.step, event.total))
            self.text = f"{self._doing}: {done} of {whole} {'GB' if large else 'MB'}"


@dataclass(frozen=True)
class Outcome:
    """How a download ended: of which model, a sentence, and whether that is a failure."""

    model: str
    text: str
    failed: bool


_engine: Downloader | None = None
_current: Download | None = None
_leaving: list[Downloader] = []
_outcome: Outcome | None = None


def current() -> Download | None:
    """The download that goes on."""
    return _current


def outcome(model: str) -> Outcome | None:
    """How the last download ended, if it was of that model."""
    return _outcome if _outcome is not None and _outcome.model == model else None


def begin(model: str) -> None:
    """Begin to download a model whose licence was accepted, or the rest of one.

    Raises:
        PeekabooError: it cannot be begun.
    """
    global _engine, _current, _outcome
    if _current is not None:
        raise PeekabooError("A model is being downloaded already: wait for it, or cancel it.")
    _engine, _current, _outcome = _start(model), Download(model), None
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def _start(model: str) -> Downloader:
    if not engine_choice.may_go_online():
        raise PeekabooError(
            "Blender may not go online: turn on Allow Online Access in the System preferences, or put "
            "--online-mode before --command."
        )
    log = Path(bpy.app.tempdir) / "peekaboo-download.log"
    return Downloader(model, engine_choice.engine_python(), log)


def cancel() -> None:
    """Tell the download to end; the next one goes on where it was."""
    if _current is not None:
        _end(Outcome(_current.model, CANCELLED, failed=False))


def _end(how: Outcome) -> None:
    global _engine, _current, _outcome
    if _engine is not None:
        _engine.stop()
        _leaving.append(_engine)
    _engine, _current, _outcome = None, None, how


def _tick() -> float | None:
    try:
        _advance()
    except Exception as error:  # a fault of ours must not leave a download that nobody looks at
        if _current is not None:
            _end(Outcome(_current.model, faults.kept(_log, error), failed=True))
    windows.redraw()
    return POLL_SECONDS if _current is not None or _leaving else None


def _advance() -> None:
    _leaving[:] = [engine for engine in _leaving if not engine.reap()]
    if _engine is None or _current is None:
        return
    for event in _engine.poll():
        _current.take(event)
        if isinstance(event, Model | Failure):
            _end(Outcome(_current.model, event.message, isinstance(event, Failure)))
            return


def fetch(model: str, say: Callable[[str], None]) -> str:
    """Download a model whose licence was accepted, and wait for it; returns the sentence that it ends with.

    Args:
        model: its name in the catalogue.
        say: told what is being done.

    Raises:
        PeekabooError: it is not there whole.
    """
    engine, told = _start(model), Download(model)
    try:
        for event in engine.events():
            before = told.text
            told.take(event)
            if isinstance(event, Failure):
                raise PeekabooError(event.message)
            if isinstance(event, Model):
                return event.message
            if told.text != before:
                say(told.text)
    finally:
        engine.cancel()
    raise PeekabooError("The engine ended without a download: try again.")


def register():
    """Forget what an earlier registration has seen."""
    global _outcome
    _outcome = None


def unregister():
    """End what is going on."""
    cancel()
    for engine in _leaving:
        engine.stop(LEAVE_SECONDS)
        engine.cancel()
    _leaving.clear()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
