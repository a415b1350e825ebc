# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shot may disappoint with, at which frames."""

import dataclasses

import bpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import add_camera, small_shot

from blender_addon.errors import PeekabooError
from blender_addon.masks import cameras
from blender_addon.shot import findings
from blender_addon.shot.layout import Layout, Subject, Timing, check_in_view, read_layout

HEIGHT, WIDTH = 40, 56


def layout(boxes, frame_start=1, frame_count=None):
    """One subject that fills a box of pixels (left, top, right, bottom) in each frame."""
    labels = np.zeros((len(boxes), HEIGHT, WIDTH), np.uint8)
    for frame, (left, top, right, bottom) in zip(labels, boxes, strict=True):
        frame[top:bottom, left:right] = 1
    timing = Timing(frame_start, frame_count or len(boxes), 24, 1.0, ())
    return Layout((Subject("Ball", {"phrase": "a ball"}),), labels, timing)


def kinds(*boxes):
    return {finding.kind for finding in findings.find(layout(boxes))}


@st.composite
def boxes(draw):
    left, top = draw(st.integers(-20, WIDTH + 20)), draw(st.integers(-20, HEIGHT + 20))
    right, bottom = left + draw(st.integers(1, 30)), top + draw(st.integers(1, 30))
    return tuple(max(0, edge) for edge in (left, top, right, bottom))


@given(boxes())
def test_the_edge_of_the_picture_cuts_what_reaches_it(box):
    left, top, right, bottom = box
    seen = left < min(right, WIDTH) and top < min(bottom, HEIGHT)
    inside = seen and left > 0 and top > 0 and right < WIDTH and bottom < HEIGHT
    assert ("UNSEEN" in kinds(box)) == (not seen)
    assert ("CUT" in kinds(box)) == (seen and not inside)


@given(st.integers(1, 40), st.integers(1, 24))
def test_a_subject_as_large_as_two_cells_is_never_too_small_and_one_of_a_few_pixels_always(x, y):
    assert "SMALL" not in kinds((x, y, x + 2 * findings.CELL - 1, y + 2 * findings.CELL - 1))
    assert "SMALL" in kinds((x, y, x + 5, y + 5))


