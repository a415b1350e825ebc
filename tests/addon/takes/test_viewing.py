# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes as they are looked at: their colours, in the camera's view, alone, compared, and removed for good."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from blender_addon import compat
from blender_addon.errors import PeekabooError
from blender_addon.interface.operators.refining import PEEKABOO_OT_ask_refine
from blender_addon.interface.operators.viewing import PEEKABOO_OT_delete_take
from blender_addon.making import refining
from blender_addon.masks import cameras
from blender_addon.takes import colors, mask_strips, moving, reels, removing, strips, viewing

COLORS = [(220, 40, 30), (30, 160, 60), (40, 70, 200), (230, 220, 210), (40, 40, 40), (128, 128, 128)]


def flat(path, color):
    """A picture of one colour."""
    image = bpy.data.images.new("flat", 32, 32)
    image.pixels = [*(value / 255 for value in color), 1.0] * 32 * 32
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)


def seen(scene, tmp_path):
    """The colour that a render of the sequencer has, 0..255."""
    scene.render.resolution_x = scene.render.resolution_y = 32
    scene.render.filepath = str(tmp_path / "seen.png")
    scene.frame_set(3)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    found = np.array(image.pixels).reshape(-1, 4)[:, :3].mean(axis=0) * 255
    bpy.data.images.remove(image)
    return found


@pytest.mark.parametrize("view", ["Standard", "AgX", "Filmic"])
def test_a_take_is_seen_in_the_colours_of_its_file_under_each_view_transform(scene, take, tmp_path, view):
    scene.view_settings.view_transform = view
    strayed, without = [], []
    for color in COLORS:
        flat(tmp_path / "clip.png", color)
        job = strips.job_of(take)
        strip = strips.add_clip(scene, tmp_path / "clip.png", job)
        assert colors.are_as_on_disk(scene, strip)
        strayed.append(np.abs(seen(scene, tmp_path) - color).max())
        strip.colorspace_settings.name = "sRGB"
        without.append(np.abs(seen(scene, tmp_path) - color).max())
        strips.remove(strip)
    print(view, "differs by at most", np.round(strayed), "without the colour space", np.round(without))
    assert scene.view_settings.view_transform == view
    # AgX has no way back for the purest colours
    assert max(strayed) < 1 if view != "AgX" else sum(strayed) < sum(without) / 3 and np.median(strayed) < 3


def test_another_view_transform_is_told_and_matched(scene, take):
    assert colors.are_as_on_disk(scene, take)
    scene.view_settings.view_transform = "Filmic"
    assert not colors.are_as_on_disk(scene, take)
    assert bpy.ops.peekaboo.match_colors() == {"FINISHED"}
    assert colors.are_as_on_disk(scene, take) and take.colorspace_settings.name == "Filmic sRGB"


def test_what_no_colour_space_takes_back_is_told_and_a_scene_of_their_own_is_seen_plainly_again(scene, take):
    for name, value in (("exposure", 1.0), ("gamma", 2.0), ("use_curve_mapping", True)):
        before = getattr(scene.view_settings, name)
        setattr(scene.view_settings, name, value)
        assert len(colors.alterations(scene)) == 1 and colors.are_as_on_disk(scene, take)
        setattr(scene.view_settings, name, before)
    for view in ("Raw", "Filmic Log", "Khronos PBR Neutral"):
        scene.view_settings.view_transform = view
        assert colors.alterations(scene) == [f"the view transform {view}"]
    scene.view_settings.view_transform = "AgX"
    for look, told in (("AgX - Base Contrast", []), ("AgX - Punchy", ["the look AgX - Punchy"])):
        scene.view_settings.look = look
        assert colors.alterations(scene) == told
    moving.move(scene)
    reel = reels.reel_of(scene)
    assert colors.alterations(reel) == []
    reel.view_settings.view_transform, reel.view_settings.exposure = "AgX", 1.0
    assert bpy.ops.peekaboo.match_colors() == {"FINISHED"}
    assert colors.alterations(reel) == [] and reel.view_settings.view_transform == "Standard"
    assert all(colors.are_as_on_disk(reel, strip) for strip in reels.takes(scene))
    assert scene.view_settings.look == "AgX - Punchy"


def over(scene, take, name):
    """Another take of the same frames, of the same folder."""
    strip = strips.add_clip(scene, strips.folder_of(take) / "clip.mp4", strips.job_of(take))
    strip.name = name
    return strip


def mutes(*takes):
    return [take.mute for take in takes]


