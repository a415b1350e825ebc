# SPDX-License-Identifier: GPL-3.0-or-later
"""What scenarios share: a shot, the add-on's modules, and what they look at. Runs inside Blender."""

import os
import sys
import time

import bpy
from hands import PAUSE, Hands

PROMPT = "a red ball on grass"
PATIENCE = 400
"""Seconds after which what is waited for does not come."""


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


def prepare(hands: Hands):
    """Make a shot without the mouse."""
    with hands.context():
        bpy.ops.peekaboo.add_subject()
        bpy.context.object.peekaboo.phrase = "a red ball"
        bpy.context.scene.peekaboo.prompt = PROMPT
        yield from save(hands)


def generate(hands: Hands, count: int = 1):
    """Press Generate, or add to the queue, without the mouse."""
    with hands.context():
        bpy.ops.peekaboo.generate("INVOKE_DEFAULT", count=count)
    yield PAUSE
    yield from until(lambda: not works_in_turns())


def works_in_turns() -> bool:
    """Whether something that takes long is done in turns, such as reading several shots."""
    windows = bpy.context.window_manager.windows
    names = [one.bl_idname for window in windows for one in window.modal_operators]
    return "PEEKABOO_OT_work_in_turns" in names


def start(hands: Hands):
    """Make a shot without the mouse, and begin to generate it."""
    yield from prepare(hands)
    yield from generate(hands)
    yield from until(lambda: addon("making.generation").engine_is_up())


def all_done():
    """Wait until there is no job left."""
    yield from until(lambda: not addon("making.generation").unfinished())


def engine_pid() -> int:
    """The process of the warm engine."""
    return addon("making.generation")._queue.keeper.engine.process.pid


def outcome() -> str:
    """The sentence that the panel shows last."""
    return addon("making.generation").outcomes()[-1].text


def save(hands: Hands):
    """Save the shot, which is to be generated with the model of the test."""
    scene = bpy.context.scene
    scene.peekaboo.output_folder = os.environ.get("TEST_OUTPUT", "//peekaboo/")
    scene.peekaboo.model = os.environ["TEST_MODEL"]
    scene.peekaboo.num_inference_steps = int(os.environ["TEST_STEPS"])
    bpy.ops.wm.save_as_mainfile(filepath=str(hands.out / "shot.blend"))
    bpy.ops.ed.undo_push(message="Prepare")
    yield PAUSE


def addon(module: str):
    """A module of the installed extension."""
    return sys.modules[f"bl_ext.user_default.peekaboo.{module}"]


def strip_names() -> list[str]:
    """The names of the strips beside the scene's takes."""
    return [strip.name for strip in strips_of(bpy.context.scene)]


def strips_of(scene) -> list:
    """The strips in the sequencer that has a scene's takes."""
    reels = addon("takes.reels")
    holder = reels.holder_of(reels.scene_of(scene))
    if holder is None or holder.sequence_editor is None:
        return []
    editor = holder.sequence_editor
    return list(editor.strips if hasattr(editor, "strips") else editor.sequences)


def drawings_while(holds) -> list[int]:
    """Count from now on how often viewports are drawn while something holds; returns a list of the number."""
    count = [0]

    def drawn():
        count[0] += bool(holds())

    bpy.types.SpaceView3D.draw_handler_add(drawn, (), "WINDOW", "POST_VIEW")
    return count


def takes(hands: Hands) -> list[str]:
    """What lies in the output folder."""
    folder = hands.out / "peekaboo"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def until(holds, pause: float = 0.05):
    """Wait for something to hold, looking each ``pause`` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        yield pause
