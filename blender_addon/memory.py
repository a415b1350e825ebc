# SPDX-License-Identifier: GPL-3.0-or-later
"""What panels show of the disk: they draw from memory, and a timer looks afterwards; imports no bpy.

A disk may be slow, far away, or asleep, and a panel is drawn at every move of the mouse.

Other machines are not looked at for what a file names, in a window, until the user says so: a file may be
anybody's, and Windows tells a machine that it asks who the user is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import PurePath
from typing import Any, TypeVar

from . import faults
from .borders.places import machine_of
from .errors import PeekabooError

_log = logging.getLogger(__name__)

MOST = 2000
"""Answers that are kept; the oldest go first."""

Function = TypeVar("Function", bound=Callable)
_drawing = 0
_answers: dict[tuple, tuple[Any, PeekabooError | None]] = {}
"""By the function and its arguments: what it returned, or raised."""
_asked: dict[tuple, None] = {}
"""What was asked while something was drawn, to be looked at afterwards."""
_visited: set[str] = set()
"""Machines that the user has said may be looked at."""
_home: Callable[[], str] | None = None
"""Tells the path of the open file, whose machine may be looked at; None where all machines may."""


@contextmanager
def drawing(drawn: bool = True) -> Iterator[None]:
    """Let functions that are :func:`remembered` answer from memory within a block."""
    global _drawing
    _drawing += drawn
    try:
        yield
    finally:
        _drawing -= drawn


def stay_home(home: Callable[[], str] | None) -> None:
    """Look at no other machine but those that are visited, or at all where there is no user to ask.

    Args:
        home: tells the path of the open file, which is looked at anyway; None where there is no user.
    """
    global _home
    _home = home


def visit(machine: str) -> None:
    """Let a machine be looked at, since the user has said so."""
    _visited.add(machine)


def far_machine(*paths: object) -> str:
    """The machine that one of some paths is on and that may not be looked at; empty where all may be."""
    if _home is None:
        return ""
    machines = (machine_of(str(path)) for path in paths if isinstance(path, (str, PurePath)))
    near = {"", machine_of(_home()), *_visited}
    return next((machine for machine in machines if machine not in near), "")


def remembered(unknown: Any, once: bool = False) -> Callable[[Function], Function]:
    """Let a function answer from memory while something is drawn; else it looks, and is remembered.

    Args:
        unknown: what it answers while nobody has looked; raised, where that is an error.
        once: whether its answer never changes.
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def ask(*arguments):
            key = (function, *arguments)
            known = _answers.get(key)
            if machine := far_machine(*arguments):
                known = (None, _far(machine)) if isinstance(unknown, PeekabooError) else (unknown, None)
            elif not _drawing:
                known = _look(key)
            elif known is None or not once:
                _asked[key] = None
            if known is None:
                known = (None, unknown) if isinstance(unknown, PeekabooError) else (unknown, None)
            answer, error = known
            if error is not None:
                raise type(error)(*error.args)
            return answer

        return ask  # type: ignore[return-value]

    return decorate


def _far(machine: str) -> PeekabooError:
    return PeekabooError(
        f'The machine "{machine}", which this file names, is not looked at unless you say so: press Look '
        "There below the model, or choose another one."
    )


def _look(key: tuple) -> tuple[Any, PeekabooError | None]:
    function, *arguments = key
    try:
        answer = function(*arguments), None
    except PeekabooError as error:
        answer = None, error
    _answers.pop(key, None)
    _answers[key] = answer
    while len(_answers) > MOST:
        del _answers[next(iter(_answers))]
    return answer


def forget() -> None:
    """Know nothing."""
    _answers.clear()
    _asked.clear()


def is_asked() -> tuple[bool, bool]:
    """Whether anything was asked while something was drawn; and whether of that anything is not known."""
    return bool(_asked), any(key not in _answers for key in _asked)


def look_again() -> bool:
    """Look at what was asked while something was drawn; whether anything is otherwise than was remembered."""
    asked = list(_asked)
    _asked.clear()
    before = [_plain(_answers.get(key)) for key in asked]
    return [_plain(_look_anyhow(key)) for key in asked] != before


def _look_anyhow(key: tuple) -> tuple[Any, PeekabooError | None]:
    """Look, also where that fails as nobody has foreseen: the others that were asked have no part in it."""
    try:
        return _look(key)
    except Exception as error:
        known = _answers[key] = None, PeekabooError(faults.kept(_log, error))
        return known


def _plain(known: tuple[Any, PeekabooError | None] | None) -> Any:
    return known and (known[0], known[1] and str(known[1]))
