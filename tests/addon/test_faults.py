# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody has foreseen is told in a sentence, which names the log that has its traceback."""

import re
from pathlib import Path

import pytest

from blender_addon import faults
from blender_addon.command.program import exit_code
from blender_addon.engine.environment import Ended, Task
from blender_addon.making import generation


@pytest.fixture(autouse=True)
def fresh_log():
    faults.unregister()
    yield
    faults.unregister()


def fail(*_):
    raise ZeroDivisionError("ours")


def assert_tells(sentence):
    told = re.search(
        r'failed unexpectedly \(ZeroDivisionError: ours\): please report it, with the log "(.+)"\.', sentence
    )
    log = Path(told[1])
    text = log.read_text(encoding="utf-8")
    assert "Traceback" in text and "in fail" in text and "blender_addon." in text
    log.unlink()


def test_in_a_command(capsys):
    assert exit_code(fail, []) == 1
    assert_tells(capsys.readouterr().err)


def test_in_a_set_up_which_comes_to_its_end():
    task = Task(fail)
    task.join(10)
    (ended,) = task.poll()
    assert isinstance(ended, Ended) and ended.failed
    assert_tells(ended.text)


def test_while_clips_are_made_which_frees_the_queue(scene, monkeypatch):
    monkeypatch.setattr(generation._queue, "advance", fail)
    for _ in range(2):
        assert generation._tick() is not None
    (outcome,) = {outcome.text: outcome for outcome in generation.outcomes()}.values()
    assert outcome.failed and not generation.unfinished()
    assert_tells(outcome.text)
    generation.outcomes().clear()
