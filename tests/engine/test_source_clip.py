# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip made anew from another, as ZeroScope XL does in a second pass: masks hold in that, too."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import VideoToVideoSDPipeline
from PIL import Image
from tiny import stable_diffusion
from tiny.unet3d import FRAMES, HEIGHT, PROMPT, WIDTH

from peekaboo_engine.control import peekaboo
from peekaboo_engine.errors import EngineError
from peekaboo_engine.given_clips import read_source
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.refining import recut, write_refined
from peekaboo_engine.video import read_clip, write_clip
from peekaboo_engine.worker import Worker

PHRASES = ["a red ball", "a blue cube"]


def movie(path, count=12, height=HEIGHT, width=WIDTH):
    """A grey level for each frame, brighter and brighter."""
    frames = np.stack([np.full((height, width, 3), 20 * i, np.uint8) for i in range(count)])
    write_clip(path, frames, np.arange(count), Fraction(24))
    return path


def greys(clip):
    return [round(np.asarray(frame).mean() / 20) for frame in clip.frames]


@pytest.mark.parametrize(("num_frames", "shown"), [(12, range(12)), (4, (0, 3, 6, 9)), (5, (0, 3, 5, 8, 10))])
def test_a_frame_is_the_first_that_shows_it(tmp_path, num_frames, shown):
    clip = read_source(movie(tmp_path / "source.mp4"), num_frames, WIDTH, HEIGHT, lambda: None)
    assert greys(clip) == list(shown) and clip.name == "source.mp4" and len(clip.sha256) == 64


def test_a_shorter_clip_is_held(tmp_path):
    clip = read_source(movie(tmp_path / "source.mp4", 2), 4, WIDTH, HEIGHT, lambda: None)
    assert greys(clip) == [0, 1, 1, 1] or greys(clip) == [0, 0, 1, 1]


def test_frames_fill_another_size(tmp_path):
    clip = read_source(movie(tmp_path / "source.mp4", 3, 32, 96), 3, 64, 64, lambda: None)
    assert {frame.size for frame in clip.frames} == {(64, 64)} and greys(clip) == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"no movie", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"])
def test_what_is_no_mp4_is_one_sentence(tmp_path, content):
    (tmp_path / "source.mp4").write_bytes(content)
    with pytest.raises(EngineError, match="no MP4 that can be read") as caught:
        read_source(tmp_path / "source.mp4", 4, WIDTH, HEIGHT, lambda: None)
    assert caught.value.code == "bad_clip" and "\n" not in caught.value.message


def test_a_clip_that_is_missing_or_a_link_is_refused(tmp_path):
    movie(tmp_path / "other.mp4", 2)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "other.mp4")
    for name in ("nothing.mp4", "link.mp4"):
        with pytest.raises(EngineError) as caught:
            read_source(tmp_path / name, 4, WIDTH, HEIGHT, lambda: None)
        assert caught.value.code == "bad_clip"


@pytest.fixture
def anew(pipe):
    return VideoToVideoSDPipeline(**pipe.components)


def latents(anew, strength=0.6, steps=5):
    """Latents of a run from a grey clip."""
    anew.set_progress_bar_config(disable=True)
    video = [Image.new("RGB", (WIDTH, HEIGHT), (40 * i,) * 3) for i in range(FRAMES)]
    options = {"guidance_scale": 5.0, "num_inference_steps": steps, "output_type": "latent"}
    return anew(
        PROMPT, video=video, strength=strength, generator=torch.Generator().manual_seed(0), **options
    ).frames


def test_masks_hold_in_the_first_steps_that_are_really_done(anew, two_boxes):
    free = latents(anew)
    with peekaboo(anew, two_boxes, PHRASES, masked_steps=0):
        assert torch.equal(latents(anew), free)
    masked = []
    for steps in (1, 2, 3, 4):
        with peekaboo(anew, two_boxes, PHRASES, masked_steps=steps) as guidance:
            masked.append(latents(anew))
            assert guidance.step == 2  # of five, three are done to it
    assert (masked[0] - free).abs().max() > 1e-4
    assert not torch.equal(masked[1], masked[0]) and not torch.equal(masked[2], masked[1])
    assert torch.equal(masked[3], masked[2])


class Listener:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, kind):
        return lambda *args, **fields: self.told.append((kind, args or fields))


@pytest.fixture
def refine(make_job, tmp_path):
    """Make a clip anew: what was told, and the folder of the results."""

    def run(source="source.mp4", **changes):
        job = make_job(source_clip=source, num_inference_steps=5, **changes)
        movie(job / "source.mp4")
        events, out = Listener(), tmp_path / "out"
        Worker(Placement(device="cpu")).run(job, out, events, lambda: False)
        return events.told, out

    return run