@given(st.integers(-5, 5), st.integers(1, 90), st.lists(st.booleans(), min_size=1, max_size=24))
def test_frames_are_those_of_the_scene_for_which_the_model_frames_are_held(start, count, present):
    box, nothing = (10, 10, 40, 30), (0, 0, 0, 0)
    found = findings.find(layout([box if here else nothing for here in present], start, count))
    told = {frame for finding in found for low, high in finding.ranges for frame in range(low, high + 1)}
    held = {k: k * len(present) // count for k in range(count)}
    unseen = {start + k for k, i in held.items() if not present[i]}
    assert unseen <= told if count < len(present) else unseen == told
    for finding in found:
        assert all(a[1] + 1 < b[0] for a, b in zip(finding.ranges, finding.ranges[1:], strict=False))


def test_a_finding_is_a_sentence_with_the_frames():
    whole, cut, nothing = (10, 10, 40, 30), (0, 10, 30, 30), (0, 0, 0, 0)
    found = findings.find(layout([nothing, nothing, cut, whole, cut, cut, nothing, whole], 10, 24))
    assert [finding.text for finding in found] == [
        '"a ball" is not seen at frames 10–15 and 28–30: it is out of view, hidden, or behind something.',
        '"a ball" is cut by the edge of the picture at frames 16–18 and 22–27.',
    ]
    (single,) = findings.find(layout([whole, cut, whole]))
    assert single.text.endswith("at frame 2.")


def test_what_the_model_would_lose_is_too_small():
    share = 12 * 12 / (HEIGHT * WIDTH)
    small = layout([(8, 8, 20, 20)])
    assert [finding.kind for finding in findings.find(small, 1.1 * share)] == ["SMALL"]
    assert not findings.find(small, 0.9 * share)


def test_a_camera_cut_is_told_before_all_else():
    shot_of_two = dataclasses.replace(layout([(0, 8, 20, 20)] * 4), cuts=(2, 4))
    told, _ = findings.find(shot_of_two)
    assert told.text == (
        "The camera cuts at frames 2 and 4, but this clip is one take: turn on Shots by Markers."
    )


@given(st.integers(1, 400), st.integers(0, 400))
def test_what_is_seen_of_a_subject_tells_whether_it_is_mostly_hidden(extent, hidden):
    seen = max(0, extent - hidden)
    box = (10, 5, 10 + 20, 5 + 20)
    whole = layout([box])
    whole.labels[0, 5:25, 10:30].flat[: 400 - seen] = 0
    found = findings.find(dataclasses.replace(whole, extents=np.array([[extent]])))
    expected = bool(seen) and seen < findings.MOSTLY_HIDDEN * extent
    assert ("HIDDEN" in {finding.kind for finding in found}) == expected


@given(boxes(), st.frozensets(st.sampled_from(["left", "right", "top", "bottom"])))
def test_what_the_shape_of_the_clip_cuts_off_is_told_apart_from_what_the_camera_does_not_see(box, sides):
    left, top, right, bottom = box
    reaches = {"left": left == 0, "top": top == 0, "right": right >= WIDTH, "bottom": bottom >= HEIGHT}
    seen = left < min(right, WIDTH) and top < min(bottom, HEIGHT)
    found = {finding.kind for finding in findings.find(dataclasses.replace(layout([box]), cropped=sides))}
    assert ("CROPPED" in found) == (seen and any(reaches[side] for side in sides))
    assert ("CUT" in found) == (seen and any(reaches.values()) and "CROPPED" not in found)


def test_a_portrait_crop_that_cuts_a_subject_off_is_told_and_mended_by_framing(scene):
    ball, cube = small_shot(scene)
    bpy.data.objects.remove(cube)
    scene.peekaboo.prompt, ball.location = "a red ball on grass", (1.1, 0, 0)
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080

    def told():
        return {finding.kind for finding in findings.find(read_layout(scene, 160, 288, 4))}

    assert told() == {"CROPPED"}
    ball.location = (2.4, 0, 0)  # which the camera sees whole
    assert told() == {"OUTSIDE"}
    with pytest.raises(PeekabooError, match=r"never in view .* change Framing or Size"):
        check_in_view(scene, read_layout(scene, 160, 288, 4))
    ball.location = (1.1, 0, 0)
    scene.peekaboo.framing = 0.45
    assert not told()
    scene.peekaboo.framing, scene.render.resolution_x, scene.render.resolution_y = 0.0, 1080, 1920
    ball.location = (2.8, 0, 0)
    assert told() <= {"CUT", "UNSEEN"}  # the camera does not see more


@pytest.mark.parametrize("size, told", [((160, 288), True), ((288, 160), False), ((256, 256), False)])
def test_a_clip_that_shows_a_small_part_of_the_cameras_picture_is_told(scene, size, told):
    small_shot(scene)
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080
    found = findings.of_shot(scene, read_layout(scene, *size, 4))
    assert ("PART" in {finding.kind for finding in found}) == told


@given(
    st.tuples(st.integers(100, 4000), st.integers(100, 4000)),
    st.floats(0.2, 5),
    st.floats(-1, 1, width=32),
)
def test_the_picture_is_as_large_as_can_be_and_lies_in_the_frame_where_framing_has_it(size, aspect, framing):
    scene = bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y = size
    scene.peekaboo.framing = framing
    x, y, half_x, half_y = cameras.window(render, aspect)
    assert max(half_x, half_y) == pytest.approx(1)
    assert half_x * size[0] / (half_y * size[1]) == pytest.approx(aspect)
    assert abs(x) + half_x <= 1 + 1e-6 and abs(y) + half_y <= 1 + 1e-6
    assert (x, y) == pytest.approx((framing * (1 - half_x), framing * (1 - half_y)))
    sides = cameras.cropped_sides(render, aspect)
    assert ("left" in sides) == (x - half_x + 1 > 2 * cameras.SLIGHT)
    assert ("top" in sides) == (1 - y - half_y > 2 * cameras.SLIGHT)


def test_a_read_shot_says_where_cameras_cut_and_what_hides_a_subject(scene):
    ball, cube = small_shot(scene, frames=8)
    other = add_camera(scene, location=(0, -9, 0))
    for frame, camera in ((-5, scene.camera), (3, scene.camera), (5, other), (40, scene.camera)):
        scene.timeline_markers.new("Cut", frame=frame).camera = camera
    ball.location, cube.location, cube.scale = (-1.65, 0, 0), (-3.47, 4, 0), (0.3, 0.3, 0.3)
    read = read_layout(scene, 288, 160, 8)
    assert read.cuts == (5,)
    (hidden,) = (finding for finding in findings.find(read) if finding.kind == "HIDDEN")
    assert (hidden.subject, hidden.ranges) == ("a blue cube", ((1, 4),))
