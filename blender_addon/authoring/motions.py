# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions that have a name, as paths over the picture: plain numpy, no Blender in sight.

A path is stated over a :class:`Room`, the part of the picture in which the whole subject is seen, so that it
keeps the subject in view whatever the camera and the subject's shape are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..masks.projection import Camera

MARGIN = 0.04
"""Free space at each edge of the picture, over half its width or height."""
FAR_AWAY = 4.0
"""Where an approach begins, in multiples of the distance at which it ends."""
BOUNCES = 3
CIRCLE_KNOTS = 8


@dataclass(frozen=True)
class Body:
    """The extent of a subject around its origin.

    Attributes:
        points: float64 (n, 3), whose convex hull holds it, relative to the origin.
        axes: float64 (3, m) or None; it reaches as far again as the image of the unit ball under this.
        turning: whether it may be turned to all sides.
    """

    points: np.ndarray
    axes: np.ndarray | None = None
    turning: bool = False

    def reach(self, direction: np.ndarray) -> float:
        """How far it extends along a direction, times the length of that."""
        if self.turning:
            return self.radius * float(np.linalg.norm(direction))
        round_part = 0.0 if self.axes is None else float(np.linalg.norm(self.axes.T @ direction))
        return float((self.points @ direction).max()) + round_part

    @property
    def radius(self) -> float:
        """Distance of its furthest point from the origin, or a little more."""
        round_part = 0.0 if self.axes is None else float(np.linalg.norm(self.axes, 2))
        return float(np.linalg.norm(self.points, axis=1).max()) + round_part

    def scaled(self, factor: float) -> Body:
        """The body made larger."""
        axes = None if self.axes is None else self.axes * factor
        return Body(self.points * factor, axes, self.turning)


@dataclass(frozen=True)
class Room:
    """Where the origin of a subject may be for the whole of it to be seen, in -1..1 of the picture.

    Attributes:
        low: of x and y, (2,).
        high: of x and y, (2,).
        home: where the subject was before, or as near to that as the room allows, (2,).
        aspect: width / height of the picture.
    """

    low: np.ndarray
    high: np.ndarray
    home: np.ndarray
    aspect: float


Path = Callable[[float, Room], tuple[float, float, float]]
"""From the part of the time that has passed, 0..1, to x and y in the picture and how far away it is, in
multiples of where it is nearest: at least 1."""


def _left_to_right(time: float, room: Room) -> tuple[float, float, float]:
    return _mix(room.low[0], room.high[0], time), room.home[1], 1.0


def _approach(time: float, room: Room) -> tuple[float, float, float]:
    return room.home[0], room.home[1], _mix(FAR_AWAY, 1.0, time)


def _circle(time: float, room: Room) -> tuple[float, float, float]:
    """Clockwise from the top, and round in the picture."""
    middle, half = (room.low + room.high) / 2, (room.high - room.low) / 2
    radius = min(half[0] * room.aspect, half[1])
    turn = 2 * math.pi * time
    return middle[0] + math.sin(turn) * radius / room.aspect, middle[1] + math.cos(turn) * radius, 1.0


def _bounce(time: float, room: Room) -> tuple[float, float, float]:
    phase = (time * BOUNCES) % 1.0
    return room.home[0], _mix(room.low[1], room.high[1], 4 * phase * (1 - phase)), 1.0


def _reversed(path: Path) -> Path:
    return lambda time, room: path(1 - time, room)


def _mix(start: float, end: float, part: float) -> float:
    return start + (end - start) * part


def _evenly(count: int) -> tuple[float, ...]:
    return tuple(i / count for i in range(count + 1))


@dataclass(frozen=True)
class Motion:
    """A motion that has a name.

    Attributes:
        title: for the interface.
        description: for the interface.
        path: that it follows.
        knots: times, 0..1, at which a keyframe makes a smooth curve of it, all corners among them.
    """

    title: str
    description: str
    path: Path
    knots: tuple[float, ...]


