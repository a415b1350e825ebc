# SPDX-License-Identifier: GPL-3.0-or-later
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny.unet3d import FRAMES

from peekaboo_engine.control import STRONG, Steering
from peekaboo_engine.errors import EngineError
from peekaboo_engine.generator import steering_of
from peekaboo_engine.job import Timing, load_job
from peekaboo_engine.models import find_model


def test_a_job_comes_back_as_it_was_written(make_job, two_boxes):
    job, labels = load_job(make_job())
    assert job.phrases == ["a red ball", "a blue cube"]
    assert job.timing.rate == 24
    np.testing.assert_array_equal(labels, two_boxes)


@pytest.mark.parametrize("kind", ["plain", "set"])
def test_a_job_is_read_as_the_addon_writes_it(tmp_path, agreed, kind):
    written = agreed(f"job_{kind}")
    labels = np.zeros((written["num_frames"], written["height"], written["width"]), np.uint8)
    (tmp_path / "job.json").write_text(json.dumps(written))
    np.savez_compressed(tmp_path / "masks.npz", labels=labels)
    job, _ = load_job(tmp_path)
    assert job.model_dump(exclude_unset=True) == written
    steering_of(job, find_model(job.model))  # every setting is one that can be made


def change(**changes):
    return lambda folder: _rewrite(folder, lambda job: {**job, **changes})


def strength(values):
    def edit(job):
        return {**job, "subjects": [{**job["subjects"][0], "strength": values}, job["subjects"][1]]}

    return lambda folder: _rewrite(folder, edit)


def test_strengths_are_whole_where_a_job_says_nothing(make_job):
    folder = make_job()
    strength([0.25] * FRAMES)(folder)
    job, _ = load_job(folder)
    np.testing.assert_array_equal(job.strengths, [[0.25] * FRAMES, [1.0] * FRAMES])


def test_a_job_tells_what_made_its_masks_since_version_2(make_job):
    folder = make_job()
    older, labels = load_job(folder)
    assert (older.schema_version, older.masks, older.subjects[0].outline) == (1, None, None)
    masks = {"occluded_by_scene": True, "motion_blur": False}
    subjects = [{**subject.model_dump(), "outline": "SURFACE"} for subject in older.subjects]
    change(schema_version=2, masks=masks, subjects=subjects)(folder)
    newer, same_labels = load_job(folder)
    assert newer.masks is not None and newer.masks.model_dump() == masks | {"framing": 0.0}
    assert [subject.outline for subject in newer.subjects] == ["SURFACE", "SURFACE"]
    np.testing.assert_array_equal(labels, same_labels)


def test_the_method_is_the_models_own_unless_the_job_says_one(make_job):
    folder, measured = make_job(), find_model("shapes")
    not_measured = find_model(json.loads((folder / "job.json").read_text())["model"])

    def steering(entry, **control):
        change(control={"widen_small": False, **control})(folder)
        job, _ = load_job(folder)
        return steering_of(job, entry)

    assert steering(measured) == STRONG
    assert steering(measured, method="peekaboo") == Steering(masked_steps=measured.masked_steps_of(3))
    assert steering(not_measured) == Steering(masked_steps=not_measured.masked_steps_of(3))
    assert steering(not_measured, method="strong") == STRONG
    counted = steering(measured, masked_steps=4)
    assert (counted.masked_steps, counted.until) == (4, None)
    assert counted.contrast and counted.kinds == STRONG.kinds
    assert steering(measured, masked_steps=0).bound_until == 1
    assert not steering(measured, blocks="mid_up").contrast
    with pytest.raises(EngineError, match='"strong" masks all blocks'):
        steering(measured, blocks="mid_up", method="strong")
    roomy = replace(STRONG, least_area=measured.smallest_subject)
    assert steering(measured, widen_small=True) == roomy != STRONG
    assert steering(not_measured, widen_small=True) == steering(not_measured)
    change(control={})(folder)
    assert steering_of(load_job(folder)[0], measured) == roomy  # which is the default


@pytest.mark.parametrize(
    ("outlines", "method", "kept"),
    [
        (["SURFACE", "SURFACE"], "strong", True),
        (["SURFACE", "HULL"], "strong", False),
        (["SURFACE", None], "strong", False),
        (["SURFACE", "SURFACE"], "peekaboo", False),
    ],
)
def test_a_method_keeps_to_the_form_of_masks_that_are_silhouettes(
    make_job, monkeypatch, outlines, method, kept
):
    folder, entry = make_job(), find_model("shapes")
    family = replace(entry.family, silhouettes={"cell_share": 0.1})
    monkeypatch.setattr(type(entry), "family", family)
    job, _ = load_job(folder)
    subjects = [{**job.subjects[0].model_dump(), "outline": outline} for outline in outlines]
    change(subjects=subjects, control={"method": method})(folder)
    assert (steering_of(load_job(folder)[0], entry).cell_share == 0.1) is kept


@pytest.mark.parametrize(
    ("model", "subjects", "redraws"),
    [("solids", 1, 1), ("solids_twin", 1, 1), ("solids_twin", 2, 0), ("wan2.1-t2v-1.3b", 1, 0)],
)
def test_clips_of_one_subject_are_redrawn_where_that_was_measured(make_job, model, subjects, redraws):
    folder, entry = make_job(), find_model(model)
    told = {**load_job(folder)[0].subjects[0].model_dump(), "outline": "SURFACE"}
    change(subjects=[told] * subjects, control={"method": "strong"})(folder)
    assert steering_of(load_job(folder)[0], entry).redraws == redraws


def _rewrite(folder, edit):
    path = folder / "job.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))


