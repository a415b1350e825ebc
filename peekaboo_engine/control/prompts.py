# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt that a pipeline is called with: how much of it is read, and whose each of its tokens is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from ..errors import EngineError
from ..families import Cells, Layout, Text, family_of
from ..names import SpecialTokens
from .rules import Rules, Subjects
from .settings import Steering
from .spans import PADDING, cut_off, label_tokens
from .timing import Timed, check_timed, numbers, pooled
from .words import encode_contexts, without_phrases

SHOWN = 40
"""Characters that are shown of a prompt that is cut, before its end."""


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
    tokenizer, *_ = _tokenizers(pipe, text)
    cut = cut_off(tokenizer, cleaned, length, layout)
    if cut is None:
        whole = tokenizer(layout.before + cleaned + layout.behind, add_special_tokens=not layout.templated)
        return PromptRead(len(whole["input_ids"]) - layout.skipped, length, None)
    tokens, end = cut
    return PromptRead(tokens, length, _place_in(prompt, cleaned, end))


def _tokenizers(pipe: DiffusionPipeline, text: Text) -> list[Any]:
    """Those that a pipeline has, one at least."""
    return [held for name in text.tokenizers if (held := getattr(pipe, name, None))]


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


@dataclass(frozen=True, eq=False)
class Prompts:
    """Makes the rules for each prompt that a steered pipeline is called with.

    Args:
        pipe: that is steered.
        text: how it makes tokens of a prompt.
        cells: what its tokens of pixels stand for.
        steering: the settings.
        subjects: where they are.
        phrases: for each subject its words in the prompt.
        timed: phrases of the prompt that some frames alone read.
        frames: of the clip.
        notice: told in a sentence of a prompt that is not read to its end.
    """

    pipe: DiffusionPipeline
    text: Text
    cells: Cells
    steering: Steering
    subjects: Subjects
    phrases: list[str]
    timed: Timed
    frames: int
    notice: Callable[[str], None]

    def read(
        self, encode_prompt: Callable, call: inspect.BoundArguments
    ) -> tuple[Rules, torch.Tensor | None]:
        """Make the rules for the prompt that the pipeline is about to encode.

        Args:
            encode_prompt: of the pipeline.
            call: what it is called with.

        Returns:
            The rules, and the contexts of contrast, see :func:`.encode_contexts`; None without.

        Raises:
            EngineError: the prompt is not one text, or does not fit the phrases.
        """
        pipe, phrases, text = self.pipe, self.phrases, self.text
        prompt, special_tokens = _one(call.arguments["prompt"]), self.steering.special_tokens
        _refuse_other_texts(call, text.alike)
        length = text.length(pipe, call.arguments)
        layout = text.layout(pipe)
        label = partial(self._label_tokens, length=length, layout=layout)
        cleaned = [text.clean(pipe, phrase) for phrase in phrases]
        tokens = label(text.clean(pipe, prompt), cleaned, special_tokens)
        times = partial(numbers, self.timed, partial(text.clean, pipe), label)
        self._tell_what_is_cut_off(text.clean(pipe, prompt), length, layout)
        rules = partial(Rules, self.steering, self.subjects, tokens, free_negative=layout.pads != "read")
        if self.timed:
            check_timed(prompt, phrases, self.timed, self.frames)
            rules = partial(rules, weights=pooled(self.timed, self.cells.frames))
        if not (self.steering.contrast or self.steering.push) or not phrases:
            return rules([], times=times([(prompt, ...)])), None
        words = [label(phrase, [phrase], "background") == 1 for phrase in cleaned]
        ground = without_phrases(prompt, phrases)
        read = label(text.clean(pipe, ground), [], "background") != PADDING
        contexts = encode_contexts(encode_prompt, call, [ground, *phrases], [read, *words])
        texts = [(prompt, ...), (ground, read), *zip(phrases, words, strict=True)]
        return rules(words, ground=int(read.sum()), times=times(texts)), contexts

    def _label_tokens(
        self, text: str, phrases: list[str], special_tokens: SpecialTokens, length: int, layout: Layout
    ) -> np.ndarray:
        """:func:`.label_tokens` by each of the pipeline's tokenizers, which have to agree."""
        first, *others = (
            label_tokens(tokenizer, text, phrases, special_tokens, length, layout)
            for tokenizer in _tokenizers(self.pipe, self.text)
        )
        if not all(np.array_equal(first, other) for other in others):
            raise EngineError(
                "tokenizers_differ",
                "The tokenizers of this model split the prompt at different places, so its words cannot be "
                "told apart; take a model whose tokenizers have one vocabulary.",
            )
        return first

    def _tell_what_is_cut_off(self, text: str, length: int, layout: Layout) -> None:
        tokenizer, *_ = _tokenizers(self.pipe, self.text)
        if (cut := cut_off(tokenizer, text, length, layout)) is not None:
            count, end = cut
            self.notice(
                f"The prompt is cut: of its {count} tokens the text encoder reads {length}, up to "
                f'"…{text[max(0, end - SHOWN) : end].lstrip()}"; shorten it.'
            )


def _one(prompt: str | list[str] | None) -> str:
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if len(prompts) != 1 or prompts[0] is None:
        raise EngineError(
            "one_prompt",
            "Masked generation needs the text of exactly one prompt to find the phrases in; "
            "call the pipeline with one prompt, without prompt_embeds and FreeNoise.",
        )
    return prompts[0]


def _refuse_other_texts(call: inspect.BoundArguments, names: tuple[str, ...]) -> None:
    """Refuse texts that are joined with the prompt but say something else: whose words are where?"""
    prompt = call.arguments["prompt"]
    for name in names:
        if call.arguments.get(name) not in (None, prompt):
            raise EngineError(
                "one_prompt",
                f"Masked generation needs one prompt for all encoders; call the pipeline without {name}.",
            )
