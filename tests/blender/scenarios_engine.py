# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of an engine that has a hard time, or whose Blender has: run inside Blender."""

import json
import os
import signal
import time
from pathlib import Path

import bpy
from hands import PAUSE, Hands
from shooting import (
    addon,
    all_done,
    engine_pid,
    generate,
    outcome,
    prepare,
    start,
    strip_names,
    strips_of,
    takes,
    until,
)

PHASES = ("start", "load", "denoise", "decode", "write")


def scenario_open_another(hands: Hands):
    """Open another file while a clip is being generated, then disable the add-on while another one is."""
    yield from start(hands)
    first = engine_pid()
    bpy.ops.wm.read_homefile()
    yield from all_done()
    facts = {"pids": [first], "after_load": [outcome(), strip_names(), takes(hands)]}
    yield PAUSE
    yield from start(Hands(hands.out))
    facts["pids"].append(engine_pid())
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.peekaboo")
    return facts | {"after_disable": takes(hands), "prompt_kept": hasattr(bpy.types.Scene, "peekaboo")}


def scenario_killed(hands: Hands):
    """Let the engine be killed in each phase, and while it waits; it is told, and nothing is lost."""
    generation = addon("making.generation")
    generation.POLL_SECONDS = 0.005  # phases of the tiny model are short
    yield from prepare(hands)
    settings = shot_settings()
    facts: dict = {"pids": [], "told": {}, "seconds": {}}
    for phase in PHASES:
        yield from generate(hands)
        yield from until(
            lambda phase=phase: generation.current() and generation.current().phase == phase, 0.001
        )
        facts["pids"].append(engine_pid())
        os.kill(engine_pid(), signal.SIGKILL)
        killed = time.monotonic()
        yield from all_done()
        facts["seconds"][phase] = round(time.monotonic() - killed, 2)
        facts["told"][phase] = [outcome(), takes(hands)]
    yield from generate(hands)
    yield from all_done()
    facts["clip"] = [outcome(), strip_names()]
    facts["pids"].append(engine_pid())
    os.kill(engine_pid(), signal.SIGKILL)
    killed = time.monotonic()
    yield from until(lambda: not generation.engine_is_up())
    facts["told"]["idle"] = [outcome(), []]
    facts["seconds"]["idle"] = round(time.monotonic() - killed, 2)
    return facts | {"settings_kept": shot_settings() == settings}


def scenario_trouble(hands: Hands):
    """Render, save, undo, redo in mid generation; then the disk is full; then the environment is gone."""
    engine_state = addon("making.set_up")
    yield from prepare(hands)
    with hands.context():
        bpy.ops.peekaboo.check_engine()
        facts: dict = {"checking": [engine_state.is_busy(), engine_state.can_cancel()]}
        yield from until(lambda: not engine_state.is_busy())
    facts["check"] = engine_state.status()
    yield from generate(hands)
    facts["rendered"] = yield from render_and_save(hands)
    with hands.context():
        bpy.ops.mesh.primitive_cube_add()
        bpy.ops.ed.undo_push(message="Cube")
        bpy.ops.ed.undo()
        bpy.ops.ed.undo()
        bpy.ops.ed.redo()
    yield from all_done()
    facts |= {"outcome": outcome(), "strips": strip_names(), "pids": [engine_pid()]}
    settings, kept = shot_settings(), takes(hands)
    python = Path(os.environ["PEEKABOO_PYTHON"])
    with hands.context():
        bpy.ops.peekaboo.free_memory()
    yield from until(lambda: not addon("making.generation").engine_is_up())
    script = python.read_text()
    python.write_text(script.replace("exec", "ulimit -f 1; exec"))
    yield from generate(hands)
    yield from all_done()
    facts["full_disk"] = [outcome(), takes(hands) == kept]
    facts["pids"].append(engine_pid())
    python.unlink()
    try:
        yield from generate(hands)
    except RuntimeError as error:
        facts["report"] = str(error)
    facts["no_environment"] = [outcome(), takes(hands) == kept]
    return facts | {"settings_kept": shot_settings() == settings}


def scenario_one_clip(hands: Hands):
    """Make a clip, and look at nothing."""
    yield from start(hands)
    yield from all_done()
    return {"outcome": outcome(), "pids": [engine_pid()], "clip": clip_of_strip()}


def scenario_leave(hands: Hands):
    """Leave a clip being generated, and Blender open until the test ends it, or quit where it says so."""
    yield from start(hands)
    yield from until(lambda: addon("making.generation").current().step >= 1)
    return {"pids": [engine_pid()]}


def scenario_stay(hands: Hands):
    """As above, but never quit."""
    facts = yield from scenario_leave(hands)
    (hands.out / "facts.json").write_text(json.dumps(facts))
    while True:
        yield 1


def render_and_save(hands: Hands):
    """Render a picture as F12 does, and save; returns whether that was done and the job still runs."""
    scene, done = bpy.context.scene, []
    bpy.context.preferences.view.render_display_type = "NONE"
    scene.render.engine, scene.render.resolution_percentage = "BLENDER_WORKBENCH", 10
    bpy.app.handlers.render_complete.append(lambda *_: done.append(scene.render.engine))
    with hands.context():
        bpy.ops.render.render("INVOKE_DEFAULT")
    yield from until(lambda: done)
    yield from until(lambda: not bpy.app.is_job_running("RENDER"))
    bpy.ops.wm.save_mainfile()
    return [not bpy.data.is_dirty, bool(addon("making.generation").unfinished())]


def shot_settings() -> list:
    """What a user has typed and chosen."""
    scene = bpy.context.scene
    phrases = [obj.peekaboo.phrase for obj in scene.objects]
    return [scene.peekaboo.prompt, scene.peekaboo.model, scene.peekaboo.seed, phrases]


def clip_of_strip() -> str:
    """The path of the only strip's clip."""
    [strip] = strips_of(bpy.context.scene)
    return bpy.path.abspath(strip.filepath)
