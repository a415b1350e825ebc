# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's hands in a Blender window: runs inside Blender."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import bpy
import numpy as np

TAB = "Peekaboo"
PAUSE = 0.12
"""Seconds that Blender gets to handle an event and draw."""


class Box(NamedTuple):
    """A part of the window, in its pixels from the lower left corner."""

    x: int
    y: int
    width: int
    height: int


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
        yield from self.show_tab()
        edge = self.sidebar.x + 1, self.sidebar.y + self.sidebar.height // 2
        yield from self.drag(edge, (edge[0] - 90, edge[1]))

    def show_tab(self):
        """Open the sidebar at our tab: before it is drawn for the first time it has none."""
        self.area.spaces.active.show_region_ui = True
        for _ in range(40):
            yield 2 * PAUSE
            if self.sidebar.active_panel_category == TAB:
                self.sidebar.tag_redraw()  # which Blender 4.3 leaves to the next movement of the mouse
                yield PAUSE
                return
            self.sidebar.active_panel_category = TAB
        raise LookupError("the sidebar does not show the tab")

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

    def scroll(self, lines: int):
        """Turn the wheel over the sidebar."""
        region = self.sidebar
        yield from self.move(region.x + region.width // 2, region.y + region.height // 2)
        for _ in range(lines):
            yield from self.key("WHEELDOWNMOUSE")
        yield PAUSE

    def find(self, wanted: str):
        """Move the mouse down the sidebar until it is over a button.

        ``wanted`` is an operator, such as ``peekaboo.add_subject``, or the name of a property.
        """
        region = self.sidebar
        yield from self.move(self.area.x + self.area.width // 4, self.area.y + self.area.height // 2)
        yield PAUSE  # what was under the mouse before must not be taken for what is there now
        right = region.x + region.width
        # the last two are small buttons at the end of a row
        for x in (region.x + region.width // 2, region.x + region.width // 4, right - 45, right - 68):
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

    def fill(self, name: str, text: str, enter: bool = True):
        """Find a text field and type into it."""
        yield from self.find(name)
        yield from self.click()
        yield from self.key("A", ctrl=True)
        yield from self.type(text)
        if enter:
            yield from self.key("RET")
            yield PAUSE

    def search(self, words: str):
        """Find an entry of Blender's menus by the search, and run it."""
        yield from self.move(self.area.x + self.area.width // 3, self.area.y + self.area.height // 2)
        yield from self.key("F3")
        yield 4 * PAUSE
        yield from self.type(words)
        yield 4 * PAUSE
        yield from self.key("RET")
        yield 4 * PAUSE

    def look_through_camera(self):
        """Show the camera's frame beside the sidebar."""
        with self.context():
            bpy.ops.view3d.view_camera()
        view = self.area.spaces.active.region_3d
        view.view_camera_zoom, view.view_camera_offset = 0, (0.19, 0.0)
        yield PAUSE

    def show_sequencer(self):
        """Show the takes in the sequencer and its preview where the 3D viewport was."""
        reel = bpy.context.scene.peekaboo.takes_scene
        if reel is not None and not hasattr(self.window.workspace, "sequencer_scene"):
            self.window.scene = reel  # before Blender 5.0 a window shows one scene to all its editors
        self.area.type = "SEQUENCE_EDITOR"
        self.area.spaces.active.view_type = "SEQUENCER_PREVIEW"
        yield 3 * PAUSE
        bpy.context.scene.frame_set(min(12, bpy.context.scene.frame_end))
        region = next(region for region in self.area.regions if region.type == "WINDOW")
        with self.context(region):
            bpy.ops.sequencer.view_all()
        yield 3 * PAUSE

    def picture(self, name: str, part=None):
        """Take a picture of the screen from outside: Blender's own is black without a graphics card.

        ``part`` is an area, a region or a :class:`Box` that alone is wanted.
        """
        yield 2 * PAUSE
        path, crop = self.out / f"{name}.png", []
        if part is not None:
            top = self.window.height - part.y - part.height
            crop = ["-crop", f"{part.width}x{part.height}+{part.x}+{top}", "+repage"]
        tool = subprocess.Popen(["import", "-window", "root", *crop, str(path)])
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
