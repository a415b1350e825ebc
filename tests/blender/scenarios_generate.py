# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of making clips, and of what is done with them: run inside Blender."""

import os

import bpy
from hands import PAUSE, Hands
from shooting import (
    PROMPT,
    addon,
    all_done,
    animate,
    drawings_while,
    engine_pid,
    generate,
    outcome,
    prepare,
    save,
    strip_names,
    takes,
    until,
)


def author(hands: Hands):
    """Add a subject, and type a phrase and a prompt that first do not fit; returns what the add-on said."""
    yield from hands.picture("1-tab")
    yield from hands.press("peekaboo.add_subject")
    yield from hands.fill("phrase", "a red ball")
    yield from hands.fill("prompt", "a blue cube on grass")
    yield from hands.picture("2-phrase-not-in-prompt")
    can_generate = [bpy.ops.peekaboo.generate.poll()]
    yield from hands.fill("prompt", PROMPT, enter=False)
    as_typed = addon("shot.prompt").prompt_problem(bpy.context.scene)
    yield from hands.key("RET")
    yield PAUSE
    can_generate.append(bpy.ops.peekaboo.generate.poll())
    subject = hands.window.view_layer.objects.active
    animate(subject)
    yield from hands.look_through_camera()
    return {
        "phrase": subject.peekaboo.phrase,
        "prompt": bpy.context.scene.peekaboo.prompt,
        "can": can_generate,
        "as_typed": as_typed,
    }


def scenario_generate(hands: Hands):
    """Generate, cancel with ESC, generate again to the end on the same engine, see the strip, undo, redo."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 24
    yield from hands.open_tab()
    facts = yield from author(hands)
    yield from save(hands)
    yield from hands.picture("3-ready")

    yield from hands.press("peekaboo.generate")
    yield from hands.picture("4-starting")
    yield from until(lambda: generation.current().previews)
    yield from hands.picture("5-running")
    facts["pids"] = [engine_pid()]
    yield from hands.key("ESC")
    yield from all_done()
    facts["after_cancel"] = [outcome(), strip_names(), takes(hands)]
    yield from hands.picture("6-cancelled")

    yield from hands.press("peekaboo.generate")
    yield from until(generation.unfinished)
    bpy.data.objects["Subject"].scale.z += 0.5  # which has no keyframes
    bpy.ops.ed.undo_push(message="Grow")
    drawn = drawings_while(strip_names)
    yield from all_done()
    yield PAUSE
    facts["drawn_with_the_strip"] = drawn[0]
    facts["pids"].append(engine_pid())
    facts["after_clip"] = [outcome(), strip_names(), takes(hands)]
    yield from hands.picture("7-done")
    yield from hands.show_sequencer()
    yield from hands.picture("8-strip")
    grown = round(bpy.data.objects["Subject"].scale.z, 3)
    for which, step in (("after_undo", bpy.ops.ed.undo), ("after_redo", bpy.ops.ed.redo)):
        with hands.context():
            step()
        yield PAUSE
        still_grown = round(bpy.data.objects["Subject"].scale.z, 3) == grown
        facts[which] = [strip_names(), len(bpy.data.scenes), still_grown]
    with hands.context():
        bpy.ops.peekaboo.free_memory()
    yield from until(lambda: not generation.engine_is_up())
    return facts


def scenario_takes(hands: Hands):
    """Queue takes, cancel one that waits; in the sequencer's sidebar retake, show masks, restore."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 24
    yield from hands.open_tab()
    yield from prepare(hands)
    subject = bpy.context.view_layer.objects.active
    animate(subject)
    yield from hands.look_through_camera()
    yield from generate(hands, count=3)
    yield from generate(hands)
    facts: dict = {"queued": [order.job["seed"] for order in generation.unfinished()]}
    yield from until(lambda: generation.current() and generation.current().previews)
    yield from hands.picture("1-queue")
    generation.cancel(generation.unfinished()[1].id)
    yield from all_done()
    facts["after_queue"] = sorted(strip_names())
    yield from show_takes(hands)
    bpy.ops.ed.undo_push(message="Look")
    yield from hands.picture("2-takes")
    yield from hands.press("peekaboo.retake")
    facts["retaken"] = [order.job["seed"] for order in generation.unfinished()]
    yield from all_done()
    facts["after_retake"] = sorted(strip_names())
    yield from hands.press("peekaboo.show_masks")
    facts["with_masks"] = len(strip_names())
    yield from hands.picture("3-masks")
    scene = bpy.data.scenes["Scene"]  # before Blender 5.0 the window shows that of the takes
    scene.peekaboo.prompt, subject = "nothing", bpy.data.objects["Subject"]
    subject.peekaboo.phrase = "lost"
    yield from hands.press("peekaboo.restore_settings")
    scene = bpy.data.scenes["Scene"]  # as the step of undo has left it
    facts["restored"] = [scene.peekaboo.prompt, bpy.data.objects["Subject"].peekaboo.phrase]
    facts["spaces"] = [strip.colorspace_settings.name for strip in addon("takes.reels").takes(scene)]
    return facts


