# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions that keyframe a subject in view: seen by projecting every frame."""

import bpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mathutils import Euler, Vector
from scenes import add_camera, add_empty, add_mesh

from blender_addon import compat
from blender_addon.authoring import box_tracks, motions
from blender_addon.shot import findings
from blender_addon.shot.layout import read_layout

FRAMES = 24


@st.composite
def cameras(draw):
    """Settings of a camera of any kind, and whether it moves."""
    lens = {
        "type": draw(st.sampled_from(["PERSP", "ORTHO"])),
        "lens": draw(st.floats(18, 90)),
        "ortho_scale": draw(st.floats(3, 12)),
        "shift_x": draw(st.sampled_from([0, 0.3, -0.2])),
        "shift_y": draw(st.sampled_from([0, 0.2, -0.3])),
        "sensor_fit": draw(st.sampled_from(["AUTO", "HORIZONTAL", "VERTICAL"])),
    }
    angle = st.floats(-3, 3)
    return {
        "location": [draw(st.floats(-5, 5)) for _ in range(3)],
        "rotation": [draw(angle) for _ in range(3)],
        "resolution": draw(st.sampled_from([(1920, 1080), (1080, 1920), (500, 500)])),
        "moves": draw(st.booleans()),
        **lens,
    }


def key_frames(obj, path="location"):
    """The frames at which a property has keyframes."""
    return sorted(
        {
            key.co.x
            for curve in compat.fcurves(obj)
            if curve.data_path == path
            for key in curve.keyframe_points
        }
    )


def build(location=(0, -10, 0), rotation=(np.pi / 2, 0, 0), resolution=(1920, 1080), moves=False, **lens):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 5, 4 + FRAMES
    scene.render.resolution_x, scene.render.resolution_y = resolution
    camera = add_camera(scene, location, rotation, **lens)
    if moves:
        for frame, turn in ((5, 0.0), (28, 0.5)):
            camera.rotation_euler = Euler(rotation).to_quaternion().to_euler()
            camera.rotation_euler.x += turn
            camera.location = Vector(location) + Vector((3 * turn, turn, 0))
            camera.keyframe_insert("rotation_euler", frame=frame)
            camera.keyframe_insert("location", frame=frame)
    scene.frame_set(5)
    return scene


def add_subject(scene, display="SPHERE", **options):
    subject = add_empty(scene, display=display, **options)
    bpy.context.view_layer.objects.active = subject
    bpy.context.view_layer.update()
    return subject


def boxes(scene, scale=1):
    """The subject's box in each scene frame: (frames, 4), relative x1, y1, x2, y2 from the top left."""
    layout = read_layout(scene, 288 * scale, 160 * scale, FRAMES)
    asked = {"SMALL", "CAMERA"}
    assert [finding.text for finding in findings.find(layout) if finding.kind not in asked] == []
    return box_tracks.projected_boxes(layout)[:, 0]


def centers(found):
    return (found[:, :2] + found[:, 2:]) / 2


def sides(found):
    return found[:, 2:] - found[:, :2]


@pytest.mark.slow
@settings(max_examples=40)
@given(
    cameras(),
    st.sampled_from(sorted(motions.MOTIONS)),
    st.sampled_from(["SPHERE", "CUBE", "CONE", "ARROWS"]),
    st.floats(0.1, 0.5),
)
def test_a_subject_moves_as_named_and_is_wholly_in_view_all_the_time(camera, name, display, size):
    scene = build(**camera)
    subject = add_subject(scene, display, rotation=(0.4, 0.2, 1), scale=(1, 0.8, 1.2))
    bpy.ops.peekaboo.animate_subject(motion=name, size=size, depth=7)
    assert len(key_frames(subject)) == len(motions.MOTIONS[name].knots)
    found = boxes(scene)
    x, y = centers(found).T
    area = np.prod(sides(found), axis=1)
    pixel = 1 / 160
    match name:
        case "LEFT_TO_RIGHT":
            assert (np.diff(x) > -pixel).all() and found[0, 0] < 0.06 and found[-1, 2] > 0.94
        case "RIGHT_TO_LEFT":
            assert (np.diff(x) < pixel).all() and found[-1, 0] < 0.06 and found[0, 2] > 0.94
        case "APPROACH":
            assert (np.diff(sides(found), axis=0) > -2 * pixel).all() and area[-1] > 3 * area[0]
        case "RECEDE":
            assert (np.diff(sides(found), axis=0) < 2 * pixel).all() and area[0] > 3 * area[-1]
        case "CIRCLE":
            turn = np.unwrap(np.arctan2((x - x.mean()) * 288, -(y - y.mean()) * 160))
            assert (np.diff(turn) > 0).all() and turn[-1] - turn[0] == pytest.approx(2 * np.pi, abs=0.5)
        case "BOUNCE":
            lowest = found[:, 3]
            assert lowest[0] > 0.93 and found[:, 1].min() < 0.1
            landings = np.flatnonzero((lowest[1:-1] > lowest[:-2]) & (lowest[1:-1] >= lowest[2:]))
            assert len(landings) == motions.BOUNCES - 1


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("display", ["SPHERE", "CUBE", "CONE", "CIRCLE"])
def test_size_and_distance_are_as_asked(kind, display):
    scene = build(type=kind)
    subject = add_subject(scene, display)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0.5, depth=30)
    assert sides(boxes(scene)).max(axis=1) == pytest.approx(0.5, rel=0.15)
    assert subject.location.y == pytest.approx(20, abs=1e-4)


