# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to a plan in words: "make the cube wait until the middle". Whoever is not named stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import EngineError
from . import lexicon
from .checks import repair
from .choreography import choreograph
from .grammar import MAX_TEXT, read_shot
from .nouns import Nouns
from .plan import Key, Plan, Shot, Subject
from .reading import Actor, Place, Reading
from .ways import Ways
from .words import Words

V = TypeVar("V")

_RESIZED = {
    "bigger": 1.4, "larger": 1.4, "taller": 1.4, "much bigger": 2.0, "much larger": 2.0, "smaller": 1 / 1.4,
    "much smaller": 0.5, "a little bigger": 1.2, "slightly bigger": 1.2, "a little smaller": 1 / 1.2,
    "slightly smaller": 1 / 1.2,
}  # fmt: skip
_RETIMED = {"faster": 0.6, "quicker": 0.6, "slower": 1.4}


def edit_plan(plan: Plan, text: str) -> Plan:
    """Change what a text names, in the shot that has most of that; of several the first.

    Args:
        plan: is not changed.
        text: plain English: "remove the cube", "make the ball bigger", "move the cone to the left", "let the
            dog run to the right", "add a green ring on the left", "the camera moves in".

    Raises:
        EngineError: as :func:`.planner.plan_text`; ``unknown_subject`` where it names nobody of the plan.
    """
    if len(text) > MAX_TEXT:
        raise EngineError(
            "text_too_long", f"The text has {len(text)} characters, {MAX_TEXT} at most: shorten it."
        )
    said = {lexicon.singular(word.low) for word in Words(text).words}
    named = [sum(actor.noun in said for actor in _actors(shot)) for shot in plan.shots]
    index = named.index(max(named))
    changed = _edit_shot(plan.shots[index], text.strip(), plan.aspect)
    return plan.model_copy(update={"shots": [*plan.shots[:index], changed, *plan.shots[index + 1 :]]})


def _edit_shot(shot: Shot, text: str, aspect: float) -> Shot:
    words = Words(text)
    words.take("please")
    if words.take("remove", "delete", "take away"):
        names = _named(shot, words)
        return shot.model_copy(update={"subjects": [one for one in shot.subjects if one.id not in names]})
    if words.take("add"):
        addition = words.text[words.words[words.at].start :].strip(" .") if not words.over else ""
        return _performed(shot, addition, aspect, adding=True)
    if words.take("make", "let"):
        names = _named(shot, words, whole=False)
        for table, change in ((_RESIZED, _resized), (_RETIMED, _retimed)):
            if said := words.take(*sorted(table, key=lambda saying: -len(saying))):
                return _each(shot, names, change, table[said])
    elif words.take("move", "put", "place", "shift") and words.low() in lexicon.DETERMINERS:
        return _put(shot, words)
    return _performed(shot, text, aspect)


def _actors(shot: Shot) -> list[Actor]:
    """The subjects of a shot as the grammar knows them."""
    groups: dict[str, int] = {}
    actors = []
    for subject in shot.subjects:
        lows = [low for low in subject.phrase.lower().split() if low not in {"a", "an", "the"}] or [
            subject.id
        ]
        group = groups.setdefault(subject.phrase.lower(), len(groups) + 1)
        actors.append(Actor(subject.id, subject.phrase, lexicon.singular(lows[-1]), tuple(lows[:-1]), group))
    return actors


def _named(shot: Shot, words: Words, whole: bool = True) -> tuple[str, ...]:
    reading = Reading(actors=_actors(shot))
    begun, count = words.at, len(reading.actors)
    names = Nouns(words, reading).read()
    if len(reading.actors) > count:
        _refuse_unknown(shot, words.slice(begun, words.at))
    if whole and not words.at_stop():
        words.refuse("say no more than whom to change")
    return names


def _refuse_unknown(shot: Shot, said: str) -> None:
    there = ", ".join(f'"{subject.id}"' for subject in shot.subjects) or "nobody"
    raise EngineError("unknown_subject", f'The draft has no "{said}" to change: it has {there}.')


def _each(shot: Shot, names: tuple[str, ...], change: Callable[[Subject, V], Subject], value: V) -> Shot:
    subjects = [change(subject, value) if subject.id in names else subject for subject in shot.subjects]
    return shot.model_copy(update={"subjects": subjects})


def _resized(subject: Subject, factor: float) -> Subject:
    factor = min(factor, *(1 / max(key.width, key.height) for key in subject.keys))
    keys = [
        key.model_copy(update={"width": key.width * factor, "height": key.height * factor})
        for key in subject.keys
    ]
    return subject.model_copy(update={"keys": keys})


def _retimed(subject: Subject, factor: float) -> Subject:
    """Let the same movement take more or less time, from its own beginning, and then rest."""
    moved = [
        key for key, later in zip(subject.keys, subject.keys[1:], strict=False) if not _alike(key, later)
    ]
    begin = moved[0].time if moved else 0.0
    end = next((key.time for key in reversed(subject.keys) if not _alike(key, subject.keys[-1])), 1.0)
    last = next((key.time for key in subject.keys if key.time > end), 1.0)
    goal = min(1.0, begin + factor * (last - begin))
    scale = (goal - begin) / (last - begin) if last > begin else 1.0
    keys = {
        round(begin + (key.time - begin) * scale if key.time > begin else key.time, 4): key
        for key in subject.keys
        if key.time <= last
    }
    keys.setdefault(1.0, subject.keys[-1])
    return subject.model_copy(update={"keys": _timed(keys)})


