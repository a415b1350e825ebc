# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender window, driven as a user drives it, with the real engine on a tiny random model."""

import json
import os
import time

import pytest
import window
from environments import ENGINE

pytestmark = pytest.mark.skipif(window.missing() is not None, reason=str(window.missing()))

ENGINE_SECONDS = 5
"""How long an engine may outlive its Blender."""


@pytest.fixture(scope="module")
def screen():
    with window.display() as name:
        yield name


@pytest.fixture
def play(profile, screen, model, tmp_path):
    plays = []

    def start(scenario, steps=24):
        settings = {
            "TEST_MODEL": str(model),
            "TEST_STEPS": str(steps),
            "PEEKABOO_PYTHON": str(ENGINE.python),
        }
        plays.append(window.Play(profile, screen, scenario, tmp_path / scenario, **settings))
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
    facts = play("generate").facts(seconds=400)
    assert (facts["phrase"], facts["prompt"]) == ("a red ball", "a red ball on grass")
    assert facts["can"] == [False, True]
    assert facts["after_cancel"] == ["The generation was cancelled; nothing was kept of it.", [], []]
    outcome, strips, takes = facts["after_clip"]
    assert outcome.startswith("The clip is in channel 1 of the sequencer, frames 1 to 24, after")
    assert strips == ["Peekaboo 0"] and "Scene_001/clip.mp4" in takes
    assert facts["after_undo"] == [[], "a red ball on grass"]
    assert facts["after_redo"] == ["Peekaboo 0"]
    print("ms between timer ticks, and held by the add-on:", facts["idle"], facts["busy"], sep="\n")
    assert_engines_end(facts["pids"])


def test_outlines_are_drawn_in_the_subjects_colours_until_they_are_switched_off(play):
    facts = play("outlines").facts(seconds=200)
    assert min(facts["on"]) > 20 and max(facts["off"]) == 0, facts


def test_opening_a_file_keeps_the_clip_and_disabling_the_addon_cancels_cleanly(play):
    facts = play("open_another", steps=60).facts(seconds=200)
    outcome, strips, takes = facts["after_load"]
    assert outcome.startswith("The scene of the clip is gone: the clip itself is at") and strips == []
    assert [take for take in takes if take.endswith("clip.mp4")]
    assert facts["after_disable"] == takes and not facts["prompt_kept"]
    assert_engines_end(facts["pids"])


def test_a_killed_engine_is_told_and_undo_in_mid_generation_does_not_lose_the_clip(play):
    facts = play("trouble").facts(seconds=200)
    assert facts["after_kill"].startswith("The engine was killed by SIGKILL before the clip was done")
    text, failed = facts["check"]
    assert text.startswith("Ready: torch") and not failed
    assert facts["outcome"].startswith("The clip is in channel 1") and facts["strips"] == ["Peekaboo 0"]


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
