# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that must never be a dead end."""

import bpy
import numpy as np
import pytest
from scenes import add_mesh, small_shot

from blender_addon.engine import whereabouts
from blender_addon.errors import PeekabooError
from blender_addon.interface import icons
from blender_addon.making import engine_choice, set_up
from blender_addon.masks import painting
from blender_addon.shot import findings, subjects
from blender_addon.shot.layout import read_layout


def test_the_set_up_can_be_pressed_offline_and_says_what_it_needs():
    assert not bpy.app.online_access and bpy.ops.peekaboo.set_up_engine.poll()
    assert bpy.ops.peekaboo.set_up_engine() == {"FINISHED"}
    text, failed = set_up.status()
    assert failed and "turn on Allow Online Access" in text
    assert set_up.gigabytes() >= 3 and engine_choice.preferences() is None


def test_an_engine_that_is_missing_is_told_a_script_with_the_command_and_an_artist_with_the_button(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("PEEKABOO_PYTHON", raising=False)
    monkeypatch.setattr(whereabouts, "PACKAGE_FOLDER", tmp_path / "checkout" / "blender_addon")
    with pytest.raises(PeekabooError, match="--command peekaboo setup"):
        engine_choice.engine_python()
    with pytest.raises(PeekabooError, match="press Set Up Engine") as told:
        whereabouts.find_python()
    assert "--" not in str(told.value) and "PEEKABOO" not in str(told.value)


def test_a_wide_preview_lies_at_the_top_of_its_square(tmp_path):
    path = tmp_path / "preview.png"
    path.write_bytes(painting.png(np.full((4, 8, 3), 255, np.uint8)))
    icons.icon_of(path, 1, at_top=True)
    shown = icons._icons[str(path)]
    assert tuple(shown.image_size) == (8, 8)
    seen = np.array(shown.image_pixels_float[:]).reshape(8, 8, 4)[..., 3] > 0  # from the bottom up
    assert seen[4:].all() and not seen[:4].any()


def test_a_finding_goes_to_its_frame_and_leaves_no_step_of_undo(scene):
    ball, _ = small_shot(scene, frames=8)
    for frame, side in ((1, -2), (8, -30)):
        ball.location.x = side
        ball.keyframe_insert("location", frame=frame)
    (unseen,) = (one for one in findings.find(read_layout(scene, 96, 64, 8)) if one.kind == "OUTSIDE")
    assert bpy.ops.peekaboo.go_to_frame(frame=unseen.ranges[0][0]) == {"FINISHED"}
    assert scene.frame_current == unseen.ranges[0][0] > 1
    assert "UNDO" not in bpy.ops.peekaboo.go_to_frame.bl_options


def test_a_part_of_a_character_that_is_made_a_subject_alone_is_told(scene, capfd):
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    scene.collection.objects.link(rig)
    parts = [
        add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], name) for name in ("Head", "Coat")
    ]
    for part in parts:
        part.modifiers.new("Armature", "ARMATURE").object = rig
    subjects.select_only(bpy.context.view_layer, parts[0])
    bpy.ops.peekaboo.make_subjects()
    assert '"Head" alone is the subject: make "Rig" one, for all that it moves' in capfd.readouterr().out
    subjects.unmark(parts[0])
    parts[1].select_set(True)
    bpy.ops.peekaboo.make_subjects(together=True)
    assert "alone" not in capfd.readouterr().out
