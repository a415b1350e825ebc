# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from peekaboo_engine.control.labels import Pools, check_label_map, pool_labels, small_subjects, widen
from peekaboo_engine.errors import EngineError

label_maps = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(3, 24), st.integers(3, 24)), elements=st.integers(0, 4)
)


@given(label_maps, st.integers(3, 9), st.integers(3, 9))
def test_pooling_keeps_every_visible_subject_and_invents_none(labels, height, width):
    pooled = pool_labels(labels, height, width)
    assert pooled.shape == (len(labels), height, width)
    for frame, coarse in zip(labels, pooled, strict=True):
        assert set(np.unique(frame)) - {0} <= set(np.unique(coarse))
        assert set(np.unique(coarse)) <= set(np.unique(frame)) | {0}


@given(label_maps)
def test_pooling_to_its_own_size_changes_nothing(labels):
    np.testing.assert_array_equal(pool_labels(labels, *labels.shape[1:]), labels)


@given(label_maps, st.integers(1, 3))
def test_pooling_whole_cells_gives_each_its_label(labels, factor):
    fine = labels.repeat(factor, axis=1).repeat(factor, axis=2)
    np.testing.assert_array_equal(pool_labels(fine, *labels.shape[1:]), labels)


@given(label_maps, st.integers(3, 9), st.integers(3, 9))
def test_a_cell_takes_the_label_that_covers_most_of_it(labels, height, width):
    """Against areas counted on a grid that divides both resolutions; ties may fall either way."""
    coverage = {k: _brute_coverage(labels == k, height, width) for k in np.unique(labels)}
    ranked = np.sort(np.stack(list(coverage.values())), axis=0)
    clear = np.ones(ranked.shape[1:], bool) if len(ranked) == 1 else ranked[-1] - ranked[-2] > 1e-9
    pooled = pool_labels(labels, height, width)
    winners = np.array(list(coverage))[np.stack(list(coverage.values())).argmax(axis=0)]
    kept = _has_lost_subject(labels, winners)
    for frame in range(len(labels)):
        if not kept[frame]:
            same = pooled[frame][clear[frame]] == winners[frame][clear[frame]]
            assert same.all()


def _brute_coverage(mask, height, width):
    frames, full_height, full_width = mask.shape
    fine = mask.repeat(height, axis=1).repeat(width, axis=2)
    return fine.reshape(frames, height, full_height, width, full_width).mean(axis=(2, 4))


def _has_lost_subject(labels, winners):
    pairs = zip(labels, winners, strict=True)
    return [bool(set(np.unique(frame)) - {0} - set(np.unique(coarse))) for frame, coarse in pairs]


@pytest.mark.parametrize(("share", "cells"), [(0.5, 1), (0.35, 2), (0.3, 3)])
def test_a_subject_takes_a_cell_from_a_share_of_it_on(share, cells):
    labels = np.zeros((1, 10, 40), np.uint8)
    for cell, covered in enumerate((1, 3, 4, 9)):  # tenths of four cells
        labels[0, :covered, 10 * cell : 10 * cell + 10] = 1
    assert (Pools(labels, share).at(1, 4) == 1).sum() == cells


def test_of_two_subjects_the_one_that_covers_more_takes_the_cell():
    labels = np.zeros((1, 10, 30), np.uint8)
    labels[0, :, :10], labels[0, :, 10:20] = 1, 2
    labels[0, :2, 20:], labels[0, 2:5, 20:] = 1, 2
    assert Pools(labels).at(1, 3).tolist() == [[[1, 2, 0]]]
    assert Pools(labels, 0.25).at(1, 3).tolist() == [[[1, 2, 2]]]
    labels[labels == 0] = 1
    assert Pools(labels, 0.25).at(1, 3).tolist() == [[[1, 2, 1]]]  # no background to take it from