def test_a_take_is_seen_alone_and_again_with_the_others(scene, take):
    second, later = over(scene, take, "Second"), over(scene, take, "Later")
    later.frame_start = 50
    scene.sequence_editor.active_strip = take
    bpy.ops.peekaboo.show_alone()
    assert mutes(take, second, later) == [False, True, False] and viewing.is_alone(take)
    bpy.ops.peekaboo.show_alone()
    assert mutes(take, second, later) == [False, False, False]


def test_takes_of_the_same_frames_are_compared_one_after_the_other(scene, take):
    with pytest.raises(RuntimeError, match="There is no other take of these frames"):
        bpy.ops.peekaboo.next_take()
    second = over(scene, take, "Second")
    for muted in ([False, True], [True, False], [False, True]):
        bpy.ops.peekaboo.next_take()
        assert mutes(take, second) == muted
        shown, hidden = (take, second) if second.mute else (second, take)
        assert scene.sequence_editor.active_strip == shown and shown.select and not hidden.select


def test_a_take_is_chosen_among_the_pictures(scene, take):
    second = over(scene, take, "Second")
    assert bpy.ops.peekaboo.choose_take(name=take.name) == {"FINISHED"}
    assert scene.sequence_editor.active_strip == take and take.select and not second.select
    assert bpy.ops.peekaboo.choose_take(name="gone") == {"CANCELLED"}


def test_the_camera_shows_a_take_at_its_frames_and_keeps_its_own_pictures(scene, take):
    lens = scene.camera.data
    own = lens.background_images.new()
    own.image = bpy.data.images.new("mine", 4, 4)
    take.frame_start = 21
    scene.sequence_editor.active_strip = take
    bpy.ops.peekaboo.show_in_camera()
    shown = viewing.in_camera(scene, take)
    assert scene.frame_current == 21
    assert lens.show_background_images and len(lens.background_images) == 2
    user = shown.image_user
    assert (user.frame_start, user.frame_duration, user.use_cyclic) == (21, 8, False)
    assert (shown.frame_method, shown.display_depth) == ("FIT", "FRONT") and 0 < shown.alpha < 1
    count = len(bpy.data.images)
    bpy.ops.peekaboo.show_in_camera()
    assert [one.image.name for one in lens.background_images] == ["mine"]
    assert len(bpy.data.images) == count - 1 and viewing.in_camera(scene, take) is None


def test_a_camera_of_two_shots_shows_the_take_of_each_at_its_frames_alone(scene, take):
    later, above = (over(scene, take, name) for name in ("Later", "Above"))
    later.frame_start = 21
    for strip in (later, above):
        strip.filepath = str(strips.folder_of(take) / f"{strip.name}.mp4")
        Path(strip.filepath).touch()
    first, second = [viewing.show_in_camera(scene, strip) for strip in (take, later)]

    def seen_at(frame):
        scene.frame_set(frame)
        viewing.keep_to_frames(scene)
        return [one.show_background_image for one in (first, second)]

    assert [seen_at(frame) for frame in (8, 9, 21, 28, 29)] == [
        [True, False],
        [False, False],
        [False, True],
        [False, True],
        [False, False],
    ]
    seen_at(21)
    second.show_background_image = False  # by the user
    seen_at(1)
    assert seen_at(21) == [False, False]
    viewing.show_in_camera(scene, above)
    assert [viewing.in_camera(scene, strip) is not None for strip in (take, later, above)] == [
        False,
        True,
        True,
    ]


def test_the_camera_shows_of_a_trimmed_take_what_the_sequencer_shows(scene, take):
    take.frame_start = 21
    take.frame_offset_start = 3
    user = viewing.show_in_camera(scene, take).image_user
    assert compat.strip_range(take) == (24, 29)
    assert (user.frame_start, user.frame_offset, user.frame_duration) == (24, 3, 5)


def test_a_take_is_known_in_the_camera_after_its_file_is_saved_elsewhere(scene, take, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    take.filepath = strips.path_in_file(strips.folder_of(take) / "clip.mp4")
    viewing.show_in_camera(scene, take)
    mask_strips.show(scene, take)
    (tmp_path / "deeper").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "deeper" / "shot.blend"))
    assert viewing.in_camera(scene, take) is not None
    assert mask_strips.shown_over(take) is not None


def test_what_shows_a_take_goes_with_it(scene, take):
    upper = over(scene, take, "Upper")
    upper.filepath = str(strips.folder_of(take).parent / "other" / "clip.mp4")
    upper[strips.FOLDER_PROPERTY] = str(strips.folder_of(take).parent / "other")
    mask_strips.show(scene, take)
    viewing.show_in_camera(scene, take)
    assert upper.mute
    removing.delete(take)
    assert list(compat.strips(scene.sequence_editor)) == [upper] and not upper.mute
    assert not scene.camera.data.background_images


