# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives everybody of a sentence a place and a time: a reading to a shot.

Each part of the sentence ("beat") gets as much of the shot as any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .placing import EDGE, FAR, NEAR, STEP, Pose, Stage, thing_of, within
from .plan import Camera, Key, Shot, Subject
from .reading import Action, Actor, Beside, Reading

_GROWTH = 1.8


def choreograph(
    reading: Reading, prompt: str, aspect: float, known: Mapping[str, Subject] | None = None
) -> Shot:
    """Plan a shot.

    Args:
        reading: of its text.
        prompt: that text.
        aspect: of the picture, width over height.
        known: subjects that are there already, by their ids; those who do nothing new stay as they are.
    """
    known = known or {}
    stage = _Play(reading, aspect, known)
    stage.place_all()
    for beat in range(stage.beats):
        stage.play(beat)
    acting = {name for action in reading.actions for name in action.subjects}
    subjects = []
    for actor in reading.actors:
        before = known.get(actor.id)
        keys = before.keys if before and actor.id not in acting else stage.keys_of(actor)
        shape = before.shape if before else thing_of(actor).shape
        subjects.append(Subject(id=actor.id, phrase=actor.phrase, shape=shape, keys=keys))
    return Shot(
        prompt=prompt, background=reading.background, camera=reading.camera or Camera(), subjects=subjects
    )