def test_a_small_subject_survives_at_the_coarsest_level():
    labels = np.zeros((1, 160, 288), np.uint8)
    labels[0, 37, 101] = 1  # one pixel: the released code's strided sampling never meets it
    pooled = pool_labels(labels, 5, 9)
    assert (pooled == 1).sum() == 1
    assert pooled[0, 37 * 5 // 160, 101 * 9 // 288] == 1


def test_two_small_subjects_in_one_cell_get_a_cell_each():
    labels = np.zeros((1, 32, 32), np.uint8)
    labels[0, 3:5, 3:5] = 1
    labels[0, 4, 6] = 2
    assert sorted(np.unique(pool_labels(labels, 4, 4))) == [0, 1, 2]


def test_more_subjects_than_cells_leave_a_partition():
    labels = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4)
    pooled = pool_labels(labels, 2, 2)
    assert len(np.unique(pooled)) == 4


@pytest.mark.parametrize(
    ("labels", "code", "part"),
    [
        (np.zeros((4, 4), np.uint8), "bad_labels", "(4, 4)"),
        (np.zeros((1, 4, 4), np.float32), "bad_labels", "float32"),
        (np.full((1, 4, 4), 3, np.uint8), "bad_labels", "label 3"),
        (np.full((1, 4, 4), -1, np.int64), "bad_labels", "label -1"),
        (np.full((1, 4, 4), 1, np.uint8), "subject_never_visible", '"Cube"'),
    ],
)
def test_what_is_wrong_with_a_label_map_is_said(labels, code, part):
    with pytest.raises(EngineError) as caught:
        check_label_map(labels, ["Ball", "Cube"])
    assert caught.value.code == code
    assert part in caught.value.message


@given(label_maps.filter(lambda labels: labels.shape[1] % 3 == 0 and labels.shape[2] % 3 == 0))
def test_a_coarser_grid_is_the_same_from_a_finer_one(labels):
    _, height, width = labels.shape
    pools = Pools(labels)
    pools.at(height, width)
    np.testing.assert_array_equal(
        pools.at(height // 3, width // 3), pool_labels(labels, height // 3, width // 3)
    )


@given(label_maps.filter(lambda labels: {1, 2} <= set(np.unique(labels))), st.floats(0.01, 0.5))
def test_small_subjects_get_room_of_the_background_alone(labels, least):
    labels = np.where(labels > 2, 0, labels)
    small = small_subjects(labels, 2, least)
    widened = widen(labels, small, least)
    kept = labels > 0
    np.testing.assert_array_equal(widened[kept], labels[kept])
    for label in (1, 2):
        before, after = ((each == label).sum(axis=(1, 2)) for each in (labels, widened))
        assert (after[before == 0] == 0).all()  # who is out of the picture stays there
        if not small[label - 1]:
            np.testing.assert_array_equal(before, after)


def test_a_small_subject_grows_by_one_factor_around_itself():
    labels = np.zeros((3, 40, 60), np.uint8)
    labels[0, 20:24, 30:34] = labels[1, 20:24, 30:38] = 1  # 16 and 32 of 2,400 pixels, and gone
    small = small_subjects(labels, 1, 0.02)
    widened = widen(labels, small, 0.02)
    assert small.tolist() == [True]
    assert (widened == 1).sum(axis=(1, 2)).tolist() == [32, 64, 0]  # a median of 48 is 2 %
    rows, columns = np.nonzero(widened[0])
    assert abs(rows.mean() - 21.5) < 1 and abs(columns.mean() - 31.5) < 1
    assert widen(labels, small_subjects(labels, 1, 0.0), 0.0) is labels


@pytest.mark.parametrize("size", [(27, 21, 5, 4), (39, 27, 3, 3)])
def test_a_subject_that_is_in_another_frame_alone_takes_no_cell_of_a_full_picture(size):
    """Where there is no background, what rounding leaves over is nobody's."""
    height, width, rows, columns = size
    labels = np.random.default_rng(0).integers(2, 5, (2, height, width)).astype(np.uint8)
    labels[0] = 1
    assert (pool_labels(labels, rows, columns)[0] == 1).all()
    assert not (pool_labels(labels, rows, columns)[1] == 1).any()