def played_backwards(folder):
    _rewrite(folder, lambda job: {**job, "timing": {**job["timing"], "scene_frames": [5, 4, 3, 2, 1]}})


def said_twice(folder):
    path = folder / "job.json"
    path.write_text(path.read_text().rstrip().removesuffix("}") + ', "prompt": "a blue cube on sand"}')


def truncate_masks(folder):
    path = folder / "masks.npz"
    path.write_bytes(path.read_bytes()[:-40])


def corrupt_masks(folder):
    path = folder / "masks.npz"
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 20] = bytes(20)
    path.write_bytes(data)


def other_masks(**arrays):
    return lambda folder: np.savez(folder / "masks.npz", **arrays)


@pytest.mark.parametrize(
    ("spoil", "code", "part"),
    [
        (lambda folder: (folder / "job.json").unlink(), "bad_job", "job.json"),
        (lambda folder: (folder / "job.json").write_text("{"), "bad_job", "not JSON"),
        (lambda folder: (folder / "job.json").write_text("[]"), "bad_job", "valid job"),
        (change(schema_version=3), "newer_schema", "update the engine"),
        (change(prompt=3), "bad_job", "prompt"),
        (change(width=100), "bad_job", "width"),
        (change(seed=-1), "bad_job", "seed"),
        (change(guidance_scale=float("inf")), "bad_job", "guidance_scale"),
        (change(num_inference_steps=1000), "bad_job", "num_inference_steps"),
        (change(subjects=[]), "bad_job", "subjects"),
        (strength([0.5]), "bad_job", "(the whole: subjects.0.strength has 1 entries"),
        (strength([2.0] * FRAMES), "bad_job", "subjects.0.strength.0"),
        (change(subjects=[{"name": "Ball", "phrase": ""}]), "bad_job", "subjects.0.phrase"),
        (change(colour="red"), "bad_job", "colour"),
        (
            change(timed_phrases=[{"phrase": "grass", "frame_start": 9, "frame_end": 8}]),
            "bad_job",
            "timed_phrases.0: frame_end is 8, before frame_start at 9",
        ),
        (change(control={"blocks": "down"}), "bad_job", "control.blocks"),
        (change(num_frames=FRAMES + 1), "bad_job", "scene_frames"),
        (played_backwards, "bad_job", "timing.scene_frames goes back in time"),
        (said_twice, "bad_job", 'the key "prompt" twice'),
        (change(width=104), "masks_mismatch", "(5, 64, 104)"),
        (lambda folder: (folder / "masks.npz").unlink(), "bad_masks", "missing"),
        (truncate_masks, "bad_masks", "masks.npz"),
        (corrupt_masks, "bad_masks", "masks.npz"),
        (lambda folder: (folder / "masks.npz").write_bytes(b""), "bad_masks", "damaged"),
        (other_masks(masks=np.zeros(3, np.uint8)), "bad_masks", '"labels"'),
        (other_masks(labels=np.zeros((5, 64, 96))), "bad_masks", "float64"),
        (other_masks(labels=np.array([{}], dtype=object)), "bad_masks", "damaged"),
        (other_masks(labels=np.zeros((4, 64, 96), np.uint8)), "masks_mismatch", "(4, 64, 96)"),
    ],
)
def test_a_bad_job_is_refused_by_name(make_job, spoil, code, part):
    folder = make_job()
    spoil(folder)
    with pytest.raises(EngineError) as caught:
        load_job(folder)
    assert caught.value.code == code
    assert part in caught.value.message
    assert "\n" not in caught.value.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_the_masks_passes_or_escapes(make_job_once, two_boxes, data):
    """Any byte of masks.npz changed: refused, or it did not matter."""
    folder, good = make_job_once
    place = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != good[place]))
    (folder / "masks.npz").write_bytes(good[:place] + bytes([value]) + good[place + 1 :])
    try:
        _, labels = load_job(folder)
    except EngineError as error:
        assert error.code in {"bad_masks", "masks_mismatch"}
        assert "\n" not in error.message
    else:
        np.testing.assert_array_equal(labels, two_boxes)


@pytest.fixture
def make_job_once(make_job):
    folder = make_job()
    return folder, (folder / "masks.npz").read_bytes()


@pytest.mark.parametrize(
    ("fps", "base", "rate"),
    [
        (24, 1.0, Fraction(24)),
        (24, 1.001, Fraction(24000, 1001)),
        (30, 1.001, Fraction(30000, 1001)),
        (1, 0.1, Fraction(10)),
        (24, 0.024, Fraction(1000)),
        (24, 1.001 * 1e4, Fraction(24, 10010)),
        (1, 0.0010000000474974513, Fraction(1000)),
        (1, 1e4, Fraction(1, 10_000)),
    ],
)
def test_frame_rates_are_exact(fps, base, rate):
    assert Timing(frame_start=1, frame_count=1, fps=fps, fps_base=base, scene_frames=[1]).rate == rate


@given(st.integers(1, 300), st.integers(1, 60))
def test_the_clip_holds_each_frame_of_the_model_in_turn(frame_count, num_frames):
    timing = Timing(
        frame_start=1, frame_count=frame_count, fps=24, fps_base=1, scene_frames=[1.0] * num_frames
    )
    held = timing.held_frames(num_frames)
    assert len(held) == frame_count
    assert held[0] == 0
    assert held[-1] == num_frames - 1 or frame_count < num_frames
    steps = np.diff(held)
    assert (steps >= 0).all()
    if frame_count >= num_frames:
        assert (steps <= 1).all()
        assert np.ptp(np.bincount(held)) <= 1  # as evenly as can be