def test_a_clip_that_is_gone_is_not_shown_in_the_camera(scene, take):
    (strips.folder_of(take) / "clip.mp4").unlink()
    with pytest.raises(PeekabooError, match="There is no clip at"):
        viewing.show_in_camera(scene, take)
    assert not len(scene.camera.data.background_images)


def test_what_one_thinks_of_a_take_is_kept(scene, take, tmp_path):
    for stars, kept in ((2, 2), (2, 0), (4, 4)):  # the same again takes them away
        bpy.ops.peekaboo.rate_take(stars=stars)
        assert take[strips.RATING_PROPERTY] == kept
    take[strips.NOTE_PROPERTY] = "the ball is late"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    (kept,) = strips.takes(bpy.context.scene)
    assert (kept[strips.RATING_PROPERTY], kept[strips.NOTE_PROPERTY]) == (4, "the ball is late")


def test_a_take_is_removed_with_its_files_and_nothing_else(scene, take):
    folder = strips.folder_of(take)
    (folder / "clip.json").touch()
    (folder / "notes.txt").touch()
    (folder / "masks").mkdir()
    (folder / "masks" / "0001.png").touch()
    assert removing.delete(take) == [folder / "notes.txt"]
    assert not strips.takes(scene) and sorted(folder.iterdir()) == [folder / "notes.txt"]


def test_a_take_without_files_of_others_leaves_no_folder(scene, take):
    folder = strips.folder_of(take)
    for name in ("first_frame_0123456789ab.png", "last_frame_0123456789ab.jpg", refining.SOURCE):
        (folder / "job" / name).touch()
    assert bpy.ops.peekaboo.delete_take() == {"FINISHED"}
    assert not folder.exists() and not strips.takes(scene)


def test_when_a_take_is_removed_that_was_seen_alone_the_next_one_is_seen_and_chosen(scene, take, tmp_path):
    job, folder = strips.job_of(take), tmp_path / "next"
    shutil.copytree(strips.folder_of(take), folder)
    following = strips.add_clip(scene, folder / "clip.mp4", job)
    viewing.show_alone(take)
    strips.choose(scene.sequence_editor, take)
    assert following.mute and bpy.ops.peekaboo.delete_take() == {"FINISHED"}
    assert strips.active_take(scene) == following and not following.mute


@pytest.mark.parametrize("operator", [PEEKABOO_OT_delete_take, PEEKABOO_OT_ask_refine])
def test_a_clip_that_comes_while_the_user_is_asked_is_not_meant(scene, take, tmp_path, operator):
    def ask(*_, **__):
        return {"RUNNING_MODAL"}

    asked = SimpleNamespace(take="", model="ltx-video")
    dialogs = SimpleNamespace(invoke_confirm=ask, invoke_props_dialog=ask)
    operator.invoke(asked, SimpleNamespace(area=None, scene=scene, window_manager=dialogs), None)
    shutil.copytree(strips.folder_of(take), tmp_path / "next")
    arrived = strips.add_clip(scene, tmp_path / "next" / "clip.mp4", strips.job_of(take))
    assert strips.active_take(scene) == arrived and asked.take == take.name != arrived.name
    assert bpy.ops.peekaboo.delete_take(take=asked.take) == {"FINISHED"}
    assert strips.takes(scene) == [arrived] and strips.folder_of(arrived).exists()
    with pytest.raises(RuntimeError, match="is not there any more"):
        bpy.ops.peekaboo.delete_take(take=asked.take)
    assert strips.takes(scene) == [arrived]


def in_meta(scene, take):
    """A take again, on channel 5 of a meta strip that is on channel 1."""
    folder, job = strips.folder_of(take), strips.job_of(take)
    strips.remove(take)
    meta = compat.strips(scene.sequence_editor).new_meta("Meta", channel=1, frame_start=1)
    scene.sequence_editor.display_stack(meta)
    inside = strips.add_clip(scene, folder / "clip.mp4", job)
    inside.channel = 5
    scene.sequence_editor.display_stack(None)
    return meta, inside


def test_masks_of_a_take_in_a_meta_strip_are_seen_over_its_own_picture(scene, take):
    meta, inside = in_meta(scene, take)
    above = over(scene, inside, "Above")
    assert above.channel < inside.channel and strips.covering(inside) == [above]
    assert strips.covering(above) == []
    masks = mask_strips.show(scene, inside)
    assert above.mute and masks in list(compat.strips(scene.sequence_editor))
    masks.move_to_meta(meta)  # as a user may group them
    assert mask_strips.shown_over(inside) == masks
    mask_strips.hide(inside)
    assert mask_strips.shown_over(inside) is None and not above.mute
    scene.sequence_editor.display_stack(meta)
    assert mask_strips.show(scene, inside) in list(compat.strips(meta))  # where the user looks


