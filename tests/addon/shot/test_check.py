# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a shot while one works, turn by turn as Blender's timer calls it."""

import math

import bpy
import pytest
from scenes import add_camera, small_shot

from blender_addon import changes, compat
from blender_addon.shot import check, shots
from blender_addon.shot.layout import read_shot


@pytest.fixture
def no_pause(monkeypatch):
    """Check at once, and however long the machine takes for a frame."""
    monkeypatch.setattr(check, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(check, "LONGEST_SECONDS", math.inf)


@pytest.fixture
def a_frame_a_turn(no_pause, monkeypatch):
    monkeypatch.setattr(check, "TURN_SECONDS", -1)


def finish():
    """Let the timer do its turns; returns how many it took."""
    bpy.context.view_layer.update()  # as Blender does before its timers
    turns = 1
    while check.advance() is not None:
        turns += 1
        assert turns < 100
    return turns


def kinds(report):
    return [(finding.subject, finding.kind) for finding in report.findings]


def test_a_scene_is_checked_when_asked_and_again_after_a_change(scene, no_pause):
    ball, cube = small_shot(scene)
    assert check.report_of(scene) is None
    finish()
    report = check.report_of(scene)
    assert (report.problem, report.findings) == ("", ()) and not check.is_pending(scene)
    bpy.context.view_layer.update()  # what the check itself has left behind is no change
    assert not check.is_pending(scene)
    ball.location.x, cube.scale = -20, (0.02,) * 3
    bpy.context.view_layer.update()
    assert check.is_pending(scene) and check.report_of(scene) == report
    finish()
    assert kinds(check.report_of(scene)) == [("a blue cube", "SMALL"), ("a red ball", "UNSEEN")]


def test_the_frame_that_is_shown_makes_no_difference(scene, no_pause):
    small_shot(scene)
    check.report_of(scene)
    finish()
    bpy.context.view_layer.update()
    scene.frame_set(3)
    assert not check.is_pending(scene)


def test_a_check_is_done_in_short_turns_and_begins_anew_after_a_change(scene, a_frame_a_turn):
    ball, _ = small_shot(scene, frames=16)
    check.report_of(scene)
    check.advance()
    bpy.context.view_layer.update()
    ball.location.x = -20
    bpy.context.view_layer.update()
    assert len(bpy.data.scenes) == 1  # nothing stays between turns
    assert finish() == 16
    assert kinds(check.report_of(scene)) == [("a red ball", "UNSEEN")]


def test_a_change_in_the_pause_postpones_the_check(scene, monkeypatch):
    small_shot(scene)
    bpy.context.view_layer.update()
    monkeypatch.setattr(check, "PAUSE_SECONDS", 1000)
    check.report_of(scene)
    assert check.advance() > 100


def test_undo_and_deletion_between_turns_do_no_harm(scene, a_frame_a_turn):
    small_shot(scene, frames=16)
    bpy.ops.ed.undo_push(message="before")
    bpy.data.objects["Cube Subject"].location.x = 1
    bpy.ops.ed.undo_push(message="moved")
    check.report_of(scene)
    check.advance()
    bpy.ops.ed.undo()
    check.report_of(bpy.context.scene)
    check.advance()
    bpy.data.objects.remove(bpy.data.objects["Cube Subject"])
    bpy.context.view_layer.update()
    finish()
    assert check.report_of(bpy.context.scene).findings == ()


def test_what_keeps_the_shot_from_being_made_is_told(scene, no_pause):
    small_shot(scene)
    scene.camera = None
    check.report_of(scene)
    finish()
    assert "has no camera" in check.report_of(scene).problem
    scene.camera = bpy.data.objects["Camera"]
    bpy.context.view_layer.update()
    assert check.is_pending(scene)


def test_a_scene_that_is_gone_is_not_checked(scene, no_pause):
    other = bpy.data.scenes.new("Other")
    small_shot(other)
    check.report_of(other)
    bpy.data.scenes.remove(other)
    assert check.advance() is None


def test_a_heavy_scene_is_checked_when_told_only_and_a_light_one_again_in_passing(
    scene, no_pause, monkeypatch
):
    small_shot(scene)
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=150, y_subdivisions=150)
    grid = bpy.context.object
    bpy.ops.peekaboo.make_subjects()
    check.report_of(scene)
    finish()
    assert check.is_heavy(scene) and check.report_of(scene) is None
    assert check.advance() is None  # nobody has asked
    monkeypatch.setattr(check, "LONGEST_SECONDS", 0)
    bpy.ops.peekaboo.check_shot()
    assert check.is_heavy(scene) and check.report_of(scene) is not None
    bpy.data.objects.remove(grid)
    monkeypatch.setattr(check, "LONGEST_SECONDS", 60)
    bpy.ops.peekaboo.check_shot()
    assert not check.is_heavy(scene) and check.report_of(scene).findings == ()


