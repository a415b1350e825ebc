# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt that will be cut is said before a clip is made of it, by what the warm engine knows."""

from scenes import small_shot

from blender_addon import changes
from blender_addon.engine.messages import Failure, PromptRead, Result
from blender_addon.making import prompts


class Engine:
    """Stands for an engine without a job."""

    def __init__(self):
        self.asked = []

    def read(self, model, prompt):
        self.asked.append((model, prompt))


def test_a_prompt_that_will_be_cut_is_asked_about_once_it_is_left_alone(scene, monkeypatch):
    small_shot(scene)
    scene.peekaboo.prompt = long = "a red ball on grass " * 30
    engine = Engine()
    monkeypatch.setattr(changes, "quiet_seconds", lambda: 0.0)
    assert prompts.cut_of(scene, long) is None and not prompts.take_in([], engine) and not engine.asked
    assert not prompts.wants_engine()
    monkeypatch.setattr(changes, "quiet_seconds", lambda: 1.0)
    assert prompts.wants_engine()
    prompts.take_in([], None)  # it has a job
    prompts.take_in([], engine)
    prompts.take_in([], engine)
    assert engine.asked == [("shapes", long)]
    assert prompts.take_in([PromptRead(152, 77, 299)], engine)
    sentence = prompts.cut_of(scene, long)
    assert "of its 152 tokens the model reads 77" in sentence and f"{long[:299][-30:]}" in sentence
    prompts.take_in([], engine)
    assert len(engine.asked) == 1
    assert prompts.cut_of(scene, shorter := long[:200]) is None
    prompts.take_in([], engine)
    prompts.take_in([PromptRead(52, 77, None)], engine)
    assert len(engine.asked) == 2 and prompts.cut_of(scene, shorter) is None


def test_no_engine_is_started_for_a_prompt_that_no_model_cuts_nor_after_one_has_failed(
    scene, monkeypatch, tmp_path
):
    small_shot(scene)
    engine = Engine()
    monkeypatch.setattr(changes, "quiet_seconds", lambda: 1.0)
    prompts.cut_of(scene, "o" * prompts.LONG_BYTES)
    assert not prompts.is_waiting() and not prompts.wants_engine()
    scene.peekaboo.model = str(tmp_path)
    prompts.cut_of(scene, "a red ball or another " * 30)
    assert not prompts.is_waiting() and not prompts.wants_engine()  # a folder that a file has named
    scene.peekaboo.model = "shapes"
    prompts.cut_of(scene, "a red ball or another " * 30)
    assert prompts.wants_engine()
    prompts.take_in([], engine)
    prompts.take_in([Failure("died", "The engine ended.")], None)
    prompts.cut_of(scene, "a red ball or another " * 30)
    assert not prompts.is_waiting() and not prompts.wants_engine()


def test_what_a_model_that_was_not_loaded_reads_is_asked_again_after_a_clip(scene, monkeypatch, tmp_path):
    small_shot(scene)
    prompt = "a red ball, again and again " * 9
    engine = Engine()
    monkeypatch.setattr(changes, "quiet_seconds", lambda: 1.0)
    prompts.cut_of(scene, prompt)
    prompts.take_in([], engine)
    prompts.take_in([PromptRead(None, None, None)], engine)
    assert prompts.cut_of(scene, prompt) is None
    prompts.take_in([], engine)
    assert len(engine.asked) == 1
    prompts.take_in([Result(tmp_path, tmp_path, 1.0)], engine)
    assert prompts.cut_of(scene, prompt) is None
    prompts.take_in([], engine)
    assert len(engine.asked) == 2
