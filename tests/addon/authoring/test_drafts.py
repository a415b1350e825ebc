# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan in the scene: masks fill its boxes, a change touches nobody else, and all comes back."""

import math

import bpy
import numpy as np
import pytest
from scenes import add_camera, add_empty

from blender_addon import compat
from blender_addon.authoring import box_tracks, drafts, redrafting
from blender_addon.engine.plans import Key, Plan, Shot, Subject, read_plan, stated
from blender_addon.errors import PeekabooError
from blender_addon.making import drafting
from blender_addon.shot import shots
from blender_addon.shot.layout import read_layout, timing_of
from blender_addon.shot.prompt import prompt_problem

ASPECT = 288 / 160


def key(time, x, y, height=0.3, depth=0.5, width=None):
    return Key(time, x, y, width or height / ASPECT, height, depth)


def plan(*subjects, move="none", amount=0.3):
    prompt = " and ".join(subject.phrase for subject in subjects)
    return Plan(ASPECT, (Shot(prompt, "", move, amount, tuple(subjects)),))


BALL = Subject("red ball", "red ball", "ellipsoid", (key(0, 0.2, 0.7), key(0.5, 0.5, 0.3), key(1, 0.8, 0.7)))
CUBE = Subject("blue cube", "blue cube", "box", (key(0, 0.75, 0.25, 0.2), key(1, 0.25, 0.3, 0.4)))
CONE = Subject("green cone", "green cone", "cone", (key(0, 0.1, 0.2), key(1, 0.1, 0.8)))


@pytest.fixture
def stage(scene):
    add_camera(scene)
    scene.frame_start, scene.frame_end = 1, 33
    return scene


def seen(scene, name, frames=9):
    """Boxes of a subject's pixels, float64 (frames, 4)."""
    layout = read_layout(scene, 4 * 288, 4 * 160, frames)
    names = [subject.phrase for subject in layout.subjects]
    return box_tracks.projected_boxes(layout)[:, names.index(name)]


def wanted(scene, subject, frames=9):
    """The boxes of a plan at the times that a model of so many frames sees."""
    first, last = scene.frame_start, scene.frame_end
    times = [(frame - first) / (last - first) for frame in timing_of(scene, frames).scene_frames]
    return np.clip([subject.box_at(time) for time in times], 0, 1)


@pytest.mark.parametrize(
    "camera",
    [
        {},
        {"lens": 18.0},
        {"lens": 85.0, "shift_x": 0.1},
        {"type": "ORTHO", "ortho_scale": 12.0},
    ],
)
def test_masks_fill_the_boxes_of_a_plan(scene, camera):
    add_camera(scene, location=(3, -8, 4), rotation=(1.2, 0.1, 0.4), **camera)
    scene.frame_start, scene.frame_end = 1, 33
    made, notes = drafts.draft(scene, plan(BALL, CONE))
    assert [obj.empty_display_type for obj in made] == ["SPHERE", "CONE"]
    assert notes == []
    for subject in (BALL, CONE):
        assert box_tracks.box_iou(seen(scene, subject.phrase), wanted(scene, subject)).min() > 0.88


def test_a_draft_is_few_keyframes_and_a_prompt(stage):
    (ball,), _ = drafts.draft(stage, plan(BALL))
    assert stage.peekaboo.prompt == "red ball"
    assert (ball.peekaboo.is_subject, ball.peekaboo.phrase) == (True, "red ball")
    frames = {point.co.x for curve in compat.fcurves(ball) for point in curve.keyframe_points}
    assert frames == {1, 17, 33}
    assert ball.scale.x == pytest.approx(ball.scale.y, rel=0.02)


def test_who_is_deeper_is_hidden(stage):
    behind = Subject("ball", "ball", "ellipsoid", (key(0, 0.5, 0.5, 0.2, 0.9), key(1, 0.5, 0.5, 0.2, 0.9)))
    before = Subject("wall", "wall", "box", (key(0, 0.5, 0.5, 0.5, 0.2), key(1, 0.5, 0.5, 0.5, 0.2)))
    drafts.draft(stage, plan(behind, before))
    layout = read_layout(stage, 288, 160, 2)
    names = [subject.phrase for subject in layout.subjects]
    assert not (layout.labels == names.index("ball") + 1).any()


def test_boxes_follow_a_camera_that_moves(stage):
    camera = stage.camera
    for frame, angle in ((1, 0.0), (33, 0.5)):
        camera.rotation_euler.z = angle
        camera.keyframe_insert("rotation_euler", frame=frame)
    drafts.draft(stage, plan(BALL))
    assert box_tracks.box_iou(seen(stage, "red ball"), wanted(stage, BALL)).min() > 0.93


