# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a scene's prompt fits its subjects."""

from scenes import PROMPT, add_camera, add_empty

from blender_addon.shot import shots, subjects
from blender_addon.shot.prompt import colored, faulty_subjects, prompt_problem


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


def test_phrases_have_the_colours_of_their_outlines_also_in_a_shots_own_prompt(scene):
    scene.peekaboo.prompt = "a red ball beside a blue cube"
    ball, cube = add_empty(scene, "a red ball"), add_empty(scene, "a blue cube")
    cube.peekaboo.color = ball.peekaboo.color = (1.0, 0.0, 0.5)  # which are drawn apart
    colors = subjects.apart([tuple(ball.peekaboo.color), tuple(cube.peekaboo.color)])
    assert colored(scene) == [(0, 10, colors[0]), (18, 29, colors[1])]
    marker = scene.timeline_markers.new("Close", frame=1)
    marker.camera, marker.peekaboo.prompt = add_camera(scene), "only a blue cube"
    [shot] = shots.shots_of(scene)
    assert colored(scene, shot) == [(5, 16, tuple(cube.peekaboo.color))]
    ball.peekaboo.enabled = False
    assert colored(scene) == [(18, 29, tuple(cube.peekaboo.color))]
