# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of pixels: how a subject fills its silhouette, and how far clips are from drawn ones."""

import numpy as np
import pytest

from peekaboo_engine.benchmark.forms import score_form, summarise_forms
from peekaboo_engine.benchmark.quality import (
    DRAWN,
    Statistics,
    are_features_of,
    distance_from_drawn,
    frechet_distance,
    read_statistics,
    samples_of,
    write_statistics,
)
from peekaboo_engine.benchmark.segmenter import Segmenter


def box(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[rows, columns] = True
    return mask


def test_a_subject_that_is_its_silhouette_has_its_form():
    wanted = np.stack([box(slice(5, 10), slice(5, 10)), box(slice(5, 10), slice(8, 13))])
    score = score_form(wanted, list(wanted))
    assert (score.pixel_iou, score.shared, score.kept) == (1.0, 2, 2)


def test_misses_count_their_silhouettes_and_what_is_cut_tells_no_form():
    inside, cut = box(slice(5, 10), slice(5, 10)), box(slice(0, 5), slice(5, 10))
    score = score_form(np.stack([inside, cut, np.zeros_like(inside)]), [None, cut, inside])
    assert score.frames == 2 and score.pixel_iou == 0.5 and score.shared == 0
    assert summarise_forms([score]) == {"pixel_iou": 0.5, "form_kept": None}


@pytest.mark.parametrize(("columns", "kept"), [(11, 1), (12, 0), (9, 1), (8, 0)])
def test_form_is_kept_within_15_percent_of_the_aspect(columns, kept):
    wanted = box(slice(5, 15), slice(5, 15))
    score = score_form(wanted[None], [box(slice(5, 15), slice(5, 5 + columns))])
    assert (score.shared, score.kept) == (1, kept)


def test_distance_of_normal_distributions():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(4000, 3)) * [1, 2, 3]
    own = Statistics.of(samples)
    assert frechet_distance(own, own) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(own, Statistics.of(samples + np.array([3, 0, 4]))) == pytest.approx(25)
    # of independent channels: the squared differences of their deviations
    assert frechet_distance(own, Statistics.of(samples * 2)) == pytest.approx(1 + 4 + 9, rel=0.1)


def test_a_clip_that_flickers_is_not_one_that_stands_still():
    still, flickers = np.zeros((8, 2), np.float32), np.tile([[0, 0], [1, 1]], (4, 1)).astype(np.float32)
    assert samples_of(still).shape == (4, 4)
    assert not samples_of(still)[:, 2:].any() and samples_of(flickers)[:, 2:].any()


def test_the_statistics_that_ship_are_of_the_segmenter_that_ships():
    segmenter = Segmenter.load()
    assert are_features_of(segmenter.identity()["sha256"]) and not are_features_of("another")
    assert sorted(read_statistics(DRAWN)) == [1, 2, 3]
    grey = np.full((4, 32, 32, 3), 128, np.uint8)
    samples = samples_of(segmenter.features(grey))
    assert samples.shape[1] == len(read_statistics(DRAWN)[1].mean)
    assert distance_from_drawn([samples, samples], 1) > 1  # grey is no drawn clip
    assert distance_from_drawn([samples], 1) is None and distance_from_drawn([samples] * 2, 4) is None


def test_statistics_come_back_as_they_were_written(tmp_path):
    own = Statistics.of(np.random.default_rng(1).normal(size=(50, 4)))
    write_statistics(tmp_path / "drawn.safetensors", {2: own}, {"segmenter": "x"})
    again = read_statistics(tmp_path / "drawn.safetensors")[2]
    np.testing.assert_allclose(again.mean, own.mean, rtol=1e-6)
    np.testing.assert_allclose(again.covariance, own.covariance, rtol=1e-6)
