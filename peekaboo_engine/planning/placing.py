# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everybody of a sentence is at first, and where the places are that it names.

Whoever has no place gets one: things side by side, movers from left to right, on the ground or in the air as
their kind is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from . import lexicon
from .plan import Subject
from .reading import Action, Actor, Beside, Place, Reading

GROUND, AIR = 0.62, 0.3
"""Heights in the picture where things stand and fly."""
NEAR, MIDDLE, FAR = 0.15, 0.5, 0.85
EDGE = 0.03
"""Of the picture, between its edge and a box that goes to it."""
_SIDE = 0.38
"""Of the picture's width: what is one side of it, where several are on that side."""
STEP = 0.3
"""Of depth, between what is in front and what is behind."""
_CROWD = {1: 1.0, 2: 1.0, 3: 0.9, 4: 0.8, 5: 0.72, 6: 0.65}
"""How large things are drawn where there are so many; .5 where there are more."""


@dataclass(frozen=True)
class Pose:
    """Centre, size and depth, as those of a key."""

    x: float
    y: float
    width: float
    height: float
    depth: float = MIDDLE

    def to(self, x: float | None = None, y: float | None = None, depth: float | None = None) -> Pose:
        """The same elsewhere."""
        return replace(
            self,
            x=self.x if x is None else x,
            y=self.y if y is None else y,
            depth=self.depth if depth is None else min(1.0, max(0.0, depth)),
        )

    def scaled(self, factor: float) -> Pose:
        """The same, larger or smaller, within the picture's size."""
        factor = min(factor, 0.85 / self.width, 0.85 / self.height)
        return replace(self, width=self.width * factor, height=self.height * factor)

    def inside(self) -> Pose:
        """The same, moved so that it lies within the picture."""
        return self.to(within(self.x, self.width), within(self.y, self.height))


def within(middle: float, size: float) -> float:
    """A place of a middle, along x or y, at which all of a size is within the picture."""
    margin = min(0.5, size / 2 + EDGE)
    return min(1 - margin, max(margin, middle))


def _among(pose: Pose, count: int) -> Pose:
    """The same, as small as it has to be for so many on one side of the picture."""
    return pose if count == 1 else pose.scaled(min(1.0, _SIDE / count / (1.2 * pose.width)))


def thing_of(actor: Actor) -> lexicon.Thing:
    """How an actor's noun is drawn; a box of the usual size where the table does not have it."""
    return lexicon.THINGS.get(actor.noun, lexicon.Thing())


