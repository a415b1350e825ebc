# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the embedded model `shapes`: which things, colours and grounds exist, and how its prompts
name them.

The trainer draws from this table, the segmenter looks for it, and the benchmark words its prompts with it.
"""

from __future__ import annotations

import random
import re

from ..errors import EngineError

#: The solids, and the other words for each that the model knows as well.
SHAPES = ("ball", "cube", "cylinder", "cone", "ring")
SYNONYMS = {"ball": ("sphere",), "cube": ("box",), "cylinder": (), "cone": (), "ring": ("torus",)}


#: sRGB in 0..1 of a surface facing the light. Saturation is at least 0.7 everywhere and hues are at least
#: 22 degrees apart, so that shading cannot turn one colour into another.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.92, 0.08, 0.10),
    "orange": (1.00, 0.50, 0.04),
    "yellow": (0.98, 0.86, 0.10),
    "green": (0.08, 0.78, 0.22),
    "cyan": (0.08, 0.80, 0.86),
    "blue": (0.10, 0.28, 0.95),
    "purple": (0.56, 0.18, 0.90),
    "pink": (0.98, 0.24, 0.62),
}

#: Base colours of the grounds, all of saturation below 0.5: what tells a ground from any subject.
GROUNDS: dict[str, tuple[float, float, float]] = {
    "grass": (0.35, 0.45, 0.25),
    "sand": (0.82, 0.74, 0.57),
    "snow": (0.89, 0.92, 0.96),
    "asphalt": (0.33, 0.33, 0.36),
    "wood": (0.52, 0.39, 0.29),
}


def subject_phrase(colour: str, shape: str) -> str:
    """Return the noun phrase of a subject, such as "a red ball" or "an orange cone"."""
    return f"{article_of(colour)} {colour} {shape}"


def article_of(word: str) -> str:
    """Return the article before a word."""
    return "an" if word[0] in "aeiou" else "a"


def draw_prompt(rng: random.Random, subjects: int) -> tuple[str, list[str]]:
    """Draw a prompt with so many subjects of different colours; returns it and the subjects' phrases."""
    colours = rng.sample(list(COLOURS), subjects)
    phrases = [subject_phrase(colour, rng.choice(SHAPES)) for colour in colours]
    return f"{' and '.join(phrases)} on {rng.choice(list(GROUNDS))}", phrases


def read_phrase(phrase: str) -> tuple[str, str]:
    """Return the colour and the shape that a phrase names.

    Raises:
        EngineError: ``unknown_subject`` if it does not name exactly one of each.
    """
    words = re.findall(r"\w+", phrase.lower())
    colours = [name for name in COLOURS if name in words]
    shapes = [name for name in SHAPES if {name, *SYNONYMS[name]} & set(words)]
    if len(colours) != 1 or len(shapes) != 1:
        raise EngineError(
            "unknown_subject",
            f'The segmenter of the shapes world knows subjects such as "a red ball", not "{phrase}"; take '
            "another --detector, or other words.",
        )
    return colours[0], shapes[0]
