# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips made smooth and large for their scene: as long as before to the frame, and right in between."""

import json
from fractions import Fraction

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from peekaboo_engine.__main__ import app
from peekaboo_engine.errors import EngineError
from peekaboo_engine.existing import existing_clip
from peekaboo_engine.finishing import finish_clip, finish_take, places_between, size_within, smooth_frames
from peekaboo_engine.inbox import FinishTake
from peekaboo_engine.job import Finish, Timing
from peekaboo_engine.placement import Placement
from peekaboo_engine.video import count_frames, read_clip, write_clip
from peekaboo_engine.worker import Worker

HEIGHT, WIDTH, STEP = 64, 128, 12


def moving_square(frames):
    clip = np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8)
    for index in range(frames):
        clip[index] = (60, 120, 60)
        clip[index, 16:40, 8 + STEP * index : 32 + STEP * index] = (200, 40, 30)
    return clip


def middle(frame):
    """Where the middle of the square is, in frames of the model."""
    columns = np.flatnonzero(frame[28, :, 0].astype(int) > 130)
    return (columns.mean() - 19.5) / STEP


def timing(count, frames, start=1, fps=24, base=1.0):
    """A timing as the add-on makes it, see ``shot/layout.py``."""
    times = []
    for index in range(frames):
        first, past = -(-index * count // frames), -(-(index + 1) * count // frames)
        middle = (first + past - 1) / 2 if first < past else past - 1
        times.append(start + middle)
    return Timing(frame_start=start, frame_count=count, fps=fps, fps_base=base, scene_frames=times)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(2, 80), st.integers(-50, 1000))
def test_each_scene_frame_has_a_place_and_each_model_frame_is_at_its_own_time(count, frames, start):
    made = timing(count, frames, start)
    places = places_between(made)
    assert places.shape == (count,) and (np.diff(places) >= 0).all()
    assert places[0] >= 0 and places[-1] <= frames - 1
    if count >= frames:  # never further from what is held there than half the way to the next
        assert np.abs(places - made.held_frames(frames)).max() <= 0.5 + 1e-9
    for index, time in enumerate(made.scene_frames):
        if time == int(time) and count >= frames:
            assert places[int(time) - start] == pytest.approx(index)


@given(st.integers(8, 2048), st.integers(8, 2048), st.integers(1, 8192), st.integers(1, 8192))
def test_an_enlarged_clip_fills_the_scenes_picture_in_its_own_shape(width, height, wide, high):
    width, height = width // 8 * 8, height // 8 * 8
    x, y = size_within(width, height, Finish(enlarge=True, width=wide, height=high))
    assert x % 2 == y % 2 == 0 and x >= width and y >= height
    assert (x, y) == (width, height) or abs(x - wide) <= 1 or abs(y - high) <= 1
    assert abs(x / width - y / height) <= 2 * (1 / width + 1 / height)
    assert size_within(width, height, Finish(smooth=True, width=wide, height=high)) == (width, height)


@pytest.mark.parametrize(("frames", "count"), [(5, 10), (5, 13), (4, 16), (6, 7)])
def test_motion_goes_on_between_the_frames_of_the_model(frames, count):
    clip, places = moving_square(frames), places_between(timing(count, frames))
    smooth = list(smooth_frames(clip, places))
    assert len(smooth) == count
    seen = np.array([middle(frame) for frame in smooth])
    assert np.abs(seen - places).max() < 0.5 and np.abs(seen - places).mean() < 0.15
    held = np.array([middle(clip[i]) for i in timing(count, frames).held_frames(frames)])
    if count >= 2 * frames:
        assert np.diff(seen).max() < np.diff(held).max()
    assert all(abs(middle(smooth[end]) - places[end]) < 0.1 for end in (0, -1))


def take(folder, frames, count, base=1.0):
    made = timing(count, frames, base=base)
    folder.mkdir()
    write_clip(folder / "clip.mp4", moving_square(frames), made.held_frames(frames), made.rate)
    (folder / "clip.json").write_text('{"job": {}, "clip_sha256": "0"}')
    return made


def test_a_finished_clip_covers_the_same_scene_seconds_beside_the_one_of_the_model(tmp_path):
    folder = tmp_path / "take"
    made = take(folder, 5, 13, base=1.001)
    before = (folder / "clip.mp4").read_bytes()
    finish = Finish(smooth=True, enlarge=True, width=301, height=400)
    path = finish_clip(folder, moving_square(5), made, finish)
    assert path.name == "smooth_enlarged.mp4" and (folder / "clip.mp4").read_bytes() == before
    assert count_frames(path) == count_frames(folder / "clip.mp4") == 13
    assert (
        iio.immeta(path)["fps"]
        == iio.immeta(folder / "clip.mp4")["fps"]
        == pytest.approx(24 / 1.001, abs=0.01)
    )
    assert read_clip(path).shape == (13, 150, 300, 3)
    record = json.loads((folder / "clip.json").read_text())
    assert record["clip_sha256"] == "0"
    [stated] = record["finished"].values()
    assert (stated["width"], stated["height"]) == (300, 150)
    both = path.read_bytes()
    smooth = finish_clip(folder, moving_square(5), made, Finish(smooth=True))
    assert sorted(each.name for each in folder.iterdir()) == [
        "clip.json",
        "clip.mp4",
        "smooth.mp4",
        "smooth_enlarged.mp4",
    ]
    assert smooth.name == "smooth.mp4" and path.read_bytes() == both
    assert list(json.loads((folder / "clip.json").read_text())["finished"]) == [path.name, smooth.name]


