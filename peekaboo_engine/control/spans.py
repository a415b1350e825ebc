# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subject each text token belongs to, found by character offsets in the text that is really tokenised.

The released code compares token ids (src/models/pipelines.py:765-811 of microsoft/Peekaboo), so that a
foreground phrase "a cat" also claims every other "a" of the prompt. Offsets cannot make that mistake.
"""

import itertools
from functools import partial

import numpy as np

from ..errors import EngineError
from ..families import Layout
from ..names import NOBODY, PADDING, SHARED, SpecialTokens
from .labels import BACKGROUND
from .wording import key_of, occurrences

__all__ = ["NOBODY", "PADDING", "SHARED", "cut_off", "find_phrases", "label_tokens"]


def find_phrases(prompt: str, phrases: list[str]) -> list[list[tuple[int, int]]]:
    """Find where each subject's phrase stands in the prompt.

    Whole words, any case; see :mod:`.wording`. A phrase that one subject has belongs to it wherever it
    occurs; subjects that share a phrase take its occurrences in order.

    Returns:
        For each phrase its character ranges [start, end) in ``prompt``.

    Raises:
        EngineError: ``empty_phrase``, ``phrase_not_in_prompt``, or ``phrases_overlap``.
    """
    found: list[list[tuple[int, int]]] = []
    keys = [key_of(phrase) for phrase in phrases]
    for index, (phrase, key) in enumerate(zip(phrases, keys, strict=True)):
        if not key:
            raise EngineError(
                "empty_phrase",
                f"Subject {index + 1} has no phrase; give it the words of the prompt that name it.",
            )
        places = occurrences(prompt, phrase)
        if not places:
            raise EngineError(
                "phrase_not_in_prompt",
                f'The phrase "{phrase}" does not occur in the prompt "{prompt}"; '
                "write it in the prompt as it stands, or change the phrase.",
            )
        if keys.count(key) > 1:
            turn = keys[:index].count(key)
            if turn >= len(places):
                raise EngineError(
                    "phrases_overlap",
                    f'{keys.count(key)} subjects have the phrase "{phrase}", which occurs only '
                    f'{len(places)} time(s) in the prompt "{prompt}"; give each subject its own words.',
                )
            places = [places[turn]]
        found.append(places)
    _refuse_overlaps(phrases, found)
    return found


def cut_off(
    tokenizer,
    prompt: str,
    length: int,
    layout: Layout = Layout(),  # noqa: B008 - frozen
) -> tuple[int, int] | None:
    """Find where a text encoder stops reading a prompt; arguments as :func:`label_tokens`.

    Returns:
        How many tokens it would take, and up to which character the prompt is read; None where that is all.
    """
    encode = partial(
        tokenizer,
        layout.before + prompt + layout.behind,
        add_special_tokens=not layout.templated,
        return_offsets_mapping=True,
    )
    whole = encode()["offset_mapping"]
    if len(whole) <= layout.skipped + length:
        return None
    kept = encode(max_length=layout.skipped + length, truncation=True)["offset_mapping"]
    written = len(layout.before)
    read = [end - written for start, end in kept if written <= start < end]
    return len(whole) - layout.skipped, min(max(read, default=0), len(prompt))


def _refuse_overlaps(phrases: list[str], found: list[list[tuple[int, int]]]) -> None:
    ranges = sorted((start, end, index) for index, spans in enumerate(found) for start, end in spans)
    for (_, end, first), (start, _, second) in itertools.pairwise(ranges):
        if start < end and first != second:
            raise EngineError(
                "phrases_overlap",
                f'The phrases "{phrases[first]}" and "{phrases[second]}" share words of the prompt; '
                "give each subject words of its own.",
            )


def label_tokens(
    tokenizer,
    prompt: str,
    phrases: list[str],
    special_tokens: SpecialTokens,
    length: int,
    layout: Layout = Layout(),  # noqa: B008 - frozen
) -> np.ndarray:
    """Label each token that the text encoder reads.

    Args:
        tokenizer: a fast transformers tokenizer, called as the pipeline calls it.
        prompt: the text that is really tokenised, without what a template writes around it.
        phrases: phrase k-1 belongs to label k.
        length: tokens to which it is padded and truncated, without those that are cut off.
        special_tokens: who sees the start, end and padding tokens, those of a template, and registers.
        layout: how the tokens lie.

    Returns:
        int64 (tokens,): 0 background, k subject k, ``SHARED``, ``NOBODY`` or ``PADDING``.

    Raises:
        EngineError: as :func:`find_phrases`; ``phrases_overlap`` for two whose words are one token;
            ``phrase_truncated`` for a phrase that is nowhere within the
            tokens that the text encoder reads; ``slow_tokenizer`` for a tokenizer without character offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise EngineError(
            "slow_tokenizer",
            f"{type(tokenizer).__name__} gives no character offsets; load the pipeline with its fast "
            "tokenizer.",
        )
    spans = find_phrases(prompt, phrases)
    encoded = tokenizer(
        layout.before + prompt + layout.behind,
        padding="max_length",
        max_length=layout.skipped + length,
        truncation=True,
        add_special_tokens=not layout.templated,
        return_offsets_mapping=True,
        **({} if layout.side is None else {"padding_side": layout.side}),
    )
    offsets = np.asarray(encoded["offset_mapping"])  # (tokens, 2), in characters; (0, 0) for special tokens
    start, end = (offsets - len(layout.before) * (offsets[:, :1] < offsets[:, 1:])).T
    special = (start == end) | (end <= 0) | (start >= len(prompt))
    read = np.asarray(encoded["attention_mask"]) == 1
    labels = _label_special_tokens(np.asarray(encoded["input_ids"]), special, tokenizer, special_tokens)
    for index, ranges in enumerate(spans):
        for first, last in ranges:
            labels[~special & (start < last) & (end > first)] = index + 1
        if min(last for _, last in ranges) > end.max() or (labels[: layout.skipped] == index + 1).any():
            raise EngineError(
                "phrase_truncated",
                f'The phrase "{phrases[index]}" lies beyond the {length} tokens that the text encoder reads; '
                "shorten the prompt or move the phrase to its beginning.",
            )
    for index, phrase in enumerate(phrases):
        if not (labels == index + 1).any():  # its pixels would see no word at all
            raise EngineError(
                "phrases_overlap",
                f'The text encoder reads the phrase "{phrase}" as one piece with the words of another '
                "subject; put other words or a comma between them.",
            )
    if layout.pads == "masked":
        labels[~read] = PADDING
    elif layout.pads == "registers":
        labels = labels[np.argsort(~read, kind="stable")]
    return labels[layout.skipped :]


def _label_special_tokens(ids: np.ndarray, special: np.ndarray, tokenizer, rule: SpecialTokens) -> np.ndarray:
    labels = np.full(len(ids), BACKGROUND, dtype=np.int64)
    if rule == "shared":
        labels[special] = SHARED
    elif rule == "released":
        labels[special & (ids == tokenizer.bos_token_id)] = NOBODY
    return labels
