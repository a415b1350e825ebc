# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a scene's prompt fits its subjects."""

from scenes import PROMPT, add_empty

from blender_addon.shot.prompt import prompt_problem


def test_the_prompt_is_checked_against_enabled_subjects_only(scene):
    assert "has no prompt: say what the clip shows" in prompt_problem(scene)
    scene.peekaboo.prompt = PROMPT
    empty = add_empty(scene, "a green cone")
    assert 'The phrase "a green cone" of subject' in prompt_problem(scene)
    empty.peekaboo.enabled = False
    assert prompt_problem(scene) is None