def scenario_scenes(hands: Hands):
    """Queue two takes of each of two scenes, and look at the folder of one."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 24
    yield from hands.open_tab()
    yield from prepare(hands)
    animate(bpy.context.view_layer.objects.active)
    yield from hands.look_through_camera()
    bpy.context.window_manager.peekaboo_takes = 2
    yield from hands.press("peekaboo.generate")
    yield from until(generation.unfinished)
    second = yield from second_scene(hands)
    yield from hands.press("peekaboo.generate")
    yield from until(lambda: len(generation.unfinished()) > 2)
    facts: dict = {"queued": [job.title for job in generation.unfinished()]}
    yield from until(lambda: generation.current() and generation.current().previews)
    yield from hands.picture("1-two-scenes")
    yield from all_done()
    facts["outcomes"] = [outcome.text for outcome in generation.outcomes()]
    facts["strips"] = {}
    for shown in (second, scene):
        hands.window.scene = shown
        yield PAUSE
        facts["strips"][shown.name] = strip_names()
    yield from show_takes(hands)
    yield from hands.picture("2-takes-of-the-first")
    facts["means"] = yield from scenes_meant(hands, scene, second)
    yield from hands.press("peekaboo.open_take")
    yield 4 * PAUSE
    facts["takes"] = [take for take in takes(hands) if take.endswith("clip.mp4")]
    return facts


def scenes_meant(hands: Hands, first, second):
    """Which scene is meant in the sequencer's sidebar, as that shows the takes of each or one's own."""
    generation, reels, found = addon("making.generation"), addon("takes.reels"), []
    show = addon("compat").show_in_sequencers_of
    for scene in (reels.holder_of(second), second, reels.holder_of(first)):
        hands.window.scene = show(hands.window.workspace, scene, first)
        yield PAUSE
        with hands.context(hands.sidebar):
            bpy.ops.peekaboo.generate("INVOKE_DEFAULT")
        found += [order.title.partition(",")[0] for order in generation.unfinished()]
        generation.cancel_all()
        yield from all_done()
    return found


def show_takes(hands: Hands):
    """Show the sequencer and our tab in its sidebar."""
    yield from hands.show_sequencer()
    yield from hands.show_tab()


def second_scene(hands: Hands):
    """Make a copy of the shot with another subject, and show it; returns the scene."""
    with hands.context():
        bpy.ops.scene.new(type="FULL_COPY")
    yield 2 * PAUSE
    scene = hands.window.scene
    scene.name, scene.peekaboo.prompt, scene.peekaboo.seed = "Second", "a blue cube on sand", 7
    subject = next(obj for obj in scene.objects if obj.peekaboo.is_subject)
    subject.empty_display_type, subject.peekaboo.phrase = "CUBE", "a blue cube"
    yield 2 * PAUSE
    return scene


def scenario_first_frame(hands: Hands):
    """Render the first frame in the window, and make the clip; what is the user's stays."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 24
    scene.render.engine, scene.cycles.samples, scene.cycles.use_adaptive_sampling = "CYCLES", 128, False
    scene.cycles.use_denoising = False  # which not every build of Blender can
    scene.view_settings.view_transform = "Standard"
    yield from hands.open_tab()
    yield from prepare(hands)
    animate(bpy.context.view_layer.objects.active)
    bpy.ops.mesh.primitive_monkey_add(location=(0.5, 0, 1))
    monkey = bpy.context.object
    monkey.keyframe_insert("location", frame=1)
    monkey.location.z = 7.0  # and not keyed
    scene.peekaboo.start_from = "rendered"
    bpy.ops.ed.undo_push(message="Rendered Frame")
    yield from hands.look_through_camera()
    before = untouched(scene, monkey)

    yield from hands.press("peekaboo.generate")
    yield from until(addon("windows").is_rendering)
    # at once: the render may have ended before a picture is taken
    facts: dict = {"rendering": [each.name for each in bpy.data.scenes]}
    facts["saved"] = saved_scenes(hands)
    yield from hands.picture("1-rendering")
    yield from until(generation.unfinished)
    facts["while_generating"] = untouched(scene, monkey) == before
    yield from all_done()
    facts["after_clip"] = [outcome(), strip_names(), untouched(scene, monkey) == before]
    yield from hands.picture("2-clip")
    return facts


