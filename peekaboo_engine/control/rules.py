# SPDX-License-Identifier: GPL-3.0-or-later
"""From labels, words and settings to the rule of each attention layer at each moment of the sampling."""

from __future__ import annotations

from typing import get_args

import numpy as np
import torch

from .attention import Bias, Rule
from .labels import BACKGROUND, cover, off_centre, pool_labels
from .paths import Paths, follow
from .settings import Steering
from .sites import Kind
from .windows import Moment, Window
from .words import Classes, Reading, shares, unconditional_shares

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
        self._subjects = len(strengths)
        areas = [(labels == label).mean(axis=(1, 2)) for label in range(1, self._subjects + 1)]
        self._areas = np.reshape(areas, strengths.shape)
        self._windows = {kind: Window(steering.until(kind), steering.masked_steps) for kind in get_args(Kind)}
        self._tokens = torch.zeros(0)  # until a prompt is read
        self._pooled: dict[Grid, torch.Tensor] = {}
        self._falloffs: dict[Grid, torch.Tensor] = {}
        self._rules: dict[tuple[Kind, Grid], Rule | Bias | Paths] = {}
        self._states: dict[str, tuple] = {}
        self._halves = 0
        self.move_to(Moment(-1, 1, 1), halves=0)

    def read(self, prompt: np.ndarray, phrases: list[np.ndarray]) -> None:
        """Take the labels of the tokens of the prompt and of each phrase by itself: int64 (tokens,)."""
        classes = Classes(self._subjects)
        steering = self._steering
        if steering.subject_text == "phrase":
            phrases = [np.ones_like(labels) for labels in phrases]
        phrases = phrases if steering.reads_phrases else []
        self._tokens = classes.of_tokens(prompt, steering.reads_ground, phrases)[None]
        self._forget("cross")

    def move_to(self, now: Moment, halves: int) -> None:
        """Find out what is steered at this moment, in a batch of so many halves of guidance."""
        self._held = {kind: window.holds(now, self._strengths) for kind, window in self._windows.items()}
        self._leaks = {
            kind: self._steering.leak ** window.left(now) for kind, window in self._windows.items()
        }
        self._reading = self._read_at(now)
        reading = self._reading
        for kind in get_args(Kind):
            parts = vars(reading).values() if kind == "cross" else (self._held[kind], self._leaks[kind])
            state = (halves, *(np.asarray(part).tobytes() for part in parts))
            if self._states.get(kind) != state:
                self._forget(kind)
                self._states[kind] = state
        self._halves = halves

    def _read_at(self, now: Moment) -> Reading:
        steering = self._steering
        words = Window(steering.words_until if steering.words_outside < 1 else 1.0)
        amplified = Window(steering.amplify_until if steering.amplify else 1.0)
        contrasted = Window(steering.contrast_until if steering.contrast else 1.0)
        held = [window.holds(now, self._strengths) for window in (words, amplified, contrasted)]
        boost = np.exp(steering.amplify * amplified.left(now) * (1 - self._areas) * held[1])
        return Reading(
            masked=self._held["cross"],
            bound=np.any(held, axis=0),
            outside=steering.words_outside if words.left(now) else 1.0,
            boost=boost,
            own_phrase=steering.subject_text != "prompt",
            ground=steering.background_text == "ground",
            contrast=steering.contrast if contrasted.left(now) else 0.0,
        )

    def _forget(self, kind: Kind) -> None:
        self._rules = {key: rule for key, rule in self._rules.items() if key[0] != kind}

    def acts(self, kind: Kind) -> bool:
        """Whether layers of this kind are steered at this moment."""
        return bool((self._reading.held if kind == "cross" else self._held[kind]).any())

    def rule(self, kind: Kind, grid: Grid) -> Rule | Bias | Paths:
        """The rule of a kind of attention on a grid at this moment."""
        key = (kind, grid)
        if key not in self._rules:
            self._rules[key] = self._cross(grid) if kind == "cross" else self._self_attention(kind, grid)
        return self._rules[key]

    def labels_at(self, grid: Grid, kind: Kind) -> torch.Tensor:
        """The label map pooled to a level, with the subjects that are held: int64 (F, h, w)."""
        return self._weights_at(grid, kind).argmax(dim=-1)

    def _weights_at(self, grid: Grid, kind: Kind | None = None) -> torch.Tensor:
        """The share of each label in each cell, of the subjects held for a kind: float (F, h, w, labels)."""
        if grid not in self._pooled:
            if self._steering.soft_edges:
                covered = cover(self._labels, range(self._subjects + 1), *grid)
                self._pooled[grid] = torch.from_numpy(covered).float().movedim(0, -1)
            else:
                pooled = torch.from_numpy(pool_labels(self._labels, *grid)).long()
                self._pooled[grid] = torch.nn.functional.one_hot(pooled, self._subjects + 1).float()
        weights = self._pooled[grid]
        if kind is None or self._held[kind].all():
            return weights
        subjects = weights[..., 1:] * torch.from_numpy(self._held[kind].T)[:, None, None]
        return torch.cat([1 - subjects.sum(-1, keepdim=True), subjects], dim=-1)

    def _conditional_only(self, kind: Kind) -> bool:
        """Whether the first half of the batch is an unconditional one that is left alone."""
        return self._halves == 2 and kind in self._steering.conditional_only

    def _self_attention(self, kind: Kind, grid: Grid) -> Rule | Bias | Paths:
        if kind == "temporal" and self._steering.follow_path:
            return follow(self.labels_at(grid, kind).numpy(), self._conditional_only(kind), self._halves)
        if not self._steering.leak and not self._steering.soft_edges:
            labels = self.labels_at(grid, kind).flatten(1)
            labels = labels.T if kind == "temporal" else labels
            if self._conditional_only(kind):
                labels = torch.cat([torch.full_like(labels, BACKGROUND), labels])
            return Rule(labels, labels)
        weights = self._weights_at(grid, kind).flatten(1, 2)  # (F, h*w, labels)
        weights = weights.transpose(0, 1) if kind == "temporal" else weights
        same = torch.eye(self._subjects + 1)
        seen = (same + self._leaks[kind] * (1 - same)).expand(len(weights), -1, -1)
        if self._conditional_only(kind):
            weights = torch.cat([weights, weights])
            seen = torch.cat([torch.ones_like(seen), seen])
        return Bias(weights, seen, weights)

    def _membership(self, grid: Grid) -> torch.Tensor:
        """How much each cell belongs to each label when it reads the text: float (F, h, w, labels)."""
        weights = self._weights_at(grid)
        if not self._steering.centred or not self._subjects:
            return weights
        if grid not in self._falloffs:
            away = [off_centre(self._labels, label, *grid) for label in range(1, self._subjects + 1)]
            falloff = np.exp(-self._steering.centred * np.stack(away, axis=-1))
            self._falloffs[grid] = torch.from_numpy(falloff).float()
        subjects = weights[..., 1:] * self._falloffs[grid]
        return torch.cat([1 - subjects.sum(-1, keepdim=True), subjects], dim=-1)

    def _cross(self, grid: Grid) -> Bias:
        weights = self._membership(grid).flatten(1, 2)
        seen = shares(self._reading)
        if self._halves != 2:
            return Bias(weights, seen, self._tokens)
        unconditional = unconditional_shares(self._reading, free=self._conditional_only("cross"))
        if torch.equal(unconditional, seen):
            return Bias(weights, seen, self._tokens)
        return Bias(torch.cat([weights, weights]), torch.cat([unconditional, seen]), self._tokens)
