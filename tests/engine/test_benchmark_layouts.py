# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout files as the paper released them, written here by hand to the shape of each, with its quirks."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from peekaboo_engine.benchmark.layouts import combine, read_layouts, spread
from peekaboo_engine.benchmark.tracks import fill_gaps, label_map, resample_track, track_of_label
from peekaboo_engine.errors import EngineError

UNIT = st.floats(0, 1, allow_subnormal=False)
EMPTY = [0.5, 0.5, 0.5, 0.5]


@st.composite
def boxes(draw):
    x1, x2 = sorted((draw(UNIT), draw(UNIT)))
    y1, y2 = sorted((draw(UNIT), draw(UNIT)))
    return x1, y1, x2, y2


def imc_record(**changes):
    """16 frames, numbers for identifiers, metadata of the motion."""
    record = {
        "id": 1100,
        "caption": "A fox sitting in a quiet meadow.",
        "subject": "Fox",
        "bboxes": [[0.1 + 0.01 * frame, 0.2, 0.4 + 0.01 * frame, 0.6] for frame in range(16)],
        "metadata": {"motion": "Left to right", "bounding_box_size": "Medium"},
    }
    return {**record, **changes}


def davis_record(**changes):
    """24 frames."""
    metadata = {"davis_name": "fox", "orig_id": 0}
    return imc_record(id=1, bboxes=[[0.2, 0.1, 0.7, 0.8]] * 24, metadata=metadata, **changes)


def lasot_record(**changes):
    """24 frames, boxes as x1, x2, y1, y2; here at the top right, so that x1 > y1."""
    metadata = {"lasot_name": "fox-1", "orig_id": 1, "lasot_start_frame": 1152.0}
    record = imc_record(id=2, bboxes=[[0.6, 0.9, 0.1, 0.3]] * 24, metadata=metadata)
    return {**record, **changes}


def ssv2_record(**changes):
    """7 to 30 frames, text for identifiers; a point in the middle where the detector found nothing."""
    boxes = [[0.1, 0.1, 0.3, 0.3], EMPTY, [0.3, 0.1, 0.5, 0.3], *[EMPTY] * 4]
    return {**imc_record(id="125199", bboxes=boxes, metadata={}), **changes}


def write(folder, *records):
    path = folder / "layouts.json"
    path.write_text(json.dumps(records))
    return path


class TestReleasedFiles:
    def test_imc_and_davis_are_as_documented(self, tmp_path):
        for record in (imc_record(), davis_record()):
            found = read_layouts(write(tmp_path, record))
            (layout,) = found.layouts
            assert (layout.id, layout.caption) == (str(record["id"]), record["caption"])
            assert layout.tracks[0].subject == "Fox"
            np.testing.assert_allclose(layout.tracks[0].boxes, record["bboxes"])
            assert found.findings == []

    def test_lasot_is_put_in_order_as_a_whole(self, tmp_path):
        # The second record would pass for x1, y1, x2, y2: the file decides, not the record.
        path = write(tmp_path, lasot_record(), lasot_record(id=3, bboxes=[[0.1, 0.2, 0.3, 0.4]] * 24))
        found = read_layouts(path)
        assert found.layouts[0].tracks[0].boxes[0].tolist() == [0.6, 0.1, 0.9, 0.3]
        assert found.layouts[1].tracks[0].boxes[0].tolist() == [0.1, 0.3, 0.2, 0.4]
        assert found.findings == [
            "boxes are in the order x1, x2, y1, y2 (documented: x1, y1, x2, y2): reordered"
        ]

    def test_lasot_boxes_a_little_outside_are_clipped_and_empty_tracks_left_out(self, tmp_path):
        outside = lasot_record(bboxes=[[0.6, 1.00278, 0.1, 0.3]] * 24)
        found = read_layouts(write(tmp_path, outside, lasot_record(id=265, bboxes=[[0.0] * 4] * 24)))
        assert [layout.id for layout in found.layouts] == ["2"]
        assert found.layouts[0].tracks[0].boxes[:, 2].max() == 1
        assert found.findings[1:] == [
            "24 boxes reach beyond the frame: clipped",
            "1 records have no box at all (265): left out",
        ]

    def test_ssv2_gaps_are_filled_and_lengths_named(self, tmp_path):
        found = read_layouts(write(tmp_path, ssv2_record(), ssv2_record(id="7", bboxes=[[0, 0, 1, 1]] * 30)))
        track = found.layouts[0].tracks[0].boxes
        assert track[1] == pytest.approx([0.2, 0.1, 0.4, 0.3])  # half-way
        np.testing.assert_allclose(track[3:], [[0.3, 0.1, 0.5, 0.3]] * 4)  # held
        assert found.findings == [
            "5 empty boxes in 1 other records: filled in from the frames around them",
            "tracks have 7 to 30 frames: stretched to the model's number",
        ]

    def test_the_cleaned_form_needs_no_metadata(self, tmp_path):
        record = imc_record(id="1100")
        del record["metadata"]
        assert read_layouts(write(tmp_path, record)).layouts[0].id == "1100"


