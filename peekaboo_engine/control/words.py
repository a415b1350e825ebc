# SPDX-License-Identifier: GPL-3.0-or-later
"""What each pixel reads of the text: the prompt's own tokens and contexts put behind them.

The text of an attention call is a row of segments of equal length: the prompt, then, where these are read,
the *ground* (the prompt without the subjects' phrases) and each subject's phrase by itself. Its tokens fall
into classes, which :class:`Classes` numbers; :func:`shares` says what the pixels of each label see of each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from .labels import BACKGROUND
from .spans import HIDDEN, SHARED, find_phrases


@dataclass(frozen=True)
class Classes:
    """Numbers of the classes of tokens: the prompt's by their label, then the segments behind it.

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
        """Tokens of the prompt that no pixel sees while it is steered."""
        return self.subjects + 2

    @property
    def ground(self) -> int:
        """The prompt without the phrases."""
        return self.subjects + 3

    def phrase(self, subject: int) -> int:
        """The phrase of a subject, 1 ... K, by itself."""
        return self.subjects + 3 + subject

    @property
    def unread(self) -> int:
        """What is of no use to anyone."""
        return 2 * self.subjects + 4

    def __len__(self) -> int:
        return 2 * self.subjects + 5

    def of_tokens(self, prompt: np.ndarray, ground: bool, phrases: list[np.ndarray]) -> torch.Tensor:
        """One-hot float (tokens of all segments, classes).

        Args:
            prompt: labels of the prompt's tokens.
            ground: whether there is that segment.
            phrases: of each phrase that is a segment, 1 where a token is read, else 0.
        """
        segments = [np.select([prompt == SHARED, prompt == HIDDEN], [self.shared, self.hidden], prompt)]
        if ground:
            segments.append(np.full_like(prompt, self.ground))
        for subject, read in enumerate(phrases, start=1):
            segments.append(np.where(read, self.phrase(subject), self.unread))
        return torch.nn.functional.one_hot(torch.from_numpy(np.concatenate(segments)), len(self)).float()


def without_phrases(prompt: str, phrases: list[str]) -> str:
    """The prompt with the phrases cut out and single spaces between what is left."""
    kept, position = [], 0
    for start, end in sorted(span for spans in find_phrases(prompt, phrases) for span in spans):
        kept.append(prompt[position:start])
        position = end
    return re.sub(r"\s+", " ", "".join([*kept, prompt[position:]])).strip()


def encode_contexts(encode_prompt: Callable, args: tuple, kwargs: dict, texts: list[str]) -> torch.Tensor:
    """Encode texts as a pipeline is about to encode its prompt.

    Args:
        encode_prompt: of the pipeline.
        args, kwargs: what it is called with besides the prompt; LoRA scale and skipped layers are kept.
        texts: the ground and the phrases.

    Returns:
        The segments in a row: (len(texts) * tokens, channels).
    """
    call = inspect.signature(encode_prompt).bind(texts, *args, **kwargs)
    call.arguments |= {
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": False,
        "negative_prompt": None,
        "prompt_embeds": None,
        "negative_prompt_embeds": None,
    }
    return encode_prompt(*call.args, **call.kwargs)[0].flatten(0, 1)


@dataclass(frozen=True)
class Reading:
    """How the text is read at a moment.

    Args:
        masked: whose pixels see their own words only: bool (subjects, frames).
        bound: whose words are suppressed outside: bool (subjects, frames).
        outside: the share that the words of those have outside.
        boost: factor on a subject's own words: float (subjects, frames).
        own_phrase: whether subjects read their phrase by itself.
        ground: whether the background reads the ground.
        contrast: share with which the unconditional half reads what does not belong to a pixel.
    """

    masked: np.ndarray
    bound: np.ndarray
    outside: float
    boost: np.ndarray
    own_phrase: bool
    ground: bool
    contrast: float

    @property
    def held(self) -> np.ndarray:
        """Who is steered at all: bool (subjects, frames)."""
        return self.masked | self.bound


def shares(reading: Reading) -> torch.Tensor:
    """What pixels see of tokens in the conditional half: float (frames, labels, classes).

    A subject that is not held counts as background with its pixels and its words.
    """
    subjects, frames = reading.masked.shape
    classes = Classes(subjects)
    seen = np.zeros((frames, subjects + 1, len(classes)), np.float32)
    all_held = reading.held.all(axis=0)
    words_outside = np.where(reading.masked, 0, np.where(reading.bound, reading.outside, 1))  # (K, F)
    background = seen[:, BACKGROUND]
    background[:, BACKGROUND] = background[:, classes.shared] = 1
    background[:, 1 : subjects + 1] = words_outside.T
    if reading.ground:
        background[all_held] = 0
        background[all_held, classes.ground] = 1
    for subject in range(1, subjects + 1):
        own, masked, held = seen[:, subject], reading.masked[subject - 1], reading.held[subject - 1]
        boost = reading.boost[subject - 1]
        own[:, BACKGROUND] = ~masked
        own[:, classes.shared] = 1
        own[:, 1 : subjects + 1] = np.where(masked[:, None], 0, words_outside.T)
        own[:, subject] = np.where(masked & reading.own_phrase, 0, boost)
        own[:, classes.phrase(subject)] = boost if reading.own_phrase else 0
        own[~held] = background[~held]
    return torch.from_numpy(seen)


def unconditional_shares(reading: Reading, free: bool) -> torch.Tensor:
    """What pixels see of tokens in the unconditional half: as :func:`shares`.

    Its text stands where the prompt does in the other half, and nothing of it belongs to a subject; what is
    masked there is masked here as in the released code, unless the half is left ``free``.
    """
    plain = replace(reading, boost=np.ones_like(reading.boost), own_phrase=False, ground=False)
    seen = shares(plain)
    classes = Classes(len(reading.masked))
    if free:
        seen[:] = 0
        seen[:, :, : classes.ground] = 1
    for subject, held in enumerate(torch.from_numpy(reading.held), start=1):
        seen[:, BACKGROUND, classes.phrase(subject)] = reading.contrast * held
        seen[:, subject, classes.ground] = reading.contrast * held
    return seen
