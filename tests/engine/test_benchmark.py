# SPDX-License-Identifier: GPL-3.0-or-later
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peekaboo_engine.benchmark import metrics
from peekaboo_engine.benchmark.detectors import colour_mask, detect_subject, largest_blob
from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, subject_phrase, world_prompt

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


def paint(inside: np.ndarray, colour: str, ground: str = "grass") -> np.ndarray:
    """A frame with a flat subject on a flat ground."""
    frame = np.empty((*inside.shape, 3))
    frame[:] = GROUNDS[ground]
    frame[inside] = COLOURS[colour]
    return (frame * 255).astype(np.uint8)


def ellipse(cx=144.0, cy=80.0, rx=40.0, ry=30.0) -> np.ndarray:
    y, x = np.mgrid[:160, :288] + 0.5
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1


class TestDetector:
    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("ground", GROUNDS)
    def test_finds_a_ball_where_it_is(self, colour, ground):
        box = detect_subject(paint(ellipse(), colour, ground), colour, "ball")
        assert box == pytest.approx((104 / 288, 50 / 160, 184 / 288, 110 / 160), abs=0.005)

    def test_wants_the_colour_and_the_shape(self):
        frame = paint(ellipse(), "red")
        assert detect_subject(frame, "blue", "ball") is None
        for other in set(SHAPES) - {"ball"}:
            assert detect_subject(frame, "red", other) is None

    def test_tells_a_ring_by_its_hole(self):
        ring = ellipse() & ~ellipse(rx=18.4, ry=13.8)
        assert detect_subject(paint(ring, "cyan"), "cyan", "ring") is not None
        assert detect_subject(paint(ring, "cyan"), "cyan", "ball") is None

    def test_sees_nothing_on_bare_ground(self):
        for ground in GROUNDS:
            frame = paint(np.zeros((160, 288), bool), "red", ground)
            assert not any(colour_mask(frame, colour).any() for colour in COLOURS)

    def test_takes_the_larger_of_two_blobs(self):
        both = ellipse(60, 80, 40, 30) | ellipse(220, 80, 20, 15)
        box = detect_subject(paint(both, "red"), "red", "ball")
        assert box == pytest.approx((20 / 288, 50 / 160, 100 / 288, 110 / 160), abs=0.005)

    @given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=7))
    def test_largest_blob_agrees_with_a_flood_fill(self, rows):
        mask = np.array(rows)
        sizes = [len(part) for part in parts_of(mask)]
        blob = largest_blob(mask)
        assert blob.sum() == max(sizes, default=0)
        assert set(map(tuple, np.argwhere(blob))) in [*parts_of(mask), set()]


def parts_of(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    left, parts = set(map(tuple, np.argwhere(mask))), []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            edge.extend(near)
        parts.append(part)
    return parts


def test_world_prompts_differ_and_cover_the_world():
    prompts = [world_prompt(index) for index in range(200)]
    assert len(set(prompts)) == 200
    assert {len(set(part)) for part in zip(*prompts, strict=True)} == {8, 5}
    assert subject_phrase("orange", "cone") == "an orange cone"
