# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a shot while one works, turn by turn as Blender's timer calls it."""

import bpy
import pytest
from scenes import small_shot

from blender_addon import checking


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(checking, "PAUSE_SECONDS", 0)


def finish():
    """Let the timer do its turns; returns how many it took."""
    bpy.context.view_layer.update()  # as Blender does before its timers
    turns = 1
    while checking.advance() is not None:
        turns += 1
        assert turns < 100
    return turns


def kinds(report):
    return [(finding.subject, finding.kind) for finding in report.findings]


def test_a_scene_is_checked_when_asked_and_again_after_a_change(scene, no_pause):
    ball, cube = small_shot(scene)
    assert checking.report_of(scene) is None
    finish()
    report = checking.report_of(scene)
    assert (report.problem, report.findings) == ("", ()) and not checking.is_pending(scene)
    bpy.context.view_layer.update()  # what the check itself has left behind is no change
    assert not checking.is_pending(scene)
    ball.location.x, cube.scale = -20, (0.02,) * 3
    bpy.context.view_layer.update()
    assert checking.is_pending(scene) and checking.report_of(scene) == report
    finish()
    assert kinds(checking.report_of(scene)) == [("a blue cube", "SMALL"), ("a red ball", "UNSEEN")]


def test_the_frame_that_is_shown_makes_no_difference(scene, no_pause):
    small_shot(scene)
    checking.report_of(scene)
    finish()
    bpy.context.view_layer.update()
    scene.frame_set(3)
    assert not checking.is_pending(scene)


def test_a_check_is_done_in_short_turns_and_begins_anew_after_a_change(scene, no_pause, monkeypatch):
    monkeypatch.setattr(checking, "TURN_SECONDS", 0.0005)  # about a frame
    ball, _ = small_shot(scene, frames=16)
    checking.report_of(scene)
    checking.advance()
    bpy.context.view_layer.update()
    ball.location.x = -20
    bpy.context.view_layer.update()
    assert len(bpy.data.scenes) == 1  # nothing stays between turns
    assert finish() > 2
    assert kinds(checking.report_of(scene)) == [("a red ball", "UNSEEN")]


def test_a_change_in_the_pause_postpones_the_check(scene, monkeypatch):
    small_shot(scene)
    bpy.context.view_layer.update()
    monkeypatch.setattr(checking, "PAUSE_SECONDS", 1000)
    checking.report_of(scene)
    assert checking.advance() > 100


def test_undo_and_deletion_between_turns_do_no_harm(scene, no_pause, monkeypatch):
    monkeypatch.setattr(checking, "TURN_SECONDS", 0.0005)
    small_shot(scene, frames=16)
    bpy.ops.ed.undo_push(message="before")
    bpy.data.objects["Cube Subject"].location.x = 1
    bpy.ops.ed.undo_push(message="moved")
    checking.report_of(scene)
    checking.advance()
    bpy.ops.ed.undo()
    checking.report_of(bpy.context.scene)
    checking.advance()
    bpy.data.objects.remove(bpy.data.objects["Cube Subject"])
    bpy.context.view_layer.update()
    finish()
    assert checking.report_of(bpy.context.scene).findings == ()


def test_what_keeps_the_shot_from_being_made_is_told(scene, no_pause):
    small_shot(scene)
    scene.camera = None
    checking.report_of(scene)
    finish()
    assert "has no camera" in checking.report_of(scene).problem
    scene.camera = bpy.data.objects["Camera"]
    bpy.context.view_layer.update()
    assert checking.is_pending(scene)


def test_a_scene_that_is_gone_is_not_checked(scene, no_pause):
    other = bpy.data.scenes.new("Other")
    small_shot(other)
    checking.report_of(other)
    bpy.data.scenes.remove(other)
    assert checking.advance() is None


def test_a_heavy_scene_is_checked_when_told_only_and_a_light_one_again_in_passing(
    scene, no_pause, monkeypatch
):
    small_shot(scene)
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=150, y_subdivisions=150)
    grid = bpy.context.object
    bpy.ops.peekaboo.make_subjects()
    checking.report_of(scene)
    finish()
    assert checking.is_heavy(scene) and checking.report_of(scene) is None
    assert checking.advance() is None  # nobody has asked
    monkeypatch.setattr(checking, "LONGEST_SECONDS", 0)
    bpy.ops.peekaboo.check_shot()
    assert checking.is_heavy(scene) and checking.report_of(scene) is not None
    bpy.data.objects.remove(grid)
    monkeypatch.setattr(checking, "LONGEST_SECONDS", 60)
    bpy.ops.peekaboo.check_shot()
    assert not checking.is_heavy(scene) and checking.report_of(scene).findings == ()


def test_the_operator_tells_what_it_finds(scene, capfd):
    ball, _ = small_shot(scene)
    ball.location.x = -20
    bpy.ops.peekaboo.check_shot()
    assert '"a red ball" is not seen at frames 1–4' in capfd.readouterr().out
    scene.camera = None
    with pytest.raises(RuntimeError, match="has no camera"):
        bpy.ops.peekaboo.check_shot()