class TestBadFiles:
    @pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"bboxes": []}'])
    def test_what_is_no_layouts_file_is_one_sentence(self, tmp_path, text):
        path = tmp_path / "layouts.json"
        path.write_text(text)
        with pytest.raises(EngineError, match="give a"):
            read_layouts(path)

    def test_a_missing_file_and_an_empty_folder(self, tmp_path):
        with pytest.raises(EngineError, match="Cannot read the layouts"):
            read_layouts(tmp_path / "none.json")
        with pytest.raises(EngineError, match=r"holds no job\.json"):
            read_layouts(tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"bboxes": [[0.1, 0.2, 0.5]]}, "Record 1 .* 4 numbers"),
            ({"bboxes": []}, "Record 1 .* 4 numbers"),
            ({"bboxes": [["left", 0, 1, 1]]}, "Record 1 .* 4 numbers"),
            ({"caption": None}, "Record 1 .*caption"),
            ({"boxes": []}, "Record 1 .*boxes"),
            ({"bboxes": [[0.1, 0.2, 0.5, float("nan")]]}, "Record 1 .* not x1, y1, x2, y2"),
            ({"bboxes": [[0.5, 0.6, 0.1, 0.2]]}, "Record 1 .* not x1, y1, x2, y2"),  # in neither order
            ({"bboxes": [[10, 20, 110, 220]]}, r"Record 1 .* outside 0\.\.1; divide"),
            ({"id": 1100}, "more than one record with the id 1100"),
        ],
    )
    def test_the_record_and_the_fault_are_named(self, tmp_path, changes, message):
        path = write(tmp_path, imc_record(), imc_record(**{"id": 1101, **changes}))
        with pytest.raises(EngineError, match=message) as caught:
            read_layouts(path)
        assert caught.value.code == "layouts_invalid"
        assert "\n" not in caught.value.message

    def test_a_set_without_a_box(self, tmp_path):
        with pytest.raises(EngineError, match="Every box"):
            read_layouts(write(tmp_path, ssv2_record(bboxes=[EMPTY] * 7)))


class TestJobFolders:
    def test_a_job_is_a_layout_of_its_masks(self, make_job):
        folder = make_job()
        found = read_layouts(folder)
        (layout,) = found.layouts
        assert layout.caption == "a red ball and a blue cube on grass"
        assert [track.subject for track in layout.tracks] == ["a red ball", "a blue cube"]
        assert layout.tracks[1].boxes[0] == pytest.approx([60 / 96, 40 / 64, 90 / 96, 60 / 64])
        assert layout.labels.shape == (5, 64, 96)
        assert [other.id for other in read_layouts(folder.parent).layouts] == ["job"]  # a folder of jobs

    def test_a_subject_has_no_box_where_it_is_not_seen(self, make_job, two_boxes):
        two_boxes[:2][two_boxes[:2] == 2] = 0
        layout = read_layouts(make_job(labels=two_boxes)).layouts[0]
        assert np.isnan(layout.tracks[1].boxes).all(1).tolist() == [True, True, False, False, False]


