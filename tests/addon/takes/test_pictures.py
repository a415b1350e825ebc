# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures as takes: an image strip, held for the whole shot, that is treated as any clip."""

import bpy
import numpy as np
import pytest
from scenes import layout_of, small_shot

from blender_addon import compat
from blender_addon.shot import restoring
from blender_addon.shot.job import make_job, write_job
from blender_addon.takes import folders, mask_strips, strips


@pytest.fixture
def picture(scene, tmp_path):
    """A take of frame 5 over the frames 1 to 8, as Generate adds it."""
    small_shot(scene, frames=8)
    scene.frame_set(5)
    scene.peekaboo.output_folder = str(tmp_path)
    labels = np.zeros((1, 64, 96), np.uint8)
    labels[:, 8:32, 8:40], labels[:, 8:32, 50:80] = 1, 2
    job = make_job(scene, layout_of(scene, labels), seed=7)
    folder = folders.new_folder(scene)
    write_job(job, labels, folder / "job")
    image = bpy.data.images.new("picture", 96, 64)
    image.filepath_raw, image.file_format = str(folder / "clip.png"), "PNG"
    image.save()
    return strips.add_clip(scene, folder / "clip.png", job)


def test_a_picture_is_a_strip_over_the_whole_shot(scene, picture, tmp_path):
    assert picture.type == "IMAGE" and compat.strip_range(picture) == (1, 9)
    assert strips.takes(scene) == [picture] and strips.active_take(scene) == picture
    assert strips.folder_of(picture) == tmp_path / f"{scene.name}_001"
    assert strips.job_of(picture)["timing"]["scene_frames"] == [5.0]
    job, labels = folders.read(picture)
    assert job["num_frames"] == 1 and labels.shape == (1, 64, 96)


def test_a_picture_moves_with_its_file(scene, picture, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    second = strips.add_clip(scene, strips.folder_of(picture) / "clip.png", strips.job_of(picture))
    assert strips.file_of(second) == f"//{scene.name}_001/clip.png"
    assert strips.folder_of(second) == strips.folder_of(picture)


def test_masks_are_shown_over_a_picture_and_hidden_again(scene, picture):
    masks = mask_strips.show(scene, picture)
    assert compat.strip_range(masks) == (1, 9) and mask_strips.shown_over(picture) == masks
    assert strips.takes(scene) == [picture]  # the masks are none
    mask_strips.hide(picture)
    assert mask_strips.shown_over(picture) is None


def test_restoring_a_picture_goes_to_its_frame(scene, picture):
    scene.frame_set(2)
    assert not restoring.restore(scene, strips.job_of(picture))
    assert scene.frame_current == 5


def test_a_picture_is_imported_from_its_folder(scene, picture):
    folder = strips.folder_of(picture)
    compat.strips(scene.sequence_editor).remove(picture)
    again = folders.import_take(scene, folder)
    assert again.type == "IMAGE" and strips.folder_of(again) == folder
