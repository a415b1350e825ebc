# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases over time: the list of a scene, jobs, and back."""

import bpy
import pytest
from scenes import add_camera, small_shot

from blender_addon.command import options
from blender_addon.engine import job_schema
from blender_addon.errors import UsageError
from blender_addon.shot import restoring, shots, timed_phrases
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_shot
from blender_addon.shot.prompt import prompt_problem


@pytest.fixture
def shot(scene):
    small_shot(scene, frames=24)
    scene.frame_set(9)
    bpy.ops.peekaboo.add_timed_phrase(phrase="grass")
    return scene


def job_of(scene, shot=None):
    return make_job(scene, read_shot(scene, shot=shot), 0, shot=shot)


def test_a_phrase_begins_at_the_current_frame_and_ends_with_its_shot(shot):
    [entry] = shot.peekaboo.timed_phrases
    assert (entry.phrase, entry.frame_start, entry.frame_end, entry.fade) == ("grass", 9, 24, 0)


def test_a_job_has_those_that_are_on_and_restoring_brings_them_back(shot):
    bpy.ops.peekaboo.add_timed_phrase(phrase="a blue cube")
    first, second = shot.peekaboo.timed_phrases
    second.frame_start, second.frame_end, second.fade = 3, 5, 2.5
    job = job_of(shot)
    assert job["timed_phrases"] == [
        {"phrase": "grass", "frame_start": 9, "frame_end": 24, "fade": 0.0},
        {"phrase": "a blue cube", "frame_start": 3, "frame_end": 5, "fade": 2.5},
    ]
    job_schema.check(job)
    first.enabled, second.frame_end = False, 9
    assert [each["frame_end"] for each in job_of(shot)["timed_phrases"]] == [9]
    assert restoring.restore(shot, job) == []
    assert job_of(shot) == job and len(shot.peekaboo.timed_phrases) == 3  # what is off is not lost
    restoring.restore(shot, {name: value for name, value in job.items() if name != "timed_phrases"})
    assert "timed_phrases" not in job_of(shot)
    for _ in range(3):
        bpy.ops.peekaboo.remove_timed_phrase(index=0)
    assert not shot.peekaboo.timed_phrases


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"phrase": "snow"}, '"snow" does not occur in the prompt'),
        ({"phrase": ""}, "does not occur"),
        ({"frame_end": 8}, "ends at frame 8, before its start at 9"),
        ({"frame_start": 40, "frame_end": 50}, "outside of the scene's frames, 1 to 24"),
    ],
)
def test_what_is_wrong_with_the_list_is_one_sentence(shot, values, problem):
    [entry] = shot.peekaboo.timed_phrases
    assert prompt_problem(shot) is None
    for name, value in values.items():
        setattr(entry, name, value)
    assert problem in prompt_problem(shot)
    entry.enabled = False
    assert prompt_problem(shot) is None


@pytest.mark.parametrize("model", ["sdxl", "sd1.5", "hunyuan1.5-t2v-480p"])
def test_a_model_that_cannot_is_told_before_a_clip_is_made(shot, model):
    shot.peekaboo.model = model
    assert prompt_problem(shot).startswith("This model does not read words frame by frame")
    with pytest.raises(RuntimeError, match="frame by frame"):
        bpy.ops.peekaboo.generate()
    shot.peekaboo.timed_phrases[0].enabled = False
    assert prompt_problem(shot) is None


def test_all_blocks_are_needed(shot):
    shot.peekaboo.blocks = "mid_up"
    assert 'choose "All" in Blocks' in prompt_problem(shot)


def test_a_job_whose_phrase_ends_before_it_begins_is_damaged(shot):
    job = job_of(shot)
    job["timed_phrases"][0]["frame_end"] = 8
    with pytest.raises(job_schema.Damaged, match="before its start"):
        job_schema.check(job)


def test_a_phrase_of_another_shot_is_left_out_and_its_frames_are_the_scenes(shot):
    other = add_camera(shot, (0, -12, 0))
    for frame, camera in ((1, shot.camera), (13, other)):
        shot.timeline_markers.new(f"Shot {frame}", frame=frame).camera = camera
    shot.timeline_markers[0].peekaboo.prompt = "a red ball and a blue cube in snow"
    one, two = shots.shots_of(shot)
    assert prompt_problem(shot, shot=one) is None
    assert "timed_phrases" not in job_of(shot, one)
    assert job_of(shot, two)["timed_phrases"][0]["frame_start"] == 9


