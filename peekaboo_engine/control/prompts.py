# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a prompt a pipeline's text encoder reads."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from diffusers import DiffusionPipeline

from ..families import family_of
from .spans import cut_off


@dataclass(frozen=True)
class PromptRead:
    """How much of a prompt is read.

    Attributes:
        tokens: that the prompt takes.
        most: that the text encoder reads.
        end: up to which character of the prompt; None where it is read to its end.
    """

    tokens: int
    most: int
    end: int | None


def read_of(pipe: DiffusionPipeline, prompt: str, most: int | None = None) -> PromptRead:
    """Find how much of a prompt a pipeline reads.

    Args:
        pipe: of a known family.
        prompt: as it is called with.
        most: its ``max_sequence_length``; None as it is called without.

    Raises:
        EngineError: ``unsupported_pipeline``.
    """
    text = family_of(*(each.__name__ for each in type(pipe).__mro__)).text
    layout, cleaned = text.layout(pipe), text.clean(pipe, prompt)
    asked = {} if most is None else {"max_sequence_length": most}
    length = text.length(pipe, _defaults(pipe.encode_prompt) | _defaults(pipe.__call__) | asked)
    tokenizer = next(held for name in text.tokenizers if (held := getattr(pipe, name, None)))
    cut = cut_off(tokenizer, cleaned, length, layout)
    if cut is None:
        whole = tokenizer(layout.before + cleaned + layout.behind, add_special_tokens=not layout.templated)
        return PromptRead(len(whole["input_ids"]) - layout.skipped, length, None)
    tokens, end = cut
    return PromptRead(tokens, length, _place_in(prompt, cleaned, end))


def _defaults(function) -> dict:
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


def _place_in(prompt: str, cleaned: str, end: int) -> int:
    """A place of a cleaned prompt in the prompt itself: cleaning joins spaces, and keeps the words' order."""
    words = len(cleaned[:end].split())
    place = 0
    for _ in range(words):
        while place < len(prompt) and prompt[place].isspace():
            place += 1
        while place < len(prompt) and not prompt[place].isspace():
            place += 1
    return place