def test_a_still_camera_needs_few_keyframes_and_the_path_is_smooth():
    scene = build()
    subject = add_subject(scene)
    for name, motion in motions.MOTIONS.items():
        bpy.ops.peekaboo.animate_subject(motion=name)
        counts = {curve.data_path: len(curve.keyframe_points) for curve in compat.fcurves(subject)}
        assert counts == {"location": len(motion.knots)}
    bpy.ops.peekaboo.animate_subject(motion="CIRCLE")
    ring = []
    for frame in range(5, 29):
        scene.frame_set(frame)
        ring.append((subject.location.x, subject.location.z))
    middle = (np.max(ring, axis=0) + np.min(ring, axis=0)) / 2
    radii = np.linalg.norm(np.array(ring) - middle, axis=1)
    assert radii == pytest.approx(radii.mean(), rel=0.02)


def test_a_subject_keeps_its_height_size_and_distance_where_told():
    scene = build()
    subject = add_subject(scene, location=(0, 2, 1.2), size=0.5)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0, depth=0)
    assert tuple(subject.scale) == (1, 1, 1)
    for frame in (5, 17, 28):
        scene.frame_set(frame)
        assert tuple(subject.location[1:]) == pytest.approx((2, 1.2), abs=1e-4)


def test_a_subject_behind_the_camera_is_brought_before_it():
    scene = build()
    add_subject(scene, location=(0, -30, 0))
    bpy.ops.peekaboo.animate_subject(motion="APPROACH")
    boxes(scene)


def test_a_mesh_that_turns_stays_in_view_and_keeps_its_turning():
    scene = build(lens=35)
    subject = add_mesh(scene, [(0, 0, 0), (3, 0, 0), (0, 0.2, 0), (0, 0, 0.3)], [(0, 1, 2), (0, 1, 3)])
    subject.peekaboo.is_subject, subject.peekaboo.phrase = True, "a stick"
    for frame, turn in ((5, 0), (28, 6)):
        subject.rotation_euler = (0, turn, 0)
        subject.keyframe_insert("rotation_euler", frame=frame)
    bpy.context.view_layer.objects.active = subject
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0.5)
    boxes(scene)
    assert {curve.data_path for curve in compat.fcurves(subject)} == {"rotation_euler", "location"}


@settings(max_examples=8)
@given(st.floats(-1.2, 1.2), st.floats(-0.5, 0.5), st.integers(5, 28), st.sampled_from([20, 35, 60]))
def test_from_left_to_right_is_so_in_the_picture_however_the_camera_pans(pan, roll, now, lens):
    """The subject itself may well go to the left; two keys, and the same way as under a still camera."""
    straight = []
    for turn in (0.0, pan):
        scene = build(lens=lens)
        camera = scene.camera
        camera.scale = (2, 0.5, 1)  # which Blender does not look through
        for frame, part in ((5, 0.0), (14, 0.9), (28, 1.0)):
            camera.rotation_euler = (np.pi / 2, part * roll, part * turn)
            camera.location = (3 * part * turn, -10 + part, 0)
            camera.keyframe_insert("rotation_euler", frame=frame)
            camera.keyframe_insert("location", frame=frame)
        scene.frame_set(now)
        subject = add_subject(scene, rotation=(0, 0, 0.5))
        bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0.3, depth=6)
        assert key_frames(subject) == [5, 28]
        straight.append(boxes(scene)[:, [0, 2]])
    np.testing.assert_allclose(straight[0], straight[1], atol=2 / 288)


