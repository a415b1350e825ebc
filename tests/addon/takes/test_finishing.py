# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes whose clip is smooth or large, and the model's own beside it."""

import dataclasses
import json

import bpy
import numpy as np
import pytest
from scenes import layout_of

from blender_addon import compat
from blender_addon.engine.messages import Result
from blender_addon.errors import PeekabooError
from blender_addon.making import batch, delivery, engine_choice, generation
from blender_addon.masks import painting
from blender_addon.shot.job import make_job
from blender_addon.takes import finishing, folders, reels, removing, strips, viewing


def arrived(scene, take, **finish):
    """An order to finish a take, whose clip is there."""
    order = delivery.order_finish(scene, take, {"smooth": False, "enlarge": False} | finish)
    number = order.finish["smooth"] + 2 * order.finish["enlarge"]
    clip = order.folder / ["", "smooth.mp4", "enlarged.mp4", "smooth_enlarged.mp4"][number]
    clip.touch()
    return dataclasses.replace(order, clip=Result(clip, order.folder / "clip.json", 3.0))


def test_a_take_shows_its_clip_as_it_was_finished_and_the_models_own_again(scene, take):
    viewing.show_in_camera(scene, take)
    (image,) = viewing.images_of(take)
    order = arrived(scene, take, smooth=True)
    assert order.keeps_folder and order.finish == {"smooth": True, "enlarge": False}
    assert "shows its clip as it was finished" in delivery.deliver(order).text
    assert strips.file_of(take).endswith("smooth.mp4") and image.filepath.endswith("smooth.mp4")
    assert strips.finish_of(take) == {"smooth": True, "enlarge": False}
    assert viewing.in_camera(scene, take) is not None
    assert folders.read(take)[0] == order.job
    assert bpy.ops.peekaboo.finish_take(kind="smooth") == {"FINISHED"}
    assert strips.file_of(take).endswith("clip.mp4") and image.filepath.endswith("clip.mp4")
    assert strips.finish_of(take) == {"smooth": False, "enlarge": False}


def test_an_enlarged_picture_is_seen_as_large_as_it_was_and_so_is_the_models_own_again(scene, take):
    job, folder = strips.job_of(take), strips.folder_of(take)
    scene.view_settings.view_transform = "Filmic"  # whose colours stay undone
    for name, side in (("clip.png", 16), ("enlarged.png", 48)):
        (folder / name).write_bytes(painting.png(np.zeros((side, 2 * side, 3), np.uint8)))
    picture = strips.add_clip(take.id_data, folder / "clip.png", job)
    picture.transform.scale_x *= 2  # of the user's own
    before, count = (picture.transform.scale_x, picture.transform.scale_y), len(strips.takes(take.id_data))
    finishing.show(picture, folder / "enlarged.png")
    assert (picture.transform.scale_x, picture.transform.scale_y) == pytest.approx(
        (before[0] / 3, before[1] / 3)
    )
    assert picture.colorspace_settings.name == "Filmic sRGB"
    finishing.show_original(picture)
    assert picture.colorspace_settings.name == "Filmic sRGB"
    assert (picture.transform.scale_x, picture.transform.scale_y) == pytest.approx(before)
    assert len(strips.takes(take.id_data)) == count == len(compat.strips(take.id_data.sequence_editor))


def test_the_models_own_picture_fills_the_scenes_where_the_enlarged_one_is_gone(take):
    job, folder = strips.job_of(take), strips.folder_of(take)
    for name, side in (("clip.png", 16), ("enlarged.png", 48)):
        (folder / name).write_bytes(painting.png(np.zeros((side, 2 * side, 3), np.uint8)))
    picture = strips.add_clip(take.id_data, folder / "clip.png", job)
    fitting = picture.transform.scale_x
    finishing.show(picture, folder / "enlarged.png")
    (folder / "enlarged.png").unlink()
    finishing.show_original(picture)
    assert (picture.transform.scale_x, picture.transform.scale_y) == pytest.approx((fitting, fitting))


