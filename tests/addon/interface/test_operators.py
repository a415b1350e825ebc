# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that must never be a dead end."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from scenes import add_empty, add_mesh, small_shot

from blender_addon.engine import whereabouts
from blender_addon.errors import PeekabooError
from blender_addon.interface import icons
from blender_addon.making import engine_choice, set_up
from blender_addon.masks import painting
from blender_addon.shot import findings, subjects
from blender_addon.shot.layout import read_layout
from blender_addon.shot.prompt import prompt_problem


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


@pytest.mark.parametrize(("height", "width"), [(9, 16), (16, 9), (8, 8), (1, 3)])
def test_a_picture_is_seen_whole_in_a_square_that_has_no_empty_bands(tmp_path, height, width):
    picture = (np.arange(height * width * 3) % 200).reshape(height, width, 3).astype(np.uint8) + 50
    square, side = icons.squared(picture)[::-1], max(height, width)
    assert square.shape == (side, side, 4)
    top, left = side - height - (side - height) // 2, (side - width) // 2
    inside = square[top : top + height, left : left + width, :3]
    assert np.array_equal(np.rint(255 * inside), picture)
    assert (square[..., 3] == 1).all() and square[..., :3].min() > 0.05 and square.max() <= 1
    at_top = icons.squared(picture, at_top=True)[::-1]
    if height < width:  # nothing is above it, and nothing is drawn below
        assert np.array_equal(np.rint(255 * at_top[:height, :, :3]), picture)
        assert (at_top[:height, :, 3] == 1).all() and not at_top[height:].any()
    else:
        assert np.array_equal(at_top, square)
    path = tmp_path / "preview.png"
    path.write_bytes(painting.png(picture))
    icons.icon_of(path, 1)
    assert tuple(icons._icons[str(path)].image_size) == (side, side)
    path.unlink()
    icons.icon_of(path, 2)
    assert str(path) in icons._icons  # what was there stays


class Buttons(list):
    """A layout that keeps the operators that are drawn in it, by their words."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def draw(*_arguments, **options):
            if name == "operator":
                self.append(SimpleNamespace(**options))
                return self[-1]
            return self

        return draw


def test_each_word_of_the_prompt_is_a_button_pressed_in_the_phrase(scene):
    scene.peekaboo.prompt = 'a red\nball, on "wet" grass'
    obj = add_empty(scene, "ball")
    bpy.context.view_layer.objects.active = obj
    buttons = Buttons()
    own, at = SimpleNamespace(layout=buttons, poll=lambda _: True), SimpleNamespace(scene=scene, object=obj)
    at.preferences, at.region = bpy.context.preferences, None
    bpy.types.PEEKABOO_OT_pick_phrase.draw(own, at)
    assert [button.text for button in buttons] == ["a", "red", "ball", "on", "wet", "grass"]
    assert [button.text for button in buttons if button.depress] == ["ball"]
    assert [button.together for button in buttons][::3] == ["a red ball", "ball, on"]


def test_words_of_the_prompt_become_the_phrase_and_more_with_shift(scene):
    scene.peekaboo.prompt = "a red ball on grass"
    obj = add_empty(scene, "")
    bpy.context.view_layer.objects.active = obj
    assert bpy.ops.peekaboo.set_phrase(words="red", together="red ball") == {"FINISHED"}
    assert obj.peekaboo.phrase == "red" and prompt_problem(scene) is None
    obj.peekaboo.is_subject = False
    assert not bpy.ops.peekaboo.set_phrase.poll() and not bpy.ops.peekaboo.pick_phrase.poll()


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
