# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a scene's prompt fits its subjects: asked while it is typed, and before a clip is made."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import PeekabooError
from . import phrases, shots, subjects, timed_phrases
from .shots import Shot


def prompt_problem(scene, update: bool = False, shot: Shot | None = None) -> str | None:
    """Say in one sentence why a shot's prompt does not fit its subjects; None while there is nothing to say.

    Args:
        scene: with a prompt and subjects.
        update: see also what a script has just linked; not allowed while Blender draws.
        shot: of the scene, which is one by default.
    """
    prompt = scene.peekaboo.prompt if shot is None else shot.prompt
    if not prompt.strip():
        return (
            f'The scene "{scene.name}" has no prompt: say what the clip shows, with the phrase of '
            "each subject in it."
        )
    named = [(role.name, role.objects[0].peekaboo.phrase) for role in subjects.used(scene, update, shot)]
    if not named and shot is not None and shot.is_own_prompt:
        return subjects.names_nobody(shot)
    return phrases.phrase_problem(prompt, named) or timed_phrases.problem(scene, prompt)


def colored(scene, shot: Shot | None = None) -> list[tuple[int, int, subjects.Color]]:
    """Where the phrases of subjects stand in a prompt, and in which colours these are outlined.

    Args:
        scene: with a prompt and subjects.
        shot: of the scene, whose prompt is meant; the scene's own by default.

    Returns:
        Start and end of each place, characters [start, end), one after another, and its display RGB.
    """
    prompt = scene.peekaboo.prompt if shot is None else shot.prompt
    leaders = [role.objects[0].peekaboo for role in subjects.used(scene, False, shot)]
    colors = subjects.apart([tuple(leader.color) for leader in leaders])
    places = phrases.claims(prompt, [leader.phrase for leader in leaders])
    return [(start, end, colors[index]) for start, end, index in places]


def problem_of_shots(scene) -> str | None:
    """Say why one of a scene's enabled shots cannot be made; None while there is nothing to say."""
    try:
        chosen = shots.enabled(scene)
    except PeekabooError as error:
        return str(error)
    return next((problem for shot in chosen if (problem := prompt_problem(scene, shot=shot))), None)


def faulty_subjects(scene, objects: Iterable) -> set[str]:
    """Name the enabled subjects of a scene whose phrases do not fit the prompt or each other.

    Objects with one phrase are one subject where the prompt has it once, as :func:`.subjects.used` has it.
    """
    prompt = scene.peekaboo.prompt
    enabled = [obj for obj in objects if obj.peekaboo.is_subject and obj.peekaboo.enabled]
    groups = phrases.groups(prompt, [obj.peekaboo.phrase for obj in enabled])
    named = [(enabled[first].name, enabled[first].peekaboo.phrase) for first, *_ in groups]
    return {enabled[index].name for group in phrases.faulty(prompt, named) for index in groups[group]}


def check_prompt(scene, shot: Shot | None = None) -> None:
    """Make sure that a shot's prompt names each of its subjects.

    Raises:
        PeekabooError: the prompt is empty, a phrase is not in it, phrases overlap, or there is no subject.
    """
    if problem := prompt_problem(scene, update=True, shot=shot):
        raise PeekabooError(problem)
    subjects.roles_of(scene, shot)