class _Play(Stage):
    """A stage on which the actions of a reading are played, one beat after another."""

    def __init__(self, reading: Reading, aspect: float, known: Mapping[str, Subject]):
        super().__init__(reading, aspect, known)
        self.tracks: dict[str, list[tuple[float, Pose]]] = {actor.id: [] for actor in reading.actors}
        self.beats = 1 + max((action.beat for action in reading.actions), default=0)

    def play(self, beat: int) -> None:
        """Play the actions of one beat, those that depend on others after them."""
        actions = [action for action in self.reading.actions if action.beat == beat]
        for action in sorted(actions, key=lambda action: action.act in {"follow", "meet", "swap"}):
            begin, end = action.way.span or (beat / self.beats, (beat + 1) / self.beats)
            if action.way.speed == "fast":
                end = begin + 0.6 * (end - begin)
            before = dict(self.poses)
            for index, name in enumerate(action.subjects):
                steps = self._steps(action, name, index, before)
                if not steps:
                    continue
                track = self.tracks[name]
                if not (track and track[-1][0] >= begin):
                    track.append((begin, before[name]))
                for part, pose in steps:
                    track.append((begin + part * (end - begin), pose))
                self.poses[name] = steps[-1][1]

    def _steps(
        self, action: Action, name: str, index: int, before: dict[str, Pose]
    ) -> list[tuple[float, Pose]]:
        """Poses of an actor over the part that an action lasts, 0 to 1; none where it stays."""
        pose, way, act = before[name], action.way, action.act
        count = len(action.subjects)
        if act == "stay":
            place = way.at or way.end
            first = self._actions(self.reading.actor(name))[0] is action
            moved = (
                self._at(pose, place).to(y=pose.y if place.y == 0.5 else None)
                if place and not first
                else pose
            )
            return [(1.0, moved)] if moved != pose else []
        if act in {"grow", "shrink"}:
            return [(1.0, pose.scaled(_GROWTH if act == "grow" else 1 / _GROWTH).inside())]
        if act in {"approach", "recede"} and not way.beside:
            nearer = act == "approach"
            factor, depth = (_GROWTH, NEAR) if nearer else (1 / _GROWTH, FAR)
            lower = pose.y + (0.06 if nearer else -0.06)
            return [(1.0, pose.scaled(factor).to(y=lower, depth=depth).inside())]
        if act == "return":
            return [(1.0, self.first[name])]
        if act in {"circle", "swing", "zigzag", "bounce", "jump"}:
            return self._figure(action, pose, index)
        if act == "swap":
            others = [other for other in action.subjects if other != name] or [
                other for beside in way.beside for other in beside.others
            ]
            return [(1.0, pose.to(before[others[0]].x, before[others[0]].y))] if others else []
        if act == "follow":
            return self._follow(action, name, pose)
        if act == "meet":
            names = list(action.subjects) + [other for beside in way.beside for other in beside.others]
            centre = 0.5 if len(names) > 1 else pose.x
            gap = pose.width * 0.55
            elsewhere = [before[other].x for other in names if other != name]
            left = not elsewhere or pose.x < sum(elsewhere) / len(elsewhere)
            return [(1.0, pose.to(x=centre - gap if left else centre + gap))]
        if "apart" in way.flags:
            away = -1.0 if pose.x < 0.5 else 1.0
            return [(1.0, self._slowly(pose, pose.to(x=0.5 + 0.36 * away).inside(), action))]
        return self._line(action, pose, index, count)

    def _line(self, action: Action, pose: Pose, index: int, count: int) -> list[tuple[float, Pose]]:
        """Straight to where it leads, past, behind or over others on the way."""
        way, act = action.way, action.act
        across, down = self._direction(action)
        place = way.end or way.at
        relation = next((beside for beside in way.beside), None)
        leads = bool(way.start or way.direction or "across" in way.flags)
        target = pose
        if act == "leave":
            target = self._outside(pose, (across, 0.0) if across else (0.0, down))
            if across and place and place.y not in {None, 0.5}:  # "leaves at the bottom right"
                target = target.to(y=place.y)
        elif place is not None and act != "leave":
            target = self._at(pose, place)
            upright = act in {"fall", "rise"} and not way.start and not way.direction
            if upright and (place.y is None or (place is way.at and place.y == 0.5)):
                x = pose.x if place is way.at else None
                target = target.to(x, 0.5 + (0.32 if act == "fall" else -0.32)).inside()
            elif across and (count > 1 or place.y == 0.5):  # "to the middle" is across, not up
                target = target.to(y=pose.y)
            elif not across and count > 1:
                target = target.to(x=pose.x)
        elif act == "enter":
            inner = (
                self._by(pose.to(x=0.5 - 0.1 * across), relation, index, count)
                if relation
                else (pose.to(x=within((index + 1) / (count + 1), pose.width)))
            )
            target = inner.to(y=pose.y) if across and not relation else inner.inside()
        elif relation and not leads and relation.relation not in {"past", "over", "under"}:
            if relation.relation == "away from":
                target = pose.to(x=0.5 + 0.36 * across).inside()
            else:
                target = self._by(pose, relation, index, count)
            return [(1.0, target)]
        else:
            target = pose.to(
                x=0.5 + 0.36 * across if across else pose.x, y=0.5 + 0.32 * down if down else pose.y
            ).inside()
            target = self._slowly(pose, target, action)
        if (
            relation
            and relation.others
            and relation.relation in {"behind", "in front of", "past", "over", "under"}
        ):
            return self._by_others(pose, target, relation)
        return [(1.0, target)]

    def _slowly(self, pose: Pose, target: Pose, action: Action) -> Pose:
        """Not so far, where it is slow and nobody said how far."""
        if action.way.speed != "slow" or action.way.end or action.way.start:
            return target
        return pose.to(pose.x + 0.7 * (target.x - pose.x), pose.y + 0.7 * (target.y - pose.y))

    def _by_others(self, pose: Pose, target: Pose, relation: Beside) -> list[tuple[float, Pose]]:
        other = self.poses[relation.others[0]]
        level = other.y + (other.height - pose.height) / 2
        reach = target.x - pose.x
        part = min(0.75, max(0.25, (other.x - pose.x) / reach)) if abs(reach) > 0.1 else 0.5
        x = pose.x + part * reach
        depth = {
            "behind": other.depth + STEP,
            "in front of": other.depth - STEP,
            "past": other.depth - STEP / 2,
        }.get(relation.relation, other.depth)
        if relation.relation in {"over", "under"}:
            rise = (pose.height + other.height) / 2 + 0.02
            y = other.y + (rise if relation.relation == "under" else -rise)
            return [(part, pose.to(x, y, depth).inside()), (1.0, target.to(depth=depth))]
        self_y = level if relation.relation != "past" else level + 0.05
        moved = [(0.0, pose.to(y=self_y, depth=depth)), (part, pose.to(x, self_y, depth)),
                 (1.0, target.to(y=self_y, depth=depth))]  # fmt: skip
        return [(at, step.to(y=within(step.y, step.height))) for at, step in moved]

    def _figure(self, action: Action, pose: Pose, index: int) -> list[tuple[float, Pose]]:
        """Movements that are no line: circles, swings, zigzags, jumps and bounces."""
        way, act = action.way, action.act
        if act == "circle":
            return self._circle(action, pose, index)
        across, _ = (
            self._direction(action) if (way.direction or way.end or way.at or way.start) else (0.0, 0.0)
        )
        over = next((beside for beside in way.beside if beside.relation == "over"), None)
        if "across" in way.flags or over or act == "zigzag":
            across = across or 1.0
        end = (
            self._at(pose, way.end)
            if way.end
            else pose.to(x=0.5 + 0.36 * across).inside()
            if across
            else pose
        )
        if act == "swing":
            reach = min(0.2, 0.5 - pose.width / 2)
            sides = ((0.25, 1), (0.5, 0), (0.75, -1), (1.0, 0))
            if "rocking" in way.flags:
                return [(part, pose.to(y=pose.y - side * 0.22).inside()) for part, side in sides]
            return [(part, pose.to(x=pose.x + side * reach).inside()) for part, side in sides]
        if over:
            return self._by_others(pose, end.to(y=pose.y), over)
        if act == "zigzag":
            parts: tuple[tuple[float, float], ...] = ((0.25, -0.2), (0.5, 0.2), (0.75, -0.2), (1.0, 0.0))
        elif act == "bounce":
            parts = ((0.25, -0.3), (0.5, 0.0), (0.75, -0.22), (1.0, 0.0))
        else:
            parts = ((0.5, -0.3), (1.0, 0.0))
        return [
            (part, pose.to(pose.x + part * (end.x - pose.x), within(pose.y + rise, pose.height)))
            for part, rise in parts
        ]

    def _circle(self, action: Action, pose: Pose, index: int) -> list[tuple[float, Pose]]:
        other = next((self.poses[name] for beside in action.way.beside for name in beside.others), None)
        centre = other or pose.to(0.5, 0.5)
        across = min((centre.width + pose.width) / 2 + 0.1, 0.5 - pose.width / 2 - EDGE)
        deep = 0.25 if other else 0.0
        down = 0.08 if other else 0.26  # round something it is seen from the side: behind it, and before it
        begin = math.pi + index * math.pi
        steps = []
        for part in (0.0, 0.25, 0.5, 0.75, 1.0):
            angle = begin + part * 2 * math.pi
            place = centre.x + across * math.cos(angle), centre.y + down * math.sin(angle)
            steps.append(
                (part, pose.to(*place, centre.depth - deep * math.sin(angle)).inside())
            )  # lower is nearer
        return steps

    def _follow(self, action: Action, name: str, pose: Pose) -> list[tuple[float, Pose]]:
        """The way of another, behind it."""
        led = next((other for beside in action.way.beside for other in beside.others), None)
        track = self.tracks.get(led or "", [])
        if not led or not track:
            led_pose = self.poses.get(led or "", pose)
            return [(1.0, self._by(pose, Beside("next to", (led,))) if led else led_pose)]
        begin = action.way.span[0] if action.way.span else action.beat / self.beats
        now = [step for at, step in track if at >= begin] or [track[-1][1]]
        across = now[-1].x - now[0].x
        gap = (pose.width + now[0].width) / 2 + 0.03
        offset = -gap if across >= 0 else gap
        goal = now[-1].to(x=now[-1].x + offset)
        start = pose if len(now) < 2 else now[0].to(x=now[0].x + offset)
        lane = now[0].y + (now[0].height - pose.height) / 2
        steps = [(0.0, pose.to(start.x, lane))] if len(now) > 1 and not self.tracks[name] else []
        return [*steps, (1.0, pose.to(within(goal.x, pose.width), lane))]

    # --- keys --------------------------------------------------------------------------------------------

    def keys_of(self, actor: Actor) -> list[Key]:
        """At least three keys of an actor: where it is at times that the sentence decides."""
        track = sorted(self.tracks[actor.id], key=lambda step: step[0])
        by_time: dict[float, Pose] = {}
        for at, pose in track:
            by_time[round(min(1.0, at), 4)] = pose
        if not by_time:
            by_time[0.0] = self.poses[actor.id]
        first, last = min(by_time), max(by_time)
        by_time.setdefault(0.0, by_time[first])
        by_time.setdefault(1.0, by_time[last])
        if len(by_time) == 2:
            by_time[0.5] = _between(by_time[0.0], by_time[1.0])
        return [
            Key(time=at, x=pose.x, y=pose.y, width=pose.width, height=pose.height, depth=pose.depth)
            for at, pose in sorted(by_time.items())
        ]


def _between(one: Pose, other: Pose) -> Pose:
    return Pose(
        *((getattr(one, name) + getattr(other, name)) / 2 for name in ("x", "y", "width", "height", "depth"))
    )
