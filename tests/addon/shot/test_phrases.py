# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from blender_addon.shot.phrases import phrase_problem

PROMPT = "A red ball and a blue ball on grass"


@pytest.mark.parametrize(
    "phrases",
    [
        ["a red ball", "a blue ball"],
        ["A  Red ball"],
        ["ball", "ball"],  # in turn
        ["grass"],
    ],
)
def test_phrases_of_the_prompt_are_found(phrases):
    assert phrase_problem(PROMPT, [("Empty", phrase) for phrase in phrases]) is None


@pytest.mark.parametrize(
    ("phrases", "problem"),
    [
        ([" "], "has no phrase"),
        (["a green ball"], "does not occur"),
        (["a re"], "does not occur"),  # whole words only
        (["red ball", "ball"], "share words"),
        (["ball", "ball", "ball"], "fewer times"),
    ],
)
def test_what_cannot_be_told_apart_is_one_sentence(phrases, problem):
    sentence = phrase_problem(PROMPT, [("Empty", phrase) for phrase in phrases])
    assert problem in sentence and sentence.count(". ") == 0
