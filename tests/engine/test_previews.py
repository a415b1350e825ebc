# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pictures: PNGs that any reader takes, previews that change nothing, thumbnails."""

import json
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from diffusers import DPMSolverMultistepScheduler
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from peekaboo_engine import previews
from peekaboo_engine.pictures import LONGEST_SIDE, shrink, write_png
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300), st.just(3))


class Listener:
    """Keeps what it is told, and each preview's pixels as they were then."""

    def __init__(self):
        self.told, self.pictures = [], []

    def preview(self, path: Path) -> None:
        self.pictures.append(imageio.imread(path))

    def __getattr__(self, kind):
        return lambda *args, **fields: self.told.append(kind)


@given(arrays.arrays(np.uint8, SIZES, elements=st.integers(0, 255), fill=st.just(7)))
def test_a_png_is_read_as_it_was_written(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png(path, pixels)
    assert (imageio.imread(path) == pixels).all()


@given(SIZES, st.integers(0, 255))
def test_shrinking_keeps_a_plain_colour_and_the_aspect(size, value):
    small = shrink(np.full((2 * size[0], 2 * size[1], 3), value, np.uint8))
    assert (small == value).all() and max(small.shape) <= LONGEST_SIDE
    height, width = small.shape[:2]
    assert abs(height * size[1] - width * size[0]) <= max(size[:2])  # a pixel, by rounding


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(previews, "SECONDS", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)


def run(folder, out, wanted):
    events = Listener()
    assert Worker(Placement(device="cpu"), previews=wanted).run(folder, out, events, lambda: False)
    return events, (out / "clip.mp4").read_bytes()


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_previews_come_between_steps_and_change_nothing(
    make_job, model_folder, tmp_path, often, scheduler, request
):
    if scheduler == "dpm":
        path = model_folder / "scheduler" / "scheduler_config.json"
        before = path.read_text()
        request.addfinalizer(lambda: path.write_text(before))
        DPMSolverMultistepScheduler().save_pretrained(path.parent)
        index = model_folder / "model_index.json"
        ours = index.read_text()
        request.addfinalizer(lambda: index.write_text(ours))
        index.write_text(
            json.dumps(json.loads(ours) | {"scheduler": ["diffusers", "DPMSolverMultistepScheduler"]})
        )
    job = make_job(num_inference_steps=4)
    plain, clip = run(job, tmp_path / "plain", wanted=False)
    shown, same = run(job, tmp_path / "shown", wanted=True)
    assert clip == same
    assert not plain.pictures and len(shown.pictures) == 3  # none after the last step, which is decoded
    assert {picture.shape for picture in shown.pictures} == {(64, 96, 3)}
    assert any((a != b).any() for a, b in zip(shown.pictures, shown.pictures[1:], strict=False))
    assert sorted(path.name for path in job.iterdir()) == ["job.json", "masks.npz"]


def test_previews_take_a_small_share_of_the_time(make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(previews, "SECONDS", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e-9)  # so the first one uses up all that there is
    shown, _ = run(make_job(num_inference_steps=6), tmp_path / "out", wanted=True)
    assert len(shown.pictures) == 1


def test_a_preview_that_cannot_be_written_does_not_end_the_job(make_job, tmp_path, often):
    out, events = tmp_path / "out", Listener()

    def in_the_way(*_):  # a file cannot take the place of a folder, not even root's
        for draft in out.glob(".peekaboo-*"):
            (draft / "preview.png").mkdir(exist_ok=True)

    events.progress = in_the_way
    assert Worker(Placement(device="cpu"), previews=True).run(make_job(), out, events, lambda: False)
    assert not events.pictures and "result" in events.told
    assert sorted(path.name for path in out.iterdir()) == ["clip.json", "clip.mp4", "thumbnail.png"]


def test_a_clip_has_a_thumbnail_of_its_middle_frame(make_job, tmp_path):
    run(make_job(), tmp_path / "out", wanted=False)
    thumbnail = imageio.imread(tmp_path / "out" / "thumbnail.png")
    assert thumbnail.shape == (64, 96, 3) and thumbnail.std() > 0
