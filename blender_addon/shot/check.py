# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a shot while the user works: in short turns of a timer, after each pause.

The panel asks for it whenever it is drawn, for the shot that it shows. A check begins once the scene has been
left alone for a moment, and begins anew when the scene changes meanwhile. Nothing of Blender's is held
between two turns, since an undo or a deletion may free it; scenes are known by their ``session_uid``.

A scene that is too heavy for that is checked when the user says so, and only then. What checks have found and
read is kept by :mod:`.known`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .. import changes, faults, windows
from ..engine import catalogue
from ..errors import PeekabooError
from ..masks import sampling, simulations
from ..masks.cast import Cast
from ..masks.geometry import Hulls
from . import findings, known, prompt, stating, subjects
from .dependencies import dependencies_of
from .known import Report, is_pending
from .layout import Layout, Reading, check_in_view, clip_timing, put_together, read_layout, timing_of
from .model import model_of
from .shots import Shot
from .size import frames_of, size_of

_log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.4
"""How long a scene has to be left alone before it is checked."""
TURN_SECONDS = 0.012
"""How long a turn may take, before the frame that it is at is done."""
WAITED_SECONDS = 0.1
"""The same where the user has asked and waits for it."""
BETWEEN_SECONDS = 0.02
LONGEST_SECONDS = 0.06
"""A scene with a frame that takes longer is heavy."""
MOST_VERTICES, MOST_OBJECTS = 12_000, 300
"""A scene whose subjects have more vertices is heavy, which is known before the first frame, and so is one of
more objects where all may hide subjects: to put them onto a stage takes longer than a frame."""


@dataclass
class _Check:
    """A check that is going on: of what, at which number of changes, what it reads and has read."""

    of: known.Key
    began: int
    plan: tuple | None = None
    dependencies: tuple | None = None
    reading: Reading | None = None

    @property
    def done(self) -> int:
        """How many frames were read."""
        return 0 if self.reading is None else len(self.reading)


_heavy: set[int] = set()
"""``session_uid`` of scenes that are not checked in passing."""
_check: _Check | None = None
_wanted: known.Key | None = None
_hulls = Hulls()


def report_of(scene, shot: Shot | None = None) -> Report | None:
    """What the last check of a shot has found, if there was one; asks for a new one after a change.

    Without a shot, the scene is one; so for all functions here.
    """
    if is_pending(scene, shot) and not is_heavy(scene):
        _request_check(known.key_of(scene, shot))
    return known.report_of(scene, shot)


def is_heavy(scene) -> bool:
    """Whether a scene is only checked when the user says so."""
    return scene.session_uid in _heavy


def check_now(scene, shot: Shot | None = None) -> Report:
    """Check a shot at once, however long that takes; one that turns out to be light is no longer heavy."""
    if windows.is_rendering():  # which says nothing of the shot
        return Report("Blender is rendering: check the shot when that is done.")
    begun = time.monotonic()
    try:
        layout = known.layout_of(scene, shot)
        if layout is None:
            layout = _read(scene, shot)
            _note_weight(scene, time.monotonic() - begun, len(layout.labels))
        report = _report(scene, layout)
    except PeekabooError as error:
        report = Report(str(error))
    known.keep(known.key_of(scene, shot), changes.count(), report)
    return report


def _note_weight(scene, seconds: float, frames: int) -> None:
    """Check a scene in passing again, if it has turned out to be light."""
    if seconds / frames < LONGEST_SECONDS:
        _heavy.discard(scene.session_uid)


def read_shot(scene, shot: Shot | None = None) -> Layout:
    """Read a shot as :func:`.layout.read_shot` does, or take what a check has read since the last change."""
    prompt.check_prompt(scene, shot)
    layout = known.layout_of(scene, shot) or _read(scene, shot)
    check_in_view(scene, layout)
    return layout


