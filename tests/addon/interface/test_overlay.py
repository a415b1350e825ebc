# SPDX-License-Identifier: GPL-3.0-or-later
import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mathutils import Vector
from scenes import add_camera, add_empty, add_mesh, small_shot

from blender_addon.engine.orders import Order
from blender_addon.interface import overlay, preview_overlay, prompt_overlay, strokes

SIZE = (288, 160)


def seen(scene):
    bpy.context.view_layer.update()
    depsgraph = bpy.context.evaluated_depsgraph_get()
    return overlay.outlines(scene, bpy.context.view_layer, depsgraph, SIZE)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_borders_part_a_mask_from_the_rest_at_each_pixel(mask):
    height, width = mask.shape
    lines = np.rint(overlay.border_lines(mask) * (width, height))
    padded = np.pad(mask, 1).astype(int)
    assert len(lines) == np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    # A walk from the left along each row's middle crosses a vertical border wherever the mask changes.
    for row in range(height):
        y = height - row - 0.5
        x = lines[:, :, 0]
        crossed = lines[(x[:, 0] == x[:, 1]) & (np.sort(lines[:, :, 1]) == (y - 0.5, y + 0.5)).all(axis=1)]
        inside = [(crossed[:, 0, 0] < column + 0.5).sum() % 2 == 1 for column in range(width)]
        assert inside == list(mask[row])


@pytest.mark.parametrize("lens", [{}, {"type": "ORTHO", "ortho_scale": 12}, {"shift_x": 0.2, "lens": 35}])
def test_corners_are_those_of_the_camera_where_aspects_agree(scene, lens):
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    camera = add_camera(scene, **lens)
    corners = [world_to_camera_view(scene, camera, Vector(point)) for point in seen(scene).corners]
    assert np.allclose([corner[:2] for corner in corners], [(0, 0), (1, 0), (1, 1), (0, 1)], atol=1e-4)


def test_each_enabled_subject_is_outlined_in_its_colour_where_it_is(scene):
    ball, cube = small_shot(scene)
    ball.peekaboo.color = (1, 0, 0)
    left, right = sorted(seen(scene).subjects, key=lambda subject: subject.lines[..., 0].mean())
    assert left.color == (1, 0, 0) and left.phrase == ball.peekaboo.phrase
    assert left.lines[..., 0].max() < 0.5 < right.lines[..., 0].min()
    cube.peekaboo.enabled = False
    assert len(seen(scene).subjects) == 1


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_fill_covers_the_pixels_of_a_mask_and_no_others(mask):
    height, width = mask.shape
    boxes = np.rint(overlay.runs(mask) * (width, height)).astype(int)
    filled = np.zeros((height, width), int)
    for (left, bottom), (right, top) in boxes:
        filled[height - top : height - bottom, left:right] += 1
    assert (filled == mask).all()


def edges(lines):
    return {tuple(line.ravel()) for line in np.rint(lines * SIZE).astype(int)}


def test_what_hides_a_subject_takes_its_outline_and_leaves_dashes(scene):
    add_camera(scene)
    near = add_empty(scene, size=3, location=(0, -2, 0))
    far = add_empty(scene, "a blue ball", size=1, location=(0, 3, 0))
    near.name, far.name = "A", "B"
    before, behind = seen(scene).subjects
    assert len(before.lines) and len(before.fill) and not len(before.hidden)
    assert not len(behind.lines) and not len(behind.fill)
    near.peekaboo.enabled = False
    (alone,) = seen(scene).subjects
    assert not len(alone.hidden) and edges(behind.hidden) < edges(alone.lines)
    assert 0.3 < len(behind.hidden) / len(alone.lines) < 0.7


def test_a_wall_leaves_dashes_where_objects_of_the_scene_hide(scene):
    add_camera(scene)
    add_empty(scene, size=1)
    add_mesh(scene, [(0, -2, -5), (5, -2, -5), (5, -2, 5), (0, -2, 5)], [(0, 1, 2, 3)])
    (through,) = seen(scene).subjects
    scene.peekaboo.occluded_by_scene = True
    (cut,) = seen(scene).subjects
    assert not len(through.hidden) and len(cut.hidden)
    assert through.lines[..., 0].max() > 0.5 and np.isclose(cut.lines[..., 0].max(), 0.5)
    assert cut.hidden[..., 0].min() >= 0.5 and edges(cut.hidden) < edges(through.lines)


