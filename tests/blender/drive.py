# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays a scenario in a Blender window as a user's hands would: runs inside Blender.

    blender --enable-event-simulate --python drive.py -- SCENARIO OUT

A scenario is a generator: each ``yield`` gives Blender that many seconds to draw and to handle events. What
it returns is written to OUT/facts.json.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))

import scenarios_authoring
import scenarios_engine
import scenarios_generate
import scenarios_guide
import scenarios_shots
import scenarios_takes
from hands import Hands

MODULES = (
    scenarios_authoring,
    scenarios_engine,
    scenarios_generate,
    scenarios_guide,
    scenarios_shots,
    scenarios_takes,
)
REST_SECONDS = 0.005
SCENARIOS = {
    name.removeprefix("scenario_"): value
    for module in MODULES
    for name, value in vars(module).items()
    if name.startswith("scenario_")
}


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

    (out / "begun").touch()  # for window.py, which starts Blender again where it never gets here
    bpy.app.timers.register(step, first_interval=1.5, persistent=True)
    bpy.app.timers.register(rest, persistent=True)


def rest() -> float:
    """Sleep between events as Blender does, but for one whose events are simulated: that takes a whole core.

    Which is then the engine's.
    """
    time.sleep(REST_SECONDS)
    return 0.0


def quit_blender(code: int):
    """Quit as a user does after saving; with a code, leave at once."""
    if code:
        os._exit(code)
    bpy.ops.wm.quit_blender()


if __name__ == "__main__":
    name, folder = sys.argv[sys.argv.index("--") + 1 :]
    play(SCENARIOS[name], Path(folder))
