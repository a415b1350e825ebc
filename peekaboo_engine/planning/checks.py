# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a plan can be what a sentence says: the planner's own check, by geometry and by the grammar.

What the built-in grammar reads in the prompt is what a plan is held to, whoever wrote it; where the grammar
does not understand the prompt, only what holds for every plan is checked.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from ..errors import EngineError
from .grammar import read_shot
from .plan import Key, Plan, Shot, Subject
from .reading import Reading

Code = Literal["outside", "jump", "size", "overlap", "phrase", "direction", "missing"]

TIMES = np.linspace(0, 1, 41)
_SMALLEST, _LARGEST = 0.03, 1.2
_FASTEST = 6.0
"""Widths of the picture in the time of a shot."""
_MOST_GROWTH = 6.0
_MOST_OVERLAP = 0.25
"""Of the smaller of two boxes."""
_MEANT = re.compile(
    r"\b(behind|in front|over|under|past|around|on top|into|between|through|each other|together|follow|chas|"
    r"circl|orbit|collid|meet|hug|carr|rid|touch|swap|cross|cover|hid|inside|underneath|onto|against|pass|near)",
    re.IGNORECASE,
)


class Finding(NamedTuple):
    """One thing that is wrong with a plan.

    Attributes:
        code: what kind of thing.
        subject: the id of whom it is about, or empty.
        message: one sentence for a person.
    """

    code: Code
    subject: str
    message: str


def check(plan: Plan) -> list[Finding]:
    """All that is wrong with a plan; empty where nothing is."""
    return [finding for shot in plan.shots for finding in check_shot(shot)]


def check_shot(shot: Shot) -> list[Finding]:
    """All that is wrong with a shot."""
    reading = _read(shot.prompt)
    found = [finding for subject in shot.subjects for finding in _check_subject(subject, shot)]
    found += [
        Finding("overlap", one.id, f'"{one.id}" and "{other.id}" overlap, and nothing says that they do.')
        for one, other in overlapping(shot, reading)
    ]
    return found + (_check_said(shot, reading) if reading else [])


def _read(prompt: str) -> Reading | None:
    try:
        return read_shot(prompt)
    except EngineError:
        return None


def _check_subject(subject: Subject, shot: Shot) -> list[Finding]:
    name, found = subject.id, []
    if subject.phrase.lower() not in shot.prompt.lower():
        found.append(Finding("phrase", name, f'The prompt does not have the words "{subject.phrase}".'))
    values = subject.at(TIMES)
    inside = _inside(subject)
    if not inside.any():
        found.append(Finding("outside", name, f'"{name}" is never inside the picture.'))
    elif not inside[inside.argmax() : len(inside) - inside[::-1].argmax()].all():
        found.append(Finding("outside", name, f'"{name}" leaves the picture and comes back.'))
    speed = np.abs(np.diff(values[:, :2], axis=0)).max() / (TIMES[1] - TIMES[0])
    if speed > _FASTEST:
        found.append(
            Finding("jump", name, f'"{name}" jumps: it crosses the picture {speed:.0f} times in a shot.')
        )
    sides = values[:, 2:4]
    if sides.min() < _SMALLEST or sides.max() > _LARGEST:
        found.append(
            Finding(
                "size", name, f'"{name}" is {sides.min():.0%} to {sides.max():.0%} of the picture in size.'
            )
        )
    if sides[:, 1].max() / sides[:, 1].min() > _MOST_GROWTH:
        found.append(Finding("size", name, f'"{name}" grows or shrinks more than {_MOST_GROWTH:.0f} times.'))
    return found


def _inside(subject: Subject) -> np.ndarray:
    """Bool (times,): whether any of it is in the picture."""
    x1, y1, x2, y2 = subject.boxes(TIMES).T
    return (x2 > 0) & (x1 < 1) & (y2 > 0) & (y1 < 1)


def overlapping(shot: Shot, reading: Reading | None) -> list[tuple[Subject, Subject]]:
    """Pairs of a shot that cover each other, though the sentence does not put one by the other."""
    return [
        (one, other)
        for one, other in combinations(shot.subjects, 2)
        if not _meant(one, other, shot, reading) and overlap(one, other) > _MOST_OVERLAP
    ]


def overlap(one: Subject, other: Subject) -> float:
    """The most of the smaller box of two subjects that the other covers, at any time."""
    a, b = one.boxes(TIMES), other.boxes(TIMES)
    size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = size.clip(0).prod(1)
    smaller = np.minimum(*((box[:, 2:] - box[:, :2]).prod(1) for box in (a, b)))
    return float((shared / smaller).max())


def _meant(one: Subject, other: Subject, shot: Shot, reading: Reading | None) -> bool:
    if reading is None or not {one.id, other.id} <= {actor.id for actor in reading.actors}:
        return bool(_MEANT.search(shot.prompt))
    pair = {one.id, other.id}
    for action in reading.actions:
        if action.act in {"meet", "swap"} and pair <= set(action.subjects):
            return True
        for beside in action.way.beside:
            if pair & set(action.subjects) and (pair & set(beside.others) or beside.relation == "each other"):
                return True
    return any(
        pair & {actor.id} and pair & set(getattr(actor.place, "others", ())) for actor in reading.actors
    )


