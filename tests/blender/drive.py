# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays a scenario in a Blender window as a user's hands would: runs inside Blender.

    blender --enable-event-simulate --python drive.py -- SCENARIO OUT

A scenario is a generator: each ``yield`` gives Blender that many seconds to draw and to handle events. What
it returns is written to OUT/facts.json.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy
import numpy as np

TAB = "Peekaboo"
PROMPT = "a red ball on grass"
PAUSE = 0.12
"""Seconds that Blender gets to handle an event and draw."""
PATIENCE = 400
"""Seconds after which what is waited for does not come."""


class Hands:
    """A mouse and a keyboard."""

    def __init__(self, out: Path):
        self.out = out
        self.window = bpy.context.window_manager.windows[0]
        self.area = next(area for area in self.window.screen.areas if area.type == "VIEW_3D")
        self.at = (0, 0)

    @property
    def sidebar(self):
        """The region of the 3D viewport that holds the tab."""
        return next(region for region in self.area.regions if region.type == "UI")

    def context(self, region=None):
        """Blender's context in the viewport, or in its sidebar."""
        region = region or next(region for region in self.area.regions if region.type == "WINDOW")
        return bpy.context.temp_override(window=self.window, area=self.area, region=region)

    def open_tab(self):
        """Open the sidebar at our tab, wide enough to read."""
        self.area.spaces.active.show_region_ui = True
        yield PAUSE
        self.sidebar.active_panel_category = TAB
        yield PAUSE
        edge = self.sidebar.x + 1, self.sidebar.y + self.sidebar.height // 2
        yield from self.drag(edge, (edge[0] - 90, edge[1]))

    def move(self, x: int, y: int):
        """Move the mouse."""
        self.at = (x, y)
        self.window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
        yield 0.03

    def drag(self, start: tuple[int, int], end: tuple[int, int]):
        """Drag with the left button."""
        yield from self.move(*start)
        yield from self.move(start[0], start[1] + 1)
        self.window.event_simulate(type="LEFTMOUSE", value="PRESS", x=start[0], y=start[1])
        yield PAUSE
        for part in (0.3, 0.6, 1.0):
            point = tuple(int(a + (b - a) * part) for a, b in zip(start, end, strict=True))
            yield from self.move(*point)
        self.window.event_simulate(type="LEFTMOUSE", value="RELEASE", x=end[0], y=end[1])
        yield PAUSE

    def click(self):
        """Click where the mouse is."""
        yield PAUSE
        for value in ("PRESS", "RELEASE"):
            self.window.event_simulate(type="LEFTMOUSE", value=value, x=self.at[0], y=self.at[1])
            yield 0.03
        yield PAUSE

    def key(self, name: str, text: str = "", **modifiers):
        """Press and release a key."""
        options = {"x": self.at[0], "y": self.at[1], **modifiers}
        self.window.event_simulate(type=name, value="PRESS", **options, **({"unicode": text} if text else {}))
        self.window.event_simulate(type=name, value="RELEASE", **options)
        yield 0.02

    def type(self, text: str):
        """Type a text."""
        for letter in text:
            yield from self.key("SPACE" if letter == " " else letter.upper(), letter)
        yield PAUSE

    def find(self, wanted: str):
        """Move the mouse down the sidebar until it is over a button.

        ``wanted`` is an operator, such as ``peekaboo.add_subject``, or the name of a property.
        """
        region = self.sidebar
        yield from self.move(self.area.x + self.area.width // 4, self.area.y + self.area.height // 2)
        yield PAUSE  # what was under the mouse before must not be taken for what is there now
        for x in (region.x + region.width // 2, region.x + region.width - 45):
            for y in range(region.y + region.height - 8, region.y + 4, -8):
                yield from self.move(x, y)
                if self._under_mouse() == wanted:
                    yield PAUSE
                    if self._under_mouse() == wanted:
                        return
        raise LookupError(f"there is no button {wanted} in the sidebar")

    def _under_mouse(self) -> str | None:
        with self.context(self.sidebar):
            if bpy.context.property is not None:
                return bpy.context.property[1].rpartition(".")[2]
            if bpy.ops.ui.copy_python_command_button.poll():
                bpy.ops.ui.copy_python_command_button()
                command = bpy.context.window_manager.clipboard
                return command.removeprefix("bpy.ops.").partition("(")[0]
        return None

    def press(self, operator: str):
        """Find an operator's button and click it."""
        yield from self.find(operator)
        yield from self.click()

    def fill(self, name: str, text: str):
        """Find a text field and type into it."""
        yield from self.find(name)
        yield from self.click()
        yield from self.key("A", ctrl=True)
        yield from self.type(text)
        yield from self.key("RET")
        yield PAUSE

    def look_through_camera(self):
        """Show the camera's frame beside the sidebar."""
        with self.context():
            bpy.ops.view3d.view_camera()
        view = self.area.spaces.active.region_3d
        view.view_camera_zoom, view.view_camera_offset = 0, (0.19, 0.0)
        yield PAUSE

    def show_sequencer(self):
        """Show the sequencer and its preview where the 3D viewport was."""
        self.area.type = "SEQUENCE_EDITOR"
        self.area.spaces.active.view_type = "SEQUENCER_PREVIEW"
        yield 3 * PAUSE
        bpy.context.scene.frame_set(12)
        region = next(region for region in self.area.regions if region.type == "WINDOW")
        with self.context(region):
            bpy.ops.sequencer.view_all()
        yield 3 * PAUSE

    def picture(self, name: str):
        """Take a picture of the screen from outside: Blender's own is black without a graphics card."""
        yield 2 * PAUSE
        path = self.out / f"{name}.png"
        tool = subprocess.Popen(["import", "-window", "root", str(path)])
        while tool.poll() is None:
            yield PAUSE

    def count(self, name: str, color: tuple[float, float, float]) -> int:
        """Count the pixels of a colour, left of the sidebar, in a picture."""
        image = bpy.data.images.load(str(self.out / f"{name}.png"))
        pixels = np.empty(len(image.pixels), np.float32)
        image.pixels.foreach_get(pixels)
        picture = pixels.reshape(image.size[1], image.size[0], -1)[:, : self.sidebar.x, :3]
        bpy.data.images.remove(image)
        return int((np.abs(picture - color).max(axis=2) < 0.03).sum())


def scenario_generate(hands: Hands):
    """Generate, cancel with ESC, generate again to the end, see the strip, undo, redo."""
    generation, scene = addon("generation"), bpy.context.scene
    scene.frame_end = 24
    yield from hands.open_tab()
    yield from hands.picture("1-tab")
    yield from hands.press("peekaboo.add_subject")
    yield from hands.fill("phrase", "a red ball")
    yield from hands.fill("prompt", "a blue cube on grass")
    yield from hands.picture("2-phrase-not-in-prompt")
    can_generate = [bpy.ops.peekaboo.generate.poll()]
    yield from hands.fill("prompt", PROMPT)
    can_generate.append(bpy.ops.peekaboo.generate.poll())
    subject = hands.window.view_layer.objects.active
    animate(subject)
    yield from hands.look_through_camera()
    facts: dict = {"phrase": subject.peekaboo.phrase, "prompt": scene.peekaboo.prompt, "can": can_generate}
    yield from save(hands)
    yield from hands.picture("3-ready")

    yield from hands.press("peekaboo.generate")
    yield from hands.picture("4-starting")
    yield from until(lambda: generation.current().step >= 2)
    yield from hands.picture("5-running")
    facts["pids"] = [generation.current().engine.process.pid]
    yield from hands.key("ESC")
    yield from until(lambda: generation.current() is None)
    facts["after_cancel"] = [generation.outcome().text, strip_names(), takes(hands)]
    yield from hands.picture("6-cancelled")

    gaps = Gaps()
    yield 3
    facts["idle"] = gaps.end()
    yield from hands.find("peekaboo.generate")
    gaps = Gaps()
    yield from hands.click()
    yield from until(lambda: generation.current() is not None)
    yield from until(lambda: generation.current() is None)
    facts["busy"] = gaps.end()
    facts["after_clip"] = [generation.outcome().text, strip_names(), takes(hands)]
    yield from hands.picture("7-done")
    yield from hands.show_sequencer()
    yield from hands.picture("8-strip")
    with hands.context():
        bpy.ops.ed.undo()
        yield PAUSE
        facts["after_undo"] = [strip_names(), bpy.context.scene.peekaboo.prompt]
    with hands.context():
        bpy.ops.ed.redo()
        yield PAUSE
        facts["after_redo"] = strip_names()
    return facts


def scenario_outlines(hands: Hands):
    """Look through the camera at two subjects; switch the outlines off and on."""
    scene = bpy.context.scene
    with hands.context():
        bpy.ops.object.select_all(action="SELECT")
        bpy.ops.object.delete()
        bpy.ops.object.camera_add(location=(0, -10, 2), rotation=(1.4, 0, 0))
        scene.camera = bpy.context.object
        bpy.context.view_layer.update()
        for shape, size in (("SPHERE", 1.2), ("CUBE", 1.0), ("CONE", 0.8)):
            bpy.ops.peekaboo.add_subject(shape=shape, size=size)
        bpy.context.object.location = (-1.0, 0.5, 0.5)
        bpy.ops.view3d.view_camera()
    yield from hands.open_tab()
    yield 0.5
    bpy.context.view_layer.objects.active = None
    for obj in scene.objects:
        obj.select_set(False)  # selected objects are drawn in a colour of their own
    colors = [tuple(obj.peekaboo.color) for obj in scene.objects if obj.peekaboo.is_subject]
    seen = []
    for name in ("outlines", "no-outlines"):
        yield from hands.picture(name)
        seen.append([hands.count(name, color) for color in colors])
        yield from hands.press("show_outlines")
    return {"on": seen[0], "off": seen[1]}


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


def scenario_open_another(hands: Hands):
    """Open another file while a clip is being generated, then disable the add-on while another one is."""
    generation = addon("generation")
    yield from start(hands)
    first = generation.current().engine.process.pid
    bpy.ops.wm.read_homefile()
    yield from until(lambda: generation.current() is None)
    facts = {"pids": [first], "after_load": [generation.outcome().text, strip_names(), takes(hands)]}
    yield PAUSE
    yield from start(Hands(hands.out))
    facts["pids"].append(generation.current().engine.process.pid)
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.peekaboo")
    return facts | {"after_disable": takes(hands), "prompt_kept": hasattr(bpy.types.Scene, "peekaboo")}


def scenario_trouble(hands: Hands):
    """Let the engine be killed; check it; generate again, and undo and redo in the middle of that."""
    generation, engine_state = addon("generation"), addon("engine_state")
    yield from start(hands)
    os.kill(generation.current().engine.process.pid, signal.SIGKILL)
    yield from until(lambda: generation.current() is None)
    facts = {"after_kill": generation.outcome().text}
    bpy.ops.peekaboo.check_engine()
    yield from until(lambda: not engine_state.is_busy())
    facts["check"] = engine_state.status()
    with hands.context():
        bpy.ops.peekaboo.generate("INVOKE_DEFAULT")
        bpy.ops.mesh.primitive_cube_add()
        bpy.ops.ed.undo_push(message="Cube")
        bpy.ops.ed.undo()
        bpy.ops.ed.undo()
        bpy.ops.ed.redo()
    yield from until(lambda: generation.current() is None)
    return facts | {"outcome": generation.outcome().text, "strips": strip_names()}


def scenario_leave(hands: Hands):
    """Leave a clip being generated, and Blender open until the test ends it, or quit where it says so."""
    yield from start(hands)
    yield from until(lambda: addon("generation").current().step >= 1)
    return {"pids": [addon("generation").current().engine.process.pid]}


def scenario_stay(hands: Hands):
    """As above, but never quit."""
    facts = yield from scenario_leave(hands)
    (hands.out / "facts.json").write_text(json.dumps(facts))
    while True:
        yield 1


def animate(subject):
    """Let a subject cross the camera's view, seen from the side."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    camera = bpy.context.scene.camera
    right = camera.matrix_world.to_3x3().col[0]
    middle = subject.location.copy()
    for frame, side in ((1, -2.2), (24, 2.2)):
        subject.location = middle + side * right
        subject.keyframe_insert("location", frame=frame)
    bpy.context.scene.frame_set(8)


def start(hands: Hands):
    """Make a shot without the mouse, and begin to generate it."""
    with hands.context():
        bpy.ops.peekaboo.add_subject()
        bpy.context.object.peekaboo.phrase = "a red ball"
        bpy.context.scene.peekaboo.prompt = PROMPT
        yield from save(hands)
    with hands.context():
        bpy.ops.peekaboo.generate("INVOKE_DEFAULT")
    yield PAUSE


def save(hands: Hands):
    """Save the shot, which is to be generated with the model of the test."""
    scene = bpy.context.scene
    scene.peekaboo.model = os.environ["TEST_MODEL"]
    scene.peekaboo.num_inference_steps = int(os.environ["TEST_STEPS"])
    bpy.ops.wm.save_as_mainfile(filepath=str(hands.out / "shot.blend"))
    bpy.ops.ed.undo_push(message="Prepare")
    yield PAUSE


def addon(module: str):
    """A module of the installed extension."""
    return sys.modules[f"bl_ext.user_default.peekaboo.{module}"]


def strip_names() -> list[str]:
    """The names of the strips in the scene's sequencer."""
    editor = bpy.context.scene.sequence_editor
    if editor is None:
        return []
    return [strip.name for strip in (editor.strips if hasattr(editor, "strips") else editor.sequences)]


def takes(hands: Hands) -> list[str]:
    """What lies in the output folder."""
    folder = hands.out / "peekaboo"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def until(holds):
    """Wait for something to hold."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        yield 0.05


def play(scenario, out: Path):
    """Let a timer drive a scenario to its end, then quit Blender."""
    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.system.viewport_aa = (
        "OFF"  # which draws eight times, slowly without a graphics card
    )
    bpy.context.preferences.use_preferences_save = (
        False  # one scenario must not change the next one's Blender
    )
    steps = None

    def step():
        nonlocal steps
        try:
            steps = steps or scenario(Hands(out))
            return next(steps)
        except StopIteration as end:
            (out / "facts.json").write_text(json.dumps(end.value))
            quit_blender(0)
        except Exception:
            traceback.print_exc()
            sys.stdout.flush()
            quit_blender(3)

    bpy.app.timers.register(step, first_interval=1.5, persistent=True)


def quit_blender(code: int):
    """Quit as a user does after saving; with a code, leave at once."""
    if code:
        os._exit(code)
    bpy.ops.wm.quit_blender()


if __name__ == "__main__":
    name, folder = sys.argv[sys.argv.index("--") + 1 :]
    play(globals()[f"scenario_{name}"], Path(folder))
