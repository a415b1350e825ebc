# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in the making: the engine works, a timer looks now and then, and Blender never waits.

A timer of ``bpy.app`` is used, not one of a window's: it goes on when a window is closed or another file is
opened. Orders know their scene by ``session_uid``: an undo or a redo frees what a reference points to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from .. import faults, windows
from ..engine.orders import Order, Outcome, Queue
from ..engine.process import WarmEngine
from ..errors import PeekabooError
from . import delivery, engine_choice, estimates, prompts

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
WATCH_SECONDS = 0.5
"""Between two looks at an engine that has nothing to do, to tell if it dies."""
DRAW_SECONDS = 0.25
"""At least so long from one drawing to the next: drawing takes longer than all else here."""
LEAVE_SECONDS = 2.0
"""What an engine gets to end in when Blender quits or the add-on is disabled, before it is terminated."""

_queue = Queue()
_shown: object = None
_previewed: tuple[str, int, int, range] | None = None
"""The order whose preview is seen in camera views, which one it is, and of which scene and frames."""
_readied: tuple[str, bool] | None = None
"""The order that is made ready for its delivery, and whether a scene was made for it."""
_drawn = 0.0


def current() -> Order | None:
    """The order that the engine works on, if there is one."""
    return _queue.running


def unfinished() -> list[Order]:
    """All orders that have not ended: the one that runs, then those that wait."""
    return [*([_queue.running] if _queue.running else []), *_queue.waiting, *_queue.arrived]


def outcomes() -> list[Outcome]:
    """How the orders since the queue was last empty have ended."""
    return _queue.outcomes


def engine_is_up() -> bool:
    """Whether an engine is kept warm."""
    return _queue.keeper.engine is not None


def has_loaded(model: str) -> bool:
    """Whether the engine that is kept warm has this model, so that a clip of it begins at once."""
    return _queue.has_loaded(model)


def engine_device() -> str:
    """What the warm engine computes on; empty until it has said so."""
    return _queue.keeper.device


def add(orders: Iterable[Order]) -> None:
    """Queue orders.

    Raises:
        PeekabooError: what keeps one from being made; the panel goes on showing it.
    """
    if not _queue.busy:
        _queue.outcomes.clear()
    try:
        engine_choice.engine_settings()  # what is missing is told before all work
        for order in orders:
            if order.finish is None:
                order.usual_rest = estimates.after_steps(order.job)
            _queue.add(order)
            _look_soon()
    except PeekabooError as error:
        _queue.outcomes.append(Outcome(str(error), failed=True))
        windows.redraw()
        raise


def jobs_of(scene) -> list[dict]:
    """The jobs of a scene's clips that are not there yet."""
    return [order.job for order in unfinished() if order.scene == scene.session_uid]


def cancel(order_id: str = "") -> None:
    """End an order, by default the one that runs; the next one then begins."""
    order = next((order for order in unfinished() if order.id == order_id), _queue.running)
    if order is not None:
        _queue.cancel(order)
        _look_soon()


def cancel_all() -> None:
    """End all orders."""
    _queue.cancel_all()
    _look_soon()


def free_memory() -> None:
    """End the engine, and with it all the memory that it takes; the next order starts a new one."""
    _queue.keeper.release()
    _look_soon()


def cut_of(scene, prompt: str) -> str | None:
    """Say where a prompt will be cut: see :func:`.prompts.cut_of`. While that is not known, it is asked."""
    sentence = prompts.cut_of(scene, prompt)
    if prompts.is_waiting() and not bpy.app.timers.is_registered(_tick):
        _look_soon()
    return sentence


def _look_soon() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)  # it may be waiting for long
    bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def _tick() -> float | None:
    """Look at the queue; returns when to look again, or None when there is nothing left to look at."""
    try:
        return _look()
    except Exception as error:  # a fault of ours, after which Blender would end the timer and say nothing
        _queue.abandon(faults.kept(_log, error))
        windows.redraw()
        return WATCH_SECONDS


