# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of drawn clips, and the tokenizer whose vocabulary is made of their words.

A caption is a list of parts, each marked with what it speaks of: a subject, the ground, or neither. The
marks let the trainer encode a part without sight of the others (see `phrase_local_mask`), so that the words
"a red ball" come to mean a red ball, and "grass" grass, whatever else the sentence says.
"""

from __future__ import annotations

import random
from functools import lru_cache

import torch
from transformers import CLIPTokenizer

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, SYNONYMS, article_of

MAX_TOKENS = 48
GLUE, FIRST, SECOND, THIRD, GROUND = range(5)

#: What a caption of no subjects up to three can look like, with its weight: {0}, {1} and {2} are subjects,
#: {g} is the ground.
ONE_SUBJECT = (
    (46, ("{0}", "on {g}")),
    (10, ("{g}", "with", "{0}")),
    (7, ("{0}", "moving on {g}")),
    (5, ("{0}", "rolling over {g}")),
    (4, ("{0}", "floating above {g}")),
    (5, ("a video of", "{0}", "on {g}")),
    (5, ("the ground is {g} and", "there is", "{0}")),
    (18, ("{0}",)),
)
TWO_SUBJECTS = (
    (40, ("{0}", "and", "{1}", "on {g}")),
    (10, ("{0}", "with", "{1}", "on {g}")),
    (8, ("{0}", "passing", "{1}", "on {g}")),
    (6, ("{0}", "behind", "{1}", "on {g}")),
    (6, ("{0}", "beside", "{1}", "on {g}")),
    (10, ("{g}", "with", "{0}", "and", "{1}")),
    (5, ("a video of", "{0}", "and", "{1}", "on {g}")),
    (15, ("{0}", "and", "{1}")),
)
THREE_SUBJECTS = (
    (45, ("{0}", "and", "{1}", "and", "{2}", "on {g}")),
    (20, ("{g}", "with", "{0}", "and", "{1}", "and", "{2}")),
    (15, ("a video of", "{0}", "and", "{1}", "and", "{2}", "on {g}")),
    (20, ("{0}", "and", "{1}", "and", "{2}")),
)
NO_SUBJECT = ((60, ("{g}",)), (20, ("empty {g}",)), (20, ("a video of", "{g}")))
GRAMMAR = {0: NO_SUBJECT, 1: ONE_SUBJECT, 2: TWO_SUBJECTS, 3: THREE_SUBJECTS}
_MARKS = {"{0}": FIRST, "{1}": SECOND, "{2}": THIRD}

#: Words of size with the share of the frame from which, or up to which, a subject may be called so.
SMALL, LARGE = (("small", "little"), 0.05), (("large", "big"), 0.16)
_SIZED = 0.35  # of the subjects that could be called by their size are
_SYNONYM = 0.25

Caption = list[tuple[int, str]]


def name_subject(rng: random.Random, colour: str, shape: str, area: float) -> str:
    """Name a subject whose box covers `area` (0..1) of the frame, such as "a small red sphere"."""
    words = [colour, shape]
    if SYNONYMS[shape] and rng.random() < _SYNONYM:
        words[1] = rng.choice(SYNONYMS[shape])
    if rng.random() < _SIZED and (area < SMALL[1] or area > LARGE[1]):
        words.insert(0, rng.choice((SMALL if area < SMALL[1] else LARGE)[0]))
    return " ".join([article_of(words[0]), *words])


def draw_caption(rng: random.Random, subjects: list[str], ground: str) -> Caption:
    """Word a clip: `subjects` are noun phrases in the order in which the caption is to name them."""
    templates = GRAMMAR[len(subjects)]
    parts = rng.choices([t for _, t in templates], [w for w, _ in templates])[0]
    return [
        (_MARKS.get(part, GROUND if "{g}" in part else GLUE), part.format(*subjects, g=ground))
        for part in parts
    ]


def caption_text(caption: Caption) -> str:
    """Return the caption as the one string that a user would type."""
    return " ".join(text for _, text in caption)


def build_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level BPE; most of our words are one token, any other falls back to pieces of them."""
    fixed = {
        word for templates in GRAMMAR.values() for _, parts in templates for word in " ".join(parts).split()
    }
    names = [*SHAPES, *(name for names in SYNONYMS.values() for name in names), *SMALL[0], *LARGE[0]]
    words = [*sorted(w for w in fixed if "{" not in w), "an", *COLOURS, *names, *GROUNDS]
    characters = [chr(code) for code in range(33, 127)]
    pieces = dict.fromkeys(characters + [c + "</w>" for c in characters])
    merges: list[tuple[str, str]] = []
    for word in words:
        symbols = [*word[:-1], word[-1] + "</w>"]
        while len(symbols) > 1:
            pair = (symbols[0], symbols[1])
            if pair not in merges:
                merges.append(pair)
                pieces.setdefault("".join(pair))
            symbols = ["".join(pair), *symbols[2:]]
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    for piece in pieces:
        vocabulary[piece] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


class CaptionEncoder:
    """Turns captions into token ids with, for each token, the part of the caption that it belongs to."""

    def __init__(self, tokenizer: CLIPTokenizer):
        self._tokenizer = tokenizer
        self._ids = lru_cache(maxsize=None)(
            lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        )

    def __call__(self, captions: list[Caption]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and marks, int64 (captions, MAX_TOKENS); padding repeats the end token, as CLIP's."""
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        ids = torch.full((len(captions), MAX_TOKENS), end)
        marks = torch.full((len(captions), MAX_TOKENS), GLUE)
        ids[:, 0] = start
        for row, caption in enumerate(captions):
            at = 1
            for mark, text in caption:
                tokens = self._ids(text)
                ids[row, at : at + len(tokens)] = torch.tensor(tokens)
                marks[row, at : at + len(tokens)] = mark
                at += len(tokens)
        return ids, marks


def phrase_local_mask(marks: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """Additive attention mask for the text encoder, float (captions, 1, tokens, tokens).

    Causal for every caption, as CLIP is. For the rows where `local` (bool, (captions,)) is set, a token
    moreover sees only the start token and the tokens of its own part. Training on a mixture of both keeps
    the plain encoder, which the pipeline uses, and teaches the denoiser to take each thing from the words
    that name it.
    """
    tokens = marks.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=marks.device).tril()
    own = marks[:, :, None] == marks[:, None, :]
    own[:, :, 0] = True
    allowed = causal & (own | ~local[:, None, None])
    return torch.zeros_like(allowed, dtype=torch.float32).masked_fill(~allowed, float("-inf"))[:, None]
