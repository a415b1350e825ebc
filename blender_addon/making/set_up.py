# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the engine's environment or check it: in the background, as the preferences show it, or waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

import bpy

from .. import windows
from ..engine import environment, torch_builds
from ..errors import PeekabooError
from . import engine_choice

POLL_SECONDS = 0.2
LEAVE_SECONDS = 3.0
"""What a set-up gets to end in when the add-on is disabled or Blender quits."""

_task: environment.Task | None = None
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
    _begin("Setting up the engine", installation(engine_choice.device()), True)


def installation(device: str) -> Callable[[environment.Task], str]:
    """The work of making the engine's own environment, for a device; raises as :func:`set_up`."""
    if not engine_choice.may_go_online():
        way = (
            "turn on Allow Online Access in the System preferences, or put --online-mode before --command"
            if bpy.app.background
            else "press Set Up Engine again, and tick Allow Online Access"
        )
        raise PeekabooError(f"Blender may not go online: {way}.")
    folder, locks = engine_choice.own_environment(), environment.locks()
    return lambda task: environment.install(task, folder, locks, device)


def gigabytes() -> float:
    """About how much room the engine's packages take, for the device that is chosen."""
    choice = engine_choice.device()
    return torch_builds.GIGABYTES[torch_builds.found() if choice == torch_builds.AUTO else choice]


def check() -> None:
    """Begin to look at the environment that the engine would run in.

    Raises:
        PeekabooError: there is none.
    """
    python, device = engine_choice.engine_python(), engine_choice.device()
    _begin("Checking the engine", lambda task: environment.check(python, device), False)


def cancel() -> None:
    """Tell the set-up to end."""
    if _task is not None:
        _task.cancel()


def report(text: str, failed: bool = True) -> None:
    """Show a sentence in the preferences, such as why nothing could be begun."""
    global _text, _failed
    _text, _failed = text, failed
    windows.redraw()  # a dialog that closes does not let them


def _begin(text: str, work, can_be_cancelled: bool) -> None:
    global _task, _can_cancel
    _can_cancel = can_be_cancelled
    report(text, failed=False)
    _task = environment.Task(work)
    bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def _tick() -> float | None:
    global _task
    if _task is None:
        return None
    for message in _task.poll():
        if isinstance(message, environment.Ended):
            report(message.text, message.failed)
            _task = None
        else:
            report(message.text, failed=False)
    windows.redraw()
    return None if _task is None else POLL_SECONDS


def wait(task: environment.Task, say: Callable[[str], None]) -> str:
    """Wait for the end of a task, saying what it does; returns the sentence that it ends with.

    Raises:
        PeekabooError: it failed.
    """
    try:
        while True:
            for message in task.poll():
                if isinstance(message, environment.Step):
                    say(message.text)
                elif message.failed:
                    raise PeekabooError(message.text)
                else:
                    return message.text
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        task.cancel()
        task.join(LEAVE_SECONDS)
        raise


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
