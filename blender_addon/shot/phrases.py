# SPDX-License-Identifier: GPL-3.0-or-later
"""Check subjects' phrases against the prompt before an engine is started; the engine has the last word."""

import re
from collections.abc import Sequence
from itertools import pairwise


def phrase_problem(prompt: str, subjects: Sequence[tuple[str, str]]) -> str | None:
    """Say in one sentence why a subject's phrase cannot be found in the prompt, or None when all is well.

    A phrase is found as whole words, in any case. One that a single subject has is its own wherever it
    occurs; subjects that share a phrase take its occurrences in turn.

    Args:
        prompt: the text that describes the clip.
        subjects: name and phrase of each subject.
    """
    claims: list[tuple[int, int, int]] = []  # start, end, subject
    words = [tuple(phrase.lower().split()) for _, phrase in subjects]
    for index, (name, phrase) in enumerate(subjects):
        if not words[index]:
            return f'Subject "{name}" has no phrase: give it the words of the prompt that name it.'
        places = _places(prompt, words[index])
        if not places:
            return (
                f'The phrase "{phrase}" of subject "{name}" does not occur in the prompt "{prompt}": '
                "write it in the prompt as it stands, or change the phrase."
            )
        if words.count(words[index]) > 1:
            turn = words[:index].count(words[index])
            places = places[turn : turn + 1]
            if not places:
                return (
                    f'The prompt "{prompt}" holds the phrase "{phrase}" fewer times than there are '
                    "subjects with it: "
                    "give each subject words of its own."
                )
        claims += [(start, end, index) for start, end in places]
    return _overlap(sorted(claims), subjects)


def groups(prompt: str, texts: Sequence[str]) -> list[list[int]]:
    """Tell which phrases are one thing: those that are the same, where the prompt has them once.

    Args:
        prompt: the text that describes the clip.
        texts: the phrases.

    Returns:
        Indices of phrases, by their first, of each thing.
    """
    words = [tuple(text.lower().split()) for text in texts]
    found: dict[object, list[int]] = {}
    for index, phrase in enumerate(words):
        alone = words.count(phrase) == 1 or not phrase or len(_places(prompt, phrase)) != 1
        found.setdefault(index if alone else phrase, []).append(index)
    return list(found.values())


def _places(prompt: str, words: tuple[str, ...]) -> list[tuple[int, int]]:
    pattern = r"\s+".join(map(re.escape, words))
    return [match.span() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", prompt, re.IGNORECASE)]


def _overlap(claims: list[tuple[int, int, int]], subjects: Sequence[tuple[str, str]]) -> str | None:
    for (_, end, first), (start, _, second) in pairwise(claims):
        if start < end and first != second:
            return (
                f'The phrases "{subjects[first][1]}" and "{subjects[second][1]}" share words of the prompt: '
                "give each subject words of its own."
            )
    return None
