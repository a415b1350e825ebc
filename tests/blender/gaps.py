# SPDX-License-Identifier: GPL-3.0-or-later
"""How long Blender leaves a timer waiting: runs inside Blender."""

import time

import bpy
from shooting import addon


class Gaps:
    """Measures how long Blender leaves a timer waiting, and how much of that the add-on's own code takes.

    Without a graphics card Blender's drawing takes most of it.
    """

    def __init__(self):
        self._last, self._gaps, self._held, self._over = time.perf_counter(), [], [], False
        self._own = addon("generation")
        self._functions = {name: getattr(self._own, name) for name in ("start", "_tick")}
        for name in self._functions:
            setattr(self._own, name, self._timed(name))
        bpy.app.timers.register(self._tick)

    def _timed(self, name: str):
        def call(*arguments):
            begun = time.perf_counter()
            try:
                return self._functions[name](*arguments)
            finally:
                self._held.append((round(1000 * (time.perf_counter() - begun), 1), name))

        return call

    def _tick(self) -> float | None:
        now = time.perf_counter()
        running = self._own.current()
        self._gaps.append((round(1000 * (now - self._last), 1), running.text if running else "no generation"))
        self._last = now
        return None if self._over else 0.01

    def end(self) -> dict:
        """Stop; returns the longest gaps and the longest calls in milliseconds, with what went on."""
        self._over = True
        for name, function in self._functions.items():
            setattr(self._own, name, function)
        return {"gaps": sorted(self._gaps, reverse=True)[:3], "held": sorted(self._held, reverse=True)[:3]}