def test_a_job_makes_a_clip_anew(refine):
    told, out = refine()
    assert told[-1][0] == "result", told[-1]
    assert [fields for kind, fields in told if kind == "progress"] == [(1, 3), (2, 3), (3, 3)]
    assert read_clip(out / "clip.mp4").shape == (12, HEIGHT, WIDTH, 3)
    record = json.loads((out / "clip.json").read_text())
    assert record["source_clip"]["name"] == "source.mp4" and len(record["source_clip"]["sha256"]) == 64
    assert record["source_strength"] == 0.6


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"source": "nothing.mp4"}, "bad_clip"),
        ({"source": "../other.mp4"}, "bad_job"),
        ({"source_strength": 0.1}, "bad_option"),
        ({"source_strength": 0}, "bad_job"),
    ],
)
def test_what_cannot_be_made_anew_is_one_sentence(refine, changes, code):
    told, out = refine(**changes)
    assert [kind for kind, _ in told] == ["error"] and told[0][1][0] == code
    assert not (out / "clip.mp4").exists()


def test_a_model_that_makes_no_clip_from_another_says_so(tmp_path, refine):
    stable_diffusion.pipeline().save_pretrained(tmp_path / "pictures")
    labels = np.ones((1, HEIGHT, WIDTH), np.uint8)
    labels[:, :8] = 2
    timing = {"frame_start": 1, "frame_count": 12, "fps": 24, "fps_base": 1.0, "scene_frames": [1.0]}
    told, _ = refine(labels=labels, model=str(tmp_path / "pictures"), num_frames=1, timing=timing)
    assert told[-1][1][0] == "no_clip_taken"


def test_labels_are_cut_as_the_clip_is():
    labels = np.zeros((2, 20, 40), np.uint8)
    labels[:, 5:15, 10:30] = 1
    assert np.array_equal(recut(labels, 20, 40), labels)
    assert np.array_equal(recut(labels, 40, 80), labels.repeat(2, 1).repeat(2, 2))
    square = recut(labels, 20, 20)  # the middle of it
    assert np.array_equal(square, labels[:, :, 10:30])


@pytest.fixture
def take(make_job):
    """A take: its clip, and in ``job`` what made it."""
    folder = make_job().parent
    movie(folder / "clip.mp4")
    return folder


@pytest.fixture
def larger(tmp_path, pipe):
    """The tiny model, which makes larger clips here."""
    folder = tmp_path / "larger"
    pipe.save_pretrained(folder)
    (folder / "peekaboo.json").write_text(json.dumps({"width": 128, "height": 64, "num_inference_steps": 5}))
    return folder


def test_a_take_is_made_anew_at_the_size_of_another_model(take, larger, tmp_path):
    before = json.loads((take / "job" / "job.json").read_text())
    job = write_refined(take, tmp_path / "new", str(larger), 0.5, seed=9)
    events = Listener()
    assert Worker(Placement(device="cpu")).run(job, tmp_path / "new", events, lambda: False), events.told
    assert read_clip(tmp_path / "new" / "clip.mp4").shape == (12, 64, 128, 3)
    stated = json.loads((job / "job.json").read_text())
    for name in ("prompt", "subjects", "timing", "num_frames"):
        assert stated[name] == before[name]
    assert (stated["seed"], stated["source_clip"], stated["source_strength"]) == (9, "source.mp4", 0.5)
    assert "num_inference_steps" not in stated and "guidance_scale" not in stated
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "clip.json",
        "clip.mp4",
        "job",
        "thumbnail.png",
    }


def test_what_cannot_be_refined_is_one_sentence_and_leaves_nothing(take, larger, tmp_path):
    empty, taken = tmp_path / "empty", tmp_path / "taken"
    (taken / "job").mkdir(parents=True)
    for folder, out, model, code in (
        (empty, tmp_path / "new", str(larger), "bad_job"),
        (take, taken, str(larger), "not_written"),
        (take, tmp_path / "new", "nothing", "unknown_model"),
        (take, tmp_path / "new", "sd1.5", "no_clip_taken"),
    ):
        with pytest.raises(EngineError) as caught:
            write_refined(folder, out, model, 0.5)
        assert caught.value.code == code
    (take / "clip.mp4").unlink()
    with pytest.raises(EngineError, match="has no clip") as caught:
        write_refined(take, tmp_path / "new", str(larger), 0.5)
    assert caught.value.code == "bad_take" and not any((tmp_path / "new").iterdir())


def test_a_model_of_the_second_pass_needs_a_clip():
    entry = find_model("zeroscope-xl")
    entry.check_source(True)
    with pytest.raises(EngineError, match="refine on a take") as caught:
        entry.check_source(False)
    assert caught.value.code == "clip_needed"