def needs_reading(scene, chosen: Sequence[Shot]) -> bool:
    """Whether reading shots before they are made takes so long that it is to be done in turns.

    That is where there are several, or the scene is heavy, and what is read of them will be known then.
    """
    try:
        for shot in chosen:
            prompt.check_prompt(scene, shot)
    except PeekabooError:  # which is said by what makes them
        return False
    with changes.updates_ignored():
        if any(dependencies_of(scene, shot) is None for shot in chosen):
            return False
    unread = sum(known.layout_of(scene, shot) is None for shot in chosen)
    return unread > 1 or (unread == 1 and is_heavy(scene))


def _read(scene, shot: Shot | None) -> Layout:
    """Read a layout, which is a check too."""
    of = known.key_of(scene, shot)
    with changes.updates_ignored():
        size = size_of(scene, shot)
        layout = read_layout(scene, *size, timing=clip_timing(scene, size[2], shot), shot=shot)
        known.keep(of, changes.count(), _report(scene, layout))
        known.remember(of, dependencies_of(scene, shot), layout)
    return layout


def _report(scene, layout: Layout) -> Report:
    smallest = catalogue.smallest_subject(model_of(scene))
    return Report(findings=tuple(findings.of_shot(scene, layout, smallest)))


def span_to_play(scene, chosen: Sequence[Shot]) -> tuple[int, float] | None:
    """First and last of what has to be shown before shots of a scene are read; None where nothing has."""
    spans = []
    for shot in chosen:
        try:
            times = timing_of(scene, frames_of(scene, shot), shot).scene_frames
            spans.append(sampling.frames_to_play(scene, subjects.roles_of(scene, shot), times))
        except PeekabooError:  # which is said by what reads it
            continue
    found = [span for span in spans if span is not None]
    return (min(first for first, _ in found), max(last for _, last in found)) if found else None


def read_in_turns(
    scene, chosen: Sequence[Shot], span: tuple[int, float] | None, then: Callable[[], object]
) -> simulations.Turns[None]:
    """Read shots of a scene, which is a check too; before, show it frame by frame for its simulations.

    Args:
        scene: the user's.
        chosen: its shots.
        span: see :func:`span_to_play`.
        then: called when all is read, while :func:`read_shot` takes what is known. Also where a shot cannot
            be read, which is for that to say.
    """
    with ExitStack() as stack:
        if span is not None:
            playing = stack.enter_context(simulations.Playing(scene, *span))
            yield from playing.in_turns()
        try:
            yield from _read_all(scene, chosen)
        except PeekabooError as error:
            _log.info("not read in turns: %s", error)
        then()
        windows.redraw()


def _read_all(scene, chosen: Sequence[Shot]) -> simulations.Turns[None]:
    total, done = sum(frames_of(scene, shot) for shot in chosen), 0
    for shot in chosen:
        if known.layout_of(scene, shot) is None:
            changes.flush_updates()
            check, took, report = _Check(known.key_of(scene, shot), changes.count()), 0.0, None
            while report is None:
                begun = time.monotonic()
                report = _read_in_passing(scene, check)
                took += time.monotonic() - begun
                yield "Masks", done + check.done, total
            known.keep(check.of, check.began, report)
            _note_weight(scene, took, check.done)
        done += frames_of(scene, shot)


def _read_in_passing(scene, check: _Check) -> Report | None:
    with changes.updates_ignored():
        return _read_some_frames(scene, check, WAITED_SECONDS)


def _request_check(of: known.Key) -> None:
    global _wanted
    _wanted = of
    if not bpy.app.timers.is_registered(advance):
        bpy.app.timers.register(advance, first_interval=PAUSE_SECONDS)


