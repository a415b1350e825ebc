# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of authoring a shot, played in a Blender window as drive.py plays its own: runs inside Blender.

blender --enable-event-simulate --python drive_authoring.py -- SCENARIO OUT
"""

import json
import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from drive import Hands, play

PROMPT = "a red ball on grass"
PAUSE = 0.12
"""Seconds that Blender gets to handle an event and draw."""
PATIENCE = 60
"""Seconds after which what is waited for does not come."""


class Holds:
    """Measures how long each turn of the check holds the main thread."""

    def __init__(self, checking):
        self.milliseconds = []
        self._advance = checking.advance
        checking.advance = self._timed
        if bpy.app.timers.is_registered(self._advance):
            bpy.app.timers.unregister(self._advance)

    def _timed(self):
        begun = time.perf_counter()
        try:
            return self._advance()
        finally:
            self.milliseconds.append(round(1000 * (time.perf_counter() - begun), 1))


def scenario_author(hands: Hands):
    """Add a subject through the search, name it, animate it, let the check warn, undo, keep a preset."""
    checking, scene = addon("shot.check"), bpy.context.scene
    holds = Holds(checking)
    scene.frame_end = 48
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    yield from hands.open_tab()
    yield from hands.search("peekaboo subject sphere")
    subject = hands.window.view_layer.objects.active
    facts: dict = {
        "added": [subject.empty_display_type, tuple(subject.location), subject.peekaboo.is_subject]
    }
    yield from hands.fill("phrase", "a red ball")
    yield from hands.fill("prompt", PROMPT)
    yield from hands.look_through_camera()
    yield from hands.search("cross left to right")
    facts["keys"] = keys(subject)
    yield from until(lambda: clean(checking))
    facts["after_motion"] = texts(checking)
    scene.frame_set(10)
    yield from hands.picture("1-motion")

    with hands.context():
        bpy.ops.ed.undo()
    yield PAUSE
    facts["after_undo"] = [keys(bpy.context.scene.objects["Subject"]), bpy.context.scene.peekaboo.prompt]
    with hands.context():
        bpy.ops.ed.redo()
    yield PAUSE
    subject = bpy.context.scene.objects["Subject"]
    subject.scale = (0.04, 0.04, 0.04)
    bpy.context.scene.peekaboo.model = (
        "modelscope"  # whose picture is square, so that the sides are out of view
    )
    for curve in addon("compat").fcurves(subject):
        curve.keyframe_points[0].co.y *= 1.6
        curve.update()
    subject.animation_data.action.id_data.update_tag()
    yield 2 * PAUSE
    yield from until(lambda: clean(checking))
    facts["warned"] = texts(checking)
    yield from hands.picture("2-warned")
    facts["held"] = sorted(holds.milliseconds, reverse=True)[:3]
    return facts


def scenario_import(hands: Hands):
    """Open File ▸ Import ▸ Peekaboo Layout, leave it, and import a layout before the camera."""
    layouts = hands.out / "layouts.json"
    boxes = [[0.1 + 0.02 * i, 0.2, 0.4 + 0.02 * i, 0.7] for i in range(16)]
    entries = [
        {"id": str(k), "caption": f"a {animal} on grass", "subject": animal, "bboxes": boxes}
        for k, animal in enumerate(("deer", "fox"), start=1)
    ]
    layouts.write_text(json.dumps(entries))
    scene = bpy.context.scene
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    yield from hands.open_tab()
    yield from hands.look_through_camera()
    bpy.context.preferences.view.filebrowser_display_type = (
        "SCREEN"  # a window of its own is out of the picture
    )
    with hands.context():
        bpy.ops.peekaboo.import_layout("INVOKE_DEFAULT", filepath=str(layouts))
    yield 8 * PAUSE
    yield from hands.picture("3-file-browser")
    (browser,) = (area for area in hands.window.screen.areas if area.type == "FILE_BROWSER")
    with bpy.context.temp_override(window=hands.window, area=browser):
        bpy.ops.file.cancel()
    yield 4 * PAUSE
    facts: dict = {"after_cancel": len(scene.objects)}
    hands.area = next(area for area in hands.window.screen.areas if area.type == "VIEW_3D")
    with hands.context():
        bpy.ops.peekaboo.import_layout("EXEC_DEFAULT", True, filepath=str(layouts), record="2")
    yield PAUSE
    scene.frame_set(100)
    yield from until(lambda: clean(addon("shot.check")))
    facts["warned"] = texts(addon("shot.check"))
    yield from hands.picture("4-layout")
    facts["imported"] = [bpy.context.object.peekaboo.phrase, scene.peekaboo.prompt]
    return facts


def scenario_turns(hands: Hands):
    """Check a shot with a simulation that has no bake, cancel that, check it to its end, and export masks."""
    scene = bpy.context.scene
    with hands.context():
        bpy.ops.mesh.primitive_grid_add(x_subdivisions=12, y_subdivisions=12, size=3, rotation=(1.57, 0, 0))
    flag = bpy.context.object
    flag.modifiers.new("Cloth", "CLOTH")
    flag.peekaboo.is_subject, flag.peekaboo.phrase = True, "a flag"
    scene.peekaboo.prompt = "a flag in the wind"
    scene.frame_start, scene.frame_end = 1, 30
    scene.render.resolution_x, scene.render.resolution_y = 96, 64
    yield PAUSE
    changed_by_hand = flag.location.x = 0.25
    yield from hands.move(hands.area.x + hands.area.width // 3, hands.area.y + hands.area.height // 2)
    with hands.context():
        bpy.ops.peekaboo.check_shot("INVOKE_DEFAULT")
    at_once = scene.frame_current
    yield from until(lambda: scene.frame_current > 8)
    yield from hands.picture("turns")
    yield from hands.key("G")  # would move the flag
    yield from hands.key("ESC")
    yield from until(lambda: not working(hands))
    facts = {"at_once": at_once, "cancelled": [scene.frame_current, flag.location.x == changed_by_hand]}
    check, read_at_once = addon("shot.check"), []
    read = check._read
    check._read = lambda *of: [read(*of), read_at_once.append(of)][0]
    with hands.context():
        bpy.ops.peekaboo.check_shot("INVOKE_DEFAULT")
    yield from until(lambda: not working(hands))
    check._read, facts["read_at_once"] = read, len(read_at_once)
    facts["checked"] = [scene.frame_current, *texts(addon("shot.check"))]
    folder = hands.out / "masks"
    with hands.context():
        bpy.ops.peekaboo.export_masks("EXEC_DEFAULT", directory=str(folder), kind="png", in_turns=True)
    facts["written_at_once"] = len(list(folder.rglob("*.png")))
    yield from until(lambda: not working(hands))
    facts["written"] = len(list(folder.rglob("*.png")))
    return facts


def scenario_draft(hands: Hands):
    """Draft a shot from a sentence, look at its boxes, apply it, take it back, and change it in words."""
    drafting = addon("making.drafting")
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.context.scene.frame_end = 48
    yield from hands.open_tab()
    yield from hands.look_through_camera()
    sentence = "a red ball rolls from left to right behind a blue cube"
    yield from hands.search("draft from text")
    yield from hands.picture("1-dialog")
    yield from hands.key("ESC")
    with hands.context():
        bpy.ops.peekaboo.draft("EXEC_DEFAULT", text=sentence)
    facts: dict = {"waits": [drafting.is_busy(), len(marked())]}
    yield from until(lambda: drafting.pending(bpy.context.scene) is not None)
    bpy.context.scene.frame_set(20)
    yield from hands.picture("2-boxes")
    facts["before"] = len(marked())
    with hands.context():
        bpy.ops.peekaboo.apply_draft("EXEC_DEFAULT", True)
    yield PAUSE
    facts["applied"] = [sorted(obj.name for obj in marked()), bpy.context.scene.peekaboo.prompt]
    bpy.context.scene.frame_set(20)
    yield from hands.picture("3-applied")
    with hands.context():
        bpy.ops.ed.undo()
    yield PAUSE
    facts["after_undo"] = len(marked())
    with hands.context():
        bpy.ops.ed.redo()
    yield PAUSE
    with hands.context():
        bpy.ops.peekaboo.draft("EXEC_DEFAULT", text="make the ball wait until the middle", change=True)
    yield from until(lambda: drafting.pending(bpy.context.scene) is not None)
    with hands.context():
        bpy.ops.peekaboo.apply_draft("EXEC_DEFAULT", True)
    yield PAUSE
    ball, places = bpy.context.scene.objects["Red ball"], []
    for frame in (1, 20, 48):
        bpy.context.scene.frame_set(frame)
        places.append(ball.matrix_world.translation.copy())
    facts["moved"] = [(places[1] - places[0]).length < 1e-4, (places[2] - places[0]).length > 1]
    with hands.context():
        bpy.ops.peekaboo.draft("EXEC_DEFAULT", text="the dog gallumphs")
    yield from until(lambda: not drafting.is_busy())
    facts["refused"] = drafting.status()
    yield from hands.picture("4-refused")
    return facts


def marked() -> list:
    """The subjects of the scene."""
    return [obj for obj in bpy.context.scene.objects if obj.peekaboo.is_subject]


def working(hands: Hands) -> bool:
    """Whether work is done in turns."""
    return any(one.bl_idname == "PEEKABOO_OT_work_in_turns" for one in hands.window.modal_operators)


def addon(module: str):
    """A module of the installed extension."""
    return sys.modules[f"bl_ext.user_default.peekaboo.{module}"]


def until(holds):
    """Wait for something to hold."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        yield 0.05


def clean(checking) -> bool:
    """Whether the last check is of the scene as it is now."""
    return not checking.is_pending(bpy.context.scene)


def texts(checking) -> list[str]:
    """What the last check has found."""
    report = checking.report_of(bpy.context.scene)
    return [report.problem, *(finding.text for finding in report.findings)]


def keys(subject) -> int:
    """How many keyframes each curve of a subject has, which are as many in all."""
    counts = {len(curve.keyframe_points) for curve in addon("compat").fcurves(subject)}
    return max(counts, default=0)


if __name__ == "__main__":
    name, folder = sys.argv[sys.argv.index("--") + 1 :]
    play(globals()[f"scenario_{name}"], Path(folder))
