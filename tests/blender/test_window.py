# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender window, driven as a user drives it, with the real engine on a tiny random model."""

import json
import os
import time

import imageio.v3 as iio
import measure_colors
import numpy as np
import pytest
import tiny_families
import window
from house.environments import ENGINE, ROOT

pytestmark = [
    pytest.mark.window,
    pytest.mark.skipif(window.missing() is not None, reason=str(window.missing())),
]

FIRST = "Scene 001 · seed 0"
"""The strip of a scene's first clip."""
ENGINE_SECONDS = 5
"""How long an engine may outlive its Blender."""


@pytest.fixture(scope="module")
def screen():
    with window.display() as name:
        yield name


@pytest.fixture
def play(profile, screen, model, tmp_path):
    plays = []

    def start(scenario, steps=24, name=None, **settings):
        settings = {
            "TEST_MODEL": str(model),
            "TEST_STEPS": str(steps),
            "PEEKABOO_PYTHON": str(ENGINE.python),
        } | settings
        plays.append(window.Play(profile, screen, scenario, tmp_path / (name or scenario), **settings))
        return plays[-1]

    yield start
    for started in plays:
        started.kill()


def assert_engines_end(pids):
    deadline = time.monotonic() + ENGINE_SECONDS
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"engines outlived their Blender: {left}"
        time.sleep(0.1)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_author_generate_cancel_generate_undo(play):
    facts = play("generate", steps=60).facts(seconds=400)
    assert (facts["phrase"], facts["prompt"]) == ("a red ball", "a red ball on grass")
    assert facts["can"] == [False, True]
    assert not facts["as_typed"], "the prompt is not checked while it is typed"
    assert facts["after_cancel"] == ["The generation was cancelled; nothing was kept of it.", [], []]
    outcome, strips, takes = facts["after_clip"]
    assert outcome.startswith(
        'The clip is in channel 1 of the sequencer of "Scene Takes", frames 1 to 24, after'
    )
    assert strips == [FIRST]
    assert {"Scene_001/clip.mp4", "Scene_001/thumbnail.png"} < set(takes)
    assert facts["drawn_with_the_strip"] == 0, "the arrival has Blender draw a viewport from the start"
    assert facts["after_undo"] == [[], 1, True], "the clip is an undo step of its own"
    assert facts["after_redo"] == [[FIRST], 2, True]
    assert facts["pids"][0] == facts["pids"][1], "the engine was not kept"
    assert_engines_end(facts["pids"])


def test_takes_are_queued_made_again_shown_with_masks_and_restored(play):
    facts = play("takes", steps=60).facts(seconds=400)
    assert facts["queued"] == [0, 1, 2, 0]
    assert facts["after_queue"] == [FIRST, "Scene 003 · seed 2", "Scene 004 · seed 0"]
    assert facts["retaken"] == [3]
    assert facts["after_retake"] == [*facts["after_queue"], "Scene 005 · seed 3"]
    assert facts["with_masks"] == 5
    assert facts["restored"] == ["a red ball on grass", "a red ball"] and facts["spaces"] == ["sRGB"] * 4


def test_two_seeds_of_two_scenes_are_queued_and_each_scene_gets_its_own(play, tmp_path):
    opened, opener = tmp_path / "opened", tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    opener.chmod(0o755)
    path = f"{opener.parent}{os.pathsep}{os.environ['PATH']}"
    facts = play("scenes", steps=40, PATH=path).facts(seconds=400)
    assert facts["queued"] == ["Scene, seed 0", "Scene, seed 1", "Second, seed 7", "Second, seed 8"]
    assert [text.partition(", frames")[0] for text in facts["outcomes"]] == [
        f'The clip is in channel {channel} of the sequencer of "{scene} Takes"'
        for scene in ("Scene", "Second")
        for channel in (1, 2)
    ]
    assert facts["strips"] == {
        "Scene": [FIRST, "Scene 002 · seed 1"],
        "Second": ["Second 001 · seed 7", "Second 002 · seed 8"],
    }
    assert facts["means"] == ["Second", "Second", "Scene"]
    folders = ["Scene_001", "Scene_002", "Second_001", "Second_002"]
    assert facts["takes"] == [f"{folder}/clip.mp4" for folder in folders]
    assert opened.read_text().strip() == str(tmp_path / "scenes" / "peekaboo" / "Scene_002")


