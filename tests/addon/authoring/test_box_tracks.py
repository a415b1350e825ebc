# SPDX-License-Identifier: GPL-3.0-or-later
"""Box tracks to scenes and back."""

import json

import bpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender_addon.authoring import box_tracks
from blender_addon.errors import PeekabooError
from blender_addon.shot.layout import read_layout


@st.composite
def tracks(draw):
    """Some boxes of a size that pixels can follow, one at least."""
    count = draw(st.integers(1, 5))
    ranges = st.tuples(st.floats(0, 0.8), st.floats(0.2, 1)).map(lambda r: (r[0], min(1, r[0] + r[1])))
    return [[x[0], y[0], x[1], y[1]] for x, y in (draw(st.tuples(ranges, ranges)) for _ in range(count))]


def project_back(boxes, scale=4):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    record = box_tracks.BoxTrack("1", "A deer on grass", "deer", np.array(boxes))
    box_tracks.build(bpy.context.scene, [record])
    return read_layout(bpy.context.scene, scale * 288, scale * 160, len(boxes))


@settings(max_examples=25)
@given(tracks())
def test_boxes_come_back(boxes):
    layout = project_back(boxes)
    back = box_tracks.projected_boxes(layout)[:, 0]
    assert box_tracks.box_iou(back, np.array(boxes)).min() >= 0.97
    areas = np.prod(back[:, 2:] - back[:, :2], axis=1)
    assert (layout.labels > 0).mean(axis=(1, 2)) == pytest.approx(areas, rel=0.03)  # a mask fills its box


def test_a_subject_is_absent_where_its_box_has_no_area():
    layout = project_back([[0.1, 0.1, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3], [0.1, 0.1, 0.5, 0.5]])
    assert [labels.any() for labels in layout.labels] == [True, False, True]


def test_the_subject_stands_in_the_prompt_as_the_caption_has_it(tmp_path):
    entry = {"id": 5, "caption": "A white deer on grass", "subject": "Deer", "bboxes": [[0, 0, 1, 1]]}
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    (record,) = box_tracks.load(tmp_path / "a.json")
    assert (record.id, record.phrase) == ("5", "deer")


@pytest.mark.parametrize(
    "text", ["", "{}", "[{}]", '[{"id": "1", "caption": "a", "subject": "a", "bboxes": [[0, 1]]}]']
)
def test_other_files_are_refused_in_one_sentence(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(PeekabooError, match=r"a\.json"):
        box_tracks.load(tmp_path / "a.json")


def test_a_track_without_any_box_is_refused(scene):
    record = box_tracks.BoxTrack("1", "A deer", "deer", np.zeros((3, 4)))
    with pytest.raises(PeekabooError, match="in no frame"):
        box_tracks.build(scene, [record])


def test_several_subjects_go_to_a_file_and_back(scene, tmp_path):
    boxes = np.array([[[0.1, 0.2, 0.4, 0.8], [0.2, 0.2, 0.5, 0.8]], [[0.5, 0.1, 0.9, 0.5]] * 2])
    records = [
        box_tracks.BoxTrack(str(k), "A deer and a fox", phrase, boxes[k])
        for k, phrase in enumerate(("deer", "fox"))
    ]
    box_tracks.build(scene, records)
    layout = read_layout(scene, 4 * 288, 4 * 160, 2)
    (tmp_path / "a.json").write_text(json.dumps(box_tracks.records_of(layout, scene.peekaboo.prompt)))
    back = {record.phrase: record for record in box_tracks.load(tmp_path / "a.json")}
    assert back["fox"].caption == "A deer and a fox"
    for record in records:
        assert box_tracks.box_iou(back[record.phrase].boxes, record.boxes).min() >= 0.97


def test_records_of_different_clips_do_not_mix(scene):
    records = [
        box_tracks.BoxTrack("1", "A deer", "deer", np.array([[0.1, 0.1, 0.5, 0.5]] * n)) for n in (2, 3)
    ]
    with pytest.raises(PeekabooError, match="different numbers of frames"):
        box_tracks.build(scene, records)
