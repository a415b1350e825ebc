# SPDX-License-Identifier: GPL-3.0-or-later
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_detectors
import torch

from peekaboo_engine.benchmark.detection import NAMES, load_detector
from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, read_phrase, subject_phrase
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
    for phrase in ("a dog", "a red", "a red blue ball", "a reddish ball"):
        with pytest.raises(EngineError, match="a red ball") as caught:
            read_phrase(phrase)
        assert caught.value.code == "unknown_subject"


def flat_clip(colour: str, ground: str = "sand") -> np.ndarray:
    """A square of one colour: what the rules take for a cube."""
    frame = np.empty((HEIGHT, WIDTH, 3))
    frame[:] = GROUNDS[ground]
    frame[8:28, 18:54] = COLOURS[colour]
    return (frame[None] * 255).astype(np.uint8)


def test_the_colour_rules_stand_behind_the_same_interface():
    detector = load_detector("colour", "cpu")
    detector.check("a red cube")
    assert detector.find(flat_clip("red"), "a red cube") == [pytest.approx((0.25, 0.2, 0.75, 0.7))]
    assert detector.find(flat_clip("red"), "a blue cube") == [None]
    with pytest.raises(EngineError, match="a red ball"):
        detector.check("a dog")
