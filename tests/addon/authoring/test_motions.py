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
    if name in {"APPROACH", "RECEDE"} and camera["moves"]:
        display = "SPHERE"  # others look larger or smaller as the camera turns
    scene = build(**camera)
    add_subject(scene, display, rotation=(0.4, 0.2, 1), scale=(1, 0.8, 1.2))
    bpy.ops.peekaboo.animate_subject(motion=name, size=size, depth=7)
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


def test_a_subject_follows_the_cut_to_another_camera():
    scene = build()
    other = add_camera(scene, (50, 0, 0), (1, 0, 2))
    for frame, camera in ((1, scene.camera), (15, other)):
        scene.timeline_markers.new("Cut", frame=frame).camera = camera
    add_subject(scene)
    bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT")
    assert (np.diff(centers(boxes(scene))[:, 0]) > 0).all()


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
    copy = original.copy()  # as Alt-D does
    scene.collection.objects.link(copy)
    copy.animation_data.action = original.animation_data.action
    assert motion_of(copy) == before
    bpy.context.view_layer.objects.active = copy
    assert bpy.ops.peekaboo.animate_subject(motion="LEFT_TO_RIGHT") == {"FINISHED"}
    assert motion_of(original) == before
    assert len(motion_of(copy)) > len(before)
