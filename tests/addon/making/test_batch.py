# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate and Retake as scripts call them: they return when the clips are there, made by the real engine."""

import json

import bpy
import pytest
import stand_in
import tiny_model
from scenes import small_shot

from blender_addon.engine.messages import Result
from blender_addon.engine.orders import Order
from blender_addon.engine.process import EngineSettings
from blender_addon.errors import PeekabooError
from blender_addon.making import batch, delivery, generation
from blender_addon.takes import reels, strips


@pytest.fixture
def shot(scene, tmp_path):
    small_shot(scene, frames=8)
    scene.peekaboo.output_folder = str(tmp_path / "clips")
    return scene


def seeds_from_below(scene):
    lying = sorted(reels.takes(scene), key=lambda strip: strip.channel)
    return [json.loads(strip[strips.JOB_PROPERTY])["seed"] for strip in lying]


@pytest.mark.slow
def test_generate_waits_for_its_takes_and_retake_for_one_more(shot, tmp_path):
    shot.peekaboo.model = str(tiny_model.save(tmp_path / "model"))
    assert bpy.ops.peekaboo.generate(count=2) == {"FINISHED"}
    assert seeds_from_below(shot) == [0, 1]
    assert bpy.ops.peekaboo.retake() == {"FINISHED"}
    assert seeds_from_below(shot) == [0, 1, 2]
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == [f"Scene_00{i}" for i in (1, 2, 3)]
    assert not generation.unfinished() and not generation.engine_is_up()


def test_what_cannot_be_made_is_an_error_and_leaves_no_folder(shot, tmp_path):
    shot.peekaboo.model = "nothing"
    with pytest.raises(RuntimeError, match='no model "nothing"'):
        bpy.ops.peekaboo.generate()
    assert not (tmp_path / "clips").exists()


def test_a_model_that_is_not_here_is_an_error_before_all_work(shot, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    shot.peekaboo.model = "zeroscope"
    with pytest.raises(RuntimeError, match="ZeroScope v2 576w is not here: press Download below the model"):
        bpy.ops.peekaboo.generate()
    assert not (tmp_path / "clips").exists() and not generation.engine_is_up()


def test_what_was_said_of_another_file_is_not_said_of_this_one(shot, tmp_path):
    shot.peekaboo.model = "nothing"
    with pytest.raises(PeekabooError):
        generation.add(delivery.orders_of(shot))
    assert [outcome.failed for outcome in generation.outcomes()] == [True]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert not generation.outcomes()


@pytest.mark.parametrize("keeps", [True, False])
def test_a_folder_that_the_user_has_chosen_stays_when_the_engine_dies(tmp_path, keeps):
    python = stand_in.write(tmp_path, stand_in.HELLO + "os.kill(os.getpid(), signal.SIGKILL)", out=False)
    order = Order(1, "Scene, seed 0", {"seed": 0}, tmp_path / "out", keeps_folder=keeps)
    (order.folder / "job").mkdir(parents=True)
    (order.folder / "notes.txt").touch()
    lines = []
    with pytest.raises(PeekabooError, match="killed by SIGKILL"):
        list(batch.make([order], EngineSettings(python, False, 60), lines.append))
    assert (order.folder / "notes.txt").exists() == keeps
    assert lines[0] == "Scene, seed 0", "which of several clips the steps are of"


def test_a_clip_whose_scene_was_deleted_meanwhile_stays_and_is_told_of(shot, tmp_path):
    scene = bpy.data.scenes.new("Other")
    order = Order(scene.session_uid, "Other, seed 0", {"seed": 0}, tmp_path)
    order.clip = Result(tmp_path / "clip.mp4", tmp_path / "clip.json", 1.0)
    bpy.data.scenes.remove(scene)
    with pytest.raises(PeekabooError, match="The scene of the clip is gone: the clip itself is at"):
        delivery.deliver(order)
    assert not strips.takes(shot)


def test_a_scene_that_was_made_for_a_clip_goes_again_where_the_clip_cannot_come(shot, tmp_path):
    order = Order(shot.session_uid, "Scene, seed 0", {"seed": 0}, tmp_path)
    order.clip = Result(tmp_path / "lost.mp4", tmp_path / "clip.json", 1.0)
    assert delivery.make_room(order) and reels.reel_of(shot) is not None
    assert not delivery.make_room(order)
    for has_new_room, left in ((False, 2), (True, 1)):
        with pytest.raises(PeekabooError, match="There is no clip at"):
            delivery.deliver(order, has_new_room)
        assert len(bpy.data.scenes) == left