def _check_said(shot: Shot, reading: Reading) -> list[Finding]:
    """What the sentence says of directions and numbers, by the words of each subject."""
    found = []
    wanted: dict[str, int] = {}
    for actor in reading.actors:
        wanted[actor.phrase.lower()] = wanted.get(actor.phrase.lower(), 0) + 1
    for phrase, count in wanted.items():
        have = [subject for subject in shot.subjects if _same(subject.phrase, phrase)]
        if len(have) < count:
            found.append(
                Finding("missing", phrase, f'The sentence has {count} of "{phrase}", the plan {len(have)}.')
            )
    for action in reading.actions:
        for name in action.subjects:
            subject = _subject_of(shot, reading, name)
            if subject is not None and (wrong := _wrong_way(subject, action)):
                found.append(Finding("direction", subject.id, f'"{subject.id}" does not {wrong}.'))
    return found


def _same(one: str, other: str) -> bool:
    strip = re.compile(r"^(an?|the)\s+", re.IGNORECASE)
    return strip.sub("", one).lower() == strip.sub("", other).lower()


def _subject_of(shot: Shot, reading: Reading, name: str) -> Subject | None:
    actor = reading.actor(name)
    alike = [subject for subject in shot.subjects if _same(subject.phrase, actor.phrase)]
    own = [other.id for other in reading.actors if _same(other.phrase, actor.phrase)]
    place = own.index(name)
    return alike[place] if place < len(alike) else None


def _wrong_way(subject: Subject, action) -> str:
    """What a subject fails to do of an action that has a direction; empty where it does it."""
    way = action.way
    begin, end = way.span or (0.0, 1.0)
    values = subject.at(np.linspace(begin, end, 21))
    if (
        action.act == "go"
        and way.start
        and way.end
        and way.start.x != way.end.x
        and None not in {way.start.x, way.end.x}
    ):
        sign = 1 if way.end.x > way.start.x else -1
        reach = max((np.maximum.accumulate(-sign * values[:, 0]) + sign * values[:, 0]).max(), 0)
        if reach < 0.2:
            return f"move to the {'right' if sign > 0 else 'left'}"
    if action.act in {"fall", "rise"} and not way.direction:
        sign = 1 if action.act == "fall" else -1
        reach = (np.maximum.accumulate(-sign * values[:, 1]) + sign * values[:, 1]).max()
        if reach < 0.1:
            return "fall" if sign > 0 else "rise"
    return ""


# --- repairs ----------------------------------------------------------------------------------------------


def repair(shot: Shot, fixed: Collection[str] = ()) -> Shot:
    """Let those who overlap without a reason keep clear of each other: by other heights, then by smaller
    sizes.

    Args:
        shot: is not changed.
        fixed: ids of subjects that stay as they are.
    """
    reading = _read(shot.prompt)
    for _ in range(12):
        pairs = [
            free
            for pair in overlapping(shot, reading)
            if (free := [one for one in reversed(pair) if one.id not in fixed])
        ]
        if not pairs:
            break
        free, names = pairs[0], tuple(one.id for one in reversed(pairs[0]))
        choices = [_moved(shot, who, rise) for who in free for rise in (0.0, -0.14, 0.14, -0.28, 0.28, -0.42)]
        choices.append(_smaller(shot, names))
        best = min(choices, key=lambda choice: _clash(choice, reading))
        if _clash(best, reading) >= _clash(shot, reading) - 1e-6:
            best = _smaller(shot, names)
        shot = best
    return shot


def _clash(shot: Shot, reading: Reading | None) -> float:
    return sum(
        max(0.0, overlap(one, other) - _MOST_OVERLAP)
        for one, other in combinations(shot.subjects, 2)
        if not _meant(one, other, shot, reading)
    )


def _with(shot: Shot, subject: Subject) -> Shot:
    return shot.model_copy(
        update={"subjects": [subject if subject.id == one.id else one for one in shot.subjects]}
    )


def _moved(shot: Shot, subject: Subject, rise: float) -> Shot:
    def move(key: Key) -> Key:
        half = min(0.5, key.height / 2 + 0.02)
        inside = 0 <= key.y <= 1
        y = min(1 - half, max(half, key.y + rise)) if inside else key.y
        return key.model_copy(update={"y": y})

    return _with(shot, subject.model_copy(update={"keys": [move(key) for key in subject.keys]}))


def _smaller(shot: Shot, names: tuple[str, ...], factor: float = 0.85) -> Shot:
    for name in names:
        subject = shot.subject(name)
        keys = [
            key.model_copy(update={"width": key.width * factor, "height": key.height * factor})
            for key in subject.keys
        ]
        shot = _with(shot, subject.model_copy(update={"keys": keys}))
    return shot
