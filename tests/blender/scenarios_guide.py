# SPDX-License-Identifier: GPL-3.0-or-later
"""The user guide's scene of three shots, made as the guide has it, with its pictures: runs inside Blender."""

import bpy
from hands import PAUSE, Hands
from mathutils import Euler
from shooting import addon, generate, outcome, save, strip_names, until

PROMPT = "a red ball on grass"
SHOTS = (
    ("Wide", 1, (0, -11, 1.6), 1.5, "LEFT_TO_RIGHT", 0.3),
    ("Pan", 25, (6, -9, 2), 1.45, "BOUNCE", 0.35),
    ("Close", 49, (-3, -8, 1), 1.52, "APPROACH", 0.6),
)
"""Name, first frame, where its camera stands and how far up that looks; the ball's motion and size in it."""


def cameras(hands: Hands):
    """The default scene's camera and two more, the second of which pans; each is bound to a marker."""
    scene = bpy.context.scene
    for name, frame, location, tilt, _, _ in SHOTS:
        with hands.context():
            if name != "Wide":
                bpy.ops.object.camera_add()
            camera = bpy.context.object if name != "Wide" else scene.camera
            camera.name, camera.location, camera.rotation_euler = name, location, Euler((tilt, 0, 0))
            camera.select_set(True)
            hands.window.view_layer.objects.active = camera
            scene.frame_set(frame)
            bpy.ops.peekaboo.add_shot()
            camera.select_set(False)
        yield PAUSE
    pan = bpy.data.objects["Pan"]
    for frame, turn in ((25, 0.5), (48, -0.3)):
        pan.rotation_euler.z = turn
        pan.keyframe_insert("rotation_euler", frame=frame)
    scene.frame_set(1)


def scenario_guide(hands: Hands):
    """From the default scene to three clips, with a picture of each step of the guide."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 72
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.camera.location, scene.camera.rotation_euler = SHOTS[0][2], Euler((SHOTS[0][3], 0, 0))
    yield from hands.open_tab()
    yield from hands.press("peekaboo.add_subject")
    yield from hands.fill("phrase", "a red ball")
    yield from hands.fill("prompt", "a blue ball on grass")
    yield from hands.picture("phrase")
    yield from hands.fill("prompt", PROMPT)
    ball = hands.window.view_layer.objects.active
    yield from cameras(hands)
    scene.timeline_markers["Close"].peekaboo.prompt = "a red ball on sand"
    yield from save(hands)
    yield from hands.look_through_camera()
    yield from hands.move(hands.area.x + 200, hands.area.y + 80)  # no tooltip lies over the panel
    for _, frame, _, _, motion, size in SHOTS:
        ball.select_set(True)
        hands.window.view_layer.objects.active = ball
        scene.frame_set(frame + 8)
        with hands.context():
            bpy.ops.peekaboo.animate_subject("INVOKE_DEFAULT", motion=motion, size=size)
        yield 2 * PAUSE
        if motion == "BOUNCE":
            scene.frame_set(frame + 4)  # where it is high up
            yield from hands.picture("motion")
    keys = {
        round(key.co.x)
        for curve in addon("compat").fcurves(ball)
        for key in curve.keyframe_points
        if curve.data_path == "location"
    }
    scene.frame_set(9)  # of the first shot, whose preview is seen there
    yield from generate(hands)
    yield from until(lambda: generation.current() is not None and generation.current().previews, 0.2)
    yield 1.0
    yield from hands.picture("generating")
    for left in (1, 0):
        yield from until(lambda left=left: len(generation.unfinished()) <= left)
    facts = {"keys": sorted(keys), "strips": sorted(strip_names()), "outcome": outcome()}
    scene.frame_set(40)
    with hands.context():
        bpy.ops.peekaboo.show_in_camera()
    yield from until(lambda: len(scene.camera.data.background_images))
    yield 2 * PAUSE
    yield from hands.picture("in-camera")
    with hands.context():
        bpy.ops.peekaboo.show_clip()
    yield 1.5
    bpy.context.window_manager.peekaboo_pictures = True
    areas = [area for area in hands.window.screen.areas if area.type == "SEQUENCE_EDITOR"]
    hands.area = max(areas, key=lambda area: area.height)
    hands.area.spaces.active.show_region_ui = True
    yield 2 * PAUSE
    hands.sidebar.active_panel_category = "Peekaboo"
    yield 1.0
    yield from hands.picture("takes")
    return facts
