# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sentence of plain English says: who does what, from where to where, in which order.

The grammar is open in its nouns and closed in everything else: any words may name a thing ("a rusty old
robot"), while verbs, places, directions, order and speed are those of :mod:`.lexicon`. What is not understood
is refused with its words; nothing is passed over but adverbs of manner. docs/guide/draft.md states it for
people.
"""

from __future__ import annotations

import re

from ..errors import EngineError
from . import lexicon
from .camera import read_camera
from .lexicon import Act
from .nouns import Nouns
from .reading import Action, Actor, Beside, Reading, Way
from .ways import Ways
from .words import Words

MAX_TEXT = 2_000
"""Characters of a text that is planned from."""

_THEN = ("and then", "and finally", "then", "after that", "afterwards", "finally", "next")
_WHILE = ("while", "meanwhile", "as")
_STARTS = ("and", "but", *_THEN, *_WHILE)
_CUTS = re.compile(
    r"(?:^|(?<=[.;,\n]))\s*(?:shot|scene)\s+\d+\s*[:.,]|\b(?:and then |then )?cuts? to\b\s*:?|\n\s*\n", re.I
)
_VERB = (
    "use a verb of motion that it knows, such as moves, rolls, walks, flies, jumps, waits, grows or leaves"
)
_PARTICLES = (
    "back",
    "closer",
    "nearer",
    "away",
    "off",
    "around",
    "in",
    "out",
    "still",
    "to life",
    "to a halt",
)
_IMPERATIVES = ("make", "let", "have")


def split_shots(text: str) -> list[str]:
    """The texts of the shots: "Shot 1: ... Shot 2: ...", "... Cut to: ...", or paragraphs."""
    parts = (part.strip(" \n\t,;") for part in _CUTS.split(text))
    return [part for part in parts if re.search(r"\w", part)]


def read_shot(text: str, known: list[Actor] | None = None) -> Reading:
    """Read the text of one shot.

    Args:
        text: English.
        known: who is there already.

    Raises:
        EngineError: ``not_understood`` with the words; ``nothing_said``; ``text_too_long``.
    """
    if len(text) > MAX_TEXT:
        raise EngineError(
            "text_too_long",
            f"The text has {len(text)} characters and the built-in planner reads {MAX_TEXT} at most: "
            "shorten it.",
        )
    reader = _Reader(text, known or [])
    if not any(word.text[0].isalpha() for word in reader.words.words):
        raise EngineError(
            "nothing_said", 'There is nothing to plan: say what moves, such as "a red ball rolls right".'
        )
    return reader.read()


class _Reader:
    def __init__(self, text: str, known: list[Actor]):
        self.words = Words(text)
        self.reading = Reading(actors=list(known))
        self.known = {actor.id for actor in known}
        self.nouns = Nouns(self.words, self.reading)
        self.ways = Ways(self.words, self.nouns)
        self.beat = 0

    def read(self) -> Reading:
        words = self.words
        while not words.over:
            if not words.take(".", ",", ";", ":", "!", "?", "-"):
                self._part()
        self.reading.background = self.ways.background
        return self.reading

    def _part(self) -> None:
        """One part of the text: a subject and what it does, more that it does, or the camera."""
        words = self.words
        span, then, together = self._order()
        camera = read_camera(words, _STARTS)
        if camera is not None:
            self.reading.camera = camera
            return
        if words.at_stop():
            if words.over:
                return
            words.refuse(_VERB)
        begun = words.at
        existential = bool(words.take("there is", "there are", "there's", "there was"))
        imperative = bool(not existential and words.take(*_IMPERATIVES))
        act = self._act_ahead()
        onward = bool(then and not act and words.low() in lexicon.DIRECTIONS)  # "left, then up"
        same = bool((act or onward) and self.nouns.spoken and not self.nouns.ahead())
        who = self.nouns.spoken if same else self._who()
        self.nouns.speak_of(who)
        if imperative and self._act_ahead() is None:
            words.refuse(_VERB, words.slice(begun, max(words.at, begun + 1)))
        onto = same and not then and words.low().endswith("ing") and act not in {"grow", "shrink", "stay"}
        if onto and self._busy(who):  # "falls, swaying from side to side": two ways at once
            words.refuse('say it with "then" where it comes after, or leave it out')
        if then or (same and not together and act not in {"grow", "shrink"} and self._busy(who)):
            self.beat += self._busy(None)
        self._predicate(who, begun, existential, span, "go" if same and onward else "stay")

    def _order(self) -> tuple[tuple[float, float] | None, bool, bool]:
        """Words that say when the next part is: its span, whether it comes after, or at the same time."""
        words = self.words
        span, then, together = None, False, False
        while True:
            if words.take(*_THEN):
                then = True
            elif words.take(*_WHILE):
                together = True
            elif words.take("first", "and", "but"):
                pass
            else:
                said, found = self.ways.time()
                together = together or said == "at the same time"
                span = found or span
                if not said and not words.take(","):
                    return span, then, together

    def _busy(self, who: tuple[str, ...] | None) -> bool:
        """Whether anybody, or one of these, does something in this beat already."""
        return any(
            action.beat == self.beat and (who is None or set(who) & set(action.subjects))
            for action in self.reading.actions
        )

    def _who(self) -> tuple[str, ...]:
        words = self.words
        if not self.nouns.ahead():
            words.refuse('begin with who it is about, such as "a red ball"')
        who = self.nouns.read()
        while True:
            back, count = self.words.at, len(self.reading.actors)
            joined = words.take(", and", "and", ",")
            if not joined or not self.nouns.ahead() or "camera" in {words.low(), words.low(1)}:
                words.at = back
                return who
            more = self.nouns.read()
            if joined == "," and self._act_ahead():  # "two balls, one rolls left": the first are only named
                del self.reading.actors[count:]
                words.at = back
                return who
            who += more

    def _lead(self, way: Way) -> None:
        """Let whoever is followed, and does nothing else, go the same way."""
        for beside in way.beside:
            idle = [
                name for name in beside.others if not any(name in a.subjects for a in self.reading.actions)
            ]
            if idle:
                ways = Way(start=way.start, end=way.end or way.at, direction=way.direction, speed=way.speed)
                self.reading.actions.append(Action(tuple(idle), "go", self.beat, ways, ""))

    def _act_ahead(self) -> Act | None:
        """The act of a verb that comes next, perhaps after adverbs and auxiliaries."""
        words, begun = self.words, self.words.at
        self.ways.speed()
        while self._auxiliary():
            self.ways.speed()
        act, _ = lexicon.ACTS.get(words.low(), (_BECOMES.get(words.low()), ""))
        words.at = begun
        return act

    def _predicate(self, who, begun: int, existential: bool, span, idle: Act = "stay") -> None:
        words = self.words
        self._place_before_verb(who)
        words.take("that", "which", "who")
        speed, auxiliary = self.ways.speed(), False
        while self._auxiliary():
            auxiliary = True
            speed = self.ways.speed() or speed
        if auxiliary and words.low().endswith("ed") and words.low(-1) in lexicon.PASSIVE:
            words.refuse('say who does it, as in "a cat chases a dog"')
        begins = auxiliary and words.low(-1) in lexicon.TAKES_TO
        act, base = self._verb(idle, auxiliary or existential)
        particle = words.take(*_PARTICLES) if not self._is_preposition() else ""
        if base == "cross" and len(who) > 1 and words.take("paths"):
            act = "swap"
        beside = self._object(base)
        if act == "swap":
            who += self._exchanged(who)
        way = self.ways.read()
        way.beside = beside + way.beside
        way.speed, way.span = way.speed or speed, way.span or span
        if not words.at_stop() and not words.ahead(*_STARTS):
            words.refuse("say it with the verbs, places and directions of the guide, one part after a comma")
        if base in {"disappear", "vanish"} and way in (Way(), Way(span=span), Way(speed=speed)):
            words.refuse('say where it goes, such as "leaves to the right"', base)
        if not base and act == "stay" and way == Way():
            return  # "two balls, one rolls left": the first part only names them
        if begins and not base and not way.beside and not set(who) & self.known:
            place = way.at or way.end
            if place and way == Way(at=way.at, end=way.end):
                for name in who:  # "starts on the right": what it does next begins there
                    self.reading.actor(name).place = place
                return
        if base == "pass" and way.beside:
            way.flags.add("across")  # it does not end behind what it passes behind
        act = _settled(act, particle, way)
        if act not in {"follow", "meet", "swap"}:
            self.ways.by_one(way, begun)
        if act == "follow":
            if len(way.beside) > 1:
                said = words.slice(begun, words.at)
                words.refuse("say the way of who is followed in a part of its own", said)
            self._lead(way)
        self.reading.actions.append(Action(who, act, self.beat, way, words.slice(begun, words.at)))

    def _verb(self, idle: Act, optional: bool) -> tuple[Act, str]:
        """Take a verb, as its act and its base form; the idle act where there is none and none is needed."""
        words = self.words
        if words.take("not move", "doesn't move", "don't move"):
            return "stay", ""
        if words.low() in lexicon.ACTS:
            act, base = lexicon.ACTS[words.low()]
            words.at += 1
            return act, base
        if words.low() in _BECOMES:
            words.at += 1
            return _BECOMES[words.low(-1)], ""
        if not (optional or words.at_stop() or self.ways.ahead() or words.ahead(*_STARTS)):
            words.refuse(_VERB)
        return idle, ""

    def _auxiliary(self) -> bool:
        """Take a verb that only helps another: "is", "begins to"."""
        words = self.words
        if words.low() not in lexicon.AUXILIARIES:
            return False
        words.at += 1
        words.at += words.low() == "to" and words.low(-1) in lexicon.TAKES_TO
        return True

    def _exchanged(self, who: tuple[str, ...]) -> tuple[str, ...]:
        """Take who else changes places: "swaps places with the cube"."""
        words = self.words
        words.take("places", "positions", "sides")
        others = self.nouns.read_object() if words.take("with") and not words.take("each other") else ()
        if len(set(who + others)) < 2:
            words.refuse('say who changes places, as in "a ball swaps places with a cube"', words.low(-1))
        return tuple(name for name in others if name not in who)

    def _is_preposition(self) -> bool:
        """Whether the next word begins a place, and is no particle of the verb."""
        words = self.words
        if words.low() == "back":
            return words.low(1) == "and"
        if words.low() in {"in", "off", "around", "out", "away"}:
            following = words.low(1)
            begins_a_noun = following.isalpha() and following not in lexicon.LINKS | set(lexicon.SPEEDS)
            return begins_a_noun or following in {"of", "screen"} or words.ahead("away from")
        return False

    def _object(self, base: str) -> list[Beside]:
        """The other that a verb names without a word between: "follows the cat"."""
        words = self.words
        if base not in lexicon.TAKES_OBJECT or words.at_stop() or not self.nouns.ahead():
            return []
        relation = lexicon.TAKES_OBJECT[base]
        if words.low() == "the" and words.low(1) in lexicon.PICTURE:
            words.at += 2
            return []
        if not relation:
            words.at += words.low() in lexicon.DETERMINERS or words.low() in {"a", "an"}
            while (
                not words.at_stop() and words.low() not in lexicon.LINKS and words.low() not in lexicon.SPEEDS
            ):
                words.at += 1
            return []
        others = self.nouns.read_object()
        return [Beside(relation, others)]  # type: ignore[arg-type]

    def _place_before_verb(self, who: tuple[str, ...]) -> None:
        """ "The cat on the left runs": a place before the verb says where they are."""
        words, back = self.words, self.words.at
        if not self.ways.ahead():
            return
        count = len(self.reading.actors)
        way = self.ways.read()
        if way.start or way.direction or way.flags or self._act_ahead() is None:
            del self.reading.actors[count:]
            words.at = back
            return
        self.ways.by_one(way, back)
        place = way.beside[0] if way.beside else way.at or way.end
        for name in who:
            self.reading.actor(name).place = place


_BECOMES: dict[str, Act] = {
    "bigger": "grow", "larger": "grow", "smaller": "shrink", "closer": "approach", "nearer": "approach",
}  # fmt: skip


def _settled(act: Act, particle: str, way: Way) -> Act:
    """The act that verb, particle and way make together."""
    if act == "stop":
        return "stay"
    if act in {"rise", "fall"} and ({"entering", "leaving"} & way.flags) and not (way.direction or way.start):
        way.direction = (0.0, 1.0 if act == "fall" else -1.0)
    if particle == "back":
        return "return"
    moves = act in {"go", "enter", "leave", "rise", "fall", "jump", "bounce", "approach", "recede"}
    if any(beside.relation == "each other" for beside in way.beside):
        return "meet" if act in {"go", "enter", "meet"} else act
    if particle in {"closer", "nearer"}:
        return "approach"
    if way.nearer and act in {"go", "enter", "leave", "stay", "approach", "recede"}:
        return "approach" if way.nearer > 0 else "recede"
    if "leaving" in way.flags or (particle in {"away", "off"} and act == "go" and way.end is None):
        return "leave"
    if moves and ("entering" in way.flags or particle == "in"):
        return "enter"
    if way.flags & {"swinging", "rocking"}:
        return "swing"
    if act == "go" and (
        "circling" in way.flags or particle == "around" or any(b.relation == "around" for b in way.beside)
    ):
        return "circle"
    return act
