# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip in the making: the engine works, a timer looks now and then, and Blender never waits.

There is one at most. It knows its scene by ``session_uid``, because an undo or a redo frees what a
reference points to. A timer of ``bpy.app`` is used, not one of a window's: it goes on when a window is closed
or another file is opened.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from . import engine_client, preferences, sequencer, shot, takes
from .errors import PeekabooError

POLL_SECONDS = 0.1
LEAVE_SECONDS = 2.0
"""What an engine gets to end in when Blender quits or the add-on is disabled, before it is terminated."""

PHASES = {
    "start": "Starting the engine",
    "load": "Loading the model",
    "denoise": "Generating",
    "decode": "Decoding",
    "write": "Writing the clip",
}


@dataclass
class Generation:
    """A clip in the making.

    Attributes:
        scene: ``session_uid`` of the scene that gets the clip.
        job: as it was written for the engine.
        folder: of the take.
        engine: that works on it.
        phase: a key of :data:`PHASES`.
        step: how many steps of the phase are done.
        total: of how many; 0 while that is not known.
        phase_began: when, in seconds of :func:`time.monotonic`.
        clip: the result, once it is there and waits for being imported.
        cancelled: whether the engine was told to end.
    """

    scene: int
    job: dict
    folder: Path
    engine: engine_client.Engine
    phase: str = "start"
    step: int = 0
    total: int = 0
    phase_began: float = field(default_factory=time.monotonic)
    clip: engine_client.Result | None = None
    cancelled: bool = False

    @property
    def factor(self) -> float:
        """How much of the denoising is done, 0..1."""
        if self.phase in {"decode", "write"}:
            return 1.0
        return self.step / self.total if self.total else 0.0

    @property
    def text(self) -> str:
        """Phase, step and time left, for the progress bar."""
        if self.cancelled:
            return "Cancelling"
        text = PHASES.get(self.phase, self.phase)
        if not self.total:
            return text
        text = f"{text}, step {self.step} of {self.total}"
        if not self.step:
            return text
        left = (time.monotonic() - self.phase_began) / self.step * (self.total - self.step)
        return f"{text}, {_duration(left)} left"

    def take(self, event: engine_client.Event) -> None:
        """Follow an event of the engine's."""
        match event:
            case engine_client.Phase(phase):
                self.phase, self.step, self.total = phase, 0, 0
                self.phase_began = time.monotonic()
            case engine_client.Progress(step, total):
                self.step, self.total = step, total
            case engine_client.Result():
                self.clip = event


@dataclass(frozen=True)
class Outcome:
    """How the last generation ended.

    Attributes:
        text: a sentence for the panel.
        failed: whether that is an error.
        folder: of the clip, if there is one.
    """

    text: str
    failed: bool = False
    folder: Path | None = None


_current: Generation | None = None
_leaving: list[engine_client.Engine] = []
_outcome: Outcome | None = None


def current() -> Generation | None:
    """The clip in the making, if there is one."""
    return _current


def outcome() -> Outcome | None:
    """How the last generation ended, if there was one."""
    return _outcome


def start(scene) -> None:
    """Begin to make a scene's clip.

    Raises:
        PeekabooError: what keeps it from being made; the panel goes on showing it.
    """
    global _current, _outcome
    if _current is not None:
        raise PeekabooError("A clip is being generated: wait for it, or cancel it.")
    _outcome = None
    try:
        _current = _begin(scene)
    except PeekabooError as error:
        _outcome = Outcome(str(error), failed=True)
        raise
    _keep_time()


def _begin(scene) -> Generation:
    python = preferences.engine_python()
    shot.check_prompt(scene)
    folder = takes.new_folder(scene)
    try:
        job = shot.write_shot(scene, folder / "job")
        engine = engine_client.Engine(folder / "job", folder, python, online=bpy.app.online_access)
    except PeekabooError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Generation(scene.session_uid, job, folder, engine)


def cancel() -> None:
    """Tell the engine to end, and the timer sees to it that it does; a clip that is done is kept."""
    if _current is not None and not _current.cancelled and _current.clip is None:
        _current.cancelled = True
        _current.engine.stop()


def leave() -> None:
    """End all engines and wait for that, a moment at most: the add-on or Blender itself is going."""
    global _current
    engines = [*_leaving, *([_current.engine] if _current else [])]
    for engine in engines:
        engine.stop(LEAVE_SECONDS)
    while any(not engine.reap() for engine in engines):
        time.sleep(engine_client.REAP_INTERVAL)
    if _current is not None and _current.clip is None:
        shutil.rmtree(_current.folder, ignore_errors=True)
    _current = None
    _leaving.clear()


def _keep_time() -> None:
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=POLL_SECONDS, persistent=True)


def _tick() -> float | None:
    """Look at the engine; returns when to look again, or None when there is nothing left to look at."""
    global _current, _outcome
    if _current is not None:
        shown = _current.text
        _outcome = _follow(_current)
        changed = _outcome is not None or _current.text != shown
        if _outcome is not None:
            _current.engine.stop()
            _leaving.append(_current.engine)
            _current = None
        if changed:  # drawing takes longer than all else here
            redraw()
    _leaving[:] = [engine for engine in _leaving if not engine.reap()]
    return POLL_SECONDS if _current is not None or _leaving else None


def _follow(generation: Generation) -> Outcome | None:
    """Take in what the engine says; returns how the generation has ended, if it has."""
    if generation.cancelled:
        if not generation.engine.reap():
            return None
        shutil.rmtree(generation.folder, ignore_errors=True)
        return Outcome("The generation was cancelled; nothing was kept of it.")
    for event in generation.engine.poll():
        generation.take(event)
        if isinstance(event, engine_client.Failure):
            return Outcome(event.message, failed=True)
    if generation.clip is None or _user_is_dragging():
        return None
    try:
        return _import(generation, generation.clip)
    except PeekabooError as error:
        return Outcome(str(error), failed=True, folder=generation.folder)


def _user_is_dragging() -> bool:
    """Whether a modal operator is at work in whose middle an undo step must not fall.

    Others may listen all the time, such as add-ons that show pressed keys.
    """
    return any(
        operator.bl_options & {"UNDO", "BLOCKING"} or operator.bl_idname == "RENDER_OT_render"
        for window in bpy.context.window_manager.windows
        for operator in window.modal_operators
    )


def _import(generation: Generation, result: engine_client.Result) -> Outcome:
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == generation.scene), None)
    if scene is None:
        raise PeekabooError(f'The scene of the clip is gone: the clip itself is at "{result.clip}".')
    strip = sequencer.add_clip(scene, result.clip, generation.job)
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        bpy.ops.ed.undo_push(message="Import Peekaboo Clip")
    timing = generation.job["timing"]
    end = timing["frame_start"] + timing["frame_count"] - 1
    return Outcome(
        f"The clip is in channel {strip.channel} of the sequencer, frames {timing['frame_start']} to {end}, "
        f"after {_duration(result.seconds)}.",
        folder=generation.folder,
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def redraw() -> None:
    """Let the sidebars of 3D viewports draw again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def register():
    """Nothing to add: the timer comes with the first generation."""


def unregister():
    """End what is running."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    leave()
