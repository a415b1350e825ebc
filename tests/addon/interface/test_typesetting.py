# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts in lines, with words in the colours of subjects."""

import bpy
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blender_addon.interface import icons
from blender_addon.interface.typesetting import LABELS, Face, Run, lines_of, text_width
from blender_addon.shot.phrases import claims

LETTERS = Face(lambda text: float(len(text)), padding=1.0, chip=2.0)
LETTERS_ALONE = Face(lambda text: float(len(text)))
CYAN, RED = (0.0, 1.0, 1.0), (1.0, 0.0, 0.0)


def places(text, *phrases):
    return [(start, end, (CYAN, RED)[index]) for start, end, index in claims(text, phrases)]


def test_a_phrase_stays_with_its_chip_and_its_comma_where_a_line_has_room():
    text = "wet grass, a red ball, and a blue cube"
    assert lines_of(text, places(text, "a red ball", "blue cube"), 16, LETTERS) == [
        [Run("wet grass,")],
        [Run("a red ball,", CYAN)],
        [Run("and a")],
        [Run("blue cube", RED)],
    ]
    assert lines_of(text, places(text, "a red ball"), 9, LETTERS)[2:4] == [
        [Run("a red", CYAN)],
        [Run("ball,", CYAN)],  # the chip again: it is the same phrase
    ]
    assert lines_of(text, places(text, "a red ball"), 99, LETTERS) == [
        [Run("wet grass,"), Run("a red ball,", CYAN), Run("and a blue cube")]
    ]
    assert lines_of(" \n ", (), 9, LETTERS) == []


@given(
    st.text("ab, \n\u8d64", max_size=60), st.integers(4, 30), st.sampled_from(["a", "ab", "b a", "\u8d64"])
)
def test_nothing_of_a_text_is_lost_and_no_line_is_too_wide(text, width, phrase):
    lines = lines_of(text, places(text, phrase), width, LETTERS)
    assert "".join("".join(run.text for run in line) for line in lines).replace(" ", "") == "".join(
        text.split()
    )
    assert all(line and LETTERS.width(line) <= width for line in lines)
    colored = "".join(run.text for line in lines for run in line if run.color is not None)
    spoken = "".join(text[start:end] for start, end, _ in places(text, phrase))
    assert [letter for letter in colored if letter not in ", "] == [
        letter for letter in spoken if letter not in ", \n"
    ]


def test_a_word_without_end_is_broken_in_few_looks():
    looks = []
    face = Face(lambda text: looks.append(text) or float(len(text)))
    lines = lines_of("a" * 10_000, (), 40, face)
    assert [len(line[0].text) for line in lines] == [40] * 250 and len(looks) < 20 * len(lines)
    assert max(map(len, looks)) <= 500


def test_of_a_long_text_no_more_is_looked_at_than_is_wanted():
    looks = []
    face = Face(lambda text: looks.append(text) or float(len(text)))
    text = "sand " * 10_000
    lines = lines_of(text, (), 40, face, most=3)
    assert lines == lines_of(text[:200], (), 40, LETTERS_ALONE)[:3] and len(looks) < 60


def test_words_are_as_wide_as_the_interface_draws_them():
    assert text_width("") == 0 and text_width("a red ball") > text_width("a red") > text_width("a") > 2
    style = bpy.context.preferences.ui_styles[0].widget
    points, narrow = style.points, text_width("a red ball")
    style.points = 2 * points
    assert text_width("a red ball") > 1.5 * narrow
    style.points = points
    assert LABELS.width([Run("a", CYAN)]) - LABELS.width([Run("a")]) == LABELS.chip


def test_a_chip_has_exactly_its_colour_and_is_made_once():
    color = (0.2, 0.4, 1.0)
    for same in (color, color):
        icons.chip_of(same)
    preview = icons._icons["chip #3366ff"]
    side = preview.icon_size[0]
    pixels = np.array(preview.icon_pixels_float[:]).reshape(side, side, 4)
    assert np.allclose(pixels[side // 2, side // 2], (*color, 1.0)) and not pixels[0].any()
    assert sum(name == "chip #3366ff" for name in icons._icons) == 1
    for level in range(256):
        icons.chip_of((0.0, 0.6, 0.0))  # which goes on being drawn
        icons.chip_of((level / 255, 0.0, 0.0))
        icons.chip_of((level / 255, 1.0, 0.0))
    chips = [name for name in icons._icons if name.startswith("chip ")]
    assert len(chips) == icons.MOST_CHIPS and "chip #3366ff" not in chips  # the oldest go
    assert "chip #009900" in chips
