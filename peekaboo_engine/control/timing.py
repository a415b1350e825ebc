# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that are read in some frames alone.

Prompt Relay (arXiv 2604.10030) binds parts of a prompt to stretches of a clip by what it takes off their
scores in cross-attention elsewhere. Here that is one more column of the table which masks have too
(:mod:`.words`): a token is read as its label says, and besides as far as the frame says. What is hidden in a
frame has exactly no influence on its pixels by cross-attention; there is still what the text encoder has made
of the other words beside it, and what layers mix over time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import EngineError
from .labels import pool_frames
from .spans import find_phrases
from .wording import key_of, occurrences

Timed = Mapping[str, np.ndarray]
"""For phrases of a prompt how much each frame reads them: float (frames,) in 0..1. They are seen as without
it at 1 and not at all at 0; between, that share of their weight in attention is left."""


def check_timed(prompt: str, phrases: list[str], timed: Timed, frames: int) -> None:
    """Refuse phrases over time that are not there, or share words with another phrase.

    Args:
        prompt: the text.
        phrases: of the subjects.
        timed: phrases over time, which may lie within one of a subject, or within none.
        frames: of the clip.

    Raises:
        EngineError: ``phrase_not_in_prompt``, ``phrases_overlap``, or ``bad_option``.
    """
    keys = [key_of(phrase) for phrase in timed]
    of_subjects = [span for spans in find_phrases(prompt, phrases) for span in spans]
    for phrase, weights in timed.items():
        _check_weights(phrase, np.asarray(weights), frames)
        places = occurrences(prompt, phrase)
        if not places:
            raise EngineError(
                "phrase_not_in_prompt",
                f'The phrase over time "{phrase}" does not occur in the prompt "{prompt}"; write it in the '
                "prompt as it stands, or change the phrase.",
            )
        if keys.count(key_of(phrase)) > 1:
            raise EngineError(
                "phrases_overlap", f'The phrase over time "{phrase}" is there twice; join them.'
            )
        for (start, end), (first, last) in itertools.product(places, of_subjects):
            if first < end and start < last and not (first <= start and end <= last):
                raise EngineError(
                    "phrases_overlap",
                    f'The phrase over time "{phrase}" has words of a subject and others; take words that lie '
                    "within the subject's phrase, or none of it.",
                )
    every = sorted((*span, phrase) for phrase in timed for span in occurrences(prompt, phrase))
    for (_, end, one), (start, _, other) in itertools.pairwise(every):
        if start < end:
            raise EngineError(
                "phrases_overlap",
                f'The phrases over time "{one}" and "{other}" share words of the prompt; give each words '
                "of its own.",
            )


def _check_weights(phrase: str, weights: np.ndarray, frames: int) -> None:
    if weights.shape != (frames,) or not ((weights >= 0) & (weights <= 1)).all():
        raise EngineError(
            "bad_option", f'How much frames read of "{phrase}" is not {frames} numbers from 0 to 1.'
        )


def numbers(
    timed: Timed, clean: Callable[[str], str], label: Callable[..., np.ndarray], texts: Sequence[tuple]
) -> np.ndarray | None:
    """Number the tokens that some frames alone read; None without phrases over time.

    Args:
        timed: the phrases.
        clean: a text as it is really tokenised.
        label: as :func:`.spans.label_tokens`, of a text, phrases, and who sees special tokens.
        texts: each with which of its tokens are read, as an index.

    Returns:
        int64 (tokens that are read of all texts,), k for a token of the k-th phrase, else 0.
    """
    if not timed:
        return None
    known = {phrase: number for number, phrase in enumerate(timed, start=1)}
    parts = []
    for text, read in texts:
        found = [phrase for phrase in timed if occurrences(text, phrase)]
        own = label(clean(text), [clean(phrase) for phrase in found], "background")
        number = np.array([0, *(known[phrase] for phrase in found)])
        parts.append(number[np.maximum(own, 0)][read])
    return np.concatenate(parts)


@dataclass(frozen=True)
class TimedClasses:
    """Classes of tokens that are read in some frames alone, behind those of :class:`.words.Classes`.

    Args:
        parents: int64 (more,), the class that the tokens of each would have at all times.
        scores: float (frames, more), what the frame adds to their score.
    """

    parents: torch.Tensor
    scores: torch.Tensor

    @classmethod
    def of(
        cls, classes: torch.Tensor, count: int, times: np.ndarray, weights: np.ndarray
    ) -> tuple[torch.Tensor, TimedClasses]:
        """Give tokens that are read in some frames classes of their own.

        Args:
            classes: int64 (tokens,), what they are at all times.
            count: how many classes there are.
            times: int64 (tokens,), k for a token of the k-th phrase over time, 0 for one that is always read.
            weights: float (phrases over time, frames), 0..1.

        Returns:
            The classes of all tokens, and the new ones.
        """
        pairs = torch.stack([classes, torch.from_numpy(times)], dim=1)
        late = pairs[:, 1] > 0
        found, which = pairs[late].unique(dim=0, return_inverse=True)
        own = classes.clone()
        own[late] = count + which
        scores = torch.from_numpy(weights).float().log()[found[:, 1] - 1].T  # log 0 hides
        return own, cls(found[:, 0], scores)

    def behind(self, table: torch.Tensor, since: int = 0) -> torch.Tensor:
        """A table (frames, labels, classes) with these classes behind its own.

        Args:
            table: as :func:`.words.table` makes it.
            since: of classes before this one all frames read; of the negative prompt, say, whose words are
                others.
        """
        scores = torch.where(self.parents >= since, self.scores, 0.0)
        return torch.cat([table, table[:, :, self.parents] + scores[:, None]], dim=2)


def pooled(timed: Timed, frames: int) -> np.ndarray:
    """How much tokens that stand for so many frames read each phrase: float (phrases, frames of tokens)."""
    weights = np.stack([np.asarray(each, np.float64) for each in timed.values()])
    return pool_frames(weights, frames, axis=1) if frames > 1 else weights


def present(prompt: np.ndarray, subjects: int, times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """In which frames some word of each subject is read: bool (subjects, frames).

    Without any, there is nothing that its pixels could read: it is no subject then.

    Args:
        prompt: int64 (tokens,), labels.
        subjects: how many there are.
        times: int64 (tokens,), as for :meth:`TimedClasses.of`.
        weights: float (phrases over time, frames).
    """
    read = np.concatenate([np.ones((1, weights.shape[1]), bool), weights > 0])  # (times, frames)
    own = [read[times[prompt == subject]] for subject in range(1, subjects + 1)]
    return np.stack([tokens.any(axis=0) for tokens in own]) if own else np.zeros((0, weights.shape[1]), bool)
