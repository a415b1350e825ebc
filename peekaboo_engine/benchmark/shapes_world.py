# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the embedded model `shapes`: which things, colours and grounds exist, and how its prompts
name them.

The trainer draws from this table, the detector looks for it, and the evaluation words its prompts with it.
"""

SHAPES = ("ball", "cube", "star", "ring", "cone")

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
    article = "an" if colour[0] in "aeiou" else "a"
    return f"{article} {colour} {shape}"


def world_prompt(index: int) -> tuple[str, str, str]:
    """Return colour, shape and ground of the `index`-th prompt: all 200 combinations in a fixed, mixed order.

    Any few prompts in a row have different shapes, colours and grounds.
    """
    colours, grounds = list(COLOURS), list(GROUNDS)
    ground = grounds[(index * 2 + index // 5) % len(grounds)]
    return colours[index * 3 % len(colours)], SHAPES[index % len(SHAPES)], ground