def test_a_zoom_keeps_two_keys_where_they_do_and_gets_more_where_they_would_lead_astray():
    for lenses, few in (((35, 50), True), ((35, 120, 35), False)):
        scene = build()
        for frame, lens in zip((5, 16, 28) if len(lenses) == 3 else (5, 28), lenses, strict=True):
            scene.camera.data.lens = lens
            scene.camera.data.keyframe_insert("lens", frame=frame)
        subject = add_subject(scene)
        bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0.2)
        assert (key_frames(subject) == [5, 28]) == few
        found = boxes(scene)
        assert (np.diff(centers(found)[:, 0]) > -1 / 160).all()
        assert found[0, 0] < 0.06 and found[-1, 2] > 0.94


def test_a_scene_that_is_one_shot_through_a_cut_is_crossed_once():
    scene = build()
    scene.peekaboo.use_markers = False
    other = add_camera(scene, (50, 0, 0), (1, 0, 2))
    for frame, camera in ((1, scene.camera), (15, other)):
        scene.timeline_markers.new("Cut", frame=frame).camera = camera
    add_subject(scene)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
    assert (np.diff(centers(boxes(scene))[:, 0]) > 0).all()


def pan(camera, first, last):
    """Let a camera turn to the left between two frames."""
    start = camera.rotation_euler.copy()
    for frame, turn in ((first, 0), (last, 0.8)):
        camera.rotation_euler = (start.x, start.y, start.z + turn)
        camera.keyframe_insert("rotation_euler", frame=frame)


def test_each_shot_has_a_motion_of_its_own_and_leaves_those_of_others():
    """Three cameras, of which the second pans: two keys a shot, and the picture shows what was asked."""
    scene = build()
    others = [add_camera(scene, (40, 0, 0), (np.pi / 2, 0, 2)), add_camera(scene, (0, 30, 3), (1.4, 0, 3))]
    pan(others[0], 13, 20)
    for frame, camera in zip((5, 13, 21), [scene.camera, *others], strict=True):
        scene.timeline_markers.new(f"Shot {frame}", frame=frame).camera = camera
    subject = add_subject(scene)
    for frame, name, size in ((22, "RIGHT_TO_LEFT", 0.3), (14, "LEFT_TO_RIGHT", 0.5), (6, "APPROACH", 0.2)):
        scene.frame_set(frame)
        bpy.ops.peekaboo.animate_subject(motion=name, size=size)
    assert key_frames(subject) == [5, 12, 13, 20, 21, 28]
    found = boxes(scene)
    x, height = centers(found)[:, 0], sides(found)[:, 1] * 160 / 288
    assert (np.diff(x[8:16]) > 0).all() and found[8, 0] < 0.06 and found[15, 2] > 0.94
    assert (np.diff(x[16:]) < 0).all() and found[16, 2] > 0.94 and found[-1, 0] < 0.06
    assert (np.diff(height[:8]) >= 0).all() and sides(found)[7].max() == pytest.approx(0.2, rel=0.2)
    scene.frame_set(14)
    bpy.ops.peekaboo.animate_subject(motion="RIGHT_TO_LEFT", size=0.5)
    again = boxes(scene)
    np.testing.assert_allclose(again[:8], found[:8], atol=1e-6)
    np.testing.assert_allclose(again[16:], found[16:], atol=1e-6)
    np.testing.assert_allclose(again[8:16, [0, 2]], found[15:7:-1, [0, 2]], atol=3 / 288)
    assert len(subject.constraints) == 1  # the camera that pans, and no more of them


def test_what_other_shots_show_of_a_subject_stays_where_it_was():
    scene = build()
    other = add_camera(scene, (0, -20, 0))
    for frame, camera in ((5, scene.camera), (17, other)):
        scene.timeline_markers.new(f"Shot {frame}", frame=frame).camera = camera
    subject = add_subject(scene, location=(1, 2, 0.5), size=0.7)
    before = boxes(scene)[:12]
    pan(other, 17, 28)
    scene.frame_set(20)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0.4)
    np.testing.assert_allclose(boxes(scene)[:12], before, atol=1e-6)
    scene.frame_set(10)
    assert tuple(subject.matrix_world.translation) == pytest.approx((1, 2, 0.5), abs=1e-5)
    assert tuple(subject.scale) == pytest.approx((1, 1, 1))