def _look() -> float | None:
    events = _queue.advance(engine_choice.engine_settings, Path(bpy.app.tempdir))
    if prompts.take_in(events, None if _queue.busy else _engine_to_ask()):
        windows.redraw()
    if _queue.arrived and not windows.is_hand_busy():
        order = _queue.arrived[0]
        try:
            _take_in(order)
        except PeekabooError as error:
            _end(order, Outcome(str(error), failed=True, folder=order.folder))
        except Exception as error:  # a fault of ours with one clip, which others need not suffer from
            _end(order, Outcome(faults.kept(_log, error), failed=True, folder=order.folder))
    has_drawn_all = _redraw_what_changed()
    if _queue.busy or not _queue.keeper.reap() or prompts.is_waiting() or not has_drawn_all:
        return POLL_SECONDS
    return WATCH_SECONDS if engine_is_up() else None


def _engine_to_ask() -> WarmEngine | None:
    """The engine that is warm; one that is started where a prompt may be cut."""
    if _queue.keeper.engine is None and prompts.wants_engine():
        try:
            return _queue.keeper.get(engine_choice.engine_settings(), Path(bpy.app.tempdir))
        except PeekabooError:  # which is said where it can be mended
            prompts.forget()
    return _queue.keeper.engine


def _take_in(order: Order) -> None:
    """Do a turn of two that take in a clip: first what draws viewports, then what is an edit.

    After an edit Blender draws a viewport from the start, many times for its anti-aliasing; but only where
    something has it drawn at all. So its preview goes in the turn before.
    """
    global _readied
    if _readied is None or _readied[0] != order.id:
        _readied = order.id, delivery.make_room(order)
        _redraw_previews()
        estimates.learn(order)
    else:
        _end(order, _deliver(order, _readied[1]))


def _end(order: Order, outcome: Outcome) -> None:
    _queue.arrived.remove(order)
    _queue.outcomes.append(outcome)


def _deliver(order: Order, has_new_room: bool) -> Outcome:
    """Deliver an order as an undo step of its own; all windows say so for a while."""
    outcome = delivery.deliver(order, has_new_room)
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.ed.undo_push(message="Import Peekaboo Clip")
    undone = "takes it out of the sequencer" if order.finish is None else "shows what was there before"
    windows.say(f"{outcome.text} Undo {undone} again.")
    return outcome


def _redraw_what_changed() -> bool:
    """Let camera views draw, or else panels; returns whether nothing is left for the next turn.

    Panels that show a new preview, too, follow in a turn of their own: Blender is held up longest by drawing
    both at once.
    """
    global _shown, _drawn
    if _queue.busy and time.monotonic() < _drawn + DRAW_SECONDS:
        return False
    running, keeper = _queue.running, _queue.keeper
    shown = (
        running and (running.id, running.text, running.notice, running.previews),
        [order.id for order in unfinished()],
        list(_queue.outcomes),
        (keeper.engine is None, keeper.device),
    )
    if shown == _shown:
        return True
    if _redraw_previews():
        return False
    _shown, _drawn = shown, time.monotonic()
    windows.redraw()
    return True


def _redraw_previews() -> bool:
    """Let camera views draw a new preview, or none any more; returns whether there is something to draw."""
    global _previewed
    order = _queue.running
    preview = (order.id, order.previews, order.scene, order.frames) if order and order.previews else None
    if preview == _previewed:
        return False
    for _, _, scene_uid, frames in filter(None, (_previewed, preview)):
        windows.redraw_camera_views(scene_uid, frames)
    _previewed = preview
    return True


@persistent
def _loaded(*_arguments) -> None:
    """Forget how the orders of the file before have ended; what comes of the others is told in this one."""
    _queue.outcomes.clear()


def register():
    """Begin with no order and no engine."""
    global _queue, _shown, _previewed, _readied
    _queue, _shown = Queue(), None
    _previewed = _readied = None
    bpy.app.handlers.load_post.append(_loaded)


def unregister():
    """End what is running."""
    bpy.app.handlers.load_post.remove(_loaded)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    _queue.leave(LEAVE_SECONDS)
