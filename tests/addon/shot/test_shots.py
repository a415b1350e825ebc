# SPDX-License-Identifier: GPL-3.0-or-later
"""Shots that markers cut a scene into: which frames, what they have for themselves, what is made of them."""

import bpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import PROMPT, add_camera, small_shot

from blender_addon import compat
from blender_addon.errors import PeekabooError
from blender_addon.making import delivery
from blender_addon.masks import cameras
from blender_addon.shot import check, prompt, restoring, seeds, shots
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_shot, timing_of
from blender_addon.takes import strips


def cut(scene, frame, title="", camera=None):
    marker = scene.timeline_markers.new(title, frame=frame)
    marker.camera = camera or add_camera(scene)
    return marker


@pytest.fixture
def cuts(scene):
    """Two subjects in three shots of 4, 6 and 2 frames."""
    small_shot(scene, frames=12)
    for frame, title in ((1, "Wide"), (5, "Close"), (11, "High")):
        cut(scene, frame, title)
    return scene


def test_a_scene_of_one_frame_is_no_clip(scene, tmp_path):
    small_shot(scene)
    scene.peekaboo.output_folder = str(tmp_path)
    scene.frame_start = scene.frame_end = 5
    with pytest.raises(PeekabooError, match="one frame to make a clip of, 5, and a clip needs 2"):
        next(delivery.orders_of(scene))
    with pytest.raises(PeekabooError, match="one frame to make a clip of"):  # so for the command line
        read_shot(scene)
    assert "one frame to make a clip of" in check.check_now(scene).problem
    scene.peekaboo.model = "sd1.5"  # a picture has one
    assert not check.check_now(scene).problem and read_shot(scene)


def ranges(scene):
    return [(shot.title, shot.first, shot.last) for shot in shots.shots_of(scene)]


def test_each_marker_with_a_camera_begins_a_shot(cuts):
    cuts.timeline_markers.new("no camera", frame=3)
    assert ranges(cuts) == [("Wide", 1, 4), ("Close", 5, 10), ("High", 11, 12)]
    cuts.use_preview_range, cuts.frame_preview_start, cuts.frame_preview_end = True, 7, 11
    assert ranges(cuts) == [("Close", 7, 10), ("High", 11, 11)]


def test_without_cameras_on_markers_a_scene_is_one_shot(scene):
    small_shot(scene, frames=8)
    scene.timeline_markers.new("no camera", frame=3)
    assert shots.shots_of(scene) == [shots.Shot("", 1, 8, PROMPT)]
    cut(scene, 4, "Close")
    scene.peekaboo.use_markers = False
    assert shots.shots_of(scene) == [shots.Shot("", 1, 8, PROMPT)]


@settings(max_examples=60, deadline=None)
@given(st.integers(-5, 30), st.integers(0, 40), st.lists(st.integers(-10, 60), max_size=6))
def test_shots_share_out_the_range_as_blender_changes_cameras(start, count, frames):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = max(0, start), max(0, start) + count
    for frame in frames:
        cut(scene, frame, f"{frame}")
    if not frames:
        add_camera(scene)
    found = [shot for shot in shots.shots_of(scene) if shot.last >= shot.first]
    covered = [frame for shot in found for frame in range(shot.first, shot.last + 1)]
    assert covered == list(range(scene.frame_start, scene.frame_end + 1))
    for shot in found:
        seen = {cameras.camera_at(scene, frame) for frame in range(shot.first, shot.last + 1)}
        marker = None if shot.marker is None else scene.timeline_markers[shot.marker]
        assert seen == {scene.camera if marker is None else marker.camera}


def test_all_frames_of_the_model_are_spent_on_a_shot(cuts):
    close = shots.shots_of(cuts)[1]
    timing = timing_of(cuts, 12, close)
    assert (timing.frame_start, timing.frame_count, len(timing.scene_frames)) == (5, 6, 12)
    assert min(timing.scene_frames) == 5 and max(timing.scene_frames) < 11
    layout = read_shot(cuts, shot=close)
    assert layout.timing.frame_start == 5 and layout.cuts == ()


def test_a_prompt_of_its_own_says_who_is_in_a_shot(cuts):
    cuts.timeline_markers["Close"].peekaboo.prompt = "a blue cube, close"
    wide, close, _ = shots.shots_of(cuts)
    assert len(read_shot(cuts, shot=wide).subjects) == 2
    layout = read_shot(cuts, shot=close)
    assert [subject.phrase for subject in layout.subjects] == ["a blue cube"]
    assert make_job(cuts, layout, 0, shot=close)["prompt"] == "a blue cube, close"
    cuts.timeline_markers["Close"].peekaboo.prompt = "grass"
    assert 'prompt of the shot "Close" names no subject' in prompt.problem_of_shots(cuts)
    cuts.timeline_markers["Close"].peekaboo.enabled = False
    assert prompt.problem_of_shots(cuts) is None


def test_a_seed_of_its_own_counts_even_where_the_scenes_is_random(cuts):
    cuts.peekaboo.seed_mode = "RANDOM"
    cuts.timeline_markers["High"].peekaboo.seed = 9
    wide, _, high = shots.shots_of(cuts)
    assert seeds.seeds(cuts, 2, high) == [9, 10]
    assert seeds.seeds(cuts, 2, wide) != [0, 1]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda scene: cut(scene, 5, "Same"), 'The shot "Same" has no frames: its marker is at frame 5'),
        (lambda scene: cut(scene, 12, "Last"), 'The shot "High" has one frame, 11, and a clip needs 2'),
        (
            lambda scene: [setattr(marker.peekaboo, "enabled", False) for marker in scene.timeline_markers],
            'All shots of "Scene" are turned off',
        ),
    ],
)
def test_what_cannot_be_made_of_shots_is_one_sentence_before_anything_is_ordered(
    cuts, tmp_path, spoil, problem
):
    cuts.peekaboo.output_folder = str(tmp_path)
    spoil(cuts)
    with pytest.raises(PeekabooError, match=problem):
        list(delivery.orders_of(cuts))
    assert problem in prompt.problem_of_shots(cuts) and not list(tmp_path.iterdir())


