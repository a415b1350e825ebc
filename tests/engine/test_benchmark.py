# SPDX-License-Identifier: GPL-3.0-or-later
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaboo_engine.benchmark import metrics
from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, draw_prompt, read_phrase

LEFT_HALF, RIGHT_HALF, TOP_HALF = (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0, 0, 1, 0.5)
UNIT = st.floats(0, 1, allow_subnormal=False)


@st.composite
def boxes(draw):
    x1, x2 = sorted((draw(UNIT), draw(UNIT)))
    y1, y2 = sorted((draw(UNIT), draw(UNIT)))
    return x1, y1, x2, y2


class TestMetrics:
    def test_iou_by_hand(self):
        assert metrics.iou(LEFT_HALF, LEFT_HALF) == 1
        assert metrics.iou(LEFT_HALF, RIGHT_HALF) == 0
        assert metrics.iou(LEFT_HALF, TOP_HALF) == pytest.approx(1 / 3)  # a quarter of three quarters

    @given(boxes(), boxes())
    def test_iou_is_symmetric_and_within_0_and_1(self, a, b):
        assert metrics.iou(a, b) == pytest.approx(metrics.iou(b, a))
        assert 0 <= metrics.iou(a, b) <= 1 + 1e-9

    def test_volumetric_iou_sums_before_it_divides(self):
        wanted = [LEFT_HALF, LEFT_HALF]
        # Shared: 0.5 and nothing. Union: 0.5 and, where nothing was found, the wanted 0.5.
        assert metrics.volumetric_iou(wanted, [LEFT_HALF, None]) == pytest.approx(0.5)
        # Shared: 0.5 and 0.25. Union: 0.5 and 0.75.
        assert metrics.volumetric_iou(wanted, [LEFT_HALF, TOP_HALF]) == pytest.approx(0.6)
        assert metrics.mean_frame_iou(wanted, [LEFT_HALF, TOP_HALF]) == pytest.approx((1 + 1 / 3) / 2)

    def test_ap50_counts_frames_with_a_detection_only(self):
        wanted = [LEFT_HALF] * 3
        assert metrics.average_precision_50(wanted, [LEFT_HALF, RIGHT_HALF, None]) == 0.5
        assert metrics.average_precision_50(wanted, [None] * 3) == 0

    def test_centroid_distance_by_hand(self):
        # Centres (0.25, 0.5) and (0.75, 0.5) of a frame 3 x 4: 1.5 of a diagonal of 5.
        assert metrics.centroid_distance([LEFT_HALF], [RIGHT_HALF], 3 / 4) == pytest.approx(0.3)
        # A miss has its centre at (0, 0): (0.75, 2) away, of 5.
        missed = math.hypot(0.75, 2) / 5
        assert metrics.centroid_distance([LEFT_HALF], [None], 3 / 4) == pytest.approx(missed)
        both = [RIGHT_HALF, None]
        assert metrics.centroid_distance([LEFT_HALF] * 2, both, 3 / 4) == pytest.approx((0.3 + missed) / 2)
        assert metrics.centroid_distance_detected([LEFT_HALF] * 2, both, 3 / 4) == pytest.approx(0.3)
        assert metrics.centroid_distance_detected([LEFT_HALF], [None], 3 / 4) is None

    def test_summary_by_hand(self):
        good = metrics.score_track([LEFT_HALF] * 4, [LEFT_HALF] * 3 + [None], 1)
        poor = metrics.score_track([LEFT_HALF] * 4, [RIGHT_HALF] * 2 + [None] * 2, 1)
        row = metrics.summarise([good, poor])
        assert row["ap50"] == pytest.approx(3 / 5)  # three of the five detections
        assert row["coverage"] == 0.5  # half of the frames are not more than half
        assert row["detected"] == 5 / 8
        assert row["miou"] == pytest.approx((0.75 + 0) / 2)
        assert row["miou_covered"] == pytest.approx(0.75)  # only the covered clip
        assert row["miou_per_frame"] == pytest.approx((0.75 + 0) / 2)
        assert row["cd_detected"] == pytest.approx((0 + 0.5 / math.sqrt(2)) / 2)

    def test_a_summary_without_any_detection(self):
        row = metrics.summarise([metrics.score_track([LEFT_HALF], [None], 1)])
        assert (row["miou"], row["ap50"], row["coverage"]) == (0, 0, 0)
        assert row["miou_covered"] is None and row["cd_detected"] is None
        with pytest.raises(ValueError, match="no clips"):
            metrics.summarise([])

    def test_a_detection_is_wanted_for_each_frame(self):
        with pytest.raises(ValueError, match="one detection or None for each frame"):
            metrics.score_track([LEFT_HALF], [], 1)


class TestBinding:
    def test_by_hand(self):
        wanted = [[LEFT_HALF] * 4, [TOP_HALF] * 4]
        # In its own box; in the other's; nowhere; not found.
        found = [[LEFT_HALF, TOP_HALF, (0.9, 0.9, 1, 1), None], [TOP_HALF] * 3 + [None]]
        first, second = metrics.score_binding(wanted, found)
        assert (first.detections, first.bound) == (3, 1)
        assert first.iou_own == pytest.approx(1 + 1 / 3)
        assert first.iou_other == pytest.approx(1 / 3 + 1)
        assert (second.detections, second.bound) == (3, 3)
        row = metrics.summarise_binding([first, second])
        assert row["bound"] == pytest.approx(4 / 6)
        assert row["iou_own"] == pytest.approx((1 + 1 / 3 + 3) / 6)
        assert row["iou_other"] == pytest.approx((1 / 3 + 1 + 3 / 3) / 6)

    def test_of_several_others_the_one_overlapped_most_counts(self):
        wanted = [[LEFT_HALF], [RIGHT_HALF], [TOP_HALF]]
        first, second, third = metrics.score_binding(wanted, [[LEFT_HALF], [LEFT_HALF], [TOP_HALF]])
        assert (first.bound, first.iou_other) == (1, pytest.approx(1 / 3))
        assert (second.bound, second.iou_own, second.iou_other) == (0, 0, 1)
        assert third.bound == 1

    def test_as_far_in_its_own_box_as_in_the_other_is_not_bound(self):
        (first, _) = metrics.score_binding([[LEFT_HALF], [LEFT_HALF]], [[LEFT_HALF], [None]])
        assert (first.detections, first.bound) == (1, 0)

    def test_frames_without_another_subject_do_not_count(self):
        wanted = [[LEFT_HALF, LEFT_HALF, None], [None, TOP_HALF, TOP_HALF]]
        first, second = metrics.score_binding(wanted, [[LEFT_HALF] * 3, [TOP_HALF] * 3])
        assert (first.detections, second.detections) == (1, 1)
        (alone,) = metrics.score_binding([[LEFT_HALF]], [[LEFT_HALF]])
        assert alone.detections == 0
        assert set(metrics.summarise_binding([alone]).values()) == {None}


def test_drawn_prompts_name_different_colours_and_are_read_back():
    drawn = [draw_prompt(random.Random(seed), 1 + seed % 3) for seed in range(300)]
    for prompt, phrases in drawn:
        subjects = [read_phrase(phrase) for phrase in phrases]
        assert len({colour for colour, _ in subjects}) == len(phrases)
        assert prompt.startswith(" and ".join(phrases)) and prompt.split()[-1] in GROUNDS
    words = {word for prompt, _ in drawn for word in prompt.split()}
    assert {*COLOURS, *SHAPES, *GROUNDS} <= words
