# SPDX-License-Identifier: GPL-3.0-or-later
"""Places, directions, relations to others, and times, as a sentence says them after its verb."""

from __future__ import annotations

from . import lexicon
from .nouns import Nouns, is_no_noun
from .reading import Beside, Place, Relation, Way
from .words import Words

_BY_LENGTH = sorted(lexicon.RELATIONS, key=lambda text: -len(text.split()))
_SCENERY = {"over", "under", "into", "near", "by", "above", "below", "past", "around", "behind"}
"""Relations after which "the sea" is scenery where nobody of that name was named."""
_SURROUND = (
    "on",
    "in",
    "across",
    "through",
    "along",
    "at",
    "against",
    "inside",
    "among",
    "during",
    "with",
    "under",
    "over",
)

_FLAGS = {
    "entering": [
        "from off screen", "from offscreen", "from outside",
        *(f"{way} {which}" for way in ("into", "onto") for which in (
            "the frame", "the picture", "the scene", "the shot", "the screen", "the image", "view",
            "the view", "frame",
        )),
    ],
    "leaving": [
        "off screen", "offscreen", "off-screen",
        *(f"{way} {which}" for way in ("out of", "off") for which in (
            "the frame", "the picture", "the scene", "the shot", "the screen", "the image", "view",
            "the view", "sight", "frame",
        )),
    ],
    "swinging": ["from side to side", "back and forth", "left and right", "to and fro"],
    "rocking": ["up and down"],
    "circling": ["in a circle", "in circles"],
    "apart": ["away from each other", "apart"],
    "": [
        "diagonally", "in a straight line", "in a row", "in a line", "side by side", "upside down",
        "together", "in place", "on the spot", "in slow motion", "to the ground", "to the floor",
    ],
}  # fmt: skip
_NEARER = {
    1: [
        "towards the camera", "toward the camera", "to the camera", "towards the viewer", "toward the viewer",
        "forward", "forwards", "to the front", "into the foreground", "towards us", "to the foreground",
    ],
    -1: [
        "away from the camera", "into the distance", "into the background", "away from the viewer",
        "to the back", "to the background", "away from us",
    ],
}  # fmt: skip
_SPANS_BY_LENGTH = sorted(lexicon.SPANS, key=lambda text: -len(text.split()))


_MOST_SCENERY = 4
"""Words."""


