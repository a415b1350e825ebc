# SPDX-License-Identifier: GPL-3.0-or-later
"""What the repository keeps of a result of `evaluate`."""

import json

import pytest
import summarise
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = ["layout", "control", "subject", "frames", "detected", "miou"]


def result_of(rows):
    return {
        "command": "evaluate",
        "rows": [{"control": "none"}],
        "scenes": {},
        "clips": {"columns": COLUMNS, "data": rows},
    }


def rows_of(control, mious, detected=16):
    return [[str(layout), control, 1, 16, detected, miou] for layout, miou in enumerate(mious)]


def test_a_summary_keeps_the_rows_and_no_clips():
    data = [*rows_of("none", [0.1, 0.2]), *rows_of("strong", [0.6, 0.7], detected=0)]
    summary = summarise.summary_of(result_of(data), None)
    assert summary["command"] == "evaluate" and summary["rows"] == [{"control": "none"}]
    assert not {"scenes", "clips", "by_area"} & set(summary)
    assert summary["lost"] == {"none": 0, "strong": 2}
    assert list(summary["differences"]) == ["strong - none"]  # once, not in both directions


def test_what_is_kept_is_counted_of_what_was_there():
    data = [*rows_of("none", [0.1]), ["1", "none", 1, 16, 8, 0.1], *rows_of("strong", [0.6, 0.7], detected=9)]
    assert summarise.summary_of(result_of(data), None)["kept"] == {"none": 1.0, "strong": 1.0}
    lost = [*rows_of("none", [0.1, 0.2]), *rows_of("strong", [0.6, 0.7], detected=8)]
    assert summarise.summary_of(result_of(lost), None)["kept"]["strong"] == 0


def test_an_equal_gain_on_every_layout_leaves_no_doubt():
    data = [*rows_of("none", [0.1, 0.2, 0.3]), *rows_of("strong", [0.6, 0.7, 0.8])]
    found = summarise.summary_of(result_of(data), None)["differences"]["strong - none"]
    assert found == {"layouts": 3, "miou": 0.5, "interval_95": [0.5, 0.5], "layouts_below": 0}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_interval_lies_among_the_gains(pairs):
    theirs, ours = zip(*pairs, strict=True)
    clips = summarise.clips_of(result_of([*rows_of("none", theirs), *rows_of("new", ours)]))
    controls = summarise.by_control(clips)
    found = summarise.paired_difference(controls["new"], controls["none"])
    gains = [our - their for their, our in pairs]
    low, high = found["interval_95"]
    assert min(gains) - 1e-4 <= low <= high <= max(gains) + 1e-4
    assert found["layouts_below"] == sum(gain < 0 for gain in gains)


def test_subjects_of_one_clip_are_resampled_together():
    """Two subjects that differ in opposite ways make a layout without a difference, whichever is drawn."""
    base = [["a", "none", 1, 16, 16, 0.5], ["a", "none", 2, 16, 16, 0.5]]
    own = [["a", "new", 1, 16, 16, 0.9], ["a", "new", 2, 16, 16, 0.1]]
    found = summarise.summary_of(result_of(base + own), None)["differences"]["new - none"]
    assert found["layouts"] == 1 and found["interval_95"] == [0, 0]


def test_clips_are_told_apart_by_the_area_of_their_boxes():
    controls = summarise.by_control(
        summarise.clips_of(result_of([*rows_of("none", [0.1, 0.3]), *rows_of("new", [0.2, 0.4])]))
    )
    small, large = summarise.bins_of(controls, {"0": 0.005, "1": 0.5})
    assert small == {
        "area": [0.0, 0.01],
        "clips": 1,
        "none": {"miou": 0.1, "coverage": 1.0},
        "new": {"miou": 0.2, "coverage": 1.0},
    }
    assert large["area"] == [0.3, 1.0] and large["new"]["miou"] == pytest.approx(0.4)


def test_how_well_silhouettes_are_filled_is_told_with_its_interval_and_by_their_area():
    columns, data = [*COLUMNS, "pixel_iou"], [[*row, row[-1]] for row in rows_of("new", [0.2, 0.4])]
    result = {"rows": [], "clips": {"columns": columns, "data": data}}
    summary = summarise.summary_of(result, {"0": 0.005, "1": 0.5})
    assert summary["pixel_iou"] == {"new": {"mean": 0.3, "interval_95": [0.2, 0.4]}}
    assert [row["new"]["pixel_iou"] for row in summary["by_area"]] == [0.2, 0.4]
    assert "pixel_iou" not in summarise.summary_of(result_of(rows_of("new", [0.2])), None)


def test_the_command_replaces_the_file_that_it_read(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result_of(rows_of("none", [0.1]))))
    summarise.main(path, path)
    assert "clips" not in json.loads(path.read_text())
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]
