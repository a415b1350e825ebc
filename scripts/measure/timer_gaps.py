# SPDX-License-Identifier: GPL-3.0-or-later
"""Run inside Blender by measure_timer_gaps.py: how long Blender's main thread leaves a timer waiting.

    blender --python timer_gaps.py -- OUT MODEL STEPS TAKES

Writes OUT/gaps.json. A shot is looked at with the tab open, in a viewport and then in the sequencer: without
a job, during a whole generation, then without a job while the sidebar and the camera's view are drawn at the
moments at which the generation had them drawn. At last a movie strip is added and a step of undo made without
the add-on: what Blender takes for that edit. With takes the shot is looked at in a viewport alone, with so
many of them as pictures beside one another.

Drawings of the viewport are counted, since their number does not depend on what else the machine does.
"""

import json
import os
import shutil
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

CONTEXT: Any = bpy.context
OPS: Any = bpy.ops

ADDON = "bl_ext.user_default.peekaboo"
PROMPT, PHRASE = "a red ball on grass", "a red ball"
TICK_SECONDS = 0.005
SETTLE_SECONDS, BASELINE_SECONDS = 3.0, 15.0
EDITS, EDIT_SECONDS = 3, 4.0
"""How often the edit is made without the add-on, and how long each time what comes of it is watched."""

OURS = {
    "making.generation": ("add", "_tick"),
    "shot.check": ("advance",),
    "interface.overlay": (
        "current_outlines",
        "_batches_of",
        "draw_boxes",
        "fill",
        "stroke",
        "_write_phrases",
    ),
}
"""Functions of the add-on's that the main thread runs; its panels' ``draw`` come on top."""


