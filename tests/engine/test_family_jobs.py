# SPDX-License-Identifier: GPL-3.0-or-later
"""A job becomes a clip in families whose pipelines are called otherwise: progress, previews, cancel."""

import importlib
import json

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from tiny.wan import picture_of

from peekaboo_engine import previews
from peekaboo_engine.errors import EngineError
from peekaboo_engine.generator import Generation, generate
from peekaboo_engine.job import load_job
from peekaboo_engine.loading import load_model
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement, check_tiles
from peekaboo_engine.worker import Worker

STEPS = 3


class Listener:
    """Keeps what it is told, and each preview's pixels as they were then."""

    def __init__(self):
        self.told, self.pictures = [], []

    def preview(self, path):
        self.pictures.append(imageio.imread(path))

    def __getattr__(self, kind):
        return lambda *args, **fields: self.told.append((kind, args))


@pytest.fixture(
    scope="module",
    params=[
        ("ltx", "pipeline"),
        ("ltx2", "pipeline"),
        pytest.param(("hunyuan15", "pipeline"), marks=pytest.mark.slow),
        pytest.param(("hunyuan15", "started"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def tiny(request, tmp_path_factory):
    name, made = request.param
    module = importlib.import_module(f"tiny.{name}")
    folder = tmp_path_factory.mktemp(name) / "model"
    getattr(module, made)().save_pretrained(folder)
    stated = {"width": module.WIDTH, "height": module.HEIGHT, "num_frames": module.FRAMES}
    if name != "hunyuan15":
        stated["max_sequence_length"] = module.TEXT_LENGTH
    (folder / "peekaboo.json").write_text(json.dumps(stated))
    module.folder = folder
    return module


@pytest.fixture
def job(tiny, make_job):
    labels = np.zeros((tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH), np.uint8)
    labels[:, : tiny.HEIGHT // 2, : tiny.WIDTH // 2] = 1
    labels[:, tiny.HEIGHT // 2 :, tiny.WIDTH // 2 :] = 2
    return make_job(
        labels,
        model=str(tiny.folder),
        width=tiny.WIDTH,
        height=tiny.HEIGHT,
        num_frames=tiny.FRAMES,
        timing={
            "frame_start": 1,
            "frame_count": tiny.FRAMES,
            "fps": 24,
            "fps_base": 1.0,
            "scene_frames": [float(frame) for frame in range(1, tiny.FRAMES + 1)],
        },
        num_inference_steps=STEPS,
        control={},
    )


def give_picture(job, tiny):
    """Have a job start from a picture."""
    picture_of(tiny.WIDTH, tiny.HEIGHT).save(job / "first.png")
    told = json.loads((job / "job.json").read_text())
    told |= {"first_frame": "first.png", "start_from": "picture"}
    (job / "job.json").write_text(json.dumps(told))


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(previews, "SECONDS", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)


@pytest.mark.parametrize("start_from", ["text", "picture"])
def test_a_job_becomes_a_clip_with_previews(job, tiny, tmp_path, often, start_from):
    taken, given = find_model(str(tiny.folder)).first_frame, start_from == "picture"
    if given:
        give_picture(job, tiny)
    events, out = Listener(), tmp_path / "out"
    made = Worker(Placement(device="cpu"), previews=True).run(job, out, events, lambda: False)
    if taken == ("none" if given else "needed"):
        assert not made and not out.joinpath("clip.mp4").exists()
        assert events.told[-1][1][0] == ("no_picture_taken" if given else "picture_needed")
        return
    assert made, events.told
    assert [args for kind, args in events.told if kind == "progress"] == [(n, STEPS) for n in (1, 2, 3)]
    assert len(events.pictures) == STEPS - 1
    for picture in events.pictures:
        assert picture.shape == (tiny.HEIGHT, tiny.WIDTH, 3) and picture.std() > 0
    record = json.loads((out / "clip.json").read_text())
    assert record["settings"]["method"] == "strong" and record["settings"]["guidance_scale"] == 5.0
    assert ("first_frame" in record) == given
    clip = imageio.mimread(out / "clip.mp4", memtest=False)
    assert (len(clip), *clip[0].shape) == (tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH, 3)


@pytest.mark.parametrize("tiny", [("ltx", "pipeline"), ("ltx2", "pipeline")], indirect=True, ids=" ".join)
@pytest.mark.parametrize(
    ("frame_count", "fps", "told"),
    [(17, 30, 30.0), (34, 30, 15.0), (17, 120, 2.0), (68, 12, 0.5)],
    ids=["as in the scene", "frames held twice", "too fast", "too slow"],
)
def test_the_model_is_told_how_fast_its_frames_are_played(job, tiny, tmp_path, frame_count, fps, told):
    """The last two within what is tolerable to a model: twice and half of what it was trained at."""
    stated = json.loads((job / "job.json").read_text())
    stated["timing"] |= {"frame_count": frame_count, "fps": fps}
    (job / "job.json").write_text(json.dumps(stated | {"num_inference_steps": 2}))
    entry = find_model(str(tiny.folder))
    model = load_model(entry, Placement(device="cpu"))
    scales = []
    model.pipe.transformer.register_forward_pre_hook(
        lambda module, args, call: scales.append(call.get("fps") or 8 / call["rope_interpolation_scale"][0]),
        with_kwargs=True,
    )
    asked, labels = load_job(job)
    generate(Generation(asked, labels, entry, Listener()), model)
    trained = {"ltx": 25, "ltx2": 24}[tiny.__name__.rpartition(".")[2]]
    assert {round(scale, 6) for scale in scales} == {told * trained if told in (0.5, 2.0) else told}


@pytest.mark.parametrize("tiny", [("ltx2", "pipeline")], indirect=True, ids=" ".join)
def test_a_size_that_leaves_a_tile_of_one_row_is_refused_before_the_work(job, tiny):
    """832 x 480 is one; diffusers fails on it once all steps are done."""
    entry = find_model(str(tiny.folder))
    model = load_model(entry, Placement(device="cpu", savings=("tiles",)))
    asked, labels = load_job(job)
    asked, events = asked.model_copy(update={"width": 832, "height": 480}), Listener()
    with pytest.raises(EngineError, match=r"a height of 480 in tiles.* take 448 or 512, or leave"):
        generate(Generation(asked, labels, entry, events), model)
    assert not events.told


@pytest.mark.parametrize("tiny", [("ltx2", "pipeline")], indirect=True, ids=" ".join)
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (5, 4), (6, 8), (3, 6)])
def test_those_sizes_are_the_ones_that_the_decoder_cannot_make(tiny, rows, columns):
    vae = tiny.pipeline().vae
    vae.enable_tiling(128, 128, tile_sample_stride_height=64, tile_sample_stride_width=64)
    refused = fails = False
    try:
        check_tiles("Tiny", vae, 32 * rows, 32 * columns)
    except EngineError:
        refused = True
    try:
        with torch.no_grad():
            vae.decode(torch.zeros(1, vae.config.latent_channels, 2, rows, columns), None)
    except RuntimeError:
        fails = True
    assert refused == fails == (max(rows, columns) > 4 and (rows % 2 == 1 or columns % 2 == 1))


def test_a_cancel_between_two_steps_leaves_nothing(job, tiny, tmp_path):
    if find_model(str(tiny.folder)).first_frame == "needed":
        give_picture(job, tiny)
    events, out = Listener(), tmp_path / "out"

    def cancelled():
        return any(kind == "progress" for kind, _ in events.told)

    assert not Worker(Placement(device="cpu"), previews=True).run(job, out, events, cancelled)
    assert [kind for kind, _ in events.told].count("progress") == 1
    assert not (out / "clip.mp4").exists()
