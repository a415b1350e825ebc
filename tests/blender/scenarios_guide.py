# SPDX-License-Identifier: GPL-3.0-or-later
"""The user guide's steps as the guide has them, with its pictures, a group of these each: inside Blender."""

import json

import bpy
from hands import PAUSE, TAB, Box, Hands
from mathutils import Euler
from shooting import addon, generate, outcome, save, strip_names, until

PROMPT = "a red ball on grass"
SHOTS = (
    ("Wide", 1, (0, -11, 1.6), 1.5, "LEFT_TO_RIGHT", 0.3),
    ("Pan", 25, (6, -9, 2), 1.45, "BOUNCE", 0.35),
    ("Close", 49, (-3, -8, 1), 1.52, "APPROACH", 0.6),
)
"""Name, first frame, where its camera stands and how far up that looks; the ball's motion and size in it."""

SENTENCE = "a red ball rolls from left to right behind a blue cube"


def scenario_guide_set_up(hands: Hands):
    """A new Blender: the dialog of Set Up Engine, and the add-on's preferences."""
    yield from hands.open_tab()
    yield from hands.press("peekaboo.set_up_engine")
    yield 4 * PAUSE
    yield from hands.picture("setting-up", hands.area)
    yield from hands.key("ESC")
    yield PAUSE
    hands.area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = TAB
    with hands.context():
        bpy.ops.preferences.addon_expand(module="bl_ext.user_default.peekaboo")
    yield 4 * PAUSE
    yield from hands.picture("preferences", upper(hands.area, 525))
    return {}


def scenario_guide_first(hands: Hands):
    """The first clip: a subject, its phrase, a motion, Generate, Show Clip."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 24
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    yield from hands.open_tab()
    yield from hands.press("peekaboo.add_subject")
    yield from hands.fill("phrase", "a red ball")
    yield from hands.fill("prompt", "a blue ball on grass")
    yield from leave(hands)
    yield from hands.picture("phrase", hands.area)
    yield from hands.fill("prompt", PROMPT)
    yield from save(hands)
    with hands.context():
        bpy.ops.peekaboo.animate_subject("INVOKE_DEFAULT", motion="LEFT_TO_RIGHT")
    yield from hands.look_through_camera()
    scene.frame_set(13)  # of the picture that is seen while the clip is made
    yield from hands.press("peekaboo.generate")
    yield from leave(hands)
    yield from until(lambda: generation.current() is not None and generation.current().previews > 2, 0.2)
    yield 1.0
    yield from hands.picture("generating", hands.area)
    yield from until(lambda: not generation.unfinished())
    facts = {"strips": strip_names(), "outcome": outcome()}
    yield from show_clip(hands)
    yield from hands.picture("strip")
    return facts


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


def scenario_guide_shots(hands: Hands):
    """Three shots of one ball, each with a motion of its own, and a clip of each."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 72
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    scene.camera.location, scene.camera.rotation_euler = SHOTS[0][2], Euler((SHOTS[0][3], 0, 0))
    yield from hands.open_tab()
    yield from hands.press("peekaboo.add_subject")
    ball = hands.window.view_layer.objects.active
    ball.peekaboo.phrase, scene.peekaboo.prompt = "a red ball", PROMPT
    yield from cameras(hands)
    scene.timeline_markers["Close"].peekaboo.prompt = "a red ball on sand"
    yield from save(hands)
    yield from hands.look_through_camera()
    yield from leave(hands)
    for _, frame, _, _, motion, size in SHOTS:
        ball.select_set(True)
        hands.window.view_layer.objects.active = ball
        scene.frame_set(frame + 8)
        if motion == "BOUNCE":
            yield from hands.search("bounce")
            yield from hands.move(hands.area.x + 150, hands.area.y + 16)
            yield from hands.click()  # on the header of Adjust Last Operation
            scene.frame_set(frame + 4)  # where it is high up
            yield from leave(hands)
            shot = addon("shot.shots").shot_at(scene, scene.frame_current)
            yield from until(lambda shot=shot: not addon("shot.check").is_pending(scene, shot))
            yield from hands.picture("motion", hands.area)
            yield from hands.move(hands.area.x + 150, hands.area.y + 100)
            yield from hands.click()  # on the header again, which has gone up
        else:
            with hands.context():
                bpy.ops.peekaboo.animate_subject(motion=motion, size=size)
            yield 2 * PAUSE
    keys = {
        round(key.co.x)
        for curve in addon("compat").fcurves(ball)
        for key in curve.keyframe_points
        if curve.data_path == "location"
    }
    scene.frame_set(61)  # of the shot that has a prompt of its own
    yield from generate(hands)
    yield from until(lambda: len(generation.unfinished()) == 1 and generation.current().previews > 2, 0.2)
    yield from hands.scroll(6)
    yield from leave(hands)
    yield from hands.picture("shots", hands.area)
    yield from until(lambda: not generation.unfinished())
    bpy.ops.wm.save_mainfile()
    return {"keys": sorted(keys), "strips": sorted(strip_names()), "outcome": outcome()}


