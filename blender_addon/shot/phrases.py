# SPDX-License-Identifier: GPL-3.0-or-later
"""Check subjects' phrases against the prompt before an engine is started; the engine has the last word."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

ALIKE = str.maketrans("‘’ʼ“”‐‑", "'''\"\"--", "\u00ad\u200c\u200d\u2060\ufeff")
"""Quotes and hyphens of one meaning; and soft hyphens and joiners, which are not seen."""
UNSEEN_SPACE = "\u200b"
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # CJK
)
"""Letters of scripts without spaces between words, where a phrase may begin and end at any of them."""
ATTACHING = UNSPACED + "\uac00-\ud7a3"
"""And those of Korean, which writes particles onto words."""
BEGINS = rf"(?:(?<!\w)|(?<=[{UNSPACED}])|(?=[{UNSPACED}]))"
ENDS = rf"(?:(?!\w)|(?<=[{ATTACHING}])|(?=[{ATTACHING}]))"


def phrase_problem(prompt: str, subjects: Sequence[tuple[str, str]]) -> str | None:
    """Say in one sentence why a subject's phrase cannot be found in the prompt, or None when all is well.

    A phrase is found as whole words, in any case and spelling; the engine's ``control/wording.py`` finds the
    same. One that a single subject has is its own wherever it occurs; subjects that share a phrase take its
    occurrences in turn.

    Args:
        prompt: the text that describes the clip.
        subjects: name and phrase of each subject.
    """
    return next((problem for _, problem in _problems(prompt, subjects)), None)


def faulty(prompt: str, subjects: Sequence[tuple[str, str]]) -> set[int]:
    """Indices of the subjects whose phrases have a problem, of their own or with one another.

    Arguments are those of :func:`phrase_problem`.
    """
    return {index for indices, _ in _problems(prompt, subjects) for index in indices}


def _problems(prompt: str, subjects: Sequence[tuple[str, str]]) -> Iterator[tuple[set[int], str]]:
    """Which subjects have a problem, and a sentence about it, the first one first."""
    words = [_key(phrase) for _, phrase in subjects]
    claimed = _claimed(prompt, [phrase for _, phrase in subjects])
    held = {index for _, _, index in claimed}
    for index, (name, phrase) in enumerate(subjects):
        if not words[index]:
            yield {index}, f'Subject "{name}" has no phrase: give it the words of the prompt that name it.'
        elif index in held:
            continue
        elif words.count(words[index]) == 1 or not occurs(prompt, phrase):
            yield (
                {index},
                f'The phrase "{phrase}" of subject "{name}" does not occur in the prompt "{prompt}": '
                "write it in the prompt as it stands, or change the phrase.",
            )
        else:
            yield (
                {other for other, key in enumerate(words) if key == words[index]},
                f'The prompt "{prompt}" holds the phrase "{phrase}" fewer times than there are '
                "subjects with it: give each subject words of its own.",
            )
    yield from _overlaps(claimed, subjects)


def claims(prompt: str, texts: Sequence[str]) -> list[tuple[int, int, int]]:
    """Where phrases stand in a prompt, as :func:`phrase_problem` gives it to subjects, one after another.

    Args:
        prompt: the text that describes the clip.
        texts: the phrases.

    Returns:
        Start, end and index of the phrase of each place, characters [start, end); of places that share some,
        the first.
    """
    apart: list[tuple[int, int, int]] = []
    for start, end, index in _claimed(prompt, texts):
        if not apart or start >= apart[-1][1]:
            apart.append((start, end, index))
    return apart


def _claimed(prompt: str, texts: Sequence[str]) -> list[tuple[int, int, int]]:
    """Where phrases stand in a prompt, by their starts, as :func:`claims` has them, but for shared places."""
    words = [_key(text) for text in texts]
    found: list[tuple[int, int, int]] = []
    for index, phrase in enumerate(words):
        places = _places(prompt, texts[index]) if phrase else ()
        if words.count(phrase) > 1:
            turn = words[:index].count(phrase)
            places = places[turn : turn + 1]
        found += [(start, end, index) for start, end in places]
    return sorted(found)


def words_of(prompt: str) -> list[tuple[int, int]]:
    """Where the words of a prompt stand, which a phrase can begin or end with: characters [start, end).

    In scripts without spaces between words each letter is one.
    """
    spaced = rf"(?![{UNSPACED}])"
    word = rf"[{UNSPACED}]|{spaced}\w(?:(?:{spaced}\S)*{spaced}\w)?"
    return [match.span() for match in re.finditer(word, prompt)]


def occurs(prompt: str, phrase: str) -> bool:
    """Whether a prompt has a phrase."""
    return bool(_key(phrase)) and bool(_places(prompt, phrase))


def groups(prompt: str, texts: Sequence[str]) -> list[list[int]]:
    """Tell which phrases are one thing: those that are the same, where the prompt has them once.

    Args:
        prompt: the text that describes the clip.
        texts: the phrases.

    Returns:
        Indices of phrases, by their first, of each thing.
    """
    words = [_key(text) for text in texts]
    found: dict[object, list[int]] = {}
    for index, phrase in enumerate(words):
        alone = words.count(phrase) == 1 or not phrase or len(_places(prompt, texts[index])) != 1
        found.setdefault(index if alone else phrase, []).append(index)
    return list(found.values())


def _key(phrase: str) -> tuple[str, ...]:
    """The words of a phrase, in any case and spelling."""
    return tuple(_spelled(phrase)[0].replace(UNSEEN_SPACE, " ").lower().split())


@lru_cache(maxsize=4096)  # panels and viewports ask at each drawing
def _places(prompt: str, phrase: str) -> tuple[tuple[int, int], ...]:
    """Where a phrase stands in a prompt: ranges [start, end) of characters."""
    spelled, starts, ends = _spelled(prompt)
    words = [
        rf"[\s{UNSEEN_SPACE}]*".join(f"{UNSEEN_SPACE}*".join(map(re.escape, part)) for part in word)
        for word in (word.split(UNSEEN_SPACE) for word in _spelled(phrase)[0].split())
    ]
    pattern = re.compile(BEGINS + rf"[\s{UNSEEN_SPACE}]+".join(words) + ENDS, re.IGNORECASE)
    return tuple(
        (starts[match.start()], ends[match.end() - 1])
        for match in pattern.finditer(spelled)
        if match.group() and unicodedata.category(spelled[match.end() : match.end() + 1] or " ")[0] != "M"
    )


@lru_cache(maxsize=256)
def _spelled(text: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """A text in one spelling of what looks alike; where each of its characters starts and ends in it."""
    spelled: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in pairwise(_letters(text)):
        letter = unicodedata.normalize("NFKC", text[start:end]).translate(ALIKE)
        spelled.append(letter)
        starts += [start] * len(letter)
        ends += [end] * len(letter)
    return "".join(spelled), tuple(starts), tuple(ends)


def _letters(text: str) -> list[int]:
    """Where the letters of a text begin, with what is composed with them, and where the last one ends."""
    borders = [0] if text else []
    for index in range(1, len(text)):
        joined = unicodedata.normalize("NFC", text[borders[-1] : index + 1])
        if not unicodedata.combining(text[index]) and len(joined) > 1:
            borders.append(index)
    return [*borders, len(text)]


def _overlaps(
    claims: list[tuple[int, int, int]], subjects: Sequence[tuple[str, str]]
) -> Iterator[tuple[set[int], str]]:
    for (_, end, first), (start, _, second) in pairwise(claims):
        if start < end and first != second:
            yield (
                {first, second},
                f'The phrases "{subjects[first][1]}" and "{subjects[second][1]}" share words of the prompt: '
                "give each subject words of its own.",
            )
