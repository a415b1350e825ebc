# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the engine can run, as the preferences show it; and the set-up or check that is going on."""

from __future__ import annotations

import bpy

from .. import windows
from ..engine import environment as engine_setup
from . import engine_choice

POLL_SECONDS = 0.2
LEAVE_SECONDS = 3.0
"""What a set-up gets to end in when the add-on is disabled or Blender quits."""

_task: engine_setup.Task | None = None
_can_cancel = False
_text, _failed = "", False


def status() -> tuple[str, bool]:
    """What is being done, or how it ended, and whether it failed; an empty text before anything was done."""
    return _text, _failed


def is_busy() -> bool:
    """Whether a set-up or a check is going on."""
    return _task is not None


def can_cancel() -> bool:
    """Whether what is going on ends when it is told to: a check does so by itself, and soon."""
    return is_busy() and _can_cancel


def set_up() -> None:
    """Begin to make the engine's own environment.

    Raises:
        PeekabooError: the add-on runs from a checkout, whose scripts make one.
    """
    folder, locks = engine_choice.own_environment(), engine_setup.locks()
    device = engine_choice.device()
    _begin("Setting up the engine", lambda task: engine_setup.install(task, folder, locks, device), True)


def check() -> None:
    """Begin to look at the environment that the engine would run in.

    Raises:
        PeekabooError: there is none.
    """
    python, device = engine_choice.engine_python(), engine_choice.device()
    _begin("Checking the engine", lambda task: engine_setup.check(python, device), False)


def cancel() -> None:
    """Tell the set-up to end."""
    if _task is not None:
        _task.cancel()


def report(text: str, failed: bool = True) -> None:
    """Show a sentence in the preferences, such as why nothing could be begun."""
    global _text, _failed
    _text, _failed = text, failed


def _begin(text: str, work, can_be_cancelled: bool) -> None:
    global _task, _can_cancel
    _can_cancel = can_be_cancelled
    report(text, failed=False)
    _task = engine_setup.Task(work)
    bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def _tick() -> float | None:
    global _task
    if _task is None:
        return None
    for message in _task.poll():
        if isinstance(message, engine_setup.Ended):
            report(message.text, message.failed)
            _task = None
        else:
            report(message.text, failed=False)
    windows.redraw()
    return None if _task is None else POLL_SECONDS


def register():
    """Forget what an earlier registration has seen."""
    report("", failed=False)


def unregister():
    """End what is going on."""
    global _task
    if _task is not None:
        _task.cancel()
        _task.join(LEAVE_SECONDS)
    _task = None
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
