# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in the making: the engine works, a timer looks now and then, and Blender never waits.

A timer of ``bpy.app`` is used, not one of a window's: it goes on when a window is closed or another file is
opened. Jobs know their scene by ``session_uid``, because an undo or a redo frees what a reference points to.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np

from .. import compat, windows
from ..engine.job_queue import Outcome, Queue
from ..engine.jobs import Job, duration
from ..errors import PeekabooError
from ..shot import check as checking
from ..shot import job as jobs
from ..shot import seeds
from ..takes import folders as takes
from ..takes import strips as sequencer
from . import engine_choice

POLL_SECONDS = 0.1
WATCH_SECONDS = 0.5
"""Between two looks at an engine that has nothing to do, to tell if it dies."""
DRAW_SECONDS = 0.25
"""At least so long from one drawing to the next: drawing takes longer than all else here."""
LEAVE_SECONDS = 2.0
"""What an engine gets to end in when Blender quits or the add-on is disabled, before it is terminated."""

_queue = Queue()
_shown: object = None
_drawn = 0.0


def current() -> Job | None:
    """The job that the engine works on, if there is one."""
    return _queue.running


def unfinished() -> list[Job]:
    """All jobs that have not ended: the one that runs, then those that wait."""
    return [*([_queue.running] if _queue.running else []), *_queue.waiting, *_queue.arrived]


def outcomes() -> list[Outcome]:
    """How the jobs since the queue was last empty have ended."""
    return _queue.outcomes


def engine_is_up() -> bool:
    """Whether an engine is kept warm."""
    return _queue.keeper.engine is not None


def engine_device() -> str:
    """What the warm engine computes on; empty until it has said so."""
    return _queue.keeper.device


def start(scene, count: int = 1) -> None:
    """Queue takes of a scene as it is now, each with a seed of its own.

    Raises:
        PeekabooError: what keeps them from being made; the panel goes on showing it.
    """
    with _showing_errors():
        engine_choice.engine_settings()
        layout = checking.read_shot(scene)
        for seed in seeds.seeds(scene, count):
            _add(scene, jobs.make_job(scene, layout, seed), layout.labels)


def retake(scene, strip) -> None:
    """Queue what made a strip once more, with a new seed; the clip will lie above the strip.

    Raises:
        PeekabooError: the strip does not remember how it was made; the panel goes on showing it.
    """
    with _showing_errors():
        engine_choice.engine_settings()
        request, labels = takes.read(strip)
        used = [job.request["seed"] for job in unfinished() if job.scene == scene.session_uid]
        used += [sequencer.job_of(other)["seed"] for other in sequencer.takes(scene)]
        request = request | {"seed": seeds.unused_seed(scene, used)}
        _add(scene, request, labels, compat.content_start(strip))


def cancel(job_id: str = "") -> None:
    """End a job, by default the one that runs; the next one then begins."""
    job = next((job for job in unfinished() if job.id == job_id), _queue.running)
    if job is not None:
        _queue.cancel(job)
        _look_soon()


def cancel_all() -> None:
    """End all jobs."""
    _queue.cancel_all()
    _look_soon()


def free_memory() -> None:
    """End the engine, and with it all the memory that it takes; the next job starts a new one."""
    _queue.keeper.let_go()
    _look_soon()


@contextmanager
def _showing_errors() -> Iterator[None]:
    """What cannot be begun is told in the panel too."""
    if not _queue.busy:
        _queue.outcomes.clear()
    try:
        yield
    except PeekabooError as error:
        _queue.outcomes.append(Outcome(str(error), failed=True))
        windows.redraw()
        raise


def _add(scene, request: dict, labels: np.ndarray, frame_start: int | None = None) -> None:
    folder = takes.new_folder(scene)
    try:
        jobs.write_job(request, labels, folder / "job")
    except PeekabooError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    title = f"{scene.name}, seed {request['seed']}"
    _queue.add(Job(scene.session_uid, title, request, folder, frame_start))
    _look_soon()


def _look_soon() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)  # it may be waiting for long
    bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def _tick() -> float | None:
    """Look at the queue; returns when to look again, or None when there is nothing left to look at."""
    _queue.advance(engine_choice.engine_settings, Path(bpy.app.tempdir))
    if _queue.arrived and not windows.is_hand_busy():
        job = _queue.arrived.pop(0)
        try:
            _queue.outcomes.append(_import(job))
        except PeekabooError as error:
            _queue.outcomes.append(Outcome(str(error), failed=True, folder=job.folder))
    _redraw_what_changed()
    if _queue.busy or not _queue.keeper.reap():
        return POLL_SECONDS
    return WATCH_SECONDS if engine_is_up() else None


def _import(job: Job) -> Outcome:
    assert job.clip is not None
    clip = job.clip.clip
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == job.scene), None)
    if scene is None:
        raise PeekabooError(f'The scene of the clip is gone: the clip itself is at "{clip}".')
    with checking.no_change():
        strip = sequencer.add_clip(scene, clip, job.request, job.frame_start)
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.ed.undo_push(message="Import Peekaboo Clip")
    start, end = compat.strip_range(strip)
    owner = f' of "{scene.name}"' if len(bpy.data.scenes) > 1 else ""
    return Outcome(
        f"The clip is in channel {strip.channel} of the sequencer{owner}, frames {start} to {end - 1}, "
        f"after {duration(job.clip.seconds)}.",
        folder=job.folder,
    )


def _redraw_what_changed() -> None:
    global _shown, _drawn
    if _queue.busy and time.monotonic() < _drawn + DRAW_SECONDS:
        return
    job, keeper = _queue.running, _queue.keeper
    shown = (
        job and (job.id, job.text, job.notice, job.previews),
        [job.id for job in unfinished()],
        list(_queue.outcomes),
        (keeper.engine is None, keeper.device),
    )
    if shown == _shown:
        return
    _shown, _drawn = shown, time.monotonic()
    windows.redraw()


def register():
    """Begin with no job and no engine."""
    global _queue, _shown
    _queue, _shown = Queue(), None


def unregister():
    """End what is running."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    _queue.leave(LEAVE_SECONDS)
