# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scene to a job: timing, what is sampled, what the job says, and what is refused."""

import json
import tracemalloc

import bpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import PROMPT, add_camera, add_empty, small_shot, write_shot

from blender_addon.errors import PeekabooError
from blender_addon.masks import cameras
from blender_addon.shot import seeds
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_layout, read_shot, timing_of, timing_of_each_frame


def shows(timing, num_frames):
    """The model frame that each scene frame of a range shows: the engine's ``Timing.held_frames``."""
    return np.arange(timing.frame_count) * num_frames // timing.frame_count


@given(st.integers(1, 300), st.integers(2, 60), st.integers(0, 100))
def test_each_model_frame_is_sampled_amid_the_scene_frames_that_show_it(count, num_frames, start):
    scene = bpy.context.scene
    scene.use_preview_range = False
    scene.frame_start, scene.frame_end = start, start + count - 1
    timing = timing_of(scene, num_frames)
    times = np.array(timing.scene_frames)
    shown = shows(timing, num_frames)
    for index in range(num_frames):
        frames = start + np.flatnonzero(shown == index)
        if len(frames) and count >= num_frames:
            assert times[index] == frames.mean()
        elif len(frames):
            assert times[index] == frames[0]
    assert (np.diff(times) > 0).all() and (times >= start).all() and (times < start + count).all()
    if count == num_frames:
        assert list(times) == list(range(start, start + count))


@pytest.mark.parametrize(("current", "shown"), [(7, 7), (1, 5), (40, 12)])
def test_a_picture_shows_the_current_frame_or_the_nearest_of_the_range(scene, current, shown):
    scene.frame_start, scene.frame_end = 5, 12
    scene.frame_set(current)
    timing = timing_of(scene, 1)
    assert (timing.frame_start, timing.frame_count, timing.scene_frames) == (5, 8, (shown,))
    assert timing_of_each_frame(scene).scene_frames == tuple(range(5, 13))


def test_the_mask_of_a_picture_follows_the_current_frame(scene):
    ball, _ = small_shot(scene, frames=8)
    for frame, x in ((1, -3), (8, 3)):
        ball.location.x = x
        ball.keyframe_insert("location", frame=frame)
    every = read_layout(scene, 24, 16, 8, timing=timing_of_each_frame(scene)).labels
    for frame in (2, 7):
        scene.frame_set(frame)
        assert np.array_equal(read_layout(scene, 24, 16, 1).labels, every[frame - 1 : frame])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(2, 30), st.data())