def entries(scene):
    """The list of a scene, in short."""
    return [
        (each.phrase, each.frame_start, each.frame_end, each.fade) for each in scene.peekaboo.timed_phrases
    ]


def test_markers_are_keyframes_of_the_words_in_their_names(shot):
    assert shot.peekaboo.timed_phrases[0].phrase == "grass"
    shot.peekaboo.timed_phrases[0].fade = 2
    names = [
        (1, '"a blue cube"'),
        (7, 'dusk: "grass" \u201ca blue cube\u201d'),
        (13, "Shot"),
        (15, '""'),
        (20, '"grass"'),
    ]
    for frame, name in names:
        shot.timeline_markers.new(name, frame=frame)
    assert bpy.ops.peekaboo.take_timed_phrases() == {"FINISHED"}
    own = ("grass", 9, 24, 2)  # made by hand, which stays
    expected = [own, ("a blue cube", 1, 14, 0), ("grass", 7, 14, 2), ("grass", 20, 24, 2)]
    assert entries(shot) == expected and prompt_problem(shot) is None
    assert bpy.ops.peekaboo.take_timed_phrases() == {"FINISHED"} and entries(shot) == expected
    job_schema.check(job_of(shot))


def test_markers_that_are_renamed_moved_or_gone_take_their_phrases_along(shot):
    by_hand = ("grass", 9, 24, 0)
    marker = shot.timeline_markers.new('"a blue cube"', frame=3)
    bpy.ops.peekaboo.take_timed_phrases()
    shot.peekaboo.timed_phrases[1].fade = 4
    marker.name = '"a red ball"'
    bpy.ops.peekaboo.take_timed_phrases()
    assert entries(shot) == [by_hand, ("a red ball", 3, 24, 4)]
    marker.frame = 5
    bpy.ops.peekaboo.take_timed_phrases()
    assert entries(shot) == [by_hand, ("a red ball", 5, 24, 4)]
    marker.name = '"grass"'
    marker.frame = 9
    bpy.ops.peekaboo.take_timed_phrases()
    assert entries(shot) == [by_hand]  # the markers say the same, and it is theirs now
    shot.timeline_markers.remove(marker)
    assert bpy.ops.peekaboo.take_timed_phrases() == {"FINISHED"} and entries(shot) == []
    with pytest.raises(RuntimeError, match="No marker names words"):
        bpy.ops.peekaboo.take_timed_phrases()


def test_markers_without_words_are_told_of_and_the_list_stays(shot):
    shot.timeline_markers.new("Shot", frame=3)
    shot.timeline_markers.new('""', frame=5)
    with pytest.raises(RuntimeError, match="No marker names words"):
        bpy.ops.peekaboo.take_timed_phrases()
    assert entries(shot) == [("grass", 9, 24, 0)]


def test_a_command_line_has_phrases_of_its_own_for_a_run(shot):
    parser = options.Parser()
    options.add_shot(parser)
    given = ["--phrase-over-time", "a blue cube:3-5:2.5", "--phrase-over-time", "on grass:-4-9"]
    with options.overridden([shot], parser.parse_args(given)):
        used = entries(shot)[1:]
        assert used == [("a blue cube", 3, 5, 2.5), ("on grass", -4, 9, 0)]
        assert [each["phrase"] for each in job_of(shot)["timed_phrases"]] == ["a blue cube", "on grass"]
    assert entries(shot) == [("grass", 9, 24, 0)] and shot.peekaboo.timed_phrases[0].enabled


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("rain", "write it as WORDS:FIRST-LAST"),
        ("grass:1-2:999999", "write it as WORDS:FIRST-LAST"),
        (f"grass:1-{'9' * 5000}", "write it as WORDS:FIRST-LAST"),
        ("grass:1-1048575", "has a frame beyond 1048574"),
        ("grass:-1048575-3", "has a frame beyond 1048574"),
        ("grass:1-3:10000.5", "over more than 10000 frames"),
    ],
)
def test_what_no_list_can_have_is_refused_on_the_command_line(shot, typed, problem):
    parser = options.Parser()
    options.add_shot(parser)
    wrong = parser.parse_args(["--phrase-over-time", typed])
    with pytest.raises(UsageError, match=problem), options.overridden([shot], wrong):
        pass


def test_markers_of_one_frame_say_their_words_together(shot):
    for frame, name in ((3, 'B "grass"'), (3, 'A "a blue cube"'), (9, '""')):
        shot.timeline_markers.new(name, frame=frame)
    assert {each["phrase"]: each["frame_end"] for each in timed_phrases.of_markers(shot)} == {
        "grass": 8,
        "a blue cube": 8,
    }