def scenario_guide_takes(hands: Hands):
    """The clips that the scenario before left: in the camera's view, in the sequencer, with masks."""
    left = hands.out.parent / "shots" / "shot.blend"
    bpy.ops.wm.open_mainfile(filepath=str(left), load_ui=False)
    yield 1.0
    hands = Hands(hands.out)
    scene = bpy.context.scene
    yield from hands.open_tab()
    yield from hands.look_through_camera()
    scene.frame_set(64)
    with hands.context():
        bpy.ops.peekaboo.show_in_camera()
    yield from until(lambda: len(scene.camera.data.background_images))
    yield from hands.scroll(30)
    yield from leave(hands)
    yield from hands.picture("in-camera", hands.area)
    yield from show_clip(hands)
    with hands.context():
        bpy.ops.screen.screen_full_area()
    yield 3 * PAUSE
    hands.area = next(area for area in hands.window.screen.areas if area.type == "SEQUENCE_EDITOR")
    hands.area.spaces.active.view_type = "SEQUENCER_PREVIEW"
    bpy.context.window_manager.peekaboo_pictures = True
    with hands.context(hands.sidebar):
        bpy.ops.peekaboo.show_masks()
    yield 3 * PAUSE
    yield from view_all(hands)
    bpy.context.workspace.sequencer_scene.frame_set(66)
    yield from leave(hands)
    yield from hands.picture("takes", hands.area)
    return {"strips": sorted(strip_names())}


def scenario_guide_check(hands: Hands):
    """What the Shot Check says, phrases over time, and the panel Model."""
    checking, scene = addon("shot.check"), bpy.context.scene
    scene.frame_end = 48
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    opened("PEEKABOO_PT_check", "PEEKABOO_PT_timed_phrases")
    yield from hands.open_tab()
    with hands.context():
        bpy.ops.peekaboo.add_subject(phrase="a red ball")
        scene.peekaboo.prompt = "a red ball and a small blue cube in rain"
        bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
        ball = hands.window.view_layer.objects.active
        for curve in addon("compat").fcurves(ball):
            if curve.data_path == "location":
                curve.keyframe_points[0].co.y *= 1.6
                curve.update()
        ball.animation_data.action.id_data.update_tag()
        bpy.ops.peekaboo.add_subject(shape="CUBE", phrase="a small blue cube")
        cube = hands.window.view_layer.objects.active
        cube.scale, cube.location.z = (0.04, 0.04, 0.04), 1.5
        bpy.ops.peekaboo.add_timed_phrase()
        timed = scene.peekaboo.timed_phrases[0]
        timed.phrase, timed.frame_start, timed.frame_end, timed.fade = "in rain", 24, 48, 6
    yield from hands.look_through_camera()
    scene.frame_set(4)
    yield from until(lambda: not checking.is_pending(scene))
    yield from leave(hands)
    yield from hands.picture("timed-phrases", upper(hands.sidebar, 228))
    yield from hands.picture("shot-check", hands.area)
    return {"found": [finding.text for finding in checking.report_of(scene).findings]}


def scenario_guide_model(hands: Hands):
    """The panel Model."""
    opened("PEEKABOO_PT_shot")
    scene = bpy.context.scene
    scene.frame_end = 120
    bpy.context.preferences.system.use_online_access = True  # without which Download is grey
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    with hands.context():
        bpy.ops.peekaboo.add_subject(phrase="a red ball")
    scene.peekaboo.prompt, scene.peekaboo.model = PROMPT, "wan2.1-t2v-1.3b"
    yield from hands.open_tab()
    yield from hands.scroll(30)
    yield from leave(hands)
    yield from hands.picture("model", hands.sidebar)
    return {}