def _timed(keys: dict[float, Key]) -> list[Key]:
    return [key.model_copy(update={"time": time}) for time, key in sorted(keys.items())]


def _alike(one: Key, other: Key) -> bool:
    return one.model_dump(exclude={"time"}) == other.model_dump(exclude={"time"})


def _put(shot: Shot, words: Words) -> Shot:
    """Shift all of a subject's way so that it begins at another place."""
    names = _named(shot, words, whole=False)
    reading = Reading(actors=_actors(shot))
    ways, begun = Ways(words, Nouns(words, reading)), words.at
    way = ways.read()
    ways.by_one(way, begun)
    if not words.at_stop() or not (way.at or way.end or way.direction or way.beside):
        words.refuse("say where it is put: left, right, top, bottom, middle, or by another subject")
    across, down = way.direction or (0.0, 0.0)
    changed = shot
    for name in names:
        first = shot.subject(name).keys[0]
        if way.beside:
            others = " and ".join(f"the {_without_article(shot, one)}" for one in way.beside[0].others)
            text = f"the {_without_article(shot, name)} waits {way.beside[0].relation} {others}"
            known = {one.id: one for one in shot.subjects}
            goal = choreograph(_read_known(text, shot), text, 1.0, known).subject(name).keys[0]
            if way.beside[0].relation in {"behind", "in front of"} and _moves(shot.subject(name)):
                goal = first.model_copy(update={"depth": goal.depth})  # its way leads by already
        else:
            place = way.at or way.end or Place()
            goal = first.model_copy(
                update={
                    "x": place.x if place.x is not None else first.x + 0.2 * across,
                    "y": place.y if place.y is not None else first.y + 0.2 * down,
                    "depth": place.depth if place.depth is not None else first.depth,
                }
            )
        changed = _each(
            changed, (name,), _shifted, (goal.x - first.x, goal.y - first.y, goal.depth - first.depth)
        )
    return changed


def _shifted(subject: Subject, by: tuple[float, float, float]) -> Subject:
    """All of its way elsewhere."""
    limits = {"x": (-1.0, 2.0), "y": (-1.0, 2.0), "depth": (0.0, 1.0)}
    keys = []
    for key in subject.keys:
        moved = {
            name: min(high, max(low, getattr(key, name) + change))
            for (name, (low, high)), change in zip(limits.items(), by, strict=True)
        }
        keys.append(key.model_copy(update=moved))
    return subject.model_copy(update={"keys": keys})


def _moves(subject: Subject) -> bool:
    return any(not _alike(key, subject.keys[0]) for key in subject.keys)


def _without_article(shot: Shot, name: str) -> str:
    """The phrase of a subject without its article."""
    words = shot.subject(name).phrase.split()
    return " ".join(words[1:] if words[0].lower() in {"a", "an", "the"} else words)


def _read_known(text: str, shot: Shot) -> Reading:
    return read_shot(text, _actors(shot))


def _performed(shot: Shot, text: str, aspect: float, adding: bool = False) -> Shot:
    """Let the text happen: its subjects get new ways, those that it brings in are added."""
    known = {subject.id: subject for subject in shot.subjects}
    reading = _read_known(text, shot)
    acting = {name for action in reading.actions for name in action.subjects}
    new = [actor.id for actor in reading.actors if actor.id not in known]
    beside = {name for action in reading.actions for by in action.way.beside for name in by.others}
    if not adding and (unknown := [name for name in new if name in acting or name not in beside]):
        _refuse_unknown(shot, reading.actor(unknown[0]).phrase)
    if (delay := _only_waits(reading, known)) is not None and not adding:
        return _each(shot, tuple(acting), _delayed, delay)
    prompt = shot.prompt
    if new:
        said = text if adding else ", ".join(reading.actor(name).phrase for name in new)
        prompt = f"{prompt.rstrip(' .')}, {said}"
    planned = choreograph(reading, prompt, aspect, known)
    planned = planned.model_copy(
        update={
            "camera": reading.camera or shot.camera,
            "background": shot.background or reading.background,
        }
    )
    return repair(planned, fixed=known.keys() - acting) if new else planned


def _only_waits(reading: Reading, known) -> float | None:
    """Until when those who are there are to wait, where the text says no more than that."""
    if len(reading.actions) != 1:
        return None
    action = reading.actions[0]
    waits = action.act == "stay" and action.way.span and action.way.span[0] == 0 and not action.way.at
    return action.way.span[1] if waits and action.way.span and set(action.subjects) <= set(known) else None


def _delayed(subject: Subject, until: float) -> Subject:
    """The same way, later and in less time."""
    keys = {round(until + key.time * (1 - until), 4): key for key in subject.keys}
    keys[0.0] = subject.keys[0]
    return subject.model_copy(update={"keys": _timed(keys)[:12]})