MOTIONS = {
    "LEFT_TO_RIGHT": Motion(
        "Cross Left to Right", "Move from the left to the right edge", _left_to_right, (0, 1)
    ),
    "RIGHT_TO_LEFT": Motion(
        "Cross Right to Left", "Move from the right to the left edge", _reversed(_left_to_right), (0, 1)
    ),
    "APPROACH": Motion("Approach", "Come nearer, from far away", _approach, (0, 1)),
    "RECEDE": Motion("Recede", "Go far away", _reversed(_approach), (0, 1)),
    "CIRCLE": Motion("Circle", "Go round once, clockwise", _circle, _evenly(CIRCLE_KNOTS)),
    "BOUNCE": Motion("Bounce", "Jump up from the lower edge, and fall", _bounce, _evenly(2 * BOUNCES)),
}


class Stage:
    """A camera's picture as a place for a subject to move in."""

    def __init__(self, camera: Camera, carried: np.ndarray | None = None):
        """Look through a camera.

        Args:
            camera: that looks.
            carried: (4, 4), from the space in which points are stated to the world; the world's by default.
        """
        rows = camera.world_to_clip if carried is None else camera.world_to_clip @ carried
        self.perspective = bool(np.any(rows[3, :3]))
        self._depth = rows[3] if self.perspective else rows[2]
        self._rows = rows
        self.nearest = -1 / camera.near if self.perspective else camera.near
        self.furthest = -1 / camera.far if self.perspective else camera.far

    def sees_as(self, other: Stage) -> bool:
        """Whether the picture is that of another."""
        return np.allclose(self._rows, other._rows, rtol=1e-5, atol=1e-6)

    def depth(self, point: np.ndarray) -> float:
        """Distance of a point from the camera, along its line of sight."""
        return float(self._depth[:3] @ point + self._depth[3])

    def spot(self, point: np.ndarray) -> np.ndarray:
        """Where in the picture a point before the camera is seen, in -1..1: (2,)."""
        return (self._rows[:2, :3] @ point + self._rows[:2, 3]) / self._width(self.depth(point))

    def point(self, x: float, y: float, depth: float) -> np.ndarray:
        """The point that is seen at a spot of the picture, at a distance: (3,)."""
        width = self._width(depth)
        rows = np.stack([self._rows[0], self._rows[1], self._depth])
        return np.linalg.solve(rows[:, :3], np.array([x * width, y * width, depth]) - rows[:, 3])

    def enlargement(self, body: Body, size: float, depth: float) -> float:
        """By how much a body has to be larger to take up a part of the picture's smaller side.

        Args:
            body: as it is.
            size: that part, 0..1.
            depth: its distance from the camera.
        """
        away = self._depth[:3]
        largest = 0.0
        for row in self._rows[:2, :3]:
            across = row - (row @ away) * away
            largest = max(largest, (body.reach(across) + body.reach(-across)) / 2)
        return size * self._width(depth) / largest

    def room(self, body: Body, depth: float, home: np.ndarray, aspect: float) -> Room | None:
        """Find where in the picture a body can be as a whole; None if it is too large or too near.

        Args:
            body: that is to be seen.
            depth: its distance from the camera.
            home: where in the picture it would be best, (2,).
            aspect: width / height of the picture.
        """
        if depth - body.reach(-self._depth[:3]) < self.nearest:
            return None
        if depth + body.reach(self._depth[:3]) > self.furthest:
            return None
        w = self._rows[3, :3]
        width = self._width(depth)
        low = np.array([body.reach(-(w + row)) / width - 1 for row in self._rows[:2, :3]]) + MARGIN
        high = np.array([1 - body.reach(-(w - row)) / width for row in self._rows[:2, :3]]) - MARGIN
        if (low > high).any():
            return None
        return Room(low, high, np.clip(home, low, high), aspect)

    def _width(self, depth: float) -> float:
        """What spots are divided by at a distance."""
        return depth if self.perspective else 1.0