def test_a_clip_with_a_frame_for_each_of_the_scene_is_as_it_was(tmp_path):
    made = take(tmp_path / "take", 5, 5)
    path = finish_clip(tmp_path / "take", moving_square(5), made, Finish(smooth=True))
    assert np.array_equal(read_clip(path), read_clip(tmp_path / "take" / "clip.mp4"))


def test_a_cancel_leaves_the_take_as_it_was(tmp_path):
    made = take(tmp_path / "take", 5, 13)
    finish_clip(tmp_path / "take", moving_square(5), made, Finish(smooth=True))
    before = {path.name: path.read_bytes() for path in (tmp_path / "take").iterdir()}
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        if asked > 14:
            raise EngineError("cancelled", "The generation was cancelled; nothing was written.")

    with pytest.raises(EngineError, match="cancelled"):
        finish_clip(tmp_path / "take", moving_square(5), made, Finish(smooth=True), stop)
    assert {path.name: path.read_bytes() for path in (tmp_path / "take").iterdir()} == before


class Told:
    """Events that are kept."""

    def __init__(self):
        self.phases, self.results, self.errors = [], [], []

    def phase(self, phase):
        self.phases.append(phase)

    def result(self, clip, info, seconds, peak_memory_mb):
        self.results.append(clip)

    def error(self, code, message):
        self.errors.append(message)

    def progress(self, step, total):
        pass

    notice = preview = progress


@pytest.mark.slow
def test_a_job_may_ask_for_it_and_a_take_be_finished_otherwise_afterwards(make_job, tmp_path):
    finish = {"smooth": True, "enlarge": True, "width": 1000, "height": 128}
    job, told, worker = make_job(finish=finish), Told(), Worker(Placement(device="cpu"))
    take = job.parent
    assert worker.run(job, take, told, lambda: False), told.errors
    height, width = read_clip(take / "clip.mp4").shape[1:3]
    assert told.phases[-1] == "finish" and told.results == [take.resolve() / "smooth_enlarged.mp4"]
    assert read_clip(take / "smooth_enlarged.mp4").shape == (12, 128, round(width * 128 / height), 3)
    assert existing_clip(job, take) == take / "smooth_enlarged.mp4"
    smooth = Finish(smooth=True)
    worker.finish(FinishTake(request="finish", id="a", take=take, finish=smooth), told, lambda: False)
    assert not told.errors and read_clip(take / "smooth.mp4").shape == (12, height, width, 3)
    assert existing_clip(job, take) == take / "smooth_enlarged.mp4"  # which is there beside
    done = CliRunner().invoke(app, ["finish", str(take), "--enlarge", "1000x128"])
    assert done.exit_code == 0, done.output
    assert list(json.loads((take / "clip.json").read_text())["finished"])[-1] == "enlarged.mp4"
    stated = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**stated, "finish": {}}))
    assert worker.run(job, take, told, lambda: False) and not [*take.glob("smooth*"), *take.glob("enl*")]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda take: (take / "clip.mp4").write_bytes(b"\0" * 400), "is no MP4 that can be read"),
        (lambda take: (take / "clip.mp4").unlink(), "is missing"),
        (lambda take: (take / "clip.json").write_text("[1]"), "is no record of a clip"),
        (lambda take: (take / "job" / "job.json").unlink(), "could not be read"),
    ],
)
def test_a_take_that_somebody_has_edited_is_refused_in_a_sentence(make_job, spoil, sentence):
    take = make_job().parent
    write_clip(take / "clip.mp4", moving_square(5), np.arange(5), Fraction(24))
    (take / "clip.json").write_text("{}")
    spoil(take)
    with pytest.raises(EngineError, match=sentence):
        finish_take(take, Finish(smooth=True))


def test_a_clip_that_was_made_anew_meanwhile_is_not_finished_as_the_earlier_one(make_job):
    take = make_job().parent
    write_clip(take / "clip.mp4", moving_square(5), np.arange(5), Fraction(24))
    (take / "clip.json").write_text('{"clip_sha256": "0"}')

    def publish():  # as another engine does
        (take / "clip.json").write_text('{"clip_sha256": "1"}')

    with pytest.raises(EngineError, match="made anew while it was finished"):
        finish_take(take, Finish(enlarge=True, width=400, height=400), publish)
    assert not (take / "enlarged.mp4").exists()


def test_what_cannot_be_asked_for_is_said():
    for arguments in ([], ["--enlarge", "wide"], ["--enlarge", "9000x9000"]):
        done = CliRunner().invoke(app, ["finish", "take", *arguments])
        assert done.exit_code == 2, done.output