class Own:
    """How long the add-on's own code has held the main thread, call by call."""

    def __init__(self):
        self.calls: list[tuple[float, float, str]] = []  # when it ended, how long it took, what it was
        self._depth = 0
        for module, names in OURS.items():
            for name in names:
                self._time(sys.modules[f"{ADDON}.{module}"], name)
        panels: Any = bpy.types.Panel.__subclasses__()
        for cls in panels:
            if cls.__module__.startswith(ADDON):
                self._time(cls, "draw")
                cls.draw = _with_parameters(cls.draw)

    def _time(self, owner, name: str) -> None:
        function = getattr(owner, name)
        label = f"{owner.__name__.removeprefix(ADDON + '.')}.{name}"

        def timed(*arguments, **options):
            begun = time.perf_counter()
            self._depth += 1
            try:
                return function(*arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    now = time.perf_counter()
                    self.calls.append((now, now - begun, label))

        if bpy.app.timers.is_registered(function):
            bpy.app.timers.unregister(function)
            bpy.app.timers.register(timed)
        setattr(owner, name, timed)


def _with_parameters(draw):
    """Name the parameters of a ``draw``: Blender hands over only as many arguments as it sees."""

    def named(self, context):
        draw(self, context)

    return named


class Drawings:
    """How often viewports were drawn."""

    count = 0

    @classmethod
    def begin(cls) -> None:
        """Begin to count."""
        bpy.types.SpaceView3D.draw_handler_add(cls._drawn, (), "WINDOW", "POST_VIEW")

    @classmethod
    def _drawn(cls) -> None:
        cls.count += 1


class Redraws:
    """When the add-on has Blender draw its panels or the camera's view, to do the same without a job."""

    NAMES = ("redraw", "redraw_camera_views")

    def __init__(self):
        self.asked: list[tuple[float, str, tuple]] = []  # seconds, function of windows, its arguments

    @contextmanager
    def noted(self):
        """Note them within a block."""
        windows, begun = sys.modules[f"{ADDON}.windows"], time.monotonic()
        functions = {name: getattr(windows, name) for name in self.NAMES}

        def noting(name):
            def note(*arguments):
                self.asked.append((time.monotonic() - begun, name, arguments))
                functions[name](*arguments)

            return note

        for name in functions:
            setattr(windows, name, noting(name))
        try:
            yield
        finally:
            for name, function in functions.items():
                setattr(windows, name, function)

    def again(self):
        """Do them again at their moments; yields seconds to wait."""
        windows, begun = sys.modules[f"{ADDON}.windows"], time.monotonic()
        for at, name, arguments in self.asked:
            yield max(0.0, at - (time.monotonic() - begun))
            getattr(windows, name)(*arguments)


class Ticks:
    """A timer that notes how long it was left waiting, and what the main thread did meanwhile."""

    def __init__(self, own: Own):
        self._own = own
        self._first_drawing = self._drawings = Drawings.count
        self.gaps: list[dict] = []
        self._begun = self._last = time.perf_counter()
        self._first_call, self._busy, self._over = len(own.calls), self._processor(), False
        bpy.app.timers.register(self._tick)

    @staticmethod
    def _processor() -> tuple[float, float]:
        return time.thread_time(), time.process_time()

    def _tick(self) -> float | None:
        now, busy = time.perf_counter(), self._processor()
        own = [call for call in self._own.calls[-100:] if call[0] > self._last]
        job = sys.modules[f"{ADDON}.making.generation"].current()
        moment = job.phase if job and job.attempts else "click and import"
        self.gaps.append(
            {
                "ms": _ms(now - self._last),
                "own_ms": _ms(sum(seconds for _, seconds, _ in own)),
                "own_calls": [name for _, _, name in own],
                "viewport_drawings": Drawings.count - self._drawings,
                "main_thread_ms": _ms(busy[0] - self._busy[0]),
                "all_threads_ms": _ms(busy[1] - self._busy[1]),
                "at_seconds": round(now - self._begun, 1),
                "moment": moment,
            }
        )
        self._last, self._busy, self._drawings = now, busy, Drawings.count
        return None if self._over else TICK_SECONDS

    def end(self) -> dict:
        """Stop; returns the longest gaps, and the longest calls of the add-on's own, in milliseconds."""
        self._over = True
        seconds = time.perf_counter() - self._begun
        waits = sorted(gap["ms"] for gap in self.gaps)
        calls = self._own.calls[self._first_call :]
        moments: dict[str, float] = {}
        for gap in self.gaps:
            moments[gap["moment"]] = max(moments.get(gap["moment"], 0.0), gap["ms"])
        by_name: dict[str, list[float]] = {}
        for _, took, name in calls:
            by_name.setdefault(name, []).append(_ms(took))
        return {
            "seconds": round(seconds, 1),
            "ticks": len(waits),
            "longest_ms": waits[-1],
            "percentile_99_ms": waits[int(0.99 * (len(waits) - 1))],
            "gaps_over_50_ms": sum(wait > 50 for wait in waits),
            "viewport_drawings": Drawings.count - self._first_drawing,
            "longest_by_moment": moments,
            "longest_own_call_ms": max((max(times) for times in by_name.values()), default=0.0),
            "own_share": round(sum(took for _, took, _ in calls) / seconds, 4),
            "longest_gaps": sorted(self.gaps, key=lambda gap: -gap["ms"])[:8],
            "own_calls": {
                name: {
                    "calls": len(times),
                    "longest_ms": max(times),
                    "mean_ms": round(sum(times) / len(times), 2),
                }
                for name, times in sorted(by_name.items(), key=lambda item: -max(item[1]))
            },
        }


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


class Viewport:
    """The 3D viewport of the window, which can be made a sequencer."""

    def __init__(self):
        self._window = CONTEXT.window_manager.windows[0]
        self.area = next(area for area in self._window.screen.areas if area.type == "VIEW_3D")

    def region(self, kind: str):
        """One of its regions."""
        return next(region for region in self.area.regions if region.type == kind)

    def context(self):
        """Blender's context there."""
        return CONTEXT.temp_override(window=self._window, area=self.area, region=self.region("WINDOW"))

    def open_tab(self):
        """Show the add-on's tab in the sidebar."""
        self.area.spaces.active.show_region_ui = True
        yield 0.5
        self.region("UI").active_panel_category = "Peekaboo"
        yield SETTLE_SECONDS


def measure(out: Path, model: str, steps: int, takes: int):
    """Go through all situations; yields seconds to wait."""
    view, scene, own, found = Viewport(), CONTEXT.scene, Own(), {}
    Drawings.begin()
    with view.context():
        bpy.data.objects.remove(bpy.data.objects["Cube"])
        OPS.peekaboo.add_subject(shape="SPHERE")
        CONTEXT.object.peekaboo.phrase, scene.peekaboo.prompt = PHRASE, PROMPT
        OPS.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
        scene.frame_end, scene.peekaboo.model = 48, model
        scene.peekaboo.num_inference_steps = steps
        OPS.wm.save_as_mainfile(filepath=str(out / "shot.blend"))
        OPS.view3d.view_camera()
    if takes:
        yield from _make_takes(view, out, takes)
    for place in ("pictures",) if takes else ("viewport", "sequencer"):
        if place == "sequencer":
            view.area.type = "SEQUENCE_EDITOR"
        yield from view.open_tab()
        found[place] = yield from _situations(view, own)
    return {"area": [view.area.width, view.area.height], "measured": found}


def _make_takes(view: Viewport, out: Path, count: int):
    """Generate a take, and let copies of it be others; show them as pictures."""
    generation = sys.modules[f"{ADDON}.making.generation"]
    with view.context():
        OPS.peekaboo.generate("INVOKE_DEFAULT")
    while generation.unfinished():
        yield 0.1
    first = out / "peekaboo" / "Scene_001"
    with view.context():
        for number in range(2, count + 1):
            copy = first.with_name(f"Scene_{number:03}")
            shutil.copytree(first, copy)
            OPS.peekaboo.import_take(directory=str(copy))
    CONTEXT.window_manager.peekaboo_pictures = True


def _situations(view: Viewport, own: Own):
    generation, found = sys.modules[f"{ADDON}.making.generation"], {}
    ticks = Ticks(own)
    yield BASELINE_SECONDS
    found["no job"] = ticks.end()
    ticks, redraws = Ticks(own), Redraws()
    with redraws.noted():
        with view.context():
            OPS.peekaboo.generate("INVOKE_DEFAULT")
        while generation.unfinished():
            yield 0.1
        yield 1.0
        found["generation"] = ticks.end()
    assert not generation.outcomes()[-1].failed, generation.outcomes()[-1].text
    generation.free_memory()
    view.region("WINDOW").tag_redraw()  # from the start, after the edit that the clip was: not of the floor
    yield SETTLE_SECONDS
    ticks = Ticks(own)
    yield from redraws.again()
    yield 1.0
    found["no job, drawn as during one"] = ticks.end()
    for drawn in (False, True):
        ticks = Ticks(own)
        yield from _edits(view, drawn)
        found["the same edit, made without the add-on" + ", then drawn" * drawn] = ticks.end()
    return found


def _edits(view: Viewport, drawn: bool):
    """Add the clip that came last as a strip and make a step of undo, without the add-on; yields seconds.

    Args:
        view: in which it is done.
        drawn: whether something has the viewport drawn after it.
    """
    holder = sys.modules[f"{ADDON}.takes.reels"].holder_of(CONTEXT.scene).name
    for number in range(EDITS):
        editor = bpy.data.scenes[holder].sequence_editor
        strips = sys.modules[f"{ADDON}.compat"].strips(editor)
        path = sorted(strip.filepath for strip in strips if strip.type == "MOVIE")[-1]
        channel = max(strip.channel for strip in strips) + 1
        strips.new_movie(name=f"Edit {number}", filepath=path, channel=channel, frame_start=1)
        with view.context():
            OPS.ed.undo_push(message="Edit")
        if drawn:
            view.region("WINDOW").tag_redraw()
        yield EDIT_SECONDS


def play(out: Path, model: str, steps: int, takes: int) -> None:
    """Let a timer drive the measurement to its end, then leave Blender."""
    CONTEXT.preferences.view.show_splash = False
    course = measure(out, model, steps, takes)

    def step():
        try:
            return next(course)
        except StopIteration as end:
            facts = {"blender": bpy.app.version_string, **end.value}
            (out / "gaps.json").write_text(json.dumps(facts, indent=2) + "\n")
            OPS.wm.quit_blender()
        except Exception:
            traceback.print_exc()
            sys.stdout.flush()
            os._exit(3)
        return None

    bpy.app.timers.register(step, first_interval=1.5)


if __name__ == "__main__":
    folder, model_name, step_count, take_count = sys.argv[sys.argv.index("--") + 1 :]
    play(Path(folder), model_name, int(step_count), int(take_count))
