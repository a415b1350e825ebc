# SPDX-License-Identifier: GPL-3.0-or-later
"""Authoring a shot in a real Blender window, driven as a user drives it."""

from pathlib import Path

import pytest
import window
from house.environments import ENGINE

pytestmark = [
    pytest.mark.window,
    pytest.mark.skipif(window.missing() is not None, reason=str(window.missing())),
]


@pytest.fixture
def play(profile, tmp_path, monkeypatch):
    """Play a scenario of drive_authoring.py to its end; returns what it has found."""
    monkeypatch.setattr(window, "DRIVER", Path(__file__).with_name("drive_authoring.py"))
    with window.display() as screen:
        python = str(ENGINE.python)
        yield lambda name: window.Play(profile, screen, name, tmp_path / name, PEEKABOO_PYTHON=python).facts(
            seconds=200
        )


def test_a_subject_is_found_by_the_search_animated_checked_and_taken_back(play):
    facts = play("author")
    assert facts["added"] == ["SPHERE", [0, 0, 0], True]
    assert facts["keys"] == 2 and facts["after_motion"] == [""]
    assert facts["after_undo"] == [0, "a red ball on grass"]
    problem, unseen, small = facts["warned"]
    assert problem == "" and "is not seen at frames 1–" in unseen and "is too small for the model" in small
    print("the check's longest turns on the main thread, in milliseconds:", facts["held"])


def test_simulations_are_played_in_turns_that_can_be_cancelled(play):
    facts = play("turns")
    assert facts["at_once"] == 1 and facts["cancelled"] == [1, True]
    assert facts["checked"][:2] == [1, ""] and facts["read_at_once"] == 0
    assert (facts["written_at_once"], facts["written"]) == (0, 30)


def test_a_layout_is_imported_through_the_file_browser_before_the_camera(play):
    facts = play("import")
    assert facts["after_cancel"] == 2  # camera and light: nothing was added
    assert facts["imported"] == ["fox", "a fox on grass"] and facts["warned"] == [""]


def test_a_sentence_is_drafted_looked_at_applied_taken_back_and_changed(play):
    facts = play("draft")
    assert facts["waits"] == [True, 0] and facts["before"] == 0
    sentence = "a red ball rolls from left to right behind a blue cube"
    assert facts["applied"] == [["Blue cube", "Red ball"], sentence]
    assert facts["after_undo"] == 0
    assert facts["moved"] == [True, True]
    text, failed = facts["refused"]
    assert failed and "gallumphs" in text