def test_what_a_shot_has_for_itself_stays_with_its_marker(cuts, tmp_path):
    own = cuts.timeline_markers["Close"].peekaboo
    own.prompt, own.seed, own.enabled = "a blue cube", 7, False
    cuts.timeline_markers["Close"].name = "Renamed"
    cuts.timeline_markers["Renamed"].frame = 6
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "cuts.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "cuts.blend"))
    for scene in (bpy.context.scene, bpy.context.scene.copy()):
        shot = shots.shots_of(scene)[1]
        assert (shot.title, shot.first, shot.prompt, shot.seed, shot.enabled) == (
            *("Renamed", 6, "a blue cube", 7, False),
        )


def test_every_enabled_shot_is_ordered_and_lies_in_its_place(cuts, tmp_path):
    cuts.peekaboo.output_folder = str(tmp_path)
    cuts.timeline_markers["Close"].peekaboo.enabled = False
    orders = list(delivery.orders_of(cuts, 2))
    assert [order.title for order in orders] == [
        *("Wide, seed 0", "Wide, seed 1", "High, seed 0", "High, seed 1"),
    ]
    assert [order.folder.name for order in orders] == [
        f"Scene_{title}_00{number}" for title in ("Wide", "High") for number in (1, 2)
    ]
    for marker in list(cuts.timeline_markers):  # while the queue is worked on
        cuts.timeline_markers.remove(marker)
    added = []
    for order in orders[1:3]:
        (order.folder / "clip.mp4").touch()
        added.append(strips.add_clip(cuts, order.folder / "clip.mp4", order.job, shot=order.shot))
    assert [strip.name for strip in added] == ["Wide 002 · seed 1", "High 001 · seed 0"]
    assert [compat.strip_range(take) for take in strips.takes(cuts)] == [(1, 5), (11, 13)]


def test_restoring_a_take_of_a_shot_leaves_the_other_shots_alone(cuts):
    cuts.timeline_markers["Close"].peekaboo.prompt = "a blue cube"
    close = shots.shots_of(cuts)[1]
    job = make_job(cuts, read_shot(cuts, shot=close), 5, shot=close)
    cuts.timeline_markers["Close"].peekaboo.prompt = "a red ball"
    restoring.restore(cuts, job)
    assert (cuts.frame_start, cuts.frame_end, cuts.peekaboo.prompt) == (1, 12, PROMPT)
    own = cuts.timeline_markers["Close"].peekaboo
    assert (own.prompt, own.seed) == ("a blue cube", 5)


def test_a_check_is_of_a_shot_and_of_no_other(cuts):
    cuts.objects["Cube Subject"].hide_render = True
    cuts.objects["Cube Subject"].keyframe_insert("hide_render", frame=5)
    cuts.objects["Cube Subject"].hide_render = False
    cuts.objects["Cube Subject"].keyframe_insert("hide_render", frame=1)
    wide, close, _ = shots.shots_of(cuts)
    assert check.check_now(cuts, wide).findings == ()
    (finding,) = check.check_now(cuts, close).findings
    assert (finding.subject, finding.ranges) == ("a blue cube", ((5, 10),))
    assert check.report_of(cuts, wide).findings == () and check.report_of(cuts, close).findings == (finding,)


def test_the_shot_at_the_playhead_is_the_active_one(cuts):
    cuts.frame_current = 8
    assert cuts.peekaboo.active_shot == 1 and shots.shot_at(cuts, 8).title == "Close"
    cuts.peekaboo.active_shot = 2
    assert cuts.frame_current == 11
    assert (shots.shot_at(cuts, -9).title, shots.shot_at(cuts, 99).title) == ("Wide", "High")


def test_a_shot_is_added_at_the_playhead(scene):
    small_shot(scene, frames=12)
    scene.frame_current = 6
    assert bpy.ops.peekaboo.add_shot() == {"FINISHED"}
    assert ranges(scene) == [("Camera", 1, 12)]
    assert not bpy.ops.peekaboo.add_shot.poll()
    scene.frame_current = 9
    bpy.ops.peekaboo.add_shot()
    assert ranges(scene) == [("Camera", 1, 8), ("Camera", 9, 12)]


def test_a_removed_shot_leaves_its_frames_and_the_view_to_the_one_before(cuts):
    wide, close, _ = cuts.timeline_markers
    camera = wide.camera
    cuts.frame_set(8)
    assert cuts.camera == close.camera and bpy.ops.peekaboo.remove_shot() == {"FINISHED"}
    assert ranges(cuts) == [("Wide", 1, 10), ("High", 11, 12)] and cuts.camera == camera
    cuts.frame_set(11)
    high = cuts.timeline_markers["High"]
    high.name = '"in rain"'  # says which words show from there on, and stays
    bpy.ops.peekaboo.remove_shot()
    assert ranges(cuts) == [("Wide", 1, 12)] and high.camera is None and cuts.camera == camera
    bpy.ops.peekaboo.remove_shot()
    assert not bpy.ops.peekaboo.remove_shot.poll() and cuts.camera == camera