def test_shots_by_markers_are_made_with_one_press_and_lie_in_their_places(play):
    facts = play("shots", steps=6).facts(seconds=400)
    assert facts["cut"] == [[4, "High"], [3, "High"]]
    assert facts["queued"] == [f"{title}, seed 0" for title in ("Close", "Wide", "Close", "High")]
    assert facts["strips"] == [
        f"{take} · seed 0" for take in ("Close 001", "Close 002", "High 001", "Wide 001")
    ]
    assert facts["outcomes"] == [False] * 4 and facts["workspace"] == "Video Editing"
    assert facts["shown"] == "Scene"
    assert facts.get("back", ["Layout", "Scene"]) == ["Layout", "Scene"], "Back to leads where one was"
    assert facts["hidden"] == [False, True, False], "what Show Clip has changed of a take is a step of undo"


def test_takes_are_seen_and_rendered_in_the_colours_of_their_clip(profile, screen, tmp_path):
    own, agx = "a scene of their own, beside AgX", "AgX"
    figures = measure_colors.measure(profile, screen, tmp_path / "colors", (own, agx))
    for place in ("sequencer", "F12", "camera"):
        # AgX has no way to the purest colours; its camera view is not seen through it
        for name, most in ((own, 3), (agx, 3 if place == "camera" else 10)):
            assert max(figures[name][place]["usual"]) < 2.5, (name, place)
            assert max(figures[name][place]["mean"]) < most, (name, place)
    assert [facts["told"] for facts in figures.values()] == [[], []]


def test_outlines_are_drawn_in_the_subjects_colours_until_they_are_switched_off(play):
    facts = play("outlines").facts(seconds=200)
    assert min(facts["on"]) > 20 and max(facts["off"]) == 0, facts
    assert facts["through_wall"] == facts["on"] != facts["behind_wall"], "the wall cuts no outline"


def test_opening_a_file_keeps_the_clip_and_disabling_the_addon_cancels_cleanly(play):
    facts = play("open_another", steps=60).facts(seconds=200)
    outcome, strips, takes = facts["after_load"]
    assert outcome.startswith("The scene of the clip is gone: the clip itself is at") and strips == []
    assert [take for take in takes if take.endswith("clip.mp4")]
    assert facts["after_disable"] == takes and not facts["prompt_kept"]
    assert_engines_end(facts["pids"])


def test_an_engine_that_is_killed_is_told_in_each_phase_and_the_next_clip_has_a_new_one(play):
    facts = play("killed", steps=12).facts(seconds=300)
    for phase, (sentence, left) in facts["told"].items():
        assert sentence.startswith("The engine was killed by SIGKILL, as happens when memory runs out:"), (
            phase
        )
        assert left == [], phase
    assert max(facts["seconds"].values()) < 2, facts["seconds"]
    outcome, strips = facts["clip"]
    assert outcome.startswith("The clip is in channel 1") and strips == [FIRST]
    assert len(set(facts["pids"])) == 6 and facts["settings_kept"]
    assert_engines_end(facts["pids"])