class Ways:
    """Reads what follows a verb."""

    def __init__(self, words: Words, nouns: Nouns):
        self.words = words
        self.nouns = nouns
        self.background = ""

    def by_one(self, way: Way, begun: int) -> None:
        """Refuse to be by several others, of which one would decide alone: "above a ball below a cone".

        Raises:
            EngineError: ``not_understood``, with the words from ``begun`` on.
        """
        if len(way.beside) > 1:
            self.words.refuse(
                'say in parts of their own who is by whom, as in "a ball is below a cone, and a cube is '
                'above the ball"',
                self.words.slice(begun, self.words.at),
            )

    def ahead(self) -> bool:
        """Whether a place or a relation comes next."""
        return self.words.low() in lexicon.WAY_WORDS or self.words.ahead(*lexicon.RELATIONS)

    def read(self) -> Way:
        """Read all of it, up to a stop or a word that begins another part.

        Raises:
            EngineError: ``not_understood``, with the words.
        """
        way = Way()
        while not self.words.at_stop():
            begun = self.words.at
            way.speed = self.speed() or way.speed
            if self.words.at != begun:
                continue
            said, span = self.time()
            if said:
                way.span = span or way.span
            elif way.direction and (
                self._direction_after_and(way.direction) or self.words.ahead("and out of", "and off")
            ):
                self.words.at += 1  # "up and to the right", "up and out of the frame"
            elif not (self._flag(way) or self._ends(way) or self._relation(way) or self._scenery(way)):
                break
        return way

    def speed(self) -> str:
        """Take adverbs; ``slow``, ``fast``, or empty for those of manner, which change nothing."""
        words, speed = self.words, ""
        while words.low() in lexicon.SPEEDS or words.low() == "very" or _is_manner(words.low()):
            speed = lexicon.SPEEDS.get(words.low(), "") or speed
            words.at += 1
        return speed

    def time(self) -> tuple[str, tuple[float, float] | None]:
        """Take words of time, if they come next: what was said, and its span where it has one."""
        if self.words.ahead(*(f"halfway {way}" for way in ("across", "along", "down", "to", "up"))):
            return "", None  # a place
        said = self.words.take(*_SPANS_BY_LENGTH)
        return said, lexicon.SPANS.get(said)

    def _flag(self, way: Way) -> bool:
        words = self.words
        for nearer, sayings in _NEARER.items():
            if words.take(*sayings):
                way.nearer = nearer
                return True
        for flag, sayings in _FLAGS.items():
            if said := words.take(*sayings):
                way.flags.add(flag)
                if said == "in slow motion":
                    way.speed = "slow"
                return True
        if words.take("towards each other", "toward each other", "to each other", "each other"):
            way.beside.append(Beside("each other"))
            return True
        if words.low() in {"past", "by"} and not self._noun_after():
            words.at += 1
            way.flags.add("across")
            return True
        if words.low() in {"around", "round"} and not self._noun_after():
            words.at += 1
            way.flags.add("circling")
            return True
        return False

    def _noun_after(self) -> bool:
        words = self.words
        words.at += 1
        found = not words.at_stop() and self.nouns.ahead()
        words.at -= 1
        return found

    def _ends(self, way: Way) -> bool:
        """From, to and at places of the picture; directions."""
        words = self.words
        if words.take("from"):
            if words.take("behind"):
                words.at -= 1
                return self._relation(way)
            way.start = self.place()
            if way.start is None:
                words.refuse('after "from" say left, right, top, bottom, middle or a corner')
            return True
        if words.ahead("left to right", "right to left", "top to bottom", "bottom to top"):
            way.start = self.place()
            return True
        if words.ahead("halfway across") and not way.end:
            words.at += 2
            if not words.take(*(f"the {name}" for name in lexicon.PICTURE)) and not words.at_stop():
                words.refuse('say "halfway across the frame", or to which place')
            way.end = Place(0.5)
            return True
        if way.direction and words.ahead("to the left", "to the right") and words.low(3) != "of":
            words.at += 2  # "up and to the right" is a direction, not a place
        if words.low() in lexicon.DIRECTIONS and words.low(1) != "of":
            way.turn(lexicon.DIRECTIONS[words.low()])
            words.at += 1
            return True
        for said in ("off to", "over to", "to", "towards", "toward", "into", "onto", "at", "on", "in"):
            back = words.at
            if words.take(said):
                if (place := self.place()) is not None:
                    if said in {"at", "on", "in"}:
                        way.at = place
                    else:
                        way.end = place
                    return True
                words.at = back
        return False

    def place(self) -> Place | None:
        """Take a place of the picture, if one comes next: "the top left corner of the frame"."""
        words, begun = self.words, self.words.at
        words.take("the", "its")
        words.take("far", "very")
        x = y = depth = None
        found = False
        while True:
            low = words.low()
            if low in lexicon.SIDES:
                across, down = lexicon.SIDES[low]
                centre = across is not None and down is not None
                x = across if across is not None and not (centre and x is not None) else x
                y = down if down is not None and not (centre and y is not None) else y
            elif low in lexicon.DEPTHS:
                depth = lexicon.DEPTHS[low]
            else:
                break
            found = True
            words.at += 1
            if (
                words.low() == "of"
                and words.low(2) not in lexicon.PICTURE
                and words.low(1) not in lexicon.PICTURE
            ):
                words.at = begun  # "to the left of the cube" is about the cube
                return None
            words.take("-")
        if not found:
            words.at = begun
            return None
        while words.low() in lexicon.PARTS:
            words.at += 1
        if words.low() in {"of", "in"}:
            if words.low(1) in {"the", "a"} and words.low(2) in lexicon.PICTURE:
                words.at += 3
            elif words.low(1) in lexicon.PICTURE:
                words.at += 2
        return Place(x, y, depth)

    def _relation(self, way: Way) -> bool:
        words, begun = self.words, self.words.at
        word = words.take(*_BY_LENGTH)
        if not word:
            return False
        if words.at_stop() or not self.nouns.ahead():
            words.at = begun
            return False
        if word in _SCENERY and not self.nouns.known_ahead() and self._scenery_ahead():
            words.at = begun
            return False
        others = self.nouns.read_object()
        if _relation(word) == "between" and len(others) < 2:
            if not words.take("and"):
                words.refuse('after "between" name two things')
            others += self.nouns.read_object()
        way.beside.append(Beside(_relation(word), others))
        return True

    def _scenery_ahead(self) -> bool:
        words, begun = self.words, self.words.at
        words.take(*lexicon.DETERMINERS, "a", "an")
        last = ""
        while not words.at_stop() and not is_no_noun(words.low()):
            last = words.low()
            words.at += 1
        words.at = begun
        return last in lexicon.SCENERY

    def _scenery(self, way: Way) -> bool:
        """ "On the grass", "across a street", "at night": what is around, which nobody moves."""
        words, begun = self.words, self.words.at
        word = words.take(*_SURROUND, *_SCENERY)
        if not word:
            return False
        if word in {"across", "through", "along"}:
            way.flags.add("across")
            if words.at_stop() or words.take(*(f"the {name}" for name in lexicon.PICTURE)):
                return True
        if word == "on" and self.nouns.known_ahead():
            way.beside.append(Beside("on top of", self.nouns.read_object()))
            return True
        words.take(*lexicon.DETERMINERS, "a", "an")
        first = words.at
        while not words.at_stop() and self._more_scenery():
            words.at += 1
        if not 0 < words.at - first <= _MOST_SCENERY:
            end = max(words.at + (words.at == first and not words.at_stop()), begun + 1)
            words.refuse('say what is there in a few words, such as "on the grass"', words.slice(begun, end))
        self.background = self.background or words.slice(begun, words.at)
        return True

    def _direction_after_and(self, so_far: tuple[float, float]) -> bool:
        """Whether "and" and a direction come next that goes together with another: up and to the right."""
        words = self.words
        for said in ("and to the", "and"):
            if words.ahead(said):
                further = lexicon.DIRECTIONS.get(words.low(len(said.split())))
                return further is not None and bool(further[0]) != bool(so_far[0])
        return False

    def _more_scenery(self) -> bool:
        low = self.words.low()
        article = low in lexicon.DETERMINERS or low in lexicon.NUMBERS
        return not article and not is_no_noun(low) and low.replace("-", "").isalpha()


def _relation(word: str) -> Relation:
    return lexicon.RELATIONS[word]  # type: ignore[return-value]  # the file has no others


def _is_manner(low: str) -> bool:
    """Whether a word says how something is done: gracefully."""
    return (
        low.endswith("ly")
        and len(low) > 4
        and low not in lexicon.THINGS
        and low not in lexicon.NOUNS_LIKE_VERBS
    )