@pytest.mark.parametrize(
    ("move", "test"),
    [
        ("in", lambda first, last: last[3] - last[1] > 1.2 * (first[3] - first[1])),
        ("out", lambda first, last: last[3] - last[1] < 0.9 * (first[3] - first[1])),
        ("left", lambda first, last: last[0] > first[0] + 0.1),
        ("right", lambda first, last: last[0] < first[0] - 0.1),
        ("up", lambda first, last: last[1] > first[1] + 0.1),
        ("down", lambda first, last: last[1] < first[1] - 0.1),
        ("pan left", lambda first, last: last[0] > first[0] + 0.1),
        ("pan right", lambda first, last: last[0] < first[0] - 0.1),
        ("tilt up", lambda first, last: last[1] > first[1] + 0.1),
        ("tilt down", lambda first, last: last[1] < first[1] - 0.1),
    ],
)
def test_the_camera_moves_over_the_shot(stage, move, test):
    still = Subject("ball", "ball", "ellipsoid", (key(0, 0.5, 0.5), key(1, 0.5, 0.5)))
    drafts.draft(stage, plan(still, move=move))
    boxes = seen(stage, "ball", 33)[[0, -1]]
    assert boxes[0] == pytest.approx(still.box_at(0), abs=0.02)
    assert test(*boxes)


def test_a_camera_that_is_animated_is_left_alone(stage):
    stage.camera.keyframe_insert("location", frame=1)
    _, notes = drafts.draft(stage, plan(BALL, move="in"))
    assert notes == ['The camera "Camera" is animated already, so it does not move in.']


def test_a_camera_that_something_else_moves_is_left_alone(stage):
    stage.camera.driver_add("location", 0).driver.expression = "1"
    _, notes = drafts.draft(stage, plan(BALL, move="in"))
    assert notes == ['The camera "Camera" is moved by a driver, so it does not move in.']


def test_a_camera_on_a_parent_that_moves_is_left_alone(stage):
    crane = bpy.data.objects.new("Crane", None)
    stage.collection.objects.link(crane)
    stage.camera.parent = crane
    for frame, height in ((1, 0.0), (33, 1.0)):
        crane.location.z = height
        crane.keyframe_insert("location", frame=frame)
    _, notes = drafts.draft(stage, plan(BALL, move="in"))
    assert notes == ['The camera "Camera" is moved by its parent "Crane", so it does not move in.']


def test_two_shots_are_two_cameras_and_a_cut(stage):
    first, second = plan(BALL).shots[0], plan(CUBE, move="in").shots[0]
    drafts.draft(stage, Plan(ASPECT, (first, second)))
    assert [marker.frame for marker in stage.timeline_markers] == [1, 18]
    assert stage.timeline_markers[0].camera != stage.timeline_markers[1].camera
    layout = read_layout(stage, 288, 160, 33)
    names = [subject.phrase for subject in layout.subjects]
    shown = [
        (layout.labels == names.index(phrase) + 1).any(axis=(1, 2)) for phrase in ("red ball", "blue cube")
    ]
    assert shown[0].tolist() == [True] * 17 + [False] * 16
    assert shown[1].tolist() == [False] * 17 + [True] * 16


def test_what_is_there_comes_back_as_a_plan(stage):
    drafts.draft(stage, plan(BALL, CUBE))
    found = redrafting.present(stage)
    subjects = {subject.phrase: subject for subject in found.plan.shots[0].subjects}
    for subject in (BALL, CUBE):
        for time in (0, 0.5, 1):
            assert subjects[subject.phrase].box_at(time) == pytest.approx(subject.box_at(time), abs=0.02)
    assert read_plan(stated(found.plan)) == found.plan


def curves(obj):
    return [
        (curve.data_path, curve.array_index, [tuple(point.co) for point in curve.keyframe_points])
        for curve in compat.fcurves(obj)
    ]


def with_keys(found, phrase, change):
    shot = found.plan.shots[0]
    changed = tuple(
        Subject(one.id, one.phrase, one.shape, tuple(map(change, one.keys))) if one.phrase == phrase else one
        for one in shot.subjects
    )
    return Plan(ASPECT, (Shot(shot.prompt, "", "none", 0.3, changed),))


