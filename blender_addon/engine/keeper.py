# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine, kept warm between jobs; imports no bpy."""

from __future__ import annotations

import time
from pathlib import Path

from . import process
from .messages import Event, Hello
from .process import EngineSettings, WarmEngine


class Keeper:
    """Keeps at most one engine, and sees to it that those that it releases are gone."""

    def __init__(self):
        self.engine: WarmEngine | None = None
        self.device = ""
        self._settings: EngineSettings | None = None
        self._leaving: list[WarmEngine] = []
        self._started = 0

    def get(self, settings: EngineSettings, logs: Path) -> WarmEngine | None:
        """Give the engine, started if need be; None while an earlier one still takes memory.

        Args:
            settings: that it is to have.
            logs: the folder for its log.

        Raises:
            PeekabooError: it cannot be started.
        """
        if self.engine is not None and self._settings != settings:
            self.release()
        if self.engine is None and not self._leaving:
            self._started += 1
            log = logs / f"peekaboo-engine-{self._started}.log"
            self.engine = WarmEngine(settings, log)
            self._settings = settings
        return self.engine

    def poll(self) -> list[Event]:
        """Take what the engine says, without waiting; release one that is gone."""
        if self.engine is None:
            return []
        events = self.engine.poll()
        for event in events:
            if isinstance(event, Hello):
                self.device = event.device
        if self.engine.ended:
            self.release()
        return events

    def release(self, patience: float = process.CANCEL_SECONDS) -> None:
        """Tell the engine to end; see :meth:`.process.EngineProcess.stop`."""
        if self.engine is not None:
            self.engine.stop(patience)
            self._leaving.append(self.engine)
        self.engine, self.device = None, ""

    def reap(self) -> bool:
        """Push on those that were released; returns whether all of them are gone."""
        self._leaving = [engine for engine in self._leaving if not engine.reap()]
        return not self._leaving

    def end(self, patience: float) -> None:
        """End all, and wait for it: at most for ``patience`` and what it takes to kill."""
        self.release(patience)
        for engine in self._leaving:
            engine.stop(patience)
        while not self.reap():
            time.sleep(process.REAP_INTERVAL)
