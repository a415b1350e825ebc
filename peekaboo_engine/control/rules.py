# SPDX-License-Identifier: GPL-3.0-or-later
"""From labels, words and settings to the rule of each attention layer at each moment of the sampling."""

from __future__ import annotations

import numpy as np
import torch

from .attention import Rule
from .labels import BACKGROUND, pool_labels
from .settings import Steering
from .sites import Kind
from .windows import Moment, Window
from .words import Classes, Reading, seen

Grid = tuple[int, int]


class Rules:
    """Rules of all kinds of attention on all grids, made when they are asked for and kept while they hold.

    Args:
        steering: the settings.
        labels: uint8 (frames, height, width).
        strengths: (subjects, frames), the share of each window during which a subject is held.
    """

    def __init__(self, steering: Steering, labels: np.ndarray, strengths: np.ndarray):
        self._steering = steering
        self._labels = labels
        self._strengths = strengths
        self._masks = Window(steering.until, steering.masked_steps)
        self._binding = Window(steering.bound_until)
        self._tokens, self._prompt_length = torch.zeros(0), 0  # until a prompt is read
        self._pooled: dict[Grid, torch.Tensor] = {}
        self._rules: dict[tuple[Kind, Grid], Rule] = {}
        self._state: tuple = ()
        self._halves = 0
        self.move_to(Moment(-1, 1, 1), halves=0)

    def read(self, prompt: np.ndarray, phrases: list[np.ndarray]) -> None:
        """Take the labels of the prompt's tokens, and for contrast which tokens of each phrase are words."""
        self._tokens = Classes(len(self._strengths)).of_tokens(prompt, phrases)
        self._prompt_length = len(prompt)
        self._rules.clear()

    def move_to(self, now: Moment, halves: int) -> None:
        """Find out what is steered at this moment, in a batch of so many halves of guidance."""
        masked = self._masks.holds(now, self._strengths)
        bound = self._binding.holds(now, self._strengths)
        state = (halves, masked.tobytes(), bound.tobytes())
        if state != self._state:
            self._rules.clear()
        self._reading = Reading(masked, bound)
        self._state, self._halves = state, halves

    def acts(self, kind: Kind) -> bool:
        """Whether layers of this kind are steered at this moment."""
        return kind in self._steering.kinds and bool(self._held(kind).any())

    @property
    def reads_contexts(self) -> bool:
        """Whether the ground and the phrases are read at this moment: guidance needs both its halves."""
        return self._steering.contrast and self._halves == 2 and bool(self._reading.masked.any())

    def rule(self, kind: Kind, grid: Grid) -> Rule:
        """The rule of a kind of attention on a grid at this moment."""
        key = (kind, grid)
        if key not in self._rules:
            self._rules[key] = self._cross(grid) if kind == "cross" else self._self_attention(kind, grid)
        return self._rules[key]

    def labels_at(self, grid: Grid, kind: Kind) -> torch.Tensor:
        """The label map pooled to a level, with the subjects that are held there: int64 (F, h, w)."""
        pooled = self._pooled_to(grid)
        held = self._held(kind)
        known = np.concatenate([np.ones((1, held.shape[1]), bool), held])  # (labels, F)
        frames = torch.arange(len(pooled))[:, None, None]
        return torch.where(torch.from_numpy(known)[pooled, frames], pooled, BACKGROUND)

    def _held(self, kind: Kind) -> np.ndarray:
        return self._reading.held if kind == "cross" else self._reading.masked

    def _pooled_to(self, grid: Grid) -> torch.Tensor:
        if grid not in self._pooled:
            self._pooled[grid] = torch.from_numpy(pool_labels(self._labels, *grid)).long()
        return self._pooled[grid]

    def _self_attention(self, kind: Kind, grid: Grid) -> Rule:
        labels = self.labels_at(grid, kind).flatten(1)
        return Rule.within(labels.T if kind == "temporal" else labels)

    def _cross(self, grid: Grid) -> Rule:
        labels = self.labels_at(grid, "cross").flatten(1)
        if not self.reads_contexts:
            return Rule(labels, self._tokens[None, : self._prompt_length], seen(self._reading))
        halves = [seen(self._reading, contrast=True), seen(self._reading)]
        return Rule(labels.repeat(2, 1), self._tokens[None], torch.cat(halves))