def advance() -> float | None:
    """Do a part of the check; returns when to go on, or None when there is nothing left to do."""
    global _check, _wanted
    wanted = _wanted
    scene: Any = next((scene for scene in bpy.data.scenes if wanted and scene.session_uid == wanted[0]), None)
    if scene is None or wanted is None:
        _check = _wanted = None
        return None
    quiet = changes.quiet_seconds()
    if quiet < PAUSE_SECONDS or windows.is_hand_busy() or windows.is_playing() or windows.is_rendering():
        _check = None
        return max(BETWEEN_SECONDS, PAUSE_SECONDS - quiet)
    uid = scene.session_uid
    crowd = len(scene.objects) if scene.peekaboo.occluded_by_scene else 0
    if crowd > MOST_OBJECTS or _vertices(scene) > MOST_VERTICES:
        _mark_heavy(uid)
        return None
    took = 0.0
    try:
        with changes.updates_ignored():
            if _check is None or (_check.of, _check.began) != (wanted, changes.count()):
                _check = _Check(wanted, changes.count())
            begun = time.thread_time()  # other programs make no scene heavy
            report = _read_some_frames(scene, _check, TURN_SECONDS)
            took = time.thread_time() - begun
    except simulations.UnbakedError:  # to play the scene takes long
        _mark_heavy(uid)
        return None
    except PeekabooError as error:
        report = Report(str(error))
    except Exception as error:  # a fault of ours, after which the timer would fail at each drawing
        report = Report(faults.kept(_log, error))
    if report is None and took > TURN_SECONDS + LONGEST_SECONDS:
        _mark_heavy(uid)
        return None
    if report is None:
        return BETWEEN_SECONDS
    known.keep(wanted, _check.began if _check else changes.count(), report)
    _check = _wanted = None
    windows.redraw()
    return None


def _vertices(scene) -> int:
    """How many vertices the subjects of the scene that is shown have, as the viewport shows them."""
    if scene != bpy.context.scene:
        return 0
    depsgraph = bpy.context.evaluated_depsgraph_get()
    meshes = [obj for obj in Cast(scene, subjects.used(scene)).owners if obj.type == "MESH"]
    return sum(len(obj.evaluated_get(depsgraph).data.vertices) for obj in meshes)


def _mark_heavy(uid: int) -> None:
    """Check a scene no more until the user says so."""
    global _check, _wanted
    _heavy.add(uid)
    _check = _wanted = None
    windows.redraw()


def _read_some_frames(scene, check: _Check, seconds: float) -> Report | None:
    """Label some frames, for about that long; returns the report after the last one."""
    shot = check.of[1]
    width, height, num_frames = size_of(scene, shot)
    timing = clip_timing(scene, num_frames, shot)
    roles = subjects.roles_of(scene, shot)
    made_by = stating.of_masks(scene.peekaboo)
    plan = (width, height, timing, [obj.session_uid for role in roles for obj in role.objects], made_by)
    if check.reading is None or check.plan != plan:  # the first turn, or a script has changed settings
        check.plan, check.dependencies = plan, dependencies_of(scene, shot)
        check.reading = Reading(timing.scene_frames, width, height)
    reading = check.reading

    def read(sampler: sampling.Sampler) -> None:
        until = time.monotonic() + seconds
        while not reading.is_done:
            reading.read_next(sampler)
            if time.monotonic() > until:
                break

    sampling.sample(scene, roles, timing.scene_frames, read, _hulls)
    if not reading.is_done:
        return None
    layout = put_together(scene, roles, timing, reading)
    if check.began == changes.count() and check.dependencies == dependencies_of(scene, shot):
        known.remember(check.of, check.dependencies, layout)
    return _report(scene, layout)


@persistent
def _loaded(*_arguments) -> None:
    """Forget the scenes of the file before."""
    global _hulls
    _heavy.clear()
    known.forget()
    _hulls = Hulls()


def register():
    """Forget what was checked when another file is opened."""
    bpy.app.handlers.load_post.append(_loaded)


def unregister():
    """Check nothing any more."""
    global _check, _wanted
    if bpy.app.timers.is_registered(advance):
        bpy.app.timers.unregister(advance)
    bpy.app.handlers.load_post.remove(_loaded)
    _check = _wanted = None
    known.forget()
    _heavy.clear()