def test_a_camera_that_cannot_be_followed_draws_nothing(scene):
    add_camera(scene, type="PANO")
    add_empty(scene)
    assert seen(scene) is None


@given(st.tuples(*[st.floats(0, 100)] * 4), st.tuples(*[st.floats(0, 100)] * 4))
def test_bars_cover_what_the_camera_sees_and_the_clip_does_not(first, second):
    frame, picture = (np.sort(np.array(box).reshape(2, 2), axis=0) for box in (first, second))
    bars = overlay.bars_around(picture, frame)
    inside = np.clip(picture, *frame)
    areas = np.prod(bars[:, 1] - bars[:, 0], axis=1)
    assert (areas >= -1e-9).all()
    whole, covered = (np.prod(box[1] - box[0]) for box in (frame, inside))
    assert areas.sum() == pytest.approx(whole - covered, abs=1e-6)
    assert (bars[:, 0] >= frame[0] - 1e-9).all() and (bars[:, 1] <= frame[1] + 1e-9).all()


def test_a_preview_is_of_the_middle_of_where_its_clip_goes(tmp_path):
    job = {"timing": {"frame_start": 11, "frame_count": 20}}
    there = Order(1, "a", job, tmp_path)
    assert there.frames == range(11, 31)
    assert preview_overlay.previewed(there.frames) == 21
    moved = Order(1, "a", job, tmp_path, 101)
    assert preview_overlay.previewed(moved.frames) == 111
    assert preview_overlay.previewed(range(7, 8)) == 7


@pytest.mark.parametrize("busy", ["is_playing", "is_hand_busy"])
def test_outlines_that_take_long_hold_up_no_animation_and_no_hand(scene, monkeypatch, busy):
    small_shot(scene)
    bpy.context.view_layer.update()
    assert overlay.current_outlines(bpy.context) is not None
    monkeypatch.setattr(overlay.windows, busy, lambda: True)
    scene.frame_set(2)
    assert overlay.current_outlines(bpy.context) is not None
    monkeypatch.setattr(overlay, "SLOW_SECONDS", 0.0)
    scene.frame_set(3)
    assert overlay.current_outlines(bpy.context) is None
    monkeypatch.undo()
    assert overlay.current_outlines(bpy.context) is not None


@given(st.lists(st.tuples(*(st.integers(0, 60) for _ in range(2)), st.integers(1, 30)), max_size=12))
def test_labels_go_down_until_none_is_over_another(wanted):
    widths = [width for *_, width in wanted]
    places = strokes.stacked([place for *place, _ in wanted], widths, 10)
    labels = [(*place, place[0] + width, place[1] + 10) for place, width in zip(places, widths, strict=True)]
    for index, (left, low, right, top) in enumerate(labels):
        assert left == wanted[index][0] and low <= wanted[index][1]
        for other in labels[:index]:
            assert left >= other[2] or other[0] >= right or low >= other[3] or other[1] >= top
    assert strokes.stacked([(5, 5), (40, 7), (5, 5)], [20, 20, 20], 10) == [(5, 5), (40, 7), (5, -5)]


def test_below_the_frame_is_the_prompt_of_the_shot_at_the_playhead_with_few_lines(scene):
    scene.frame_start, scene.frame_end = 1, 20
    scene.peekaboo.prompt = "a red ball on grass"
    color = tuple(add_empty(scene, "a red ball").peekaboo.color)
    for frame, own in ((1, ""), (10, "sand " * 99 + "and a red ball")):
        marker = scene.timeline_markers.new("Cut", frame=frame)
        marker.camera, marker.peekaboo.prompt = add_camera(scene), own
    scene.frame_set(3)
    [line] = prompt_overlay.lines_for(bpy.context, 1000, 12)
    assert [(run.text, run.color) for run in line] == [("a red ball", color), ("on grass", None)]
    scene.frame_set(12)
    lines = prompt_overlay.lines_for(bpy.context, 300, 12)
    assert len(lines) == prompt_overlay.MOST_LINES and lines[-1][-1].text == "…"


def test_the_prompt_is_where_it_is_seen_however_the_view_is_zoomed():
    assert prompt_overlay.room_for(100, 500, 800, 6) == (100, 400)
    assert prompt_overlay.room_for(-300, 1500, 800, 6) == (6, 788)
    assert prompt_overlay.top_for(200, 60, 6) == 194
    assert prompt_overlay.top_for(40, 60, 6) == 106  # in the frame, whose lower edge it would be cut by
    assert prompt_overlay.top_for(-500, 60, 6) == 66
