# SPDX-License-Identifier: GPL-3.0-or-later
"""A take as Generate leaves it."""

import bpy
import numpy as np
import pytest
from scenes import add_camera, layout_of

from blender_addon.shot import subjects
from blender_addon.shot.job import make_job, write_job
from blender_addon.takes import folders, strips


@pytest.fixture
def take(scene, tmp_path):
    """A strip over the frames 1 to 8 as Generate adds it, with its masks; its movie is empty."""
    add_camera(scene)
    scene.frame_start, scene.frame_end = 1, 8
    scene.peekaboo.output_folder = str(tmp_path)
    for name, phrase in (("Ball", "a red ball"), ("Cube", "a blue cube")):
        obj = bpy.data.objects.new(name, None)
        scene.collection.objects.link(obj)
        subjects.mark(scene, obj, phrase)
    settings = scene.peekaboo
    settings.prompt, settings.seed, settings.masked_steps = "a red ball and a blue cube", 7, 3
    settings.method = "peekaboo"
    labels = np.zeros((4, 24, 32), np.uint8)
    labels[:, 5:15, 5:15], labels[:, 5:15, 18:25] = 1, 2
    job = make_job(scene, layout_of(scene, labels), seed=7)
    folder = folders.new_folder(scene)
    write_job(job, labels, folder / "job")
    (folder / "clip.mp4").touch()
    return strips.add_clip(scene, folder / "clip.mp4", job)
