# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that must never be a dead end."""

import bpy
from scenes import small_shot

from blender_addon.making import engine_choice, set_up
from blender_addon.shot import findings
from blender_addon.shot.layout import read_layout


def test_the_set_up_can_be_pressed_offline_and_says_what_it_needs():
    assert not bpy.app.online_access and bpy.ops.peekaboo.set_up_engine.poll()
    assert bpy.ops.peekaboo.set_up_engine() == {"FINISHED"}
    text, failed = set_up.status()
    assert failed and "turn on Allow Online Access" in text
    assert set_up.gigabytes() >= 3 and engine_choice.preferences() is None


def test_a_finding_goes_to_its_frame_and_leaves_no_step_of_undo(scene):
    ball, _ = small_shot(scene, frames=8)
    for frame, side in ((1, -2), (8, -30)):
        ball.location.x = side
        ball.keyframe_insert("location", frame=frame)
    (unseen,) = (one for one in findings.find(read_layout(scene, 96, 64, 8)) if one.kind == "UNSEEN")
    assert bpy.ops.peekaboo.go_to_frame(frame=unseen.ranges[0][0]) == {"FINISHED"}
    assert scene.frame_current == unseen.ranges[0][0] > 1
    assert "UNDO" not in bpy.ops.peekaboo.go_to_frame.bl_options