def scenario_guide_files(hands: Hands):
    """The dialogs in which a layout is read, and masks and a farm's job are written."""
    layouts = hands.out / "layouts.json"
    entry = {"caption": "a fox on grass", "subject": "fox", "bboxes": [[0.1, 0.2, 0.4, 0.7]] * 16}
    layouts.write_text(json.dumps([{"id": str(number), **entry} for number in (1, 2)]))
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"
    yield from hands.open_tab()
    with hands.context():
        bpy.ops.peekaboo.add_subject(phrase="a red ball")
    bpy.context.scene.peekaboo.prompt = PROMPT
    yield from save(hands)
    operators = bpy.ops.peekaboo
    for name, height, ask in (
        ("import-layout", 145, lambda: operators.import_layout("INVOKE_DEFAULT", filepath=str(layouts))),
        ("export-masks", 65, lambda: operators.export_masks("INVOKE_DEFAULT", directory=str(hands.out))),
        ("farm-job", 112, lambda: operators.export_farm_job("INVOKE_DEFAULT", directory=str(hands.out))),
    ):
        with hands.context():
            ask()
        yield 8 * PAUSE
        (browser,) = (area for area in hands.window.screen.areas if area.type == "FILE_BROWSER")
        side = next(region for region in browser.regions if region.type == "TOOL_PROPS")
        edge = side.x, side.y + side.height // 2
        yield from hands.drag(edge, (edge[0] - 60, edge[1]))
        yield from hands.move(browser.x + browser.width // 3, browser.y + browser.height // 3)
        yield from hands.picture(name, upper(side, height))
        with bpy.context.temp_override(window=hands.window, area=browser):
            if name == "farm-job":
                bpy.ops.file.execute()
            else:
                bpy.ops.file.cancel()
        yield 4 * PAUSE
        hands.area = next(area for area in hands.window.screen.areas if area.type == "VIEW_3D")
    yield from until(lambda: list(hands.out.glob("*/template.yaml")), 0.2)
    return {}


def scenario_guide_draft(hands: Hands):
    """The boxes of a draft before it is applied."""
    drafting = addon("making.drafting")
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.context.scene.frame_end = 48
    opened("PEEKABOO_PT_draft")
    yield from hands.open_tab()
    yield from hands.look_through_camera()
    with hands.context():
        bpy.ops.peekaboo.draft("EXEC_DEFAULT", text=SENTENCE)
    yield from until(lambda: drafting.pending(bpy.context.scene) is not None)
    bpy.context.scene.frame_set(20)
    yield from leave(hands)
    yield from hands.picture("draft", hands.area)
    return {}


def leave(hands: Hands):
    """Take the mouse away from buttons, so that no tooltip lies over a picture."""
    yield from hands.move(hands.area.x + 200, hands.area.y + 80)


def show_clip(hands: Hands):
    """Press Show Clip, and look at its sequencer with our tab in its sidebar."""
    with hands.context():
        bpy.ops.peekaboo.show_clip()
    yield 1.5
    areas = [area for area in hands.window.screen.areas if area.type == "SEQUENCE_EDITOR"]
    hands.area = max(areas, key=lambda area: area.height)
    yield from hands.show_tab()
    yield 1.0
    yield from view_all(hands)
    yield from leave(hands)


def view_all(hands: Hands):
    """Press Home over the strips: the sidebar lies over them since it was opened."""
    for region in hands.area.regions:
        if region.type == "WINDOW" and region.height > 1:
            with hands.context(region):
                bpy.ops.sequencer.view_all()
    yield 3 * PAUSE


def upper(part, height: int) -> Box:
    """The upper pixels of an area or a region."""
    return Box(part.x, part.y + part.height - height, part.width, height)


def opened(*names: str):
    """Let panels that are closed until somebody opens them be open, before they are drawn the first time."""
    for name in names:
        panel = getattr(bpy.types, name)
        within = [
            each for each in bpy.types.Panel.__subclasses__() if getattr(each, "bl_parent_id", "") == name
        ]
        for each in (*within, panel):
            bpy.utils.unregister_class(each)
        panel.bl_options = panel.bl_options - {"DEFAULT_CLOSED"}
        for each in (panel, *within):
            bpy.utils.register_class(each)