def test_what_is_ordered_is_as_large_as_the_scenes_picture(scene, take):
    scene.render.resolution_x, scene.render.resolution_y = 1080, 1920
    scene.render.resolution_percentage = 50
    order = delivery.order_finish(scene, take, {"smooth": False, "enlarge": True})
    assert order.finish == {"smooth": False, "enlarge": True, "width": 540, "height": 960}
    scene.render.resolution_percentage = 1000
    scene.peekaboo.enlarge = True
    job = make_job(scene, layout_of(scene, folders.read(take)[1]), 1)
    assert job["finish"] == {"smooth": False, "enlarge": True, "width": 8192, "height": 8192}


def test_a_take_that_is_gone_when_its_clip_arrives_is_told_and_the_clip_kept(scene, take):
    order = arrived(scene, take, enlarge=True)
    strips.remove(take)
    with pytest.raises(PeekabooError, match="The take is gone: its clip, finished, is at"):
        delivery.deliver(order)
    assert order.clip.clip.is_file()


def test_a_model_s_own_clip_that_is_gone_is_told(scene, take):
    order = arrived(scene, take, smooth=True)
    delivery.deliver(order)
    (order.folder / "clip.mp4").unlink()
    with pytest.raises(RuntimeError, match="There is no clip at"):
        bpy.ops.peekaboo.finish_take(kind="smooth")
    assert strips.finish_of(take)["smooth"]


def test_a_finished_take_is_imported_as_it_was_and_removed_with_all_its_files(scene, take):
    order = arrived(scene, take, smooth=True)
    strips.remove(take)
    (order.folder / "smooth_enlarged.mp4").touch()
    record = {"finished": {"smooth_enlarged.mp4": {}, "smooth.mp4": {}, "../x.mp4": {}, "enlarged.mp4": 1}}
    (order.folder / "clip.json").write_text(json.dumps(record))
    again = folders.import_take(scene, order.folder)  # the last of those that are there
    assert strips.file_of(again).endswith("/smooth.mp4") and reels.active_take(scene) == again
    assert strips.finish_of(again) == {"smooth": True, "enlarge": False}
    assert removing.delete(again) == [] and not order.folder.exists()


def test_what_is_pressed_while_the_other_kind_is_ordered_comes_beside_it(scene, take, monkeypatch):
    made, ordered = [], delivery.order_finish(scene, take, {"smooth": True, "enlarge": False})
    monkeypatch.setattr(batch, "make", lambda orders, _settings: made.extend(orders) or ())
    monkeypatch.setattr(engine_choice, "engine_settings", lambda: None)
    monkeypatch.setattr(generation, "unfinished", lambda: [ordered])
    for kind in ("enlarge", "smooth"):
        assert bpy.ops.peekaboo.finish_take(kind=kind) == {"FINISHED"}
    assert [order.finish["smooth"] for order in made] == [True, True]
    assert [order.finish["enlarge"] for order in made] == [True, False]


def test_undo_shows_the_file_that_was_shown_before(scene, take):
    folder, name = strips.folder_of(take), take.name
    bpy.ops.ed.undo_push(message="made")
    for kind in ({"smooth": True}, {"smooth": True, "enlarge": True}):
        delivery.deliver(arrived(bpy.context.scene, take, **kind))
        bpy.ops.ed.undo_push(message="finished")
        take = reels.active_take(bpy.context.scene)
    shown = []
    for step in (bpy.ops.ed.undo, bpy.ops.ed.undo, bpy.ops.ed.redo):
        step()
        take = next(each for each in reels.takes(bpy.context.scene) if each.name == name)
        shown.append((strips.file_of(take).rpartition("/")[2], *strips.finish_of(take).values()))
    assert shown == [("smooth.mp4", True, False), ("clip.mp4", False, False), ("smooth.mp4", True, False)]
    assert all((folder / file).is_file() for file, *_ in shown)
