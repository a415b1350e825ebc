# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from blender_addon.shot.phrases import claims, faulty, phrase_problem, words_of

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


@pytest.mark.parametrize(
    ("phrases", "indices"),
    [
        (["a red ball", "a blue ball"], set()),
        (["a green ball", "a red ball", " "], {0, 2}),
        (["a red ball", "grass", "ball"], {0, 2}),  # they share words
        (["ball", "grass", "ball", "Ball"], {0, 2, 3}),
    ],
)
def test_all_subjects_with_a_problem_are_told(phrases, indices):
    named = [("Empty", phrase) for phrase in phrases]
    assert faulty(PROMPT, named) == indices
    assert bool(indices) == (phrase_problem(PROMPT, named) is not None)


@pytest.mark.parametrize(
    ("phrases", "found"),
    [
        (["a red ball", "a blue ball"], [("A red ball", 0), ("a blue ball", 1)]),
        (["grass", "red  BALL"], [("red ball", 1), ("grass", 0)]),
        (["ball", "ball"], [("ball", 0), ("ball", 1)]),  # in turn
        (["ball"], [("ball", 0), ("ball", 0)]),
        (["a red ball", "ball", ""], [("A red ball", 0), ("ball", 1)]),  # none twice
        (["snow"], []),
    ],
)
def test_each_place_of_a_phrase_is_its_subjects(phrases, found):
    assert [(PROMPT[start:end], index) for start, end, index in claims(PROMPT, phrases)] == found


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ('A "red" ball, ice-cold.', ["A", "red", "ball", "ice-cold"]),
        ("\u8d64\u3044\u7403 rolls", ["\u8d64", "\u3044", "\u7403", "rolls"]),
        (" ... ", []),
    ],
)
def test_words_are_where_phrases_can_begin_and_end(prompt, words):
    assert [prompt[start:end] for start, end in words_of(prompt)] == words
    assert all(phrase_problem(prompt, [("Empty", word)]) is None for word in words)
