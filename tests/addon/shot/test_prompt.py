# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a scene's prompt fits its subjects."""

from scenes import PROMPT, add_empty

from blender_addon.shot.prompt import faulty_subjects, prompt_problem


def test_the_prompt_is_checked_against_enabled_subjects_only(scene):
    assert "has no prompt: say what the clip shows" in prompt_problem(scene)
    scene.peekaboo.prompt = PROMPT
    empty = add_empty(scene, "a green cone")
    assert 'The phrase "a green cone" of subject' in prompt_problem(scene)
    empty.peekaboo.enabled = False
    assert prompt_problem(scene) is None


def test_subjects_of_one_phrase_are_faulty_together_unless_they_are_one_subject(scene):
    scene.peekaboo.prompt = "a ball and a ball on grass"
    balls = [add_empty(scene, "a ball") for _ in range(3)]
    grass = add_empty(scene, "grass")
    assert faulty_subjects(scene, scene.objects) == {ball.name for ball in balls}
    assert "fewer times than there are subjects" in prompt_problem(scene)
    scene.peekaboo.prompt = "a ball on grass"
    assert faulty_subjects(scene, scene.objects) == set() and prompt_problem(scene) is None
    scene.peekaboo.prompt = "grass"
    assert faulty_subjects(scene, scene.objects) == {ball.name for ball in balls}
    grass.peekaboo.enabled = False
    assert grass.name not in faulty_subjects(scene, scene.objects)
