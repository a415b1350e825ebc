# SPDX-License-Identifier: GPL-3.0-or-later
"""A take is made anew from its clip: what its job says and holds, also from a stranger's folder."""

import json

import numpy as np
import pytest
from scenes import small_shot

from blender_addon.engine import catalogue, job_schema
from blender_addon.errors import PeekabooError
from blender_addon.making import delivery, refining
from blender_addon.takes import strips

CLIP = b"a clip, which nothing reads here"


@pytest.fixture
def model(tmp_path):
    """A function that makes the folder of a model of a class and a size: its path."""

    def make(name, pipeline="TextToVideoSDPipeline", width=96, height=64, num_frames=5):
        folder = tmp_path / name
        (folder / "unet").mkdir(parents=True)
        (folder / "unet" / "config.json").write_text("{}")
        (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        size = {"width": width, "height": height, "num_frames": num_frames}
        (folder / "peekaboo.json").write_text(json.dumps(size))
        return str(folder)

    return make


@pytest.fixture
def take(scene, model, tmp_path):
    """A scene and the strip of a take of it."""
    small_shot(scene)
    scene.peekaboo.model, scene.peekaboo.output_folder = model("small"), str(tmp_path / "clips")
    order = next(delivery.orders_of(scene))
    (order.folder / "clip.mp4").write_bytes(CLIP)
    return scene, strips.add_clip(scene, order.folder / "clip.mp4", order.job)


def test_the_job_has_the_takes_clip_and_its_masks_at_the_models_size(take, model):
    scene, strip = take
    old, labels = refining.folders.read(strip)
    order = refining.order_refined(scene, strip, model("large", width=128, height=128), 0.5)
    job = job_schema.read(order.folder / "job" / "job.json")
    assert (job["width"], job["height"], job["source_strength"]) == (128, 128, 0.5)
    assert job["prompt"] == old["prompt"] and job["seed"] != old["seed"]
    assert (order.folder / "job" / job["source_clip"]).read_bytes() == CLIP
    wanted = refining.recut(labels, 128, 128)
    assert np.array_equal(job_schema.read_labels(order.folder / "job" / "masks.npz", job), wanted)
    assert set(np.unique(wanted)) == set(np.unique(labels))


def test_labels_are_cut_as_the_clip_is():
    labels = np.zeros((1, 4, 8), np.uint8)
    labels[:, :, 2:6], labels[:, :, 6:] = 1, 2
    assert refining.recut(labels, 8, 8).min() == refining.recut(labels, 8, 8).max() == 1
    assert np.array_equal(refining.recut(labels, 8, 16), labels.repeat(2, 1).repeat(2, 2))
    assert np.array_equal(refining.recut(labels, 2, 4)[0, 0], [0, 1, 1, 2])


def test_a_refined_take_is_made_again_from_a_copy_of_its_own_clip(take, model):
    scene, strip = take
    order = refining.order_refined(scene, strip, model("large", width=128), 0.6)
    (order.folder / "clip.mp4").write_bytes(b"refined")
    refined = strips.add_clip(scene, order.folder / "clip.mp4", order.job)
    again = delivery.order_again(scene, refined)
    assert again.job["source_clip"] == order.job["source_clip"]
    assert (again.folder / "job" / again.job["source_clip"]).read_bytes() == CLIP


def test_a_clip_that_is_a_link_is_not_followed(take, model, tmp_path):
    scene, strip = take
    order = refining.order_refined(scene, strip, model("large"), 0.6)
    (order.folder / "clip.mp4").write_bytes(b"refined")
    refined = strips.add_clip(scene, order.folder / "clip.mp4", order.job)
    source = order.folder / "job" / order.job["source_clip"]
    source.unlink()
    (tmp_path / "secret").write_text("mine")
    source.symlink_to(tmp_path / "secret")
    before = sorted((tmp_path / "clips").iterdir())
    with pytest.raises(PeekabooError, match="cannot be read"):
        delivery.order_again(scene, refined)
    assert sorted((tmp_path / "clips").iterdir()) == before


def test_what_cannot_be_made_anew_is_said(take, model, tmp_path):
    scene, strip = take
    with pytest.raises(PeekabooError, match=r"makes no clip from another: choose one of .*zeroscope-xl"):
        refining.order_refined(scene, strip, model("other", "StableDiffusionPipeline"), 0.6)
    with pytest.raises(PeekabooError, match="is not here"):
        refining.order_refined(scene, strip, "zeroscope-xl", 0.6)
    assert {"shapes", "zeroscope", "zeroscope-xl"} <= set(catalogue.refiners())