def test_a_change_touches_nobody_else(stage):
    (ball, cone), _ = drafts.draft(stage, plan(BALL, CONE))
    before = curves(cone)
    found = redrafting.present(stage)
    moved = with_keys(found, "red ball", lambda k: Key(k.time, 1 - k.x, k.y, k.width, k.height, k.depth))
    made, _ = redrafting.change(stage, found, moved)
    assert made == [ball]
    assert curves(cone) == before
    mirrored = Subject("", "", "box", tuple(key(k.time, 1 - k.x, k.y) for k in BALL.keys))
    assert box_tracks.box_iou(seen(stage, "red ball"), wanted(stage, mirrored)).min() > 0.9


def test_a_change_keeps_what_the_artist_turned(stage):
    obj = add_empty(stage, phrase="crate", display="CUBE", rotation=(0.3, 0.4, 0.5), scale=(1, 0.5, 2))
    found = redrafting.present(stage)
    moved = with_keys(found, "crate", lambda k: Key(k.time, k.x - 0.2, k.y, k.width, k.height, k.depth))
    redrafting.change(stage, found, moved)
    assert tuple(obj.rotation_euler) == pytest.approx((0.3, 0.4, 0.5))
    assert tuple(obj.scale / obj.scale.x) == pytest.approx((1, 0.5, 2))
    (was,) = found.plan.shots[0].subjects
    now = seen(stage, "crate", 2)[0]
    x1, y1, x2, y2 = was.box_at(0)
    assert now == pytest.approx(np.clip((x1 - 0.2, y1, x2 - 0.2, y2), 0, 1), abs=0.02)


def test_subjects_that_a_change_removes_are_gone_and_new_ones_come(stage):
    drafts.draft(stage, plan(BALL, CUBE))
    found = redrafting.present(stage)
    kept = next(one for one in found.plan.shots[0].subjects if one.phrase == "red ball")
    after = Plan(ASPECT, (Shot("red ball, green cone", "", "none", 0.3, (kept, CONE)),))
    redrafting.change(stage, found, after)
    assert sorted(obj.peekaboo.phrase for obj in stage.objects if obj.peekaboo.is_subject) == [
        "green cone",
        "red ball",
    ]
    assert stage.peekaboo.prompt == "red ball, green cone"


def test_what_something_else_moves_is_not_changed(stage):
    (ball,), _ = drafts.draft(stage, plan(BALL))
    ball.constraints.new("COPY_LOCATION")
    found = redrafting.present(stage)
    moved = with_keys(found, "red ball", lambda k: Key(k.time, k.x - 0.1, k.y, k.width, k.height, k.depth))
    with pytest.raises(PeekabooError, match="constraint"):
        redrafting.change(stage, found, moved)


def test_a_scene_that_cannot_have_a_draft(scene):
    with pytest.raises(PeekabooError, match="camera"):
        drafts.draft(scene, plan(BALL))
    add_camera(scene)
    with pytest.raises(PeekabooError, match="no subject"):
        redrafting.present(scene)
    scene.frame_start = scene.frame_end = 5
    with pytest.raises(PeekabooError, match="two frames"):
        drafts.draft(scene, plan(BALL))


def test_a_draft_goes_into_the_cut_that_is_looked_at(stage):
    other = add_camera(stage, location=(10, -10, 0), rotation=(math.pi / 2, 0, 0.3))
    for frame, camera in ((1, stage.camera), (20, other)):
        stage.timeline_markers.new("cut", frame=frame).camera = camera
    stage.frame_set(25)
    (ball,), _ = drafts.draft(stage, plan(BALL))
    frames = {point.co.x for curve in compat.fcurves(ball) for point in curve.keyframe_points}
    assert (min(frames), max(frames)) == (20, 33)


def test_a_draft_lands_in_the_cut_that_it_was_made_for(stage):
    other = add_camera(stage, location=(10, -10, 0), rotation=(math.pi / 2, 0, 0.3))
    for frame, camera in ((1, stage.camera), (20, other)):
        stage.timeline_markers.new("cut", frame=frame).camera = camera
    stage.frame_set(5)
    made = drafting.Pending(stage.session_uid, drafts.shot_range(stage), plan(BALL), (), None)
    stage.frame_set(25)  # to look at it
    (ball,), _ = drafting.apply(stage, made)
    frames = {point.co.x for curve in compat.fcurves(ball) for point in curve.keyframe_points}
    assert (min(frames), max(frames)) == (1, 19)


def test_a_draft_has_the_frames_of_the_shot_that_is_listed(stage):
    for frame in (1, 9, 20):  # all of one camera: no cut of the picture
        stage.timeline_markers.new("shot", frame=frame).camera = stage.camera
    stage.use_preview_range, stage.frame_preview_start, stage.frame_preview_end = True, 5, 30
    for frame in (6, 12, 25, 33):
        stage.frame_set(frame)
        listed = shots.shot_at(stage, frame)
        assert drafts.shot_range(stage) == (listed.first, listed.last)
    stage.peekaboo.use_markers = False
    assert drafts.shot_range(stage) == (5, 30)


