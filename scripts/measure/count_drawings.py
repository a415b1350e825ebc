# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts how often Blender draws a viewport for a call of its Python interface, in a real window.

    python scripts/measure/count_drawings.py --out docs/journal/drawings.json

The calls are those by which a clip arrives, each alone, without the add-on; after each it is counted again
how often the viewport is drawn when it is next asked to: once, or from the start, which is eight times for
its anti-aliasing. A number, so that it does not matter what else the machine does. It needs a Blender
($BLENDER, or one on the PATH) and a display, or Xvfb.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any

QUIET_SECONDS = 1.2
"""Without a drawing for so long, no more are to come."""


def main() -> int:
    """Count, print, and write it; returns the exit code."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import imageio.v3 as iio
    import numpy as np
    from house import virtual_display
    from house.environments import CommandError
    from house.find_blender import find_blender

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for the counts")
    asked = parser.parse_args()
    if (blender := find_blender()) is None:
        raise CommandError("There is no Blender here: set BLENDER to one, or put it on the PATH.")
    os.environ["BLENDER"] = blender.path
    shown = bool(os.environ.get("DISPLAY")) or sys.platform != "linux"
    display = nullcontext(os.environ.get("DISPLAY", "")) if shown else virtual_display.display()
    with tempfile.TemporaryDirectory(prefix="peekaboo-drawings-") as name, display as screen:
        folder = Path(name)
        iio.imwrite(folder / "clip.mp4", np.zeros((24, 160, 288, 3), np.uint8), fps=24, codec="libx264")
        run = subprocess.run(
            [
                *(blender.path, "--window-geometry", "0", "0", *virtual_display.SIZE.split("x")),
                *("--python", __file__, "--", str(folder)),
            ],
            env={**os.environ, "DISPLAY": screen, "BLENDER_USER_RESOURCES": str(folder / "profile")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if run.returncode or not (folder / "drawings.json").is_file():
            print(run.stdout[-4000:], file=sys.stderr)
            raise CommandError("Blender did not get through: see its output above.")
        counted = json.loads((folder / "drawings.json").read_text(encoding="utf-8"))
    print(f"{'Blender ' + counted['blender']:44} drawn  when drawn next")
    for call, (at_once, next_time) in counted["drawings"].items():
        print(f"{call:44}{at_once:6}{next_time:17}")
    if asked.out:
        facts = {"command": "python " + " ".join(sys.argv), **counted}
        asked.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 0


def calls(clip: str) -> dict:
    """What is called, by what it is called here; the scene of the takes is made by the first."""
    import bpy

    context: Any = bpy.context
    operators: Any = bpy.ops

    def reel():
        return bpy.data.scenes["Takes"]

    def editor():
        return reel().sequence_editor or reel().sequence_editor_create()

    def strips():
        return editor().strips if hasattr(editor(), "strips") else editor().sequences

    def movie():
        strips().new_movie(name="Clip", filepath=clip, channel=len(strips()) + 1, frame_start=1)

    def show():
        workspaces: Any = bpy.data.workspaces
        for workspace in workspaces:
            workspace.sequencer_scene = reel()

    def undo_push():
        with context.temp_override(window=context.window_manager.windows[0]):
            operators.ed.undo_push(message="Edit")

    def strip_with_undo():
        movie()
        strips()[-1]["note"] = ""
        editor().active_strip = strips()[-1]
        undo_push()
        context.workspace.status_text_set("The clip is there")

    def same_name():
        settings = strips()[-1].colorspace_settings
        settings.name = settings.name

    return {
        "nothing": lambda: None,
        "scenes.new()": lambda: bpy.data.scenes.new("Takes"),
        "a custom property of the scene points to it": lambda: context.scene.__setitem__("takes", reel()),
        "workspace.sequencer_scene =": show if hasattr(context.workspace, "sequencer_scene") else None,
        "strips.new_movie()": movie,
        "custom properties of the scene and a strip": lambda: (
            context.scene.__setitem__("note", "a"),
            strips()[-1].__setitem__("note", "a"),
        ),
        "active_strip =": lambda: setattr(editor(), "active_strip", strips()[-1]),
        "colorspace_settings.name = (the same)": same_name,
        "render.resolution_x = (the same)": lambda: setattr(reel().render, "resolution_x", 1920),
        "render.fps = (the same)": lambda: setattr(reel().render, "fps", 24),
        "view_settings.view_transform =": lambda: setattr(reel().view_settings, "view_transform", "Standard"),
        "frame_end = (the same)": lambda: setattr(reel(), "frame_end", 250),
        "images.load()": lambda: bpy.data.images.load(clip),
        "ed.undo_push()": undo_push,
        "status_text_set()": lambda: context.workspace.status_text_set("Text"),
        "a strip, an undo step, a text in the status": strip_with_undo,
    }


def count(folder: Path):
    """Go through all calls; yields seconds to wait, returns the counts."""
    import bpy

    context: Any = bpy.context
    operators: Any = bpy.ops
    window = context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    drawn = [0]

    def note():
        drawn[0] += 1

    bpy.types.SpaceView3D.draw_handler_add(note, (), "WINDOW", "POST_VIEW")
    with context.temp_override(window=window, area=area, region=region):
        operators.view3d.view_camera()
    yield 3.0
    found = {}
    for name, call in calls(str(folder / "clip.mp4")).items():
        if call is None:  # which this Blender does not have
            continue
        counts = []
        for act in (call, region.tag_redraw):
            before = seen = drawn[0]
            act()
            since = time.monotonic()
            while time.monotonic() - since < QUIET_SECONDS:
                yield 0.05
                if drawn[0] != seen:
                    seen, since = drawn[0], time.monotonic()
            counts.append(seen - before)
        found[name] = counts
    return {"blender": bpy.app.version_string, "drawings": found}


def inside(folder: Path) -> None:
    """Let a timer drive the counting to its end, then leave Blender."""
    import bpy

    context: Any = bpy.context
    context.preferences.view.show_splash = False
    course = count(folder)

    def step():
        try:
            return next(course)
        except StopIteration as end:
            (folder / "drawings.json").write_text(json.dumps(end.value), encoding="utf-8")
            bpy.ops.wm.quit_blender()
        except Exception:
            traceback.print_exc()
            sys.stdout.flush()
            os._exit(3)
        return None

    bpy.app.timers.register(step, first_interval=1.5)


if __name__ == "__main__":
    if "bpy" in sys.modules:
        inside(Path(sys.argv[sys.argv.index("--") + 1]))
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from house.environments import run_main

        sys.exit(run_main(main))
