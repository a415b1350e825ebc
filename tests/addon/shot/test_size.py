# SPDX-License-Identifier: GPL-3.0-or-later
"""How large clips are, and how many pictures they have: of each model in the catalogue."""

import bpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import small_shot

from blender_addon.engine import catalogue
from blender_addon.errors import PeekabooError
from blender_addon.shot import restoring, shots, size
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_shot

MODELS = sorted(catalogue.catalogue())
MOVING = [name for name in MODELS if catalogue.model_size(name)[2] > 1]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODELS), st.integers(240, 4000), st.integers(240, 4000))
def test_the_scenes_aspect_has_the_models_pixels_in_multiples_of_its_own(model, width, height):
    scene = bpy.context.scene
    scene.peekaboo.model, scene.peekaboo.size = model, "aspect"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    own, multiple = catalogue.model_size(model), catalogue.abilities(model).multiple
    try:
        found = size.picture_of(scene)
    except PeekabooError as error:  # a strip that is longer than any job's
        assert max(width / height, height / width) > 3 and "take another size" in str(error)
        return
    assert all(side % multiple == 0 for side in found)
    one = multiple / min(found)  # a side is rounded to one of these
    assert abs(found[0] * found[1] / (own[0] * own[1]) - 1) < 3 * one
    assert abs(found[0] / found[1] / (width / height) - 1) < 3 * one


@pytest.mark.parametrize(
    ("model", "width", "height", "found"),
    [
        ("shapes", 1080, 1920, (160, 288)),
        ("shapes", 1000, 1000, (216, 216)),
        ("wan2.1-t2v-1.3b", 1920, 1080, (832, 480)),
        ("wan2.1-t2v-1.3b", 1080, 1920, (480, 832)),
    ],
)
def test_a_portrait_is_the_landscape_turned(scene, model, width, height, found):
    scene.peekaboo.model, scene.peekaboo.size = model, "aspect"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    assert size.picture_of(scene) == found


def test_a_size_that_the_model_cannot_make_is_told_with_the_nearest(scene):
    scene.peekaboo.model, scene.peekaboo.size = "wan2.1-t2v-1.3b", "custom"
    scene.peekaboo.width, scene.peekaboo.height = 500, 300
    with pytest.raises(PeekabooError, match=r"500 × 300, only multiples of 16: take 496 × 304\."):
        size.picture_of(scene)
    scene.peekaboo.width, scene.peekaboo.height = 496, 304
    assert size.size_of(scene) == (496, 304, 81)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MOVING), st.integers(1, 600), st.sampled_from([12, 24, 25, 60]))
def test_a_shot_gets_the_frames_that_it_needs_at_the_models_rate_up_to_its_most(model, count, fps):
    scene = bpy.context.scene
    scene.use_preview_range = False
    scene.peekaboo.model, scene.peekaboo.frames = model, "shot"
    scene.frame_start, scene.frame_end, scene.render.fps, scene.render.fps_base = 1, count, fps, 1.0
    found, own, can = size.frames_of(scene), catalogue.model_size(model)[2], catalogue.abilities(model)
    if not can.rate:
        assert found == own
        return
    assert (found - 1) % can.compression == 0 and 1 < found <= max(own, can.most_frames)
    needed, ends = count / fps * can.rate, {1 + can.compression, max(own, can.most_frames)}
    assert needed <= found < needed + can.compression + 1 or found in ends


def test_the_panel_says_seconds_and_pictures_a_second(scene):
    scene.peekaboo.model, scene.frame_start, scene.frame_end = "wan2.1-t2v-1.3b", 1, 48
    scene.render.fps = 24
    assert size.in_words(scene) == (
        "832 × 480, 81 pictures in 2 s, 40.5 a second: "
        "what the model moves at its own 16 is seen 2.5 times faster"
    )
    scene.peekaboo.frames = "shot"
    assert size.in_words(scene) == "832 × 480, 33 pictures in 2 s, 16.5 a second"
    assert size.in_words(scene, shots.Shot("", 1, 24, "")) == "832 × 480, 17 pictures in 1 s, 17 a second"
    scene.peekaboo.model = "sd1.5"
    assert size.in_words(scene) == "512 × 512, one picture"


@pytest.mark.parametrize("resolution", [(1080, 1920), (500, 500)])
def test_masks_and_job_have_the_size_and_restoring_brings_it_back(scene, resolution):
    small_shot(scene, frames=8)
    scene.peekaboo.size = "aspect"
    scene.render.resolution_x, scene.render.resolution_y = resolution
    scene.camera.data.sensor_fit = "HORIZONTAL"
    width, height = size.picture_of(scene)
    layout = read_shot(scene)
    job = make_job(scene, layout, 0)
    assert layout.labels.shape[1:] == (height, width) == (job["height"], job["width"])
    scene.peekaboo.size = "model"
    restoring.restore(scene, job)
    assert size.picture_of(scene) == (width, height)
