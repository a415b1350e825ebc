# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts that are imported before the camera of a scene that is there."""

import json

import bpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import add_camera

from blender_addon import compat
from blender_addon.authoring import box_tracks
from blender_addon.shot.layout import read_layout

BOXES = [[0.1, 0.2, 0.4, 0.7], [0.3, 0.1, 0.6, 0.6], [0.55, 0.3, 0.95, 0.9], [0.2, 0.5, 0.5, 0.9]]


def write(folder, *boxes, **entry):
    """A file of layouts, with the ids "1", "2" and so on."""
    caption = {"caption": "A deer on grass", "subject": "Deer"}
    records = [{"id": str(k), "bboxes": track} | caption | entry for k, track in enumerate(boxes, start=1)]
    (folder / "layouts.json").write_text(json.dumps(records))
    return str(folder / "layouts.json")


def found(scene, frames=4, scale=4):
    layout = read_layout(scene, 288 * scale, 160 * scale, frames)
    return box_tracks.projected_boxes(layout)[:, 0]


@pytest.fixture
def file(tmp_path):
    return write(tmp_path, BOXES, BOXES[::-1])


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["PERSP", "ORTHO"]),
    st.sampled_from([(1920, 1080), (500, 900)]),
    st.floats(-0.3, 0.3),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.sampled_from([1.0, 0.5, 2.0]), min_size=3, max_size=3),
    st.integers(4, 50),
)
def test_boxes_come_back_before_any_camera(tmp_path_factory, kind, resolution, shift, rotation, scale, count):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = resolution
    scene.frame_start, scene.frame_end = 11, 10 + count
    camera = add_camera(scene, (3, 2, 1), rotation, type=kind, shift_x=shift, lens=40)
    camera.scale = scale
    bpy.context.view_layer.update()
    bpy.ops.peekaboo.import_layout(filepath=write(tmp_path_factory.mktemp("layout"), BOXES), distance=7)
    assert box_tracks.box_iou(found(scene), np.array(BOXES)).min() > 0.96
    assert (scene.frame_start, scene.frame_end) == (11, 10 + count)


def test_the_subject_stays_in_its_place_of_the_picture_when_the_camera_moves(scene, file):
    camera = add_camera(scene)
    scene.frame_end = 4
    bpy.ops.peekaboo.import_layout(filepath=file)
    camera.location, camera.rotation_euler = (5, 5, 5), (1, 1, 1)
    assert box_tracks.box_iou(found(scene), np.array(BOXES)).min() > 0.96


def test_the_subject_the_prompt_and_the_selection_are_the_layouts(scene, file):
    add_camera(scene)
    bpy.ops.peekaboo.import_layout(filepath=file, record="2")
    assert bpy.context.object.peekaboo.phrase == "deer" and bpy.context.object.peekaboo.is_subject
    assert scene.peekaboo.prompt == "A deer on grass"
    assert bpy.context.selected_objects == [bpy.context.object]
    assert box_tracks.box_iou(found(scene), np.array(BOXES[::-1])).min() > 0.96


def test_prompt_and_frames_change_only_if_wanted(scene, file):
    add_camera(scene)
    scene.peekaboo.prompt = "my deer"
    bpy.ops.peekaboo.import_layout(filepath=file, use_caption=False, use_timing=True)
    assert scene.peekaboo.prompt == "my deer"
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, 4, box_tracks.FPS)
    frames = [key.co.x for curve in compat.fcurves(bpy.context.object) for key in curve.keyframe_points]
    assert set(frames) == {1, 2, 3, 4}


def test_several_layouts_go_behind_one_another(scene, tmp_path):
    add_camera(scene)
    small, large = [[0.4, 0.4, 0.6, 0.6]] * 2, [[0.2, 0.2, 0.8, 0.8]] * 2
    bpy.ops.peekaboo.import_layout(filepath=write(tmp_path, small), distance=5)
    bpy.ops.peekaboo.import_layout(filepath=write(tmp_path, large), distance=9)
    scene.peekaboo.prompt = " and ".join(obj.peekaboo.phrase for obj in scene.objects if obj.type == "EMPTY")
    areas = [(read_layout(scene, 288, 160, 2).labels == label).sum() for label in (1, 2)]
    assert min(areas) == pytest.approx(2 * 0.04 * 288 * 160, rel=0.05)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON"),
        ("{}", "not a list of layouts"),
        ("[]", "holds no layout"),
        ("[{}]", "is incomplete"),
        ('[{"id": 1, "caption": "a", "subject": "a", "bboxes": [[0, 0, 0, 0]]}]', "in no frame"),
    ],
)
def test_files_with_quirks_are_refused_in_one_sentence_and_change_nothing(scene, tmp_path, text, problem):
    add_camera(scene)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RuntimeError, match=problem):
        bpy.ops.peekaboo.import_layout(filepath=str(tmp_path / "a.json"))
    assert len(scene.objects) == 1 and not scene.peekaboo.prompt


def test_an_id_that_is_not_there_and_a_missing_file_are_told(scene, file, tmp_path):
    add_camera(scene)
    with pytest.raises(RuntimeError, match='no layout "9" in the file: choose "1"'):
        bpy.ops.peekaboo.import_layout(filepath=file, record="9")
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.peekaboo.import_layout(filepath=str(tmp_path / "none.json"))
