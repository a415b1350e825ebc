# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of a scene that markers cut into shots: run inside Blender."""

import bpy
from hands import PAUSE, Hands
from shooting import addon, all_done, generate, save, strip_names, until

CUTS = ((1, "Wide", (0, -12, 2)), (9, "Close", (0, -7, 1)), (17, "High", (0, -10, 4)))


def three_shots(hands: Hands):
    """A ball that crosses the view of three cameras, cut by markers."""
    scene = bpy.context.scene
    scene.frame_end = 24
    for obj in list(scene.objects):
        bpy.data.objects.remove(obj)
    with hands.context():
        for frame, name, location in CUTS:
            tilt = 1.25 if name == "High" else 1.5
            bpy.ops.object.camera_add(location=location, rotation=(tilt, 0, 0))
            bpy.context.object.name = name
            scene.timeline_markers.new(name, frame=frame).camera = bpy.context.object
        scene.camera = bpy.data.objects["Wide"]
        bpy.ops.peekaboo.add_subject(phrase="a red ball", placement="CURSOR")
    ball = hands.window.view_layer.objects.active
    for frame, side in ((1, -1.5), (24, 1.5)):
        ball.location.x = side
        ball.keyframe_insert("location", frame=frame)
    scene.peekaboo.prompt = "a red ball on grass"
    scene.timeline_markers["Close"].peekaboo.prompt = "a red ball, close, on sand"
    scene.frame_set(12)
    yield from save(hands)
    return scene


def scenario_shots(hands: Hands):
    """Add a shot and remove it; generate one, and all three, while the marker of one is removed."""
    generation = addon("making.generation")
    yield from hands.open_tab()
    scene = yield from three_shots(hands)
    yield from hands.look_through_camera()
    scene.frame_set(21)
    facts: dict = {"cut": []}
    for operator in ("peekaboo.add_shot", "peekaboo.remove_shot"):
        yield from hands.press(operator)
        facts["cut"].append([len(scene.timeline_markers), scene.camera.name])
    scene.frame_set(12)
    yield from hands.picture("1-shots")
    yield from hands.press("peekaboo.generate")
    yield from until(generation.unfinished)
    yield from generate(hands)
    facts["queued"] = [order.title for order in generation.unfinished()]
    # an engine that has nobody beside it may be done by now
    yield from until(
        lambda: not generation.unfinished() or (generation.current() and generation.current().previews)
    )
    yield from hands.picture("2-making")
    scene.timeline_markers.remove(scene.timeline_markers["High"])
    yield from all_done()
    facts["strips"] = sorted(strip_names())
    facts["outcomes"] = [outcome.failed for outcome in generation.outcomes()]
    yield PAUSE
    yield from hands.picture("3-made")
    with hands.context():
        bpy.ops.peekaboo.show_in_camera()
    yield from until(lambda: len(scene.camera.data.background_images))
    yield from hands.picture("4-in-camera")
    reels = addon("takes.reels")
    bpy.ops.ed.undo_push(message="Look")
    with hands.context():
        bpy.ops.peekaboo.show_clip()
    yield 1.0
    yield from hands.picture("5-show-clip")
    facts["workspace"] = hands.window.workspace.name
    facts["shown"] = reels.scene_of(bpy.context.scene).name
    bpy.context.window_manager.peekaboo_pictures = True
    areas = [area for area in hands.window.screen.areas if area.type == "SEQUENCE_EDITOR"]
    hands.area = max(areas, key=lambda area: area.height)
    yield from hands.show_tab()
    yield from hands.picture("6-pictures")
    reels.active_take(scene).mute = True
    bpy.ops.ed.undo_push(message="Hide")
    with hands.context():
        bpy.ops.peekaboo.show_clip()
    yield 1.0
    facts["hidden"] = [reels.active_take(bpy.data.scenes["Scene"]).mute]
    for step in (bpy.ops.ed.undo, bpy.ops.ed.redo):
        with hands.context():
            step()
        yield PAUSE
        facts["hidden"].append(reels.active_take(bpy.data.scenes["Scene"]).mute)
    if bpy.ops.peekaboo.show_scene.poll():  # before Blender 5.0, where the window shows that of the takes
        with hands.context():
            bpy.ops.peekaboo.show_scene()
        yield 4 * PAUSE
        yield from hands.picture("7-back")
        facts["back"] = [hands.window.workspace.name, hands.window.scene.name]
    return facts