def scenario_family(hands: Hands):
    """With a model of another family and a LoRA: see the preview, cancel; then make a clip."""
    generation, scene = addon("making.generation"), bpy.context.scene
    scene.frame_end = 8
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    scene.cycles.use_denoising = False  # as above
    yield from hands.open_tab()
    yield from prepare(hands)
    animate(bpy.context.view_layer.objects.active)
    if "TEST_LORA" in os.environ:
        item = scene.peekaboo.lora_list.add()
        item.source, item.weight = os.environ["TEST_LORA"], 0.5
    scene.peekaboo.start_from = os.environ["TEST_START"]
    scene.peekaboo.num_inference_steps = 300
    bpy.ops.ed.undo_push(message="Family")
    yield from hands.look_through_camera()
    yield from hands.press("peekaboo.generate")
    yield from until(lambda: generation.current() and generation.current().previews)
    yield from hands.picture("1-preview")
    yield from hands.key("ESC")
    yield from all_done()
    facts = {"after_cancel": [outcome(), strip_names(), takes(hands)]}
    if scene.peekaboo.start_from == "text" and os.environ["TEST_THEN"] == "rendered":
        scene.peekaboo.start_from = "rendered"
    scene.peekaboo.num_inference_steps = int(os.environ["TEST_STEPS"])
    bpy.ops.ed.undo_push(message="Few Steps")
    yield from hands.press("peekaboo.generate")
    yield from until(generation.unfinished)
    yield from all_done()
    facts["after_clip"] = [outcome(), strip_names()]
    yield from hands.picture("2-clip")
    scene.peekaboo.lora_list.clear()
    scene.peekaboo.model, scene.peekaboo.start_from = os.environ["TEST_OTHER"], "rendered"
    bpy.ops.ed.undo_push(message="Other Family")
    yield from hands.press("peekaboo.generate")
    yield from until(generation.unfinished)
    yield from all_done()
    facts["after_other_clip"] = [outcome(), strip_names()]
    yield from hands.show_sequencer()
    yield from hands.picture("3-other-clip")
    return facts


def saved_scenes(hands: Hands) -> list[str]:
    """The scenes of a file that is saved now."""
    path = str(hands.out / "meanwhile.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    with bpy.data.libraries.load(path) as (there, _):
        return list(there.scenes)


def untouched(scene, obj) -> list:
    """What a render could have changed."""
    render = scene.render
    return [
        [other.name for other in bpy.data.scenes if not addon("takes.reels").is_reel(other)],
        [render.filepath, render.resolution_x, render.resolution_y, render.use_border, render.engine],
        render.image_settings.file_format,
        [scene.frame_current, list(obj.location)],
        [len(getattr(bpy.app.handlers, name)) for name in ("render_pre", "frame_change_post")],
        bpy.context.preferences.view.render_display_type,
        len(bpy.context.window_manager.windows),
    ]
