# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of a prompt that some frames alone read: the list of a scene, what a job says of it, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine import catalogue
from ..errors import PeekabooError
from . import phrases, shots
from .model import model_of
from .shots import Shot

STATED = ("phrase", "frame_start", "frame_end", "fade")
"""What a job states of each, by the names of the properties of an entry."""
FURTHEST = 1_048_574
"""Blender's last frame."""
MOST = 64
"""Of a job, as the engine has it."""


def of_job(scene, prompt: str) -> list[dict[str, Any]]:
    """What a job states of a scene's list: those entries that are on and that its prompt has."""
    return [
        {name: _plain(getattr(entry, name)) for name in STATED}
        for entry in scene.peekaboo.timed_phrases
        if entry.enabled and phrases.occurs(prompt, entry.phrase)
    ]


def set_list(scene, prompt: str, stated: Sequence[Mapping[str, Any]]) -> None:
    """Have the entries of a job with a prompt on; others that the prompt has are turned off, not lost."""
    listed = scene.peekaboo.timed_phrases
    for entry in listed:
        entry.enabled = entry.enabled and not phrases.occurs(prompt, entry.phrase)
    for wanted in stated:
        values = {name: wanted.get(name, 0) for name in STATED}
        same = (
            entry
            for entry in listed
            if not entry.enabled and {name: _plain(getattr(entry, name)) for name in STATED} == values
        )
        entry = next(same, None) or listed.add()
        for name, value in values.items():
            setattr(entry, name, value)
        entry.enabled = True


def problem(scene, prompt: str) -> str | None:
    """Say in a sentence what is wrong with a scene's list, or None where nothing is.

    An entry may be for one shot of several: it has to be in some prompt, and in some frame of the scene.

    Args:
        scene: with the list.
        prompt: of the shot that is asked about.
    """
    used = [entry for entry in scene.peekaboo.timed_phrases if entry.enabled]
    if not used:
        return None
    first, last, found = _range(scene)
    prompts = [prompt, *(shot.prompt for shot in found)]
    for entry in used:
        if not any(phrases.occurs(text, entry.phrase) for text in prompts):
            return (
                f'The phrase over time "{entry.phrase}" does not occur in the prompt: write it in the prompt '
                "as it stands, or turn it off."
            )
        if entry.frame_end < entry.frame_start:
            return (
                f'The phrase over time "{entry.phrase}" ends at frame {entry.frame_end}, before its start at '
                f"{entry.frame_start}: set its frames."
            )
        if entry.frame_end < first or entry.frame_start > last:
            return (
                f'The phrase over time "{entry.phrase}" is outside of the scene\'s frames, {first} to '
                f"{last}: set its frames, or turn it off."
            )
    if len(used) > MOST:
        return f"There are {len(used)} phrases over time: turn some off, at most {MOST} can be told apart."
    return _unread(scene)


def _unread(scene) -> str | None:
    """Why the engine would refuse phrases over time of any words, as its ``check_times_phrases`` has it."""
    settings = scene.peekaboo
    try:
        read = catalogue.times_phrases(model_of(scene))
    except PeekabooError:  # which is said elsewhere
        return None
    if not read:
        return (
            "This model does not read words frame by frame: turn the phrases over time off, or choose "
            "another model."
        )
    if settings.blocks != "all":
        return 'Phrases over time need all blocks: choose "All" in Blocks, or turn the phrases off.'
    return None


def _range(scene) -> tuple[int, int, list[Shot]]:
    try:
        return *shots.range_of(scene), shots.shots_of(scene)
    except PeekabooError:  # which is said elsewhere
        return -FURTHEST, FURTHEST, []


def _plain(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
