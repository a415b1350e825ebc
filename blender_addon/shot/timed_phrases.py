# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of a prompt that some frames alone read: the list of a scene, what a job says of it, and back.

On the command line each is ``WORDS:FIRST-LAST[:FADE]``; in the timeline, words in quotes in a marker's name.
"""

from __future__ import annotations

import re
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
MOST, LONGEST_FADE = 64, 10_000.0
"""Of a job, and of one of them, as the engine has it."""
_NOTATION = re.compile(
    r"(?P<phrase>.*\S)\s*:(?P<first>-?\d{1,7})-(?P<last>-?\d{1,7})(:(?P<fade>\d{1,5}(\.\d*)?))?"
)
_QUOTED = re.compile('"([^"]*)"|\u201c([^\u201d]*)\u201d|\u201e([^\u201c\u201d]*)[\u201c\u201d]')


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


def names_words(marker) -> bool:
    """Whether a marker says which words show from its frame on, also that none do."""
    return _QUOTED.search(marker.name) is not None


def of_markers(scene) -> list[dict[str, Any]]:
    """What the markers of a scene say: each shows the words in quotes in its name up to the next that has
    such, also none: ``""``. What one shows on is one entry.

    Raises:
        PeekabooError: no marker names words in quotes, or the scene's range is empty.
    """
    named = _named(scene)
    if not any(any(words) for _, words in named):
        raise PeekabooError(
            "No marker names words: add one where they begin (M in the timeline), and call it "
            '"in rain", with the quotes.'
        )
    last = max(shots.range_of(scene)[1], named[-1][0])
    stated: list[dict[str, Any]] = []
    ends = [frame - 1 for frame, _ in named[1:]] + [last]
    for (start, words), end in zip(named, ends, strict=True):
        for phrase in dict.fromkeys(filter(None, words)):
            going_on = (each for each in stated if (each["phrase"], each["frame_end"]) == (phrase, start - 1))
            if entry := next(going_on, None):
                entry["frame_end"] = end
            elif end >= start:
                stated.append({"phrase": phrase, "frame_start": start, "frame_end": end, "fade": 0.0})
    return stated


def _named(scene) -> list[tuple[int, list[str]]]:
    """The frames at which markers name words, in order, and these; an empty one says that none show."""
    at: dict[int, list[str]] = {}
    for marker in scene.timeline_markers:
        if names_words(marker):
            words = [next(filter(None, found), "").strip() for found in _QUOTED.findall(marker.name)]
            at.setdefault(marker.frame, []).extend(words)
    return sorted(at.items())


def take_from_markers(scene) -> int:
    """Have what the markers say in the list, instead of what it has from them; what was made by hand stays.

    What comes and goes over some frames does so still, also where a marker has other words by now.

    Returns:
        How many entries that are: none where markers name no words any more.

    Raises:
        PeekabooError: as :func:`of_markers`, while the list has nothing from markers.
    """
    listed = scene.peekaboo.timed_phrases
    earlier = [entry for entry in listed if entry.from_markers]
    emptied = earlier and not any(any(words) for _, words in _named(scene))
    stated = [] if emptied else of_markers(scene)
    by_start = {entry.frame_start: entry.fade for entry in earlier}
    by_words = {entry.phrase: entry.fade for entry in listed}
    for index in reversed(range(len(listed))):
        if listed[index].from_markers or _frames(listed[index]) in map(_frames_stated, stated):
            listed.remove(index)
    for each in stated:
        fade = by_words.get(each["phrase"], by_start.get(each["frame_start"], 0.0))
        _add(listed, each | {"fade": fade, "from_markers": True})
    return len(stated)


def _frames(entry) -> tuple:
    return entry.phrase, entry.frame_start, entry.frame_end


def _frames_stated(each: Mapping[str, Any]) -> tuple:
    return each["phrase"], each["frame_start"], each["frame_end"]


def listed(settings) -> list[dict[str, Any]]:
    """The whole list of a scene's settings, also what is off, for :func:`put_back`."""
    names = ("enabled", "from_markers", *STATED)
    return [{name: getattr(entry, name) for name in names} for entry in settings.timed_phrases]


def put_back(settings, kept: Sequence[Mapping[str, Any]]) -> None:
    """Give a scene's settings a list that they had."""
    settings.timed_phrases.clear()
    for each in kept:
        _add(settings.timed_phrases, each)


def _add(entries, values: Mapping[str, Any]) -> None:
    entry = entries.add()
    for name, value in values.items():
        setattr(entry, name, value)


def as_text(settings) -> str:
    """The entries of a scene's settings that are on, a line each as a command line has them."""
    return "\n".join(
        f"{entry.phrase}:{entry.frame_start}-{entry.frame_end}:{entry.fade:g}"
        for entry in settings.timed_phrases
        if entry.enabled
    )


def set_text(settings, text: str) -> None:
    """Have the entries of a text on, and no others; see :func:`text_problem`."""
    for entry in settings.timed_phrases:
        entry.enabled = False
    for match in filter(None, map(_NOTATION.fullmatch, text.splitlines())):
        first, last, fade = int(match["first"]), int(match["last"]), float(match["fade"] or 0)
        values = {"phrase": match["phrase"], "frame_start": first, "frame_end": last, "fade": fade}
        _add(settings.timed_phrases, values)


def text_problem(text: str) -> str | None:
    """Say in a sentence why a text is no list of phrases over time, or None where it is."""
    for line in text.splitlines():
        if (match := _NOTATION.fullmatch(line)) is None:
            return f'"{line}" is no phrase over time: write it as WORDS:FIRST-LAST, or WORDS:FIRST-LAST:FADE.'
        if max(abs(int(match["first"])), abs(int(match["last"]))) > FURTHEST:
            return f'"{line}" has a frame beyond {FURTHEST}, the last that there can be: give another one.'
        if float(match["fade"] or 0) > LONGEST_FADE:
            return f'"{line}" comes and goes over more than {LONGEST_FADE:.0f} frames: give fewer.'
    return None


def _range(scene) -> tuple[int, int, list[Shot]]:
    try:
        return *shots.range_of(scene), shots.shots_of(scene)
    except PeekabooError:  # which is said elsewhere
        return -FURTHEST, FURTHEST, []


def _plain(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
