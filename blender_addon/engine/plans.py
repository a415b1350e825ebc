# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of what is to be seen, as the engine's planners state it; imports no bpy.

Coordinates are of the picture: x from its left (0) to its right edge (1), y from its **top** (0) to its
bottom
(1); times from the first (0) to the last frame (1) of a shot; depth from the nearest (0) to the furthest (1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

VERSION = 1
MAX_SHOTS, MAX_SUBJECTS, MAX_KEYS = 8, 12, 12
MAX_TEXT = 10_000
"""Characters of a prompt; phrases and names have fewer."""
SHAPES = ("box", "ellipsoid", "cylinder", "cone", "ring")
MOVES = ("none", "in", "out", "left", "right", "up", "down", "pan left", "pan right", "tilt up", "tilt down")


@dataclass(frozen=True)
class Key:
    """Where a subject is at one time: the centre of its box, and its size."""

    time: float
    x: float
    y: float
    width: float
    height: float
    depth: float = 0.5


LIMITS = {
    "time": (0, 1),
    "x": (-1, 2),
    "y": (-1, 2),
    "width": (1e-4, 1.5),
    "height": (1e-4, 1.5),
    "depth": (0, 1),
}


@dataclass(frozen=True)
class Subject:
    """One thing that moves, or stays."""

    id: str
    phrase: str
    shape: str
    keys: tuple[Key, ...]

    def box_at(self, time: float) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 at a time: straight between keys."""
        known = [key.time for key in self.keys]
        x, y, width, height = (
            float(np.interp(time, known, [getattr(key, name) for key in self.keys]))
            for name in ("x", "y", "width", "height")
        )
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2


@dataclass(frozen=True)
class Shot:
    """What is between two cuts."""

    prompt: str
    background: str
    move: str
    amount: float
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class Plan:
    """Shots of equal length, one after another.

    Attributes:
        aspect: of the picture, width over height.
        shots: at least one.
    """

    aspect: float
    shots: tuple[Shot, ...]

    def boxes_at(self, time: float) -> list[tuple[int, tuple[float, float, float, float]]]:
        """Numbers and boxes of the subjects that are there at a time, 0..1 over all shots."""
        part = min(max(time, 0.0), 1.0) * len(self.shots)
        number = min(int(part), len(self.shots) - 1)
        before = sum(len(shot.subjects) for shot in self.shots[:number])
        shown = self.shots[number].subjects
        return [(before + index, subject.box_at(part - number)) for index, subject in enumerate(shown)]


def read_plan(data: Any) -> Plan:
    """Make a plan of what a JSON object says.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    if data["version"] != VERSION:
        raise ValueError("a plan of another version")
    shots = tuple(_shot(shot) for shot in _list(data["shots"], MAX_SHOTS))
    return Plan(_number(data["aspect"], 0.1, 10), shots)


def stated(plan: Plan) -> dict[str, Any]:
    """A plan as a JSON object, which :func:`read_plan` reads."""
    shots = [
        {
            "prompt": shot.prompt,
            "background": shot.background,
            "camera": {"move": shot.move, "amount": shot.amount},
            "subjects": [
                {**asdict(subject), "keys": list(map(asdict, subject.keys))} for subject in shot.subjects
            ],
        }
        for shot in plan.shots
    ]
    return {"version": VERSION, "aspect": plan.aspect, "shots": shots}


def _shot(data: Any) -> Shot:
    camera = data["camera"]
    subjects = tuple(_subject(subject) for subject in _list(data["subjects"], MAX_SUBJECTS, 0))
    if len({subject.id for subject in subjects}) < len(subjects):
        raise ValueError("two subjects of one id")
    return Shot(
        _text(data["prompt"], MAX_TEXT),
        _text(data["background"], MAX_TEXT, 0),
        _one_of(camera["move"], MOVES),
        _number(camera["amount"], 0, 1),
        subjects,
    )


def _subject(data: Any) -> Subject:
    keys = tuple(
        Key(**{name: _number(key[name], *limits) for name, limits in LIMITS.items()})
        for key in _list(data["keys"], MAX_KEYS)
    )
    times = [key.time for key in keys]
    if times != sorted(set(times)):
        raise ValueError("keys out of order")
    return Subject(_text(data["id"], 60), _text(data["phrase"], 1000), _one_of(data["shape"], SHAPES), keys)


def _list(value: Any, most: int, least: int = 1) -> list:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError("no list, or too long")
    return value


def _text(value: Any, most: int, least: int = 1) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise ValueError("no text, or too long")
    return value


def _one_of(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError("no such choice")
    return value


def _number(value: Any, low: float, high: float) -> float:
    # "not a number" is in no range; math.isfinite would raise over an integer of 400 digits
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError("no number, or out of range")
    return float(value)