def test_shots_of_a_draft_begin_at_the_cut_that_is_there(stage):
    stage.timeline_markers.new("Opening", frame=1).camera = stage.camera
    first, second = plan(BALL).shots[0], plan(CUBE).shots[0]
    drafts.draft(stage, Plan(ASPECT, (first, second)))
    assert [(shot.title, shot.first, shot.last) for shot in shots.enabled(stage)] == [
        ("Opening", 1, 17),
        ("Shot 2", 18, 33),
    ]


def test_a_change_leaves_an_offset_where_it_is(stage):
    obj = add_empty(stage, phrase="crate", display="CUBE")
    obj.delta_location = (0.7, 0.2, -0.4)
    found = redrafting.present(stage)
    moved = with_keys(found, "crate", lambda k: Key(k.time, k.x - 0.2, k.y, k.width, k.height, k.depth))
    redrafting.change(stage, found, moved)
    assert tuple(obj.delta_location) == pytest.approx((0.7, 0.2, -0.4))
    (was,) = found.plan.shots[0].subjects
    x1, y1, x2, y2 = was.box_at(0)
    assert seen(stage, "crate", 2)[0] == pytest.approx(np.clip((x1 - 0.2, y1, x2 - 0.2, y2), 0, 1), abs=0.02)


def test_a_subject_that_another_scene_shows_stays_there(stage):
    (ball, _), _ = drafts.draft(stage, plan(BALL, CUBE))
    other = bpy.data.scenes.new("Other")
    other.collection.objects.link(ball)
    found = redrafting.present(stage)
    kept = next(one for one in found.plan.shots[0].subjects if one.phrase == "blue cube")
    redrafting.change(stage, found, Plan(ASPECT, (Shot("blue cube", "", "none", 0.3, (kept,)),)))
    assert ball.name not in stage.objects and other.objects[ball.name].peekaboo.is_subject


def test_what_is_linked_from_another_file_is_nobody_to_change(stage, tmp_path):
    library = str(tmp_path / "library.blend")
    (ball,), _ = drafts.draft(stage, plan(BALL))
    bpy.data.libraries.write(library, {ball})
    bpy.data.objects.remove(ball)
    with bpy.data.libraries.load(library, link=True) as (there, linked):
        linked.objects = list(there.objects)
    stage.collection.objects.link(linked.objects[0])
    assert linked.objects[0].peekaboo.is_subject
    with pytest.raises(PeekabooError, match="no subject"):
        redrafting.present(stage)


def test_a_draft_goes_beside_a_collection_that_is_linked(stage, tmp_path):
    library, props = str(tmp_path / "library.blend"), bpy.data.collections.new("Props")
    bpy.data.libraries.write(library, {props})
    bpy.data.collections.remove(props)
    with bpy.data.libraries.load(library, link=True) as (there, linked):
        linked.collections = list(there.collections)
    stage.collection.children.link(linked.collections[0])
    layer = bpy.context.view_layer
    layer.active_layer_collection = layer.layer_collection.children["Props"]
    assert bpy.ops.peekaboo.draft(text="a red ball rolls from left to right") == {"FINISHED"}
    assert "red ball" in [obj.peekaboo.phrase for obj in stage.collection.objects]
    assert bpy.ops.peekaboo.add_subject() == {"FINISHED"}


def test_a_camera_that_moves_takes_nobody_along(stage):
    other = bpy.data.objects.new("Other", None)
    stage.collection.objects.link(other)
    stage.camera.keyframe_insert("scale", frame=1)
    animation = other.animation_data_create()
    animation.action = stage.camera.animation_data.action
    if hasattr(animation, "action_slot"):
        animation.action_slot = stage.camera.animation_data.action_slot
    drafts.draft(stage, plan(BALL, move="in"))
    assert {curve.data_path for curve in compat.fcurves(other)} == {"scale"}


def test_what_the_artist_keyed_while_a_planner_thought_is_not_overwritten(stage):
    (ball,), _ = drafts.draft(stage, plan(BALL))
    before = redrafting.present(stage)
    moved = with_keys(before, "red ball", lambda k: Key(k.time, k.x - 0.1, k.y, k.width, k.height, k.depth))
    made = drafting.Pending(stage.session_uid, drafts.shot_range(stage), moved, (), before)
    ball.location.z += 1
    ball.keyframe_insert("location", frame=9)
    edited = curves(ball)
    with pytest.raises(PeekabooError, match="have changed since"):
        drafting.apply(stage, made)
    assert curves(ball) == edited


