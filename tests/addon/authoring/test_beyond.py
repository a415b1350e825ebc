# SPDX-License-Identifier: GPL-3.0-or-later
"""What a subject does beyond a shot that is keyed anew: the same, whatever its F-Curves are."""

import bpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import add_camera, add_empty

from blender_addon import compat

FIRST, LAST = 1, 72
SHOTS = (1, 25, 49)
EASINGS = ["CONSTANT", "LINEAR", "BEZIER", "SINE", "BACK", "BOUNCE", "ELASTIC"]
HANDLES = ["FREE", "ALIGNED", "VECTOR", "AUTO", "AUTO_CLAMPED"]

keys = st.lists(
    st.tuples(
        st.integers(-10, 85),
        st.floats(-5, 5, width=32),
        st.sampled_from([*EASINGS, "BEZIER", "BEZIER", "BEZIER"]),
        st.sampled_from(HANDLES),
        st.sampled_from(HANDLES),
        st.floats(0.1, 30),
        st.floats(-5, 5),
    ),
    max_size=7,
    unique_by=lambda key: key[0],
)
curves = st.tuples(
    keys,
    st.sampled_from(["CONSTANT", "LINEAR"]),
    st.sampled_from(["NONE", "CONT_ACCEL"]),
    st.booleans(),
)


def build():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = FIRST, LAST
    for frame in SHOTS:
        scene.timeline_markers.new(f"Shot {frame}", frame=frame).camera = add_camera(scene, (0, -frame, 0))
    subject = add_empty(scene, display="SPHERE")
    bpy.context.view_layer.objects.active = subject
    subject.select_set(True)
    return scene, subject


def draw_curve(subject, path, axis, drawn):
    """Give a subject an F-Curve as somebody may have made it by hand."""
    points, extrapolation, smoothing, shakes = drawn
    if not points:
        return
    for frame, value, *_ in points:
        vector = getattr(subject, path).copy()
        vector[axis] = value
        setattr(subject, path, vector)
        subject.keyframe_insert(path, index=axis, frame=frame)
    curve = curve_of(subject, path, axis)
    curve.extrapolation, curve.auto_smoothing = extrapolation, smoothing
    for point, (_, _, interpolation, left, right, reach, rise) in zip(
        curve.keyframe_points, sorted(points), strict=True
    ):
        point.interpolation = interpolation
        point.handle_left_type, point.handle_right_type = left, right
        if left == "FREE":
            point.handle_left = point.co.x - reach, point.co.y + rise
        if right == "FREE":
            point.handle_right = point.co.x + reach, point.co.y - rise
    curve.update()
    if shakes:
        curve.modifiers.new("NOISE").strength = 0.5


def curve_of(subject, path, axis):
    return next(
        (each for each in compat.fcurves(subject) if (each.data_path, each.array_index) == (path, axis)), None
    )


def values(scene, subject, shot, frames=range(FIRST, LAST + 1)):
    """Location and scale at all frames that are not of a shot."""
    start = SHOTS[shot]
    end = [*SHOTS[1:], LAST + 1][shot]
    found = []
    for frame in frames:
        if not start <= frame < end:
            scene.frame_set(frame)
            found.append([*subject.location, *subject.scale])
    return np.array(found)


@settings(max_examples=20)
@given(st.data())
def test_keying_one_shot_changes_no_frame_of_the_others(data):
    scene, subject = build()
    for path, axis in (("location", 0), ("location", 2), ("scale", 1)):
        draw_curve(subject, path, axis, data.draw(curves))
    shot = data.draw(st.integers(0, 2))
    scene.frame_set(SHOTS[shot])
    subject.scale = np.maximum(np.abs(subject.scale), 0.3)  # one that has a size there
    keyed = [FIRST, LAST, *(key.co.x for each in compat.fcurves(subject) for key in each.keyframe_points)]
    frames = range(int(min(keyed)), int(max(keyed)) + 1)  # also beyond the scene's range
    before = values(scene, subject, shot, frames)
    scene.frame_set(SHOTS[shot])
    try:
        bpy.ops.peekaboo.animate_subject(motion=data.draw(st.sampled_from(["LEFT_TO_RIGHT", "CIRCLE"])))
    except RuntimeError as error:
        assert "has no size" in str(error) or "does not fit" in str(error)
    np.testing.assert_allclose(values(scene, subject, shot, frames), before, rtol=1e-4, atol=2e-4)


def test_keys_of_other_shots_keep_their_handles_and_few_are_added():
    scene, subject = build()
    flat = (
        [(f, v, "BEZIER", "AUTO", "AUTO", 1, 0) for f, v in ((1, 0.0), (12, 2.0), (60, -1.0), (70, 0.0))],
    )
    draw_curve(subject, "location", 0, (*flat, "CONSTANT", "CONT_ACCEL", False))
    before = [
        (tuple(point.handle_left), tuple(point.handle_right))
        for point in curve_of(subject, "location", 0).keyframe_points
    ]
    scene.frame_set(30)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
    points = {int(point.co.x): point for point in curve_of(subject, "location", 0).keyframe_points}
    assert sorted(points) == [1, 12, 24, 25, 48, 49, 60, 70]
    for frame, (left, right) in zip((1, 12, 60, 70), before, strict=True):
        if frame != 12:  # the side of the segment that was cut is shorter, in the same direction
            assert points[frame].handle_right[:] == pytest.approx(right, abs=1e-4)
        if frame != 60:
            assert points[frame].handle_left[:] == pytest.approx(left, abs=1e-4)
    assert points[24].interpolation == points[48].interpolation == "CONSTANT"


@pytest.mark.parametrize("off", [2e-5, -2e-5, 0.004])
def test_keys_that_were_scaled_a_hair_off_their_frames_are_those_of_their_shots(off):
    scene, subject = build()
    flat = [(f, float(f % 5), "LINEAR", "AUTO", "AUTO", 1, 0) for f in (1, 12, 24, 25, 48, 49, 60)]
    draw_curve(subject, "location", 0, (flat, "CONSTANT", "NONE", False))
    curve = curve_of(subject, "location", 0)
    for point in curve.keyframe_points:
        point.co.x += off
    curve.update()
    before = values(scene, subject, 1)
    scene.frame_set(30)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
    np.testing.assert_allclose(values(scene, subject, 1), before, atol=0.05)
    assert [round(point.co.x) for point in curve_of(subject, "location", 0).keyframe_points] == [
        *(1, 12, 24, 25, 48, 49, 60)
    ]


def test_frames_beyond_the_preview_range_are_kept_too():
    scene, subject = build()
    scene.peekaboo.use_markers = False
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 25, 48
    subject.location = (1, 2, 3)
    before = values(scene, subject, 1)
    scene.frame_set(30)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
    np.testing.assert_allclose(values(scene, subject, 1), before, atol=1e-6)


def test_a_motion_that_repeats_is_told_of_and_stays():
    scene, subject = build()
    draw_curve(
        subject, "location", 0, ([(1, 0.0, "LINEAR", "AUTO", "AUTO", 1, 0)], "CONSTANT", "NONE", False)
    )
    curve_of(subject, "location", 0).modifiers.new("CYCLES")
    scene.frame_set(30)
    with pytest.raises(RuntimeError, match="repeated by the modifier Cycles"):
        bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
    assert len(compat.fcurves(subject)) == 1