def test_a_scene_whose_frames_take_long_is_heavy(scene, a_frame_a_turn, monkeypatch):
    monkeypatch.setattr(check, "LONGEST_SECONDS", 0)
    small_shot(scene, frames=16)
    check.report_of(scene)
    assert finish() == 1 and check.is_heavy(scene) and check.report_of(scene) is None


def test_a_scene_of_many_objects_that_may_hide_subjects_is_heavy_before_any_is_read(
    scene, no_pause, monkeypatch
):
    ball, _ = small_shot(scene)
    monkeypatch.setattr(check, "MOST_OBJECTS", 2)
    check.report_of(scene)
    finish()
    assert not check.is_heavy(scene)  # they hide none
    scene.peekaboo.occluded_by_scene, ball.location.x = True, -1
    bpy.context.view_layer.update()
    check.report_of(scene)
    finish()
    assert check.is_heavy(scene) and check.is_pending(scene)


def test_the_operator_tells_what_it_finds(scene, capfd):
    ball, _ = small_shot(scene)
    ball.location.x = -20
    bpy.ops.peekaboo.check_shot()
    assert '"a red ball" is not seen at frames 1–4' in capfd.readouterr().out
    scene.camera = None
    with pytest.raises(RuntimeError, match="has no camera"):
        bpy.ops.peekaboo.check_shot()


def move_while_hidden(scene, _ball, cube):
    cube.hide_viewport = True
    check.read_shot(scene)
    cube.location.z = 2


def write_keyframes_in_silence(_scene, ball, _cube):
    curve = next(c for c in compat.fcurves(ball) if c.array_index == 2)
    curve.keyframe_points.foreach_set("co", [1.0, 3.0, 4.0, 3.0])


def shake_in_silence(_scene, ball, _cube):
    for curve in compat.fcurves_of_action(ball.animation_data.action):
        if curve.data_path == "location" and curve.array_index == 0:
            curve.modifiers.new("NOISE").strength = 4.0  # which Blender tells nobody


def bind_a_camera(scene, _ball, _cube):
    scene.timeline_markers.new("cut", frame=3).camera = add_camera(scene, location=(2, -20, 0))


def bind_it_before(scene, _ball, _cube):
    scene.timeline_markers["later"].frame = 2


