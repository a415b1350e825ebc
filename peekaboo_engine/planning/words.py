# SPDX-License-Identifier: GPL-3.0-or-later
"""A text as words that can be taken one after another, with the place of each in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from ..errors import EngineError

_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|\d+(?:[.,]\d+)?|[^\w\s]", re.UNICODE)
_STOPS = {",", ".", ";", ":", "!", "?"}


@dataclass(frozen=True)
class Word:
    """A word or a sign: as it stands in the text, in small letters, and where."""

    text: str
    low: str
    start: int
    end: int


class Words:
    """A cursor over the words of a text."""

    def __init__(self, text: str):
        self.text = text
        self.words = [
            Word(found[0], found[0].lower().replace("\u2019", "'"), found.start(), found.end())
            for found in _TOKEN.finditer(text)
        ]
        self.at = 0

    @property
    def over(self) -> bool:
        """Whether all are taken."""
        return self.at >= len(self.words)

    def low(self, ahead: int = 0) -> str:
        """The next word in small letters, or one further ahead; empty beyond the end."""
        place = self.at + ahead
        return self.words[place].low if 0 <= place < len(self.words) else ""

    def take(self, *choices: str) -> str:
        """Take the first of these that comes next, of one word or several; empty where none does."""
        for choice in choices:
            parts = choice.split()
            if all(self.low(ahead) == part for ahead, part in enumerate(parts)):
                self.at += len(parts)
                return choice
        return ""

    def ahead(self, *choices: str) -> bool:
        """Whether one of these comes next."""
        place = self.at
        found = bool(self.take(*choices))
        self.at = place
        return found

    def at_stop(self) -> bool:
        """Whether a sentence or a part of one ends here."""
        return self.over or self.low() in _STOPS

    def rest_of_part(self) -> str:
        """What stands from here to the next stop, for a message."""
        end = self.at
        while end < len(self.words) and self.words[end].low not in _STOPS:
            end += 1
        return self.slice(self.at, max(end, self.at + 1))

    def slice(self, first: int, end: int) -> str:
        """The text of words `first` to `end`, the latter not included."""
        words = self.words[first:end]
        return self.text[words[0].start : words[-1].end] if words else ""

    def refuse(self, wanted: str, words: str | None = None) -> NoReturn:
        """End the reading.

        Raises:
            EngineError: ``not_understood``, with the words that are not.
        """
        words = self.rest_of_part() if words is None else words
        raise EngineError(
            "not_understood",
            f'The built-in planner reads plain English and does not understand "{words}": {wanted}, or plan '
            "with a language model.",
        )
