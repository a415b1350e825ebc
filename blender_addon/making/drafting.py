# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft from a text: asked of the engine's planners, looked at, then applied or thrown away.

The planner is a process of its own that ends with its answer, so that one on the way to a slow language model
keeps no clip waiting. A timer looks at what has come; nothing waits.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .. import faults, windows
from ..authoring import drafts, redrafting
from ..engine import plans
from ..engine.messages import Failure, Planned
from ..engine.process import EngineProcess
from ..errors import PeekabooError
from ..shot.size import picture_of
from . import engine_choice

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
LEAVE_SECONDS = 1.0
"""What a planner gets to end in when it is cancelled."""


@dataclass
class Pending:
    """A plan that has not been applied.

    Attributes:
        scene: ``session_uid`` of the one that it is for.
        range: first and last frame of its shot.
        plan: that was made.
        notes: sentences about what of it may not be as the text says.
        before: what the scene showed, where the text changes that.
    """

    scene: int
    range: tuple[int, int]
    plan: plans.Plan
    notes: tuple[str, ...]
    before: redrafting.Present | None


@dataclass
class _Asked:
    process: EngineProcess
    scene: int
    range: tuple[int, int]
    before: redrafting.Present | None
    place: Any  # a temporary folder, for the log


_asked: _Asked | None = None
_leaving: list[_Asked] = []
_pending: Pending | None = None
_sentence: tuple[str, bool] = ("", False)


def is_busy() -> bool:
    """Whether a planner is at work."""
    return _asked is not None


def pending(scene) -> Pending | None:
    """The plan that waits for a scene."""
    return _pending if _pending is not None and _pending.scene == scene.session_uid else None


def status() -> tuple[str, bool]:
    """How the last one ended, and whether it failed; an empty text before."""
    return _sentence


def ask(scene, text: str, server: engine_choice.LanguageServer | None, change: bool) -> None:
    """Ask for a plan in the background; one that was asked for before is cancelled.

    Args:
        scene: gets it.
        text: what is to be seen, or what is to be otherwise.
        server: whose language model plans; None for the built-in planner.
        change: whether the text changes what the scene shows.

    Raises:
        PeekabooError: there is no camera, no engine, or nobody to change.
    """
    global _asked, _pending, _sentence
    cancel()
    _asked = _begin(scene, text, server, change)
    _pending, _sentence = None, ("", False)
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def wait(scene, text: str, server: engine_choice.LanguageServer | None, change: bool) -> Pending:
    """Ask for a plan and wait for it; raises as :func:`ask`, and what keeps it from being made."""
    asked = _begin(scene, text, server, change)
    try:
        for event in asked.process.events():
            if isinstance(event, Planned):
                return _made(asked, event)
            if isinstance(event, Failure):
                raise PeekabooError(event.message)
        raise AssertionError("the last event is one of these")
    finally:
        asked.process.cancel()
        asked.place.cleanup()


def cancel() -> None:
    """End the planner that is at work."""
    global _asked
    if _asked is not None:
        _release(_asked)
        _asked = None


def discard() -> None:
    """Throw the pending plan away."""
    global _pending
    _pending = None
    windows.redraw()


def apply(scene, made: Pending, collection=None) -> tuple[list, list[str]]:
    """Let a scene show a plan; returns the subjects, and notes.

    Raises:
        PeekabooError: the scene has changed too much since.
    """
    global _pending
    if made.before is None:
        done = drafts.draft(scene, made.plan, collection, made.range)
    else:
        needed = [*made.before.objects.values(), made.before.view.camera]
        if not all(map(_is_alive, needed)) or not made.before.holds:
            raise PeekabooError("The subjects or the camera have changed since: draft the change again.")
        done = redrafting.change(scene, made.before, made.plan, collection)
    if made is _pending:
        _pending = None
    return done


def _is_alive(obj) -> bool:
    try:
        return obj.name in bpy.data.objects
    except ReferenceError:
        return False


def _begin(scene, text: str, server: engine_choice.LanguageServer | None, change: bool) -> _Asked:
    if not text.strip():
        raise PeekabooError('Say what is to be seen first, such as "a red ball rolls from left to right".')
    width, height = picture_of(scene)
    before = redrafting.present(scene) if change else None
    shot = drafts.shot_range(scene)
    place = tempfile.TemporaryDirectory(prefix="peekaboo-draft-")
    try:
        python = engine_choice.engine_python()
        log = Path(place.name).resolve() / "planner.log"
        process = EngineProcess(["plan", "--events"], python, log, engine_choice.may_go_online())
    except PeekabooError:
        place.cleanup()
        raise
    request: dict[str, Any] = {"text": text, "aspect": width / height}
    if before is not None:
        request["plan"] = plans.stated(before.plan)
    if server is not None:
        request["endpoint"] = {"url": server.url, "model": server.model, "key": server.key}
    process.ask(**request)
    return _Asked(process, scene.session_uid, shot, before, place)


def _made(asked: _Asked, event: Planned) -> Pending:
    return Pending(asked.scene, asked.range, event.plan, event.notes, asked.before)


def _release(asked: _Asked) -> None:
    asked.process.stop(LEAVE_SECONDS)
    _leaving.append(asked)


def _take(asked: _Asked) -> None:
    """Take what a planner has said, and let it go once it has said all."""
    global _asked, _pending, _sentence
    for event in asked.process.poll():
        if isinstance(event, Planned):
            _pending = _made(asked, event)
        if isinstance(event, Failure):
            _sentence = event.message, True
    if asked.process.ended:
        _release(asked)
        _asked = None
        windows.redraw()


def _tick() -> float | None:
    global _sentence
    try:
        if _asked is not None:
            _take(_asked)
    except Exception as error:  # a fault of ours: a timer that raises is gone without a word
        cancel()
        _sentence = faults.kept(_log, error), True
    for asked in [asked for asked in _leaving if asked.process.reap()]:
        _leaving.remove(asked)
        asked.place.cleanup()
    return POLL_SECONDS if _asked or _leaving else None


@persistent
def _loaded(_path) -> None:
    """Another file: what was said of the last one's draft is not about it."""
    global _pending, _sentence
    cancel()
    _pending, _sentence = None, ("", False)


def register():
    """Nothing is asked for yet."""
    bpy.app.handlers.load_post.append(_loaded)


def unregister():
    """End what is going on."""
    global _pending, _sentence
    bpy.app.handlers.load_post.remove(_loaded)
    cancel()
    _pending, _sentence = None, ("", False)
    while _leaving:
        asked = _leaving.pop()
        asked.process.cancel()
        asked.place.cleanup()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