EDITS = {
    "move": lambda _scene, _ball, cube: setattr(cube, "location", (1, 0, 1)),
    "turn the camera": lambda scene, *_: setattr(scene.camera, "rotation_euler", (1.6, 0.2, 0)),
    "strength": lambda _scene, ball, _cube: setattr(ball.peekaboo, "strength", 0.5),
    "phrase": lambda _scene, ball, _cube: setattr(ball.peekaboo, "phrase", "grass"),
    "frame range": lambda scene, *_: setattr(scene, "frame_end", 9),
    "render size": lambda scene, *_: setattr(scene.render, "resolution_x", 500),
    "disable": lambda _scene, ball, _cube: setattr(ball.peekaboo, "enabled", False),
    "remove": lambda _scene, ball, _cube: bpy.data.objects.remove(ball),
    "move while hidden": move_while_hidden,
    "silent keyframes": write_keyframes_in_silence,
    "silent modifier": shake_in_silence,
    "camera bound": bind_a_camera,
    "marker moved": bind_it_before,
    "a driver's script": lambda *_: bpy.app.driver_namespace.update(peekaboo_height=lambda: 2.0),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_shot_that_was_read_before_is_read_again_after_any_edit(scene, edit):
    ball, cube = small_shot(scene)
    for frame in (1, 4):
        ball.keyframe_insert("location", frame=frame)
    second = add_camera(scene, location=(0, -14, 0))
    scene.timeline_markers.new("first", frame=1).camera = scene.camera
    scene.timeline_markers.new("later", frame=4).camera = second
    if edit == "a driver's script":
        bpy.app.driver_namespace["peekaboo_height"] = lambda: 0.0
        cube.driver_add("location", 2).driver.expression = "peekaboo_height()"
    before = check.read_shot(scene)
    EDITS[edit](scene, ball, cube)
    known, anew = check.read_shot(scene), read_shot(scene)
    assert known.timing == anew.timing and known.subjects == anew.subjects
    assert (known.labels == anew.labels).all() and (known.strengths == anew.strengths).all()
    same = (before.timing, before.subjects) == (anew.timing, anew.subjects)
    assert not same or (before.labels != anew.labels).any() or (before.strengths != anew.strengths).any()


def test_generating_takes_what_the_check_has_read(scene, a_frame_a_turn):
    ball, _ = small_shot(scene, frames=16)
    ball.peekaboo.strength = 0.5
    check.report_of(scene)
    assert finish() == 16
    anew = read_shot(scene)
    bpy.context.view_layer.update()
    check.report_of(scene)
    finish()
    made = []
    with_scenes = bpy.app.handlers.frame_change_pre
    with_scenes.append(lambda changed, *_: made.append(changed.name))
    try:
        known = check.read_shot(scene)
    finally:
        with_scenes.pop()
    assert not made  # no temporary scene was evaluated
    assert known.timing == anew.timing and known.subjects == anew.subjects
    assert (known.labels == anew.labels).all() and (known.strengths == anew.strengths).all()


def test_several_shots_are_read_in_turns_and_all_are_known_then(scene):
    ball, _ = small_shot(scene, frames=16)
    for frame in (1, 9):
        scene.timeline_markers.new("Cut", frame=frame).camera = scene.camera
    bpy.context.view_layer.update()
    chosen = shots.enabled(scene)
    assert len(chosen) == 2 and check.needs_reading(scene, chosen)
    known, evaluated = [], []
    told = bpy.app.handlers.frame_change_pre

    def then():
        told.append(lambda changed, *_: evaluated.append(changed.name))
        known.extend(check.read_shot(scene, shot) for shot in chosen)
        told.pop()

    turns = list(check.read_in_turns(scene, chosen, None, then))
    assert turns[-1] == ("Masks", 32, 32) and not evaluated
    assert not check.needs_reading(scene, chosen)
    for shot, layout in zip(chosen, known, strict=True):
        assert layout.timing.frame_start == shot.first
        assert (layout.labels == read_shot(scene, shot=shot).labels).all()
    ball.location.x += 1
    bpy.context.view_layer.update()
    assert check.needs_reading(scene, chosen)


def test_what_cannot_be_read_in_turns_is_left_to_what_makes_it(scene):
    small_shot(scene)
    scene.camera.data.type = "PANO"
    said = []
    assert not list(check.read_in_turns(scene, shots.enabled(scene), None, lambda: said.append(1))) and said


def test_an_edit_between_turns_gives_no_torn_shot(scene, a_frame_a_turn):
    small_shot(scene, frames=16)
    second = add_camera(scene, location=(0, -14, 0))
    bpy.context.view_layer.update()
    check.report_of(scene)
    check.advance()
    scene.timeline_markers.new("cut", frame=1).camera = second  # which Blender tells nobody
    finish()
    assert (check.read_shot(scene).labels == read_shot(scene).labels).all()


def test_an_edit_while_generate_reads_in_turns_gives_no_torn_shot(scene, monkeypatch):
    """As by a timer of another add-on, since Blender takes nothing of the user's then."""
    monkeypatch.setattr(check, "WAITED_SECONDS", -1)
    _, cube = small_shot(scene, frames=16)
    bpy.context.view_layer.update()
    chosen, read = shots.enabled(scene), []
    turns = check.read_in_turns(scene, chosen, None, lambda: read.append(check.read_shot(scene, chosen[0])))
    assert next(turns)[1] == 1
    cube.location = (1, 0, 1)
    list(turns)
    assert (read[0].labels == read_shot(scene).labels).all()
    assert len(read[0].labels) == 16 and (read[0].labels[0] == read[0].labels[-1]).all()


def test_a_subject_that_is_removed_between_turns_is_not_read_on(scene, a_frame_a_turn):
    _, cube = small_shot(scene, frames=16)
    scene.peekaboo.prompt = "a red ball on grass"
    bpy.context.view_layer.update()
    check.report_of(scene)
    check.advance()
    cube.peekaboo.is_subject = False  # as operators do, which Blender tells nobody
    finish()
    assert check.report_of(scene).problem == ""
    assert [subject.phrase for subject in check.read_shot(scene).subjects] == ["a red ball"]


def test_a_reference_image_is_no_obstacle(scene, no_pause):
    ball, _ = small_shot(scene)
    reference = bpy.data.objects.new("Reference", None)
    reference.empty_display_type = "IMAGE"
    reference.data = bpy.data.images.new("Reference", 8, 8)
    scene.collection.objects.link(reference)
    ball.parent, scene.peekaboo.occluded_by_scene = reference, True
    bpy.context.view_layer.update()
    check.report_of(scene)
    finish()
    assert (check.read_shot(scene).labels == read_shot(scene).labels).all()


def test_an_edit_right_after_a_turn_counts(scene, no_pause):
    ball, _ = small_shot(scene)
    check.report_of(scene)
    finish()
    ball.location.x = -20  # before Blender has told of anything
    bpy.context.view_layer.update()
    assert check.is_pending(scene)


def test_what_is_done_after_a_block_within_another_does_not_count_either(scene):
    ball, _ = small_shot(scene)
    changes.flush_updates()
    before = changes.count()
    with changes.updates_ignored():
        with changes.updates_ignored():
            ball.location.x += 1
        ball.location.x += 1
        changes.flush_updates()
    assert changes.count() == before
    ball.location.x += 1
    changes.flush_updates()
    assert changes.count() > before


def test_what_cannot_be_read_is_not_looked_at_again_and_again(scene, no_pause):
    small_shot(scene)
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.camera.data.type = "PANO"
    check.report_of(scene)
    finish()
    bpy.context.view_layer.update()
    assert check.report_of(scene).problem and not check.is_pending(scene)


def test_a_scene_that_no_window_shows_does_not_begin_a_check_anew(scene):
    """Blender 5 evaluates the scene of a workspace's sequencers beside that of its window."""
    small_shot(scene)
    other = bpy.data.scenes.new("Edit")
    obj = bpy.data.objects.new("Other", None)
    other.collection.objects.link(obj)
    other.view_layers[0].update()
    bpy.context.view_layer.update()
    assert bpy.context.window_manager.windows
    before = changes.count()
    obj.location.x += 1
    other.view_layers[0].update()
    assert changes.count() == before
    bpy.data.objects["Cube Subject"].location.x += 1
    bpy.context.view_layer.update()
    assert changes.count() > before
