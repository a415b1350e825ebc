# SPDX-License-Identifier: GPL-3.0-or-later
"""What each pixel reads of the text: the prompt's own tokens and, for contrast, contexts put behind them.

The text of an attention call is the prompt, then, where these are read, the *ground* (the prompt without the
subjects' phrases) and the words of each subject's phrase, encoded by itself. Its tokens fall into classes,
which :class:`Classes` numbers; :func:`table` says what the pixels of each label see of each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .attention import HIDDEN
from .labels import BACKGROUND
from .spans import NOBODY, PADDING, SHARED, find_phrases


@dataclass(frozen=True)
class Classes:
    """Numbers of the classes of tokens: the prompt's by their label, then what stands behind it.

    Args:
        subjects: how many there are.
    """

    subjects: int

    @property
    def shared(self) -> int:
        """Tokens of the prompt that every pixel sees."""
        return self.subjects + 1

    @property
    def hidden(self) -> int:
        """Tokens that no pixel sees while it is steered."""
        return self.subjects + 2

    @property
    def ground(self) -> int:
        """The prompt without the phrases."""
        return self.subjects + 3

    def phrase(self, subject: int) -> int:
        """The phrase of a subject, 1 ... K, by itself."""
        return self.subjects + 3 + subject

    def of_labels(self, labels: np.ndarray) -> np.ndarray:
        """The classes of tokens of the prompt, by their labels."""
        hidden = (labels == NOBODY) | (labels == PADDING)
        return np.select([labels == SHARED, hidden], [self.shared, self.hidden], labels)

    def __len__(self) -> int:
        return 2 * self.subjects + 4

    def of_tokens(self, prompt: np.ndarray, phrases: list[np.ndarray], ground: int) -> torch.Tensor:
        """The class of each token of the prompt and what stands behind it: int64 (tokens,).

        Args:
            prompt: labels of the prompt's tokens.
            phrases: of each phrase by itself, which tokens are its words; with none there is no ground.
            ground: tokens of the prompt without the phrases.
        """
        parts = [self.of_labels(prompt)]
        if phrases:
            parts.append(np.full(ground, self.ground))
        for subject, words in enumerate(phrases, start=1):
            parts.append(np.full(words.sum(), self.phrase(subject)))
        return torch.from_numpy(np.concatenate(parts))


def without_phrases(prompt: str, phrases: list[str]) -> str:
    """The prompt with the phrases cut out and single spaces between what is left."""
    kept, position = [], 0
    for start, end in sorted(span for spans in find_phrases(prompt, phrases) for span in spans):
        kept.append(prompt[position:start])
        position = end
    return re.sub(r"\s+", " ", "".join([*kept, prompt[position:]])).strip()


ALONE = {
    "num_images_per_prompt": 1,
    "num_videos_per_prompt": 1,
    "do_classifier_free_guidance": False,
    "negative_prompt": None,
    "prompt_embeds": None,
    "negative_prompt_embeds": None,
    "prompt_2": None,
    "negative_prompt_2": None,
    "pooled_prompt_embeds": None,
    "negative_pooled_prompt_embeds": None,
}
"""What pipelines' ``encode_prompt`` is told, in so far as it asks, to encode texts by themselves."""


def encode_contexts(
    encode_prompt: Callable, call: inspect.BoundArguments, texts: list[str], read: list[np.ndarray]
) -> torch.Tensor:
    """Encode texts as a pipeline is about to encode its prompt.

    Args:
        encode_prompt: of the pipeline.
        call: what it is called with; LoRA scale and skipped layers are kept.
        texts: the ground and the phrases.
        read: which tokens of each are kept: bool (tokens,).

    Returns:
        The tokens that are kept, one text after the other: (tokens, channels).
    """
    told = {name: value for name, value in ALONE.items() if name in call.signature.parameters}
    arguments = {**call.arguments, **told, "prompt": texts}
    encoded = encode_prompt(**arguments)[0]  # (texts, tokens, channels)
    return encoded[torch.from_numpy(np.stack(read)).to(encoded.device)]


@dataclass(frozen=True)
class Reading:
    """How the text is read at a moment.

    Args:
        masked: whose pixels see their own words only: bool (subjects, frames).
        bound: whose words are hidden outside all the same: bool (subjects, frames).
    """

    masked: np.ndarray
    bound: np.ndarray

    @property
    def held(self) -> np.ndarray:
        """Who is steered at all: bool (subjects, frames)."""
        return self.masked | self.bound

    def same_as(self, other: Reading) -> bool:
        """Whether everything is read alike."""
        return np.array_equal(self.masked, other.masked) and np.array_equal(self.bound, other.bound)


def table(reading: Reading, contrast: bool = False, bound: float = HIDDEN) -> torch.Tensor:
    """What pixels see of tokens, as a table of :class:`.Rule`: float (frames, labels, classes).

    The words of a subject that is not held belong to the background; it has no pixels of its own.

    Args:
        reading: who is held and how.
        contrast: whether the phrases and the ground are read by those to whom they do not belong.
        bound: what is added to the score of words that are hidden by binding alone.
    """
    subjects, frames = reading.masked.shape
    classes = Classes(subjects)
    seen = np.zeros((frames, subjects + 1, len(classes)), bool)
    words, phrases = slice(1, subjects + 1), slice(classes.phrase(1), None)
    background = seen[:, BACKGROUND]
    background[:, [BACKGROUND, classes.shared]] = True
    background[:, words] = ~reading.held.T
    background[:, phrases] = contrast & reading.masked.T
    for subject, masked in enumerate(reading.masked, start=1):
        own = seen[:, subject]
        own[:, BACKGROUND] = ~masked
        own[:, classes.shared] = True
        own[:, words] = ~masked[:, None] & ~reading.held.T
        own[:, subject] = True
        own[:, classes.ground] = contrast & masked
    scores = np.where(seen, 0.0, HIDDEN).astype(np.float32)
    # Words of subjects whose masks have ended, for the background and for others whose masks have ended.
    free = np.concatenate([np.ones((1, frames), bool), ~reading.masked]).T
    softly = free[:, :, None] & (reading.bound & ~reading.masked).T[:, None, :]
    scores[:, :, words][softly & ~seen[:, :, words]] = bound
    return torch.from_numpy(scores)


def with_free(table: torch.Tensor) -> torch.Tensor:
    """A table with one more label, of pixels that belong to no group: they read the text as without masks.

    Args:
        table: (frames, labels, classes), as :func:`table` makes it.
    """
    classes = Classes(table.shape[1] - 1)
    free = torch.full((len(table), 1, len(classes)), HIDDEN)
    free[:, :, : classes.ground] = 0  # the whole prompt, nothing that stands behind it
    return torch.cat([table, free], dim=1)


def foreign(reading: Reading) -> torch.Tensor:
    """What does *not* belong to pixels, as such a table: the background reads the phrases, subjects the
    ground.

    A label without anything foreign reads its own, as :func:`table` has it.
    """
    subjects, frames = reading.masked.shape
    classes = Classes(subjects)
    scores = np.full((frames, subjects + 1, len(classes)), HIDDEN, np.float32)
    scores[:, BACKGROUND, classes.phrase(1) :][reading.masked.T] = 0
    for subject, masked in enumerate(reading.masked, start=1):
        scores[:, subject, classes.ground][masked] = 0
    own = table(reading)
    others = torch.from_numpy(scores)
    nothing = (others == HIDDEN).all(dim=-1, keepdim=True)
    return torch.where(nothing, own, others)
