# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sentence says, before anybody has a place: who is there, what they do, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .lexicon import Act
from .plan import Camera

Relation = Literal[
    "behind", "in front of", "past", "over", "under", "around", "to", "away from", "next to", "above",
    "below", "left of", "right of", "between", "on top of", "each other",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Somewhere in the picture: x, y as in a plan, depth likewise; None is wherever it is otherwise."""

    x: float | None = None
    y: float | None = None
    depth: float | None = None


@dataclass(frozen=True)
class Beside:
    """Somewhere that other subjects decide; "each other" names none."""

    relation: Relation
    others: tuple[str, ...] = ()


@dataclass
class Way:
    """The places and times of one predicate.

    Attributes:
        start: from where.
        end: to where.
        at: where it happens; for a verb of motion that is where it leads to.
        direction: x and y, each -1, 0 or 1; y down.
        beside: others that the way leads by, or to.
        span: its times, where the sentence says them.
        speed: ``slow``, ``fast`` or empty.
        nearer: 1 towards the camera, -1 away from it.
        flags: other things that were said: ``entering``, ``leaving``, ``swinging``, ``circling``, ``across``.
    """

    start: Place | None = None
    end: Place | None = None
    at: Place | None = None
    direction: tuple[float, float] | None = None
    beside: list[Beside] = field(default_factory=list)
    span: tuple[float, float] | None = None
    speed: str = ""
    nearer: int = 0
    flags: set[str] = field(default_factory=set)

    def turn(self, way: tuple[float, float]) -> None:
        """Add a direction: "up" and "right" are both."""
        x, y = self.direction or (0.0, 0.0)
        self.direction = (way[0] or x, way[1] or y)


@dataclass(frozen=True)
class Action:
    """What subjects do in one part of the shot.

    Args:
        subjects: their ids.
        act: what they do.
        beat: the part of the shot, from 0; actions of one beat are at the same time.
        way: where and when.
        text: the words that said it.
    """

    subjects: tuple[str, ...]
    act: Act
    beat: int
    way: Way
    text: str


@dataclass
class Actor:
    """A thing of the sentence.

    Attributes:
        id: its name in the plan.
        phrase: the words of the prompt.
        noun: its noun in the singular.
        adjectives: before the noun.
        group: things that were named by one noun phrase share it.
        place: where the sentence puts it before it does anything.
    """

    id: str
    phrase: str
    noun: str
    adjectives: tuple[str, ...] = ()
    group: int = 0
    place: Place | Beside | None = None


@dataclass
class Reading:
    """All that a sentence says; its camera is None where it says nothing of that."""

    actors: list[Actor] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    camera: Camera | None = None
    background: str = ""

    def actor(self, name: str) -> Actor:
        """The actor of that id."""
        return next(actor for actor in self.actors if actor.id == name)
