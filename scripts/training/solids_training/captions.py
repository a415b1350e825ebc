# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokenizer of `solids`, T5's Unigram over the words of the world, and captions as its ids."""

from __future__ import annotations

import string

import torch
from shapes_training.captions import GLUE, GRAMMAR, LARGE, SMALL, Caption
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast, T5Tokenizer

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, SYNONYMS

#: Tokens of a caption in training, the end token and at least one of padding among them.
MAX_TOKENS = 24
#: Tokens of a prompt in diffusers' pipeline, which pads to this length unless told otherwise.
PIPELINE_TOKENS = 512
PAD, END = 0, 1
_PADDING = -1  # the mark of a token of padding
_SPACE = "▁"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """T5's Unigram: each word of the world is one token, any other falls apart into characters.

    Unlike T5's, capitals are read as small letters. The general class keeps that in its file; T5's own would
    build its steps anew when it is loaded.
    """
    fixed = {word for kinds in GRAMMAR.values() for _, parts in kinds for word in " ".join(parts).split()}
    names = [*SHAPES, *(name for names in SYNONYMS.values() for name in names), *SMALL[0], *LARGE[0]]
    words = [*sorted(word for word in fixed if "{" not in word), "an", *COLOURS, *names, *GROUNDS]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(_SPACE + word, -2.0) for word in dict.fromkeys(words)]
    known = {piece for piece, _ in vocabulary}
    characters = [_SPACE, *string.ascii_lowercase, *string.digits, *string.punctuation]
    vocabulary += [(character, -9.0) for character in characters if character not in known]
    backend = T5Tokenizer(vocab=vocabulary, extra_ids=0).backend_tokenizer
    backend.normalizer = normalizers.Lowercase()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=PIPELINE_TOKENS,
    )


class CaptionEncoder:
    """Turns captions into token ids with, for each token, the part of the caption that it belongs to."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self._tokenizer = tokenizer
        self._ids: dict[str, list[int]] = {}

    def __call__(self, captions: list[Caption]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and marks, int64 (captions, MAX_TOKENS)."""
        ids = torch.full((len(captions), MAX_TOKENS), PAD)
        marks = torch.full((len(captions), MAX_TOKENS), _PADDING)
        for row, caption in enumerate(captions):
            at = 0
            for mark, text in caption:
                if text not in self._ids:
                    self._ids[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
                tokens = self._ids[text]
                ids[row, at : at + len(tokens)] = torch.tensor(tokens)
                marks[row, at : at + len(tokens)] = mark
                at += len(tokens)
            ids[row, at], marks[row, at] = END, GLUE
        return ids, marks


def text_mask(marks: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """Additive attention mask of the text encoder, float (captions, 1, tokens, tokens).

    All tokens but padding see each other. For the rows where `local` (bool, (captions,)) is set, a token sees
    those of its own part alone, so that words come to mean what they name whatever else is said. T5 knows
    distances only, no places, so such a part is encoded as it would be if it stood by itself.
    """
    own = marks[:, :, None] == marks[:, None, :]
    real = (marks != _PADDING)[:, None, :]
    allowed = (own & local[:, None, None]) | (real & ~local[:, None, None])
    return torch.zeros_like(allowed, dtype=torch.float32).masked_fill(~allowed, -1e9)[:, None]


def padding_bias(ids: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """What to add to the scores of cross-attention, float (captions, 1, 1, tokens).

    Wan pads prompts with zero vectors, 512 tokens in all, and attends to every one of them. They are all
    alike, so the few of a short caption stand for `total` (captions,) tokens when each counts more.
    """
    padding = ids == PAD
    short = padding.sum(1)
    more = ((short + (total - ids.shape[1]).clamp(min=0)) / short).log()
    return (padding * more[:, None])[:, None, None]