def test_render_save_and_undo_in_mid_generation_a_full_disk_and_a_lost_environment(play, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{ENGINE.python}" "$@"\n')
    python.chmod(0o755)
    facts = play("trouble", steps=200, PEEKABOO_PYTHON=str(python)).facts(seconds=300)
    assert facts["checking"] == [True, False], "a check ends by itself, and must not offer to be cancelled"
    text, failed = facts["check"]
    assert text.startswith("Ready: torch") and not failed
    assert facts["rendered"] == [True, True]
    assert facts["outcome"].startswith("The clip is in channel 1") and facts["strips"] == [FIRST]
    sentence, nothing_left = facts["full_disk"]
    assert "was not written" in sentence and "free some space" in sentence and nothing_left
    sentence, nothing_left = facts["no_environment"]
    assert sentence == f'The engine\'s Python "{python}" does not exist: ' + sentence.partition("exist: ")[2]
    assert nothing_left and facts["settings_kept"]
    assert_engines_end(facts["pids"])


def test_two_blenders_with_one_output_folder_do_not_disturb_each_other(play, tmp_path):
    plays = [play("one_clip", name=name, TEST_OUTPUT=str(tmp_path / "shared")) for name in "ab"]
    facts = [one.facts(seconds=300) for one in plays]
    assert all(each["outcome"].startswith("The clip is in channel 1") for each in facts)
    assert len({each["clip"] for each in facts}) == 2
    assert_engines_end([pid for each in facts for pid in each["pids"]])


def test_quitting_blender_ends_the_engine(play):
    assert_engines_end(play("leave", steps=300).facts(seconds=200)["pids"])


def test_killing_blender_ends_the_engine(play):
    blender = play("stay", steps=300)
    deadline = time.monotonic() + 200
    while not (blender.out / "facts.json").exists():
        assert time.monotonic() < deadline and blender.process.poll() is None
        time.sleep(0.2)
    blender.kill()
    assert_engines_end(json.loads((blender.out / "facts.json").read_text())["pids"])


@pytest.fixture
def from_picture(tmp_path):
    """The repository's own small model of Wan's classes, as one that is given its first frame."""
    own, model = ROOT / "peekaboo_engine" / "assets" / "solids", tmp_path / "from_picture"
    model.mkdir()
    for path in own.iterdir():
        if path.is_dir():  # files are written here, and must not be the repository's
            (model / path.name).symlink_to(path)
    index = json.loads((own / "model_index.json").read_text()) | {"expand_timesteps": True}
    (model / "model_index.json").write_text(json.dumps(index))
    size = {"width": 288, "height": 160, "num_frames": 5, "max_sequence_length": 64}
    (model / "peekaboo.json").write_text(json.dumps(size))
    return model


def test_a_clip_starts_from_the_frame_that_the_window_renders(play, from_picture, tmp_path):
    facts = play("first_frame", steps=2, TEST_MODEL=str(from_picture)).facts(seconds=500)
    assert facts["rendering"] == ["Peekaboo First Frame", "Scene"] and facts["saved"] == ["Scene"]
    assert facts["while_generating"]
    outcome, strips, same = facts["after_clip"]
    assert outcome.startswith("The clip is in channel 1") and len(strips) == 1 and same
    take = tmp_path / "first_frame" / "peekaboo" / "Scene_001"
    record = json.loads((take / "clip.json").read_text())
    given = iio.imread(take / "job" / record["first_frame"]["name"]).astype(float)
    first = next(iter(iio.imiter(take / "clip.mp4"))).astype(float)
    assert 2 * np.abs(first - given).mean() < np.abs(first - given[:, ::-1]).mean()


def test_clips_of_other_families_are_previewed_cancelled_and_made_from_a_rendered_frame(play, tmp_path):
    models = tmp_path / "models"
    tiny_families.save(models, ["ltx", "hunyuan_started"])
    lora = models / "ltx.safetensors"
    options = {"TEST_START": "text", "TEST_THEN": "rendered", "TEST_LORA": str(lora)}
    options["TEST_OTHER"] = str(models / "hunyuan_started")
    facts = play("family", steps=2, TEST_MODEL=str(models / "ltx"), **options).facts(seconds=400)
    assert facts["after_cancel"] == ["The generation was cancelled; nothing was kept of it.", [], []]
    outcome, strips = facts["after_clip"]
    assert outcome.startswith("The clip is in channel 1") and strips == [FIRST]
    take = tmp_path / "family" / "peekaboo" / "Scene_001"
    record = json.loads((take / "clip.json").read_text())
    assert record["job"]["start_from"] == "rendered" and record["model"]["folder"] == "ltx"
    assert [(each["file"], each["weight"]) for each in record["loras"]] == [(lora.name, 0.5)]
    assert iio.imread(take / "clip.mp4").shape == (8, 128, 192, 3)
    outcome, strips = facts["after_other_clip"]
    assert outcome.startswith("The clip is in channel 2") and strips == [
        FIRST,
        "Scene 002 · seed 0",
    ]
    record = json.loads((take.with_name("Scene_002") / "clip.json").read_text())
    assert record["job"]["start_from"] == "rendered" and record["model"]["folder"] == "hunyuan_started"
    assert iio.imread(take.with_name("Scene_002") / "clip.mp4").shape == (8, 64, 96, 3)