class Stage:
    """The actors of a reading, each with a pose that changes as they act."""

    def __init__(self, reading: Reading, aspect: float, known: Mapping[str, Subject]):
        self.reading = reading
        self.known = known
        self.aspect = aspect
        self.poses: dict[str, Pose] = {}
        self.first: dict[str, Pose] = {}

    # --- before anything happens -------------------------------------------------------------------------

    def place_all(self) -> None:
        """Give each actor the place where it is at first."""
        for actor in self.reading.actors:
            if actor.id in self.known and not self._told(actor):
                self._set(actor, self._size(actor))
        unknown = [actor for actor in self.reading.actors if actor.id not in self.poses]
        free = [actor for actor in unknown if not self._told(actor)]
        standing = [actor for actor in free if not self._is_mover(actor)]
        for index, actor in enumerate(standing):
            self._set(actor, self._slot(actor, index, len(standing)))
        movers = [actor for actor in free if self._is_mover(actor)]
        for actor in movers:
            self._set(actor, self._start_of_mover(actor, movers))
        told = [actor for actor in self.reading.actors if self._told(actor)]
        for actor in sorted(told, key=lambda actor: isinstance(self._told(actor), Beside)):
            self._set(actor, self._told_pose(actor))

    def _set(self, actor: Actor, pose: Pose) -> None:
        self.poses[actor.id] = self.first[actor.id] = pose

    def _actions(self, actor: Actor) -> list[Action]:
        return [action for action in self.reading.actions if actor.id in action.subjects]

    def _told(self, actor: Actor) -> Place | Beside | None:
        """The place that the sentence gives an actor before it moves."""
        if actor.place is not None:
            return actor.place
        first = next(iter(self._actions(actor)), None)
        if first is None:
            return None
        if first.act == "stay":
            return first.way.at or first.way.end or next(iter(first.way.beside), None)
        if first.act in {"grow", "shrink", "jump", "swing", "approach", "recede", "leave"} and first.way.at:
            return first.way.at
        if first.act in {"go", "jump", "bounce", "fall", "rise", "zigzag"} and first.way.start:
            return first.way.start
        return None

    def _size(self, actor: Actor) -> Pose:
        if actor.id in self.known:
            key = self.known[actor.id].keys[0]
            return Pose(key.x, key.y, key.width, key.height, key.depth)
        thing = thing_of(actor)
        factor = math.prod(lexicon.SIZES.get(word, 1.0) for word in actor.adjectives)
        height = thing.height * factor * _CROWD.get(len(self.reading.actors), 0.5)
        height = min(height, 0.8, 0.8 * self.aspect / thing.aspect)
        return Pose(0.5, AIR if self._flies(actor) else GROUND, height * thing.aspect / self.aspect, height)

    def _flies(self, actor: Actor) -> bool:
        return thing_of(actor).airborne or any(
            word in action.text.lower().split()
            for action in self._actions(actor)
            for word in ("flies", "fly", "flying", "soars", "soar", "hovers", "hover", "floats", "float")
        )

    def _is_mover(self, actor: Actor) -> bool:
        return any(action.act not in {"stay", "grow", "shrink"} for action in self._actions(actor)[:1])

    def _slot(self, actor: Actor, index: int, count: int) -> Pose:
        """One of as many places side by side."""
        return self._size(actor).to(x=(index + 0.5) / count).inside()

    def _start_of_mover(self, actor: Actor, movers: list[Actor]) -> Pose:
        action = self._actions(actor)[0]
        pose = self._size(actor)
        index, count = action.subjects.index(actor.id), len(action.subjects)
        act, way = action.act, action.way
        end = way.end or way.at
        across, down = self._direction(action)
        if act == "enter":
            lane = self._lane(pose, index, count, across)
            if across and way.start and way.start.y not in {None, 0.5}:  # "from the top left corner"
                lane = lane.to(y=way.start.y).inside()
            return self._outside(lane, (-across, -down) if across or down else (-1, 0))
        if act in {"fall", "rise"}:
            column = way.at.x if way.at and not way.end else None  # "falls on the left" is no way to the left
            pose = pose if column is None else _among(pose.to(x=column), count)
            spread = self._spread(pose, index, count)
            if len(movers) > count:
                spread = spread.to(x=(movers.index(actor) + 0.5) / len(movers))
            x = 0.5 if end and end.x is not None and not down else spread.x
            return spread.to(x=x if column is None else None, y=0.2 if act == "fall" else 0.8).inside()
        if act == "swap" and count > 1:
            apart = 0.2 + 0.6 * index / (count - 1)
            return pose.to(x=apart, depth=MIDDLE - STEP / 2 * (index == 0)).inside()
        if act == "meet" or "apart" in way.flags:
            where = (index + 0.5) / count if count > 1 else (0.2 if movers.index(actor) % 2 == 0 else 0.8)
            x = 0.5 + (where - 0.5) * (1.4 if act == "meet" else 0.35)
            return pose.to(x=x).inside()
        over = any(beside.relation == "over" for beside in way.beside)
        if act in {"go", "follow", "zigzag"} or (
            act in {"bounce", "jump"} and (over or way.direction or end or "across" in way.flags)
        ):
            x = 0.5 - 0.33 * across if across else (0.5 if not count > 1 else (index + 0.5) / count)
            y = 0.5 - 0.3 * down if down else pose.y
            placed = pose.to(x=x, y=y).inside()
            return self._lane(placed, index, count, across) if across else placed
        if count == 1 and len(movers) > 1:
            return pose.to(x=(movers.index(actor) + 0.5) / len(movers)).inside()
        return self._spread(pose, index, count)

    def _direction(self, action: Action) -> tuple[float, float]:
        """Where an action leads to: x and y, each -1, 0 or 1."""
        way = action.way
        if way.direction:
            return way.direction
        end = way.end or way.at
        if action.act in {"fall", "rise"} and not way.start and end and not (way.end and end.x != 0.5):
            return 0.0, 1.0 if action.act == "fall" else -1.0
        if way.start or end:
            start_x = way.start.x if way.start else None
            start_y = way.start.y if way.start else None
            end_x, end_y = (end.x, end.y) if end else (None, None)
            across = _sign(end_x, start_x)
            down = _sign(end_y, start_y) if not (across and end_y == 0.5) else 0.0
            if across or down:
                return across, down
        if action.act in {"fall", "rise"}:
            return 0.0, 1.0 if action.act == "fall" else -1.0
        leads = next((other for beside in way.beside for other in beside.others if other in self.poses), None)
        if leads and way.beside[0].relation in {"to", "next to", "left of", "on top of"}:
            return (1.0 if self.poses[leads].x >= 0.4 else -1.0), 0.0
        if leads and way.beside[0].relation in {"right of", "away from"}:
            return (1.0 if self.poses[leads].x < 0.5 else -1.0), 0.0
        return 1.0, 0.0

    def _told_pose(self, actor: Actor) -> Pose:
        told = self._told(actor)
        pose = self._size(actor)
        actions = self._actions(actor)
        who = actions[0].subjects if actions else (actor.id,)
        index, count = who.index(actor.id), len(who)
        if isinstance(told, Beside):
            return self._by(pose, told, index, count)
        if told is None:
            return pose
        placed = self._at(pose, told)
        if told.x is not None and not self._is_mover(actor):
            placed = _among(placed, count)
        across = self._direction(actions[0])[0] if actions and self._is_mover(actor) else 0.0
        return self._lane(placed, index, count, across)

    # --- places ------------------------------------------------------------------------------------------

    def _at(self, pose: Pose, place: Place) -> Pose:
        placed = pose.to(place.x, place.y, place.depth).inside()
        if place.depth is not None:
            placed = placed.scaled(1.35 if place.depth < MIDDLE else 0.6)
        return placed

    def _spread(self, pose: Pose, index: int, count: int) -> Pose:
        """One of several at the same place, side by side."""
        if count == 1:
            return pose
        room = min(0.9 / count, pose.width * 1.25)
        middle = min(max(pose.x, count * room / 2 + EDGE), 1 - count * room / 2 - EDGE)
        return pose.to(x=middle + (index - (count - 1) / 2) * room)

    def _lane(self, pose: Pose, index: int, count: int, across: float) -> Pose:
        """One of several that move in the same way, one above another."""
        if count == 1:
            return pose
        if not across:
            return self._spread(pose, index, count)
        room = min(0.86 / count, pose.height * 1.2)
        middle = min(max(pose.y, count * room / 2 + EDGE), 1 - count * room / 2 - EDGE)
        return pose.to(y=middle + (index - (count - 1) / 2) * room).scaled(
            min(1.0, 0.95 * room / pose.height)
        )

    def _outside(self, pose: Pose, way: tuple[float, float]) -> Pose:
        """The same place, moved beyond the edge in a direction."""
        x = {1: 1 + pose.width / 2 + 0.02, -1: -pose.width / 2 - 0.02}.get(int(way[0]))
        y = (
            {1: 1 + pose.height / 2 + 0.02, -1: -pose.height / 2 - 0.02}.get(int(way[1]))
            if x is None
            else None
        )
        return pose.to(x, y)

    def _by(self, pose: Pose, beside: Beside, index: int = 0, count: int = 1) -> Pose:
        """A place that others decide; those who have none yet are taken to be in the middle."""
        others = [self.poses.get(name, pose.to(x=0.5)) for name in beside.others] or [pose]
        other = others[0]
        reach = (pose.width + other.width) / 2 + 0.02
        rise = (pose.height + other.height) / 2
        level = other.y + (other.height - pose.height) / 2  # both on one ground
        match beside.relation:
            case "behind":
                return pose.to(other.x + 0.35 * other.width, level - 0.03, other.depth + STEP).inside()
            case "in front of":
                return pose.to(other.x, level + 0.03, other.depth - STEP).inside()
            case "left of":
                return pose.to(other.x - reach * (index + 1), level, other.depth).inside()
            case "above" | "over":
                return pose.to(other.x, other.y - rise - 0.04, other.depth).inside()
            case "on top of":
                return pose.to(other.x, other.y - rise + 0.02, other.depth).inside()
            case "below" | "under":
                return pose.to(other.x, other.y + rise + 0.02, other.depth).inside()
            case "between":
                x = sum(one.x for one in others) / len(others)
                return self._spread(pose.to(x, other.y, other.depth).inside(), index, count)
            case "to" | "next to" if pose.x < other.x and beside.relation == "to":
                return pose.to(other.x - reach, level, other.depth)
            case _:
                side = 1 if other.x + reach + pose.width / 2 < 1 else -1
                return pose.to(other.x + side * reach * (index + 1), level, other.depth).inside()


def _sign(end: float | None, start: float | None) -> float:
    if end is None and start is None:
        return 0.0
    if end is None:
        end = 1 - start if start != 0.5 else 0.5  # type: ignore[operator]
    if start is None:
        start = 1 - end if end != 0.5 else 0.2
    return float((end > start) - (end < start))
