# SPDX-License-Identifier: GPL-3.0-or-later
import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mathutils import Vector
from scenes import add_camera, add_empty, small_shot

from blender_addon.engine.orders import Order
from blender_addon.interface import overlay, preview_overlay

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
    (red, left), (_, right) = sorted(seen(scene).lines, key=lambda line: line[1][..., 0].mean())
    assert red == (1, 0, 0)
    assert left[..., 0].max() < 0.5 < right[..., 0].min()
    cube.peekaboo.enabled = False
    assert len(seen(scene).lines) == 1


def test_what_hides_a_subject_takes_its_outline(scene):
    add_camera(scene)
    add_empty(scene, size=3, location=(0, -2, 0)).name = "A"
    add_empty(scene, size=1, location=(0, 3, 0)).name = "B"
    (_, near), (_, far) = seen(scene).lines
    assert len(near) and not len(far)


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
    assert preview_overlay.frames_of(there) == range(11, 31)
    assert preview_overlay.previewed(preview_overlay.frames_of(there)) == 21
    moved = Order(1, "a", job, tmp_path, 101)
    assert preview_overlay.previewed(preview_overlay.frames_of(moved)) == 111
    assert preview_overlay.previewed(range(7, 8)) == 7


def test_outlines_that_take_long_do_not_hold_up_an_animation(scene, monkeypatch):
    small_shot(scene)
    bpy.context.view_layer.update()
    assert overlay.current_outlines(bpy.context) is not None
    monkeypatch.setattr(overlay.windows, "is_playing", lambda: True)
    scene.frame_set(2)
    assert overlay.current_outlines(bpy.context) is not None
    monkeypatch.setattr(overlay, "SLOW_SECONDS", 0.0)
    scene.frame_set(3)
    assert overlay.current_outlines(bpy.context) is None
    monkeypatch.undo()
    assert overlay.current_outlines(bpy.context) is not None