def test_a_take_in_a_hidden_meta_strip_is_seen_alone(scene, take):
    meta, inside = in_meta(scene, take)
    second = over(scene, inside, "Second")
    meta.mute, scene.sequence_editor.active_strip = True, inside
    bpy.ops.peekaboo.show_alone()
    assert mutes(meta, inside, second) == [False, False, True] and viewing.is_alone(inside)
    meta.mute, scene.sequence_editor.active_strip = True, second
    bpy.ops.peekaboo.next_take()
    assert mutes(meta, inside, second) == [False, False, True]
    outer = compat.strips(scene.sequence_editor).new_meta("Outer", channel=9, frame_start=1)
    meta.move_to_meta(outer)
    outer.mute = True
    assert not viewing.is_alone(inside)
    bpy.ops.peekaboo.show_alone()
    assert mutes(outer, meta, inside, second) == [False, False, False, True] and viewing.is_alone(inside)


def test_of_takes_in_meta_strips_the_highest_that_is_seen_is_chosen(scene, take):
    meta, inside = in_meta(scene, take)
    second = over(scene, inside, "Second")
    assert second.channel < inside.channel
    viewing.choose_seen([inside, second])
    assert strips.active_take(scene) == second
    meta.mute, second.mute = True, True
    inside.mute = False
    viewing.choose_seen([inside, second])
    assert strips.active_take(scene) == second and mutes(meta, inside, second) == [True, False, False]


def test_a_take_in_a_meta_strip_is_removed(scene, take):
    folder, job = strips.folder_of(take), strips.job_of(take)
    strips.remove(take)
    editor = scene.sequence_editor
    meta = compat.strips(editor).new_meta("Meta", channel=1, frame_start=1)
    editor.display_stack(meta)
    inside = strips.add_clip(scene, folder / "clip.mp4", job)
    editor.display_stack(None)
    removing.delete(inside)
    assert not strips.takes(scene) and not len(compat.strips(meta))


def test_a_strip_that_names_a_folder_of_somebody_elses_removes_nothing(scene, take, tmp_path):
    mine = tmp_path / "mine"
    (mine / "job").mkdir(parents=True)
    for name in ("clip.mp4", "clip.json", "job/job.json", "job/masks.npz"):
        (mine / name).write_text("mine")
    take.filepath = str(mine / "clip.mp4")
    with pytest.raises(PeekabooError, match="damaged"):
        removing.delete(take)
    assert strips.takes(scene) == [take] and len(list(mine.rglob("*"))) == 5


def test_files_that_another_strip_shows_stay(scene, take):
    over(scene, take, "Second")
    with pytest.raises(PeekabooError, match="Another strip shows this clip"):
        removing.delete(take)
    assert len(strips.takes(scene)) == 2 and (strips.folder_of(take) / "clip.mp4").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_in_a_take_are_left_with_what_they_lead_to(scene, take, tmp_path):
    folder, outside = strips.folder_of(take), tmp_path / "outside"
    outside.mkdir()
    (outside / "0001.png").touch()
    (folder / "masks").symlink_to(outside)
    (folder / "thumbnail.png").symlink_to(outside / "0001.png")
    left = removing.delete(take)
    assert left == [folder / "masks", folder / "thumbnail.png"] and (outside / "0001.png").exists()


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize(
    ("resolution", "framing"), [((1920, 1080), 1.0), ((400, 1200), -1.0), ((640, 480), 0.5)]
)
def test_the_camera_shows_a_take_where_its_masks_were(scene, take, resolution, framing, fit):
    """The offset as Blender's overlay engine takes it, back in the camera's frame."""
    scene.render.resolution_x, scene.render.resolution_y = resolution
    scene.camera.data.sensor_fit = fit
    take[strips.JOB_PROPERTY] = take[strips.JOB_PROPERTY].replace('"framing": 0.0', f'"framing": {framing}')
    shown = viewing.show_in_camera(scene, take)
    corners = scene.camera.data.view_frame(scene=scene)
    width, height = corners[0].x - corners[2].x, corners[0].y - corners[2].y
    frame, aspect = width / height, 32 / 24
    moved_x = shown.offset[0] * min(1, frame) / (width / 2)
    moved_y = shown.offset[1] / (max(1, frame) * aspect / frame) / (height / 2)
    x, y, half_x, half_y = cameras.window(scene.render, aspect, framing)
    assert (moved_x, moved_y) == pytest.approx((x, y), abs=1e-5)
    assert shown.scale == pytest.approx(max(half_x, half_y))