def test_a_camera_that_is_gone_since_is_told_before_anything_is_changed(stage):
    drafts.draft(stage, plan(BALL))
    before = redrafting.present(stage)
    made = drafting.Pending(stage.session_uid, drafts.shot_range(stage), plan(CUBE, move="in"), (), before)
    bpy.data.objects.remove(stage.camera)
    with pytest.raises(PeekabooError, match="have changed since"):
        drafting.apply(stage, made)
    assert [obj.peekaboo.phrase for obj in stage.objects] == ["red ball"]


def test_a_draft_keeps_the_words_of_who_is_there(stage):
    add_empty(stage, phrase="blue cube")
    stage.peekaboo.prompt = "a blue cube on grass."
    drafts.draft(stage, plan(BALL))
    assert stage.peekaboo.prompt == "a blue cube on grass, red ball"
    assert prompt_problem(stage) is None


def test_a_draft_goes_into_the_prompt_of_its_shot(stage):
    other = add_camera(stage, location=(10, -10, 0), rotation=(math.pi / 2, 0, 0.3))
    for frame, camera in ((1, stage.camera), (20, other)):
        stage.timeline_markers.new("cut", frame=frame).camera = camera
    marker = stage.timeline_markers[1]
    marker.peekaboo.prompt = "a meadow"
    stage.frame_set(25)
    drafts.draft(stage, plan(BALL))
    assert marker.peekaboo.prompt == "a meadow, red ball"


def test_a_draft_into_one_of_two_shots_is_not_wanted_in_the_other(stage):
    other = add_camera(stage, location=(10, -10, 0), rotation=(math.pi / 2, 0, 0.3))
    for frame, camera in ((1, stage.camera), (20, other)):
        stage.timeline_markers.new("cut", frame=frame).camera = camera
    add_empty(stage, phrase="blue cube")
    stage.peekaboo.prompt = "a blue cube on grass"
    stage.frame_set(25)
    drafts.draft(stage, plan(BALL))
    first, second = shots.shots_of(stage)
    assert (first.prompt, second.prompt) == ("a blue cube on grass", "a blue cube on grass, red ball")
    assert stage.peekaboo.prompt == "a blue cube on grass"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.update(version=2),
        lambda data: data["shots"].clear(),
        lambda data: data["shots"][0]["subjects"][0]["keys"].reverse(),
        lambda data: data["shots"][0]["subjects"][0]["keys"][0].update(x=float("nan")),
        lambda data: data["shots"][0]["subjects"][0]["keys"][0].update(x=10**400),
        lambda data: data["shots"][0]["subjects"][0]["keys"][0].update(width=True),
        lambda data: data["shots"][0]["subjects"][0].update(shape="teapot"),
        lambda data: data["shots"][0]["subjects"].append(data["shots"][0]["subjects"][0]),
        lambda data: data["shots"][0]["subjects"].extend([data["shots"][0]["subjects"][0]] * 20),
        lambda data: data["shots"][0]["camera"].update(move="away"),
        lambda data: data["shots"][0].update(prompt="x" * 20_000),
    ],
)
def test_a_plan_of_a_stranger_is_checked(spoil):
    data = stated(plan(BALL))
    data["shots"][0]["subjects"] = [dict(one, keys=list(one["keys"])) for one in data["shots"][0]["subjects"]]
    assert read_plan(data) == plan(BALL)
    spoil(data)
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_plan(data)


def test_operators_draft_and_change(stage):
    assert bpy.ops.peekaboo.draft(
        text="a red ball rolls from left to right and a blue cube waits at the top"
    ) == {"FINISHED"}
    ball = next(obj for obj in stage.objects if obj.peekaboo.phrase == "red ball")
    cube = next(obj for obj in stage.objects if obj.peekaboo.phrase == "blue cube")
    before = curves(cube)
    assert bpy.ops.peekaboo.draft(text="make the ball wait until the middle", change=True) == {"FINISHED"}
    boxes = seen(stage, "red ball")
    assert np.ptp(boxes[:5, 0]) < 0.02
    assert boxes[-1, 0] > boxes[0, 0] + 0.3
    assert curves(cube) == before
    with pytest.raises(RuntimeError, match="gallumphs"):
        bpy.ops.peekaboo.draft(text="the dog gallumphs")
    with pytest.raises(RuntimeError, match="No language model"):
        bpy.ops.peekaboo.draft(text="a ball", planner="MODEL")
    assert ball.name in bpy.data.objects