def test_each_scene_frame_shows_a_mask_of_its_own_shot(count, num_frames, data):
    """Cameras are cut by markers, visibility is keyed: what a frame shows is of a time in that frame."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    start = data.draw(st.integers(0, 20))
    cut, hidden = (data.draw(st.integers(start - 3, start + count + 3)) for _ in range(2))
    ball, _ = small_shot(scene)
    scene.frame_start, scene.frame_end = start, start + count - 1
    first, second = scene.camera, add_camera(scene, location=(-4, -10, 0))
    for frame, camera in ((start - 10, first), (cut, second)):
        scene.timeline_markers.new("Cut", frame=frame).camera = camera
    for frame, is_hidden in ((start - 10, True), (hidden, False)):
        ball.hide_render = is_hidden
        ball.keyframe_insert("hide_render", frame=frame)
    timing = timing_of(scene, num_frames)
    layout = read_layout(scene, 24, 16, num_frames)
    exact = read_layout(scene, 24, 16, count, timing=timing_of_each_frame(scene))
    shown = shows(timing, num_frames)
    for index, labels in enumerate(layout.labels):
        frames = np.flatnonzero(shown == index)
        if len(frames):  # of several, the one in the middle decides
            assert np.array_equal(labels, exact.labels[frames[(len(frames) - 1) // 2]])


def test_the_layout_follows_the_animation_and_leaves_the_scene_alone(scene):
    ball, cube = small_shot(scene)
    cube.location.y = 5  # behind the ball
    for frame, x in ((1, -3), (4, 3)):
        ball.location.x = x
        ball.keyframe_insert("location", frame=frame)
    scene.frame_set(3)
    before = ball.matrix_world.copy(), len(bpy.data.scenes)
    layout = read_layout(scene, 96, 64, 4)
    assert [(subject.name, subject.phrase) for subject in layout.subjects] == [
        (cube.name, "a blue cube"),
        (ball.name, "a red ball"),
    ]
    first, last = (np.flatnonzero((labels == 2).any(axis=0)).mean() / 96 for labels in layout.labels[[0, -1]])
    assert first < 0.2 and last > 0.8
    assert scene.frame_current == 3
    assert (ball.matrix_world, len(bpy.data.scenes)) == before


def test_selection_and_undo_stay_the_users(scene):
    ball, cube = small_shot(scene)
    ball.select_set(True)
    bpy.context.view_layer.objects.active = cube
    bpy.ops.ed.undo_push(message="before")
    cube.location.z = 1.5
    bpy.ops.ed.undo_push(message="moved")
    read_layout(scene, 96, 64, 4)
    assert bpy.context.selected_objects == [ball]
    assert bpy.context.view_layer.objects.active == cube
    bpy.ops.ed.undo()  # takes back the move, and nothing of ours before it
    assert bpy.data.objects["Cube Subject"].location.z == 0


def test_markers_switch_the_camera_as_they_do_for_blender(scene):
    scene.frame_start, scene.frame_end = 1, 40
    lenses = [add_camera(scene) for _ in range(3)]
    for frame, camera in zip((10, 20, 30), lenses, strict=True):
        scene.timeline_markers.new(f"M{frame}", frame=frame).camera = camera
    lenses[1].hide_render = True
    for frame in (1, 9, 10, 19, 20, 29, 30, 40):
        scene.frame_set(frame)
        assert cameras.camera_at(scene, frame + 0.5) == scene.camera, frame


def test_a_job_is_written_whole_with_what_the_scene_says(scene, tmp_path):
    small_shot(scene, frames=48)
    scene.peekaboo.seed, scene.peekaboo.masked_steps = 7, 0
    job = write_shot(scene, tmp_path / "job")
    assert json.loads((tmp_path / "job" / "job.json").read_text()) == job
    with np.load(tmp_path / "job" / "masks.npz", allow_pickle=False) as arrays:
        labels = arrays["labels"]
    assert labels.shape == (job["num_frames"], job["height"], job["width"]) and labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 2}
    assert job["timing"]["frame_count"] == 48 and len(job["timing"]["scene_frames"]) == job["num_frames"]
    assert (job["seed"], job["num_inference_steps"]) == (7, None)
    assert (job["control"]["method"], job["control"]["masked_steps"]) == (None, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


def test_a_random_seed_is_drawn_for_each_job_and_the_fixed_one_is_kept(scene, tmp_path):
    small_shot(scene)
    settings = scene.peekaboo
    settings.seed, settings.seed_mode = 7, "RANDOM"
    layout = read_shot(scene)
    drawn = {seed for _ in range(8) for seed in seeds.seeds(scene)}
    assert len(drawn) > 1 and all(0 <= seed < seeds.SEED_LIMIT for seed in drawn) and settings.seed == 7
    assert make_job(scene, layout, seed=0)["seed"] == 0
    settings.seed_mode = "FIXED"
    assert write_shot(scene, tmp_path / "job")["seed"] == 7


def move_out_of_view(scene):
    bpy.data.objects["Cube Subject"].location.y = -50


def take_phrase(scene):
    bpy.data.objects["Cube Subject"].peekaboo.phrase = ""


def overlap(scene):
    bpy.data.objects["Cube Subject"].peekaboo.phrase = "red ball"


def pan(scene):
    scene.camera.data.type = "PANO"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda scene: setattr(scene, "camera", None), "has no camera"),
        (lambda scene: setattr(scene, "camera", bpy.data.objects["Cube Subject"]), "not a camera"),
        (pan, "is panoramic"),
        (lambda scene: setattr(scene.camera, "scale", (1, 0, 1)), "is scaled to nothing"),
        (lambda scene: [setattr(obj.peekaboo, "enabled", False) for obj in scene.objects], "has no subject"),
        (move_out_of_view, '"Cube Subject" is never in view'),
        (take_phrase, "has no phrase"),
        (overlap, "share words"),
        (lambda scene: setattr(scene.peekaboo, "prompt", "a red ball"), "does not occur in the prompt"),
        (lambda scene: setattr(scene.peekaboo, "prompt", " "), "has no prompt"),
        (lambda scene: setattr(scene.peekaboo, "model", "nothing"), 'no model "nothing"'),
    ],
)
def test_what_keeps_a_shot_from_being_made_is_one_sentence(scene, tmp_path, spoil, problem):
    small_shot(scene)
    spoil(scene)
    with pytest.raises(PeekabooError, match=problem) as caught:
        write_shot(scene, tmp_path / "job")
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert not list(tmp_path.iterdir())
    assert len(bpy.data.scenes) == 1


def test_an_unwritable_folder_is_one_sentence(scene, tmp_path):
    small_shot(scene)
    (tmp_path / "file").touch()
    with pytest.raises(PeekabooError, match="cannot be written"):
        write_shot(scene, tmp_path / "file" / "job")


def test_too_many_subjects_are_refused(scene):
    add_camera(scene)
    for number in range(256):
        add_empty(scene, f"ball {number}")
    scene.peekaboo.prompt = PROMPT
    with pytest.raises(PeekabooError, match="256 subjects"):
        read_layout(scene, 96, 64, 4)


@pytest.mark.parametrize("motion_blur", [False, True])
def test_a_keyframed_strength_reaches_the_job_frame_by_frame(scene, motion_blur):
    ball, cube = small_shot(scene)
    scene.peekaboo.motion_blur = motion_blur
    for frame, strength in ((1, 0.0), (4, 1.0)):
        ball.peekaboo.strength = strength
        ball.keyframe_insert("peekaboo.strength", frame=frame)
    layout = read_layout(scene, 96, 64, 4)
    stated = {subject["name"]: subject for subject in make_job(scene, layout, 0)["subjects"]}
    assert "strength" not in stated[cube.name]
    strength = stated[ball.name]["strength"]
    assert strength[0] == 0 and strength[-1] == 1 and sorted(strength) == strength and 0 < strength[1] < 1


def test_the_preview_range_is_what_is_made(scene):
    scene.frame_start, scene.frame_end = 1, 80
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 11, 18
    timing = timing_of(scene, 4)
    assert (timing.frame_start, timing.frame_count) == (11, 8)
    assert timing.scene_frames == (11.5, 13.5, 15.5, 17.5)
    scene.use_preview_range = False
    assert timing_of(scene, 4).frame_count == 80


def test_reading_takes_little_more_room_than_the_labels(scene):
    small_shot(scene, frames=64)
    tracemalloc.start()
    try:
        layout = read_layout(scene, 288, 160, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * layout.labels.nbytes + 8 * 2**20  # depths of all frames would be 23 MB
