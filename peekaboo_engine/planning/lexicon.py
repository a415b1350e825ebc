# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that the built-in planner knows, from ``lexicon.json``. What names a thing is open: any word may.

In that file words that mean the same stand in one string.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .plan import Shape

Act = Literal[
    "go",
    "fall",
    "rise",
    "jump",
    "bounce",
    "enter",
    "leave",
    "approach",
    "recede",
    "grow",
    "shrink",
    "stay",
    "return",
    "circle",
    "follow",
    "meet",
    "swap",
    "zigzag",
    "swing",
    "stop",
]

_DATA: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))


def _set(name: str) -> set[str]:
    return set(_DATA[name].split())


def _each(groups: dict[str, Any]) -> dict[str, Any]:
    """Each word of the keys, to what its group has."""
    return {word: value for words, value in groups.items() for word in words.split()}


def _forms(base: str) -> set[str]:
    """A verb as it stands in a sentence: base, third person, participle, past."""
    stem = base[:-1] if base.endswith("e") else base + base[-1] * (base in _set("doubled"))
    if base.endswith(("s", "x", "z", "ch", "sh")):
        third = base + "es"
    elif base.endswith("y") and base[-2] not in "aeiou":
        third = base[:-1] + "ies"
    else:
        third = base + "s"
    return {base, third, stem + "ing", stem + "ed", *_DATA["irregular"].get(base, "").split()}


ACTS: dict[str, tuple[Act, str]] = {
    form: (act, base)
    for act, bases in _DATA["acts"].items()
    for base in bases.split()
    for form in _forms(base)
}
"""Each form of each verb, to what it does and its base."""
BASES = {base for _, base in ACTS.values()}
TAKES_OBJECT: dict[str, str] = _DATA["takes_object"]
"""Verbs that name another without a word between, and how they lie to it; empty where that is scenery."""
AUXILIARIES = _set("auxiliaries")
TAKES_TO = _set("takes_to")
"""Auxiliaries that may have "to" after them."""
PASSIVE = _set("passive")

SPEEDS = {
    word: "" if speed == "manner" else speed
    for speed, words in _DATA["speeds"].items()
    for word in words.split()
}
"""Adverbs: ``slow``, ``fast``, or empty for those that change nothing."""
NUMBERS: dict[str, int] = _DATA["numbers"]
DETERMINERS = _set("determiners")
PRONOUNS = _set("pronouns")
SIZES: dict[str, float] = _each(_DATA["sizes"])
"""Adjectives of size, and by what they multiply the usual one."""
ADJECTIVES = _set("adjectives") | set(SIZES)


class Thing(NamedTuple):
    """How a noun is drawn.

    Attributes:
        shape: its solid.
        height: as a part of the picture's.
        aspect: its width over its height, in pixels.
        airborne: whether it is usually above the ground.
    """

    shape: Shape = "box"
    height: float = 0.38
    aspect: float = 1.0
    airborne: bool = False


THINGS = {
    noun: Thing(entry["shape"], entry["height"], entry["aspect"], entry["airborne"])
    for entry in _DATA["things"]
    for noun in entry["nouns"].split()
}
NOUNS_LIKE_VERBS = _set("nouns_like_verbs")
"""Nouns whose end looks like a verb's."""

SIDES: dict[str, tuple[float | None, float | None]] = {word: tuple(at) for word, at in _DATA["sides"].items()}
"""Where a place lies: x, y in the picture, or None where the word does not say."""
DEPTHS: dict[str, float] = _DATA["depths"]
PARTS = _set("parts")
PICTURE = _set("picture")
"""Words for the picture itself."""
DIRECTIONS: dict[str, tuple[float, float]] = {word: tuple(way) for word, way in _DATA["directions"].items()}
RELATIONS: dict[str, str] = _DATA["relations"]
SPANS: dict[str, tuple[float, float] | None] = {
    words: tuple(span) if span else None for words, span in _DATA["spans"].items()
}
"""Words of time, and the part of the shot that they mean; None where they say nothing about it."""
SCENERY = _set("scenery")
"""Nouns that are what is around, and no subject, unless somebody names them as one."""
WAY_WORDS = _set("way_words") | set(DIRECTIONS)
"""What a place, a direction or scenery begins with."""
LINKS = _set("links") | WAY_WORDS
"""Words that end a noun phrase."""
CAMERA_VERBS = _set("camera_verbs")


def singular(noun: str) -> str:
    """The one of many, as far as the table of things wants to know."""
    if noun in _DATA["plurals"]:
        return _DATA["plurals"][noun]
    if noun in THINGS or noun in NOUNS_LIKE_VERBS or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(("xes", "ches", "shes", "sses")) else noun[:-1]