def test_all_that_are_selected_move_each_at_its_height_and_one_that_cannot_keeps_all():
    scene = build()
    low = add_subject(scene, location=(0, 0, -1.2), size=0.5)
    high = add_subject(scene, "CUBE", location=(0, 0, 1.2), size=0.5)
    prop = add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)])
    for obj in (low, high, prop):
        obj.select_set(True)
    bpy.context.view_layer.objects.active = prop
    high.parent = prop
    bpy.context.view_layer.update()
    with pytest.raises(RuntimeError, match="follows its parent"):
        bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0)
    assert not any(compat.fcurves(obj) for obj in (low, high, prop))
    high.parent = None
    bpy.context.view_layer.update()
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0)
    assert key_frames(low) == key_frames(high) == [5, 28] and not compat.fcurves(prop)
    assert (low.location.z, high.location.z) == pytest.approx((-1.2, 1.2), abs=1e-4)


def test_a_camera_that_follows_the_subject_is_told_of():
    scene = build()
    subject = add_subject(scene)
    scene.camera.constraints.new("TRACK_TO").target = subject
    subject.location.x = 1.0
    for frame, x in ((5, 0.0), (28, 4.0)):
        scene.camera.location.x = x
        scene.camera.keyframe_insert("location", frame=frame)
    bpy.context.view_layer.update()
    with pytest.raises(RuntimeError, match='The camera "Camera" follows the subject'):
        bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT", size=0)
    assert not compat.fcurves(subject) and not subject.constraints


def test_one_undo_takes_the_motion_back():
    scene = build()
    subject = add_subject(scene, location=(1, 2, 0))
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.peekaboo.animate_subject("EXEC_DEFAULT", True, motion="CIRCLE")
    bpy.ops.ed.undo()
    subject = bpy.context.scene.objects["Sphere Subject"]
    assert tuple(subject.location) == (1, 2, 0) and not compat.fcurves(subject)


def parent(subject):
    subject.parent = bpy.context.scene.camera


def constrain(subject):
    subject.constraints.new("COPY_LOCATION")


def drive(subject):
    subject.driver_add("location", 0)


def enlarge(subject):
    subject.scale = (20, 20, 20)


def flatten(subject):
    subject.scale = (0, 0, 0)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (parent, 'follows its parent "Camera"'),
        (constrain, "is moved by a constraint"),
        (drive, "is moved by a driver"),
        (enlarge, "does not fit into the camera's frame"),
        (flatten, "has no size"),
    ],
)
def test_what_keeps_a_subject_from_moving_is_one_sentence_and_changes_nothing(spoil, problem):
    scene = build()
    subject = add_subject(scene)
    spoil(subject)
    bpy.context.view_layer.update()
    with pytest.raises(RuntimeError, match=problem):
        bpy.ops.peekaboo.animate_subject(motion="CIRCLE", size=0)
    assert not compat.fcurves(subject) and len(bpy.data.scenes) == 1


def motion_of(obj):
    """All keyframes of an object: path, axis, frame and value."""
    return [
        (curve.data_path, curve.array_index, *key.co)
        for curve in compat.fcurves(obj)
        for key in curve.keyframe_points
    ]


def test_a_copy_that_shares_its_motion_is_animated_alone():
    scene = build()
    original = add_subject(scene)
    original.keyframe_insert("location", frame=3)
    before = motion_of(original)
    original.select_set(True)
    bpy.ops.object.duplicate(linked=True)  # Alt D
    copy = bpy.context.object
    assert copy != original and motion_of(copy) == before
    original.select_set(False)
    copy.animation_data.action = original.animation_data.action  # as preferences may have it, or a script
    if hasattr(copy.animation_data, "action_slot"):
        copy.animation_data.action_slot = original.animation_data.action_slot
    assert bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT") == {"FINISHED"}
    assert motion_of(original) == before
    assert len(motion_of(copy)) > len(before)
    moved = motion_of(copy)
    copy.peekaboo.phrase = "another ball"
    assert original.peekaboo.phrase == "a red ball"
    original.select_set(True)
    assert bpy.ops.peekaboo.animate_subject(motion="RIGHT_TO_LEFT") == {"FINISHED"}
    assert motion_of(original) == motion_of(copy) != moved  # side by side, each by keys of its own
    copy.keyframe_insert("location", frame=9)
    assert motion_of(original) != motion_of(copy)