class TestDavis:
    """The two downloads, two sequences each of three frames: one of them is validated."""

    PALETTE = (0, 0, 0, 128, 0, 0, 0, 128, 0)

    def write(self, folder, year):
        for name, left in (("bmx-trees", 8), ("bear", 2)):
            place = folder / "Annotations" / "480p" / name
            place.mkdir(parents=True)
            for frame in range(3):
                mask = np.zeros((12, 24), np.uint8)
                if (name, frame) != ("bmx-trees", 1):  # where the bicycle is hidden
                    mask[3:6, left + 2 * frame : left + 2 * frame + 4] = 1
                    mask[6:9, left + 2 * frame : left + 2 * frame + 4] = 2  # its rider
                picture = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8) if year == 2016 else mask)
                if year == 2017:
                    picture.putpalette(self.PALETTE)
                picture.save(place / f"{frame:05}.png")
        files = [f"480p/bmx-trees/{frame:05}" for frame in range(3)]
        lines = [f"/JPEGImages/{file}.jpg /Annotations/{file}.png" for file in files]
        listed = folder / "ImageSets" / ("480p" if year == 2016 else "2016") / "val.txt"
        listed.parent.mkdir(parents=True)
        listed.write_text("\n".join(lines if year == 2016 else ["bmx-trees"]) + "\n")
        return folder

    @pytest.mark.parametrize("year", [2016, 2017])
    def test_masks_become_boxes_of_the_whole_foreground(self, tmp_path, year):
        found = read_layouts(self.write(tmp_path / "DAVIS", year))
        [layout] = found.layouts
        assert (layout.id, layout.caption, layout.labels) == ("bmx-trees", "a bmx trees", None)
        top, bottom = 3 / 12, 9 / 12
        expected = [(left / 24, top, (left + 4) / 24, bottom) for left in (8, 10, 12)]
        np.testing.assert_allclose(layout.tracks[0].boxes, expected)  # the hidden frame is filled in
        assert any("1 frames show no object" in finding for finding in found.findings)
        assert any("no caption" in finding for finding in found.findings)

    def test_captions_and_no_list(self, tmp_path):
        folder = self.write(tmp_path / "DAVIS", 2017)
        (folder / "ImageSets" / "2016" / "val.txt").unlink()
        told = {"bear": {"caption": "a brown bear walks", "subject": "a brown bear"}}
        (folder / "captions.json").write_text(json.dumps(told))
        found = read_layouts(folder)
        assert [(each.id, each.tracks[0].subject) for each in found.layouts] == [
            ("bear", "a brown bear"),
            ("bmx-trees", "a bmx trees"),
        ]
        (folder / "captions.json").write_text('{"bear": "a brown bear"}')
        with pytest.raises(EngineError, match="is not of the form"):
            read_layouts(folder)

    def test_what_is_missing_or_no_picture_is_one_sentence(self, tmp_path):
        folder = self.write(tmp_path / "DAVIS", 2016)
        mask = folder / "Annotations" / "480p" / "bmx-trees" / "00001.png"
        mask.write_bytes(b"no picture")
        with pytest.raises(EngineError, match="is no PNG"):
            read_layouts(folder)
        for file in mask.parent.iterdir():
            file.unlink()
        with pytest.raises(EngineError, match="holds no masks"):
            read_layouts(folder)


class TestSelection:
    def test_spread_is_even(self):
        assert spread(list(range(126)), 24)[:4] == [0, 5, 10, 15]
        assert spread([1, 2], 24) == [1, 2]

    def test_partners_are_those_that_overlap_least(self, tmp_path):
        left, right, both = [0, 0, 0.4, 1], [0.6, 0, 1, 1], [0.3, 0, 0.7, 1]
        records = [imc_record(id=i, bboxes=[box] * 16) for i, box in enumerate((left, both, right))]
        layouts = read_layouts(write(tmp_path, *records)).layouts
        assert [layout.id for layout in combine(layouts, 2)] == ["0+2", "1+2", "2+0"]
        assert [layout.id for layout in combine(layouts, 3)] == ["0+2+1", "1+2+0", "2+0+1"]
        with pytest.raises(EngineError, match="too few for 4"):
            combine(layouts, 4)


class TestTracks:
    @given(st.integers(1, 30), st.integers(2, 30))
    def test_resampling_keeps_the_ends_and_a_steady_motion(self, before, after):
        steady = np.linspace([0, 0, 0.2, 0.2], [0.8, 0.6, 1, 0.8], before)
        again = resample_track(steady, after)
        assert again[0] == pytest.approx(steady[0])
        assert again[-1] == pytest.approx(steady[-1])
        assert np.diff(again, axis=0) == pytest.approx(np.broadcast_to(again[1] - again[0], (after - 1, 4)))

    @given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
    def test_filling_leaves_what_is_known(self, known):
        track = np.arange(4.0 * len(known)).reshape(-1, 4)
        filled = fill_gaps(track, np.array(known))
        np.testing.assert_array_equal(filled[known], track[known])
        assert (np.diff(filled, axis=0) >= 0).all()

    def test_a_pixel_is_labelled_by_its_centre(self):
        labels = label_map([np.array([[0.25, 0, 0.75, 0.5]])], width=8, height=4)
        assert labels.dtype == np.uint8
        assert labels[0].tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]] * 2 + [[0] * 8] * 2

    def test_later_tracks_lie_over_earlier_ones(self):
        labels = label_map([np.array([[0, 0, 1, 1]]), np.array([[0.5, 0, 1, 1]])], width=4, height=1)
        assert labels.tolist() == [[[1, 1, 2, 2]]]

    @given(boxes())
    def test_no_box_vanishes(self, box):
        assert label_map([np.array([box])], width=9, height=5).any()

    @given(st.integers(0, 6), st.integers(0, 3), st.integers(1, 2), st.integers(1, 2))
    def test_a_label_gives_its_box_back(self, x, y, width, height):
        box = np.array([[x / 8, y / 5, (x + width) / 8, (y + height) / 5]])
        labels = label_map([box], width=8, height=5)
        np.testing.assert_allclose(track_of_label(labels, 1), box, atol=1e-9)
        assert np.isnan(track_of_label(labels, 2)).all()
