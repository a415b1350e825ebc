# SPDX-License-Identifier: GPL-3.0-or-later
"""What a planner writes and the add-on reads: shots of subjects, each with boxes over time.

Coordinates are of the picture: x from its left (0) to its right edge (1), y from its **top** (0) down to its
bottom (1), times from the first (0) to the last frame (1) of the shot. Where a shot's camera moves, boxes are
as that camera sees them at the start of its move.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..limits import MAX_PHRASE, MAX_PROMPT

MAX_SUBJECTS, MAX_SHOTS, MAX_KEYS = 12, 8, 12

Shape = Literal["box", "ellipsoid", "cylinder", "cone", "ring"]
Move = Literal[
    "none", "in", "out", "left", "right", "up", "down", "pan left", "pan right", "tilt up", "tilt down"
]
MOVES: tuple[Move, ...] = get_args(Move)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Key(_Strict):
    """Where a subject is at one time."""

    time: Annotated[float, Field(ge=0, le=1, description="0 first frame, 1 last frame of the shot")]
    x: Annotated[float, Field(ge=-1, le=2, description="centre, 0 left edge, 1 right edge of the picture")]
    y: Annotated[float, Field(ge=-1, le=2, description="centre, 0 TOP edge, 1 BOTTOM edge of the picture")]
    width: Annotated[float, Field(gt=0, le=1.5, description="of the box, 1 is the picture's width")]
    height: Annotated[float, Field(gt=0, le=1.5, description="of the box, 1 is the picture's height")]
    depth: Annotated[float, Field(ge=0, le=1, description="0 nearest to the camera, 1 furthest")] = 0.5

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2, y down."""
        across, down = self.width / 2, self.height / 2
        return self.x - across, self.y - down, self.x + across, self.y + down


class Subject(_Strict):
    """One thing that moves, or stays."""

    id: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[\w -]+$")]
    phrase: Annotated[str, Field(min_length=1, max_length=MAX_PHRASE, description="words of the prompt")]
    shape: Shape = "box"
    keys: Annotated[list[Key], Field(min_length=1, max_length=MAX_KEYS)]

    @field_validator("keys")
    @classmethod
    def _in_order(cls, keys: list[Key]) -> list[Key]:
        keys = sorted(keys, key=lambda key: key.time)
        if any(earlier.time == later.time for earlier, later in pairwise(keys)):
            raise ValueError("two keys have the same time")
        return keys

    def at(self, times: np.ndarray) -> np.ndarray:
        """Straight between keys and held beyond them: float64 (times, 5), x, y, width, height, depth."""
        known = [key.time for key in self.keys]
        columns = ([getattr(key, name) for key in self.keys] for name in VALUES)
        return np.stack([np.interp(times, known, column) for column in columns], axis=-1)

    def boxes(self, times: np.ndarray) -> np.ndarray:
        """Float64 (times, 4): x1, y1, x2, y2, which may reach beyond the picture."""
        x, y, width, height, _ = self.at(times).T
        return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)


VALUES = ("x", "y", "width", "height", "depth")


class Camera(_Strict):
    """How the camera moves over the shot."""

    move: Move = "none"
    amount: Annotated[float, Field(ge=0, le=1, description="0.15 a little, 0.3 usual, 0.5 much")] = 0.3


class Shot(_Strict):
    """What is between two cuts."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    background: Annotated[str, Field(max_length=MAX_PROMPT)] = ""
    camera: Camera = Camera()
    subjects: Annotated[list[Subject], Field(max_length=MAX_SUBJECTS)]

    @model_validator(mode="after")
    def _named_once(self) -> Shot:
        names = [subject.id for subject in self.subjects]
        if len(names) != len(set(names)):
            raise ValueError("two subjects have the same id")
        return self

    def subject(self, name: str) -> Subject:
        """The subject of that id."""
        return next(subject for subject in self.subjects if subject.id == name)


class Plan(_Strict):
    """A draft of what is to be seen: shots of equal length, one after another."""

    version: Literal[1] = 1
    aspect: Annotated[float, Field(gt=0.1, lt=10, description="of the picture: width / height")] = 16 / 9
    shots: Annotated[list[Shot], Field(min_length=1, max_length=MAX_SHOTS)]


def rounded(value: Any, places: int) -> Any:
    """All numbers of a JSON value to some places."""
    if isinstance(value, float):
        return round(value, places)
    if isinstance(value, list):
        return [rounded(one, places) for one in value]
    return {name: rounded(one, places) for name, one in value.items()} if isinstance(value, dict) else value
