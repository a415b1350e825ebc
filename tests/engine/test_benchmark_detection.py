# SPDX-License-Identifier: GPL-3.0-or-later
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_detectors
import torch

from peekaboo_engine.benchmark.detection import NAMES, load_detector
from peekaboo_engine.benchmark.segmenter import SegmentationNetwork, Segmenter
from peekaboo_engine.benchmark.shapes_world import COLOURS, SHAPES, SYNONYMS, read_phrase, subject_phrase
from peekaboo_engine.errors import EngineError

HEIGHT, WIDTH = 40, 72


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 255, (3, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectors")
    return {
        "owlvit": tiny_detectors.save_owl(folder / "owlvit", 1),
        "owlv2": tiny_detectors.save_owl(folder / "owlv2", 2),
        "grounding-dino": tiny_detectors.save_grounding_dino(folder / "dino"),
    }


class TestZeroShot:
    @pytest.mark.parametrize("kind", ["owlvit", "owlv2", "grounding-dino"])
    def test_gives_a_box_or_nothing_for_each_frame(self, folders, frames, kind):
        detector = load_detector(str(folders[kind]), "cpu")
        assert detector.identity()["kind"] == kind
        found = replace(detector, threshold=0.0).find(frames, "a red ball")
        assert len(found) == len(frames)
        for x1, y1, x2, y2 in filter(None, found):
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1
        assert replace(detector, threshold=1.1).find(frames, "a red ball") == [None] * 3

    @pytest.mark.parametrize(("kind", "side"), [("owlvit", None), ("owlv2", max(WIDTH, HEIGHT))])
    def test_takes_the_highest_score_and_undoes_the_padding(self, folders, frames, kind, side):
        """With a head that says nothing, the box of a patch is its cell: OWLv2 pads frames to a square."""
        detector = replace(load_detector(str(folders[kind]), "cpu"), threshold=0.0)
        torch.nn.init.zeros_(detector.model.box_head.dense2.weight)
        torch.nn.init.zeros_(detector.model.box_head.dense2.bias)
        inputs = detector.processor(
            images=list(frames), text=[["a red ball"]] * len(frames), return_tensors="pt", padding=True
        )
        with torch.no_grad():
            best = detector.model(**inputs).logits[..., 0].sigmoid().argmax(1).tolist()
        cells = tiny_detectors.IMAGE // tiny_detectors.PATCH
        scale_x, scale_y = ((side or WIDTH) / WIDTH, (side or HEIGHT) / HEIGHT)
        for patch, box in zip(best, detector.find(frames, "a red ball"), strict=True):
            row, column = divmod(patch, cells)
            # OWL's own prior: centred on the cell's far corner, of the cell size.
            x, y = (column + 1) / cells * scale_x, (row + 1) / cells * scale_y
            reach_x, reach_y = scale_x / cells / 2, scale_y / cells / 2
            cut = np.clip([x - reach_x, y - reach_y, x + reach_x, y + reach_y], 0, 1)
            if cut[2] <= cut[0] or cut[3] <= cut[1]:
                assert box is None  # in the padding
            else:
                np.testing.assert_allclose(box, cut, atol=0.02)

    def test_a_detector_that_is_not_there_is_one_sentence(self, tmp_path):
        with pytest.raises(EngineError, match=r"HF_HUB_OFFLINE is set; unset it once") as caught:
            load_detector("owlvit", "cpu")  # tests run offline
        assert caught.value.code == "detector_not_loaded"
        with pytest.raises(EngineError, match=r"could not be loaded .* give the folder of a copy"):
            load_detector(str(tmp_path), "cpu")

    def test_a_model_of_another_kind_is_named(self, tmp_path, folders):
        folder = tmp_path / "other"
        shutil.copytree(folders["owlvit"], folder)
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"model_type": "owlvit"', '"model_type": "clip"'))
        with pytest.raises(EngineError) as caught:
            load_detector(str(folder), "cpu")
        assert caught.value.code == "detector_not_loaded"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(EngineError, match=", ".join(NAMES)) as caught:
        load_detector("yolo", "cpu")
    assert caught.value.code == "unknown_detector"


def test_phrases_are_read_back():
    for colour in COLOURS:
        for shape in SHAPES:
            assert read_phrase(subject_phrase(colour, shape).upper()) == (colour, shape)
    for shape, others in SYNONYMS.items():
        for other in others:
            assert read_phrase(f"a small red {other}") == ("red", shape)
    for phrase in ("a dog", "a red", "a red blue ball", "a reddish ball"):
        with pytest.raises(EngineError, match="a red ball") as caught:
            read_phrase(phrase)
        assert caught.value.code == "unknown_subject"


class PaintedClasses(torch.nn.Module):
    """Says what a picture says of itself: red is the shape's class times 10, green the colour times 10."""

    def forward(self, frames):
        numbers = (frames * 255 / 10).round().long()
        shapes = torch.nn.functional.one_hot(numbers[:, 0], 1 + len(SHAPES))
        colours = torch.nn.functional.one_hot(numbers[:, 1], len(COLOURS))
        return shapes.permute(0, 3, 1, 2).float(), colours.permute(0, 3, 1, 2).float()


def painted(*parts) -> np.ndarray:
    """A clip of one frame with rectangles: rows, columns, colour, shape."""
    frame = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    for rows, columns, colour, shape in parts:
        marks = 10 * (SHAPES.index(shape) + 1), 10 * list(COLOURS).index(colour), 0
        frame[0, slice(*rows), slice(*columns)] = marks
    return frame


class TestSegmenter:
    @staticmethod
    def find(*parts, phrase="a blue cone"):
        (box,) = Segmenter(PaintedClasses()).find(painted(*parts), phrase)
        return None if box is None else (box[0] * WIDTH, box[1] * HEIGHT, box[2] * WIDTH, box[3] * HEIGHT)

    def test_a_subject_has_the_box_of_its_pixels(self):
        assert self.find(((5, 15), (20, 50), "blue", "cone")) == pytest.approx((20, 5, 50, 15))

    def test_the_colour_and_the_shape_have_to_be_right(self):
        assert self.find(((5, 15), (20, 50), "red", "cone")) is None
        assert self.find(((5, 15), (20, 50), "blue", "cube")) is None
        assert self.find() is None

    def test_most_of_a_blob_decides_its_shape(self):
        top, rest = ((5, 8), (20, 50), "blue", "cube"), ((8, 15), (20, 50), "blue", "cone")
        assert self.find(top, rest) == pytest.approx((20, 5, 50, 15))
        assert self.find(top, rest, phrase="a blue cube") is None

    def test_the_largest_of_several_is_taken_and_specks_are_none(self):
        large, small = ((5, 15), (40, 60), "blue", "cone"), ((25, 33), (2, 10), "blue", "cone")
        assert self.find(small, large) == pytest.approx((40, 5, 60, 15))
        assert self.find(((5, 7), (40, 42), "blue", "cone")) is None

    def test_a_larger_thing_of_another_shape_does_not_hide_it(self):
        large, small = ((5, 15), (40, 60), "blue", "ball"), ((25, 33), (2, 10), "blue", "cone")
        assert self.find(large, small) == pytest.approx((2, 25, 10, 33))

    def test_things_of_one_colour_that_touch_at_corners_are_two(self):
        one, other = ((5, 15), (20, 30), "blue", "cone"), ((15, 24), (30, 40), "blue", "cone")
        assert self.find(one, other) == pytest.approx((20, 5, 30, 15))

    def test_frames_are_looked_at_one_by_one(self):
        clip = np.concatenate([painted(((5, 15), (x, x + 10), "blue", "cone")) for x in range(40)])
        found = Segmenter(PaintedClasses()).find(clip, "a blue cone")
        assert [round(box[0] * WIDTH) for box in found] == list(range(40))

    @pytest.mark.parametrize("size", [(160, 288), (33, 50)])
    def test_the_network_takes_frames_of_any_size(self, size):
        shapes, colours = SegmentationNetwork(len(SHAPES), len(COLOURS))(torch.rand(2, 3, *size))
        assert shapes.shape == (2, 1 + len(SHAPES), *size)
        assert colours.shape == (2, len(COLOURS), *size)


class TestSegmenterFile:
    def test_is_read_as_it_was_written(self, segmenter_file, frames):
        detector, again = (load_detector(str(segmenter_file), "cpu") for _ in range(2))
        assert detector.identity() == again.identity()
        assert detector.identity()["name"] == "segmenter" and len(detector.identity()["sha256"]) == 16
        for one, other in zip(detector.segment(frames), again.segment(frames), strict=True):
            assert one.shape == frames.shape[:3] and np.array_equal(one, other)

    @pytest.mark.parametrize("damage", ["missing", "cut", "other names", "other world", "no classes"])
    def test_that_cannot_be_used_is_one_sentence(self, segmenter_file, tmp_path, damage):
        path = tmp_path / "weights.safetensors"
        content = segmenter_file.read_bytes()
        if damage == "cut":
            path.write_bytes(content[:1000])
        elif damage == "other names":
            path.write_bytes(content.replace(b"votes.0.bias", b"votes.0.boas"))
        elif damage == "other world":
            path.write_bytes(content.replace(b"cone", b"star"))
        elif damage == "no classes":
            path.write_bytes(content.replace(b'"classes"', b'"klasses"'))
        with pytest.raises(EngineError, match=r"(run|make it with) scripts/\S*train_segmenter.py") as caught:
            load_detector(str(path), "cpu")
        assert caught.value.code == "detector_not_loaded" and "\n" not in caught.value.message
