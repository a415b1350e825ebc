# SPDX-License-Identifier: GPL-3.0-or-later
"""From labels, words and settings to the rule of each attention layer at each moment of the sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ..families import Grid, Layers
from ..families.family import Rows
from ..names import PADDING, SHARED, Kind
from .attention import Push, Rule
from .joint import joint_rule
from .labels import BACKGROUND, MOST, Pools, pool_frames
from .settings import Steering
from .timing import TimedClasses, present
from .windows import Moment, Window
from .words import Classes, Reading, foreign, table, with_free

Halves = tuple[bool, ...]
"""Of classifier-free guidance, those that a call of the denoiser holds, in the order of its batch: True is
the one that reads the prompt."""

LAID_OUT: dict[Rows, Callable[[torch.Tensor], torch.Tensor]] = {
    "frames": lambda labels: labels.flatten(1),
    "pixels": lambda labels: labels.flatten(1).T,
    "clip": lambda labels: labels.flatten()[None],
}
"""From (frames, h, w) to (rows, tokens), as the layers of a family lay out their tokens."""


class Subjects:
    """Where the subjects are and for how long they are held, on any grid.

    Args:
        labels: uint8 (frames, height, width).
        strengths: (subjects, frames), the share of each window during which a subject is held.
        frames: that a token stands for, after the first.
        given: whether the pipeline is given a frame as a picture: bool (frames,). Tokens that stand for such
            frames alone belong to no group, and have a label of their own behind those of the subjects.
        unbound: subjects whose words are not bound once their masks have ended: bool (subjects,).
        cell_share: see :class:`.Steering`.

    Attributes:
        pools: the label map on any grid.
        frames, given: as they were told.
        strengths: (subjects, frames of tokens).
        bound: the same for binding.
    """

    def __init__(
        self,
        labels: np.ndarray,
        strengths: np.ndarray,
        frames: int,
        given: np.ndarray,
        unbound: np.ndarray,
        cell_share: float = MOST,
    ):
        self.pools, self.frames, self.given = Pools(labels, cell_share), frames, given
        self.strengths = pool_frames(strengths, frames, axis=1) if frames > 1 else strengths
        self.bound = self.strengths * ~unbound[:, None]
        self._unbound = unbound
        self._given = torch.from_numpy((pool_frames(given, frames, axis=0) if frames > 1 else given) == 1)
        self._pooled: dict[tuple[int, int], torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.strengths)

    @property
    def free(self) -> int | None:
        """The label of what belongs to no group; None where everything does."""
        return len(self) + 1 if self._given.any() else None

    def labels_at(self, rows: int, columns: int, held: np.ndarray) -> torch.Tensor:
        """Labels on a grid, those not ``held`` as background: int64 (frames, rows, columns)."""
        place = (rows, columns)
        if place not in self._pooled:
            pooled = self.pools.at(rows, columns, self.frames)
            self._pooled[place] = torch.from_numpy(pooled).long()
        labels = self._pooled[place]
        known = np.concatenate([np.ones((1, held.shape[1]), bool), held])  # (labels, frames)
        frames = torch.arange(len(labels))[:, None, None]
        labels = torch.where(torch.from_numpy(known)[labels, frames], labels, BACKGROUND)
        return labels.masked_fill(self._given[:, None, None], len(self) + 1)

    def shares_at(self, rows: int, columns: int, held: np.ndarray) -> torch.Tensor:
        """Shares of a grid's cells that subjects cover, as far as their outlines are told.

        Returns:
            float32 (subjects, frames, rows, columns).
        """
        shares = torch.from_numpy(self.pools.shares(rows, columns, self.frames)).float()
        return shares * torch.from_numpy(self.told(held))[:, :, None, None]

    def told(self, held: np.ndarray) -> np.ndarray:
        """Whose outlines are told, of those that are held: bool (subjects, frames of tokens).

        Not of widened ones, whose masks are not what they look like, nor of what the pipeline is given.
        """
        return held & ~self._unbound[:, None] & ~self._given.numpy()


class Rules:
    """Rules of all kinds of attention on all grids for one prompt, made when asked for.

    Args:
        steering: the settings.
        subjects: where they are.
        prompt: labels of the prompt's tokens.
        phrases: for contrast, which tokens of each phrase by itself are its words.
        free_negative: whether all pixels see all of the negative prompt, whose tokens lie elsewhere where
            padding is not read; otherwise the places of the prompt's words are hidden in it as well.
        ground: for contrast, tokens of the prompt without the phrases.
        times: of all these tokens, the prompt's and those of contrast behind them, the number of the phrase
            over time that each is of, 0 for none.
        weights: how much each frame reads of these phrases: float (phrases over time, frames of tokens).
    """

    def __init__(
        self,
        steering: Steering,
        subjects: Subjects,
        prompt: np.ndarray,
        phrases: list[np.ndarray],
        free_negative: bool = False,
        ground: int = 0,
        times: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ):
        self._steering, self._subjects, self._free_negative = steering, subjects, free_negative
        self._prompt, self._classes = prompt, Classes(len(subjects))
        self._masks = steering.masks
        self._binding = Window(steering.bound_until)
        self._tokens = self._classes.of_tokens(prompt, phrases, ground)
        self._timed: TimedClasses | None = None
        self._present: np.ndarray | bool = True
        if times is not None and weights is not None:
            count = len(self._classes)
            self._tokens, self._timed = TimedClasses.of(self._tokens, count, times, weights)
            self._present = present(prompt, len(subjects), times[: len(prompt)], weights)
        self._prompt_length = len(prompt)
        self._rules: dict[tuple, Rule] = {}
        nobody = np.zeros(subjects.strengths.shape, bool)
        self._reading = Reading(nobody, nobody)
        self._halves: Halves = (True,)
        self._beside: np.ndarray | None = None

    @property
    def tells_halves(self) -> bool:
        """Whether the halves of guidance read differently, so that they have to be told apart."""
        more = len(self._tokens) > self._prompt_length
        return self._free_negative or more or self._timed is not None

    def text(self, prompted: bool) -> np.ndarray:
        """Labels of the text of a half: int64 (tokens,)."""
        return self._prompt if prompted else np.full_like(self._prompt, SHARED)

    def move_to(self, now: Moment, halves: Halves, beside: np.ndarray | None = None) -> None:
        """Find out what is steered at this moment.

        Args:
            now: the moment.
            halves: of guidance, those that the call of the denoiser holds.
            beside: labels of the tokens that stand beside the clip's in the row of joint layers.
        """
        subjects = self._subjects
        reading = Reading(
            self._masks.holds(now, subjects.strengths) & self._present,
            self._binding.holds(now, subjects.bound) & self._present,
        )
        if not reading.same_as(self._reading):
            self._rules.clear()
        self._reading, self._halves, self._beside = reading, halves, beside

    def acts(self, kind: Kind) -> bool:
        """Whether layers of this kind are steered at this moment."""
        timed = self._timed is not None and kind == "cross"
        return kind in self._steering.kinds and (timed or bool(self._held(kind).any()))

    def outlines(self, rows: int, columns: int) -> torch.Tensor | None:
        """Which shares of latent pixels those subjects cover that are masked now; None if nothing is shaped.

        Returns:
            float32 (subjects, frames, rows, columns).
        """
        masked = self._reading.masked
        if not self._steering.outline or not masked.any():
            return None
        return self._subjects.shares_at(rows, columns, masked)

    def told(self, now: Moment, window: Window) -> np.ndarray:
        """Whose outlines are told within a window, at this moment: bool (subjects, frames of tokens)."""
        return self._subjects.told(window.holds(now, self._subjects.strengths) & self._present)

    @property
    def reads_contexts(self) -> bool:
        """Whether the ground and the phrases are read in this call."""
        contrasted = self._steering.contrast and not all(self._halves)
        pushed = self._steering.push and any(self._halves)
        return bool((contrasted or pushed) and self._reading.masked.any())

    def rule(self, layers: Layers, grid: Grid, over_text_only: bool = False) -> Rule:
        """The rule of attention layers on a grid at this moment.

        Args:
            layers: which.
            grid: size of the clip there.
            over_text_only: whether pixels of a joint layer see all pixels.
        """
        beside = b"" if self._beside is None else self._beside.tobytes()
        key = (layers.kind, layers.rows, grid, self._halves, over_text_only, beside)
        if key not in self._rules:
            if layers.kind == "joint":
                self._rules[key] = self._joint(grid, 0.0 if over_text_only else -self._steering.self_penalty)
            else:
                make = self._cross if layers.kind == "cross" else self._self_attention
                self._rules[key] = make(layers, grid)
        return self._rules[key]

    def as_read(self, grid: Grid) -> Rule:
        """The rule of joint layers where nothing is steered: what the model's own mask says there, in short.

        Tokens that are read see one another, and those that are not do.
        """
        if self._beside is None:
            raise ValueError("a joint layer's text is told")
        key = ("as read", grid, self._beside.tobytes())
        if key not in self._rules:
            clip = torch.zeros(math.prod(grid), dtype=torch.int64)
            text = torch.from_numpy(self._beside == PADDING).long()
            self._rules[key] = replace(Rule.within(torch.cat([clip, text])[None]), whole=True)
        return self._rules[key]

    def foreground(self, layers: Layers, grid: Grid) -> torch.Tensor:
        """Which tokens belong to a subject: bool (rows, tokens)."""
        return LAID_OUT[layers.rows](self._labels(layers.kind, grid)) != BACKGROUND

    def _held(self, kind: Kind) -> np.ndarray:
        return self._reading.held if kind in ("cross", "joint") else self._reading.masked

    def _labels(self, kind: Kind, grid: Grid) -> torch.Tensor:
        return self._subjects.labels_at(grid.rows, grid.columns, self._held(kind))

    def _self_attention(self, layers: Layers, grid: Grid) -> Rule:
        labels = LAID_OUT[layers.rows](self._labels(layers.kind, grid))
        others = -self._steering.self_penalty if layers.kind == "full" else -np.inf
        return Rule.within(labels, others, self._subjects.free)

    def _joint(self, grid: Grid, others: float) -> Rule:
        if self._beside is None or len(self._halves) > 1:
            raise ValueError("a joint layer reads one half of guidance, whose text is told")
        text = np.where(self._beside == PADDING, self._classes.ground, self._classes.of_labels(self._beside))
        scores = self._table(self._halves[0])[:, :, : self._classes.ground]
        masked = torch.from_numpy(self._reading.masked)
        return joint_rule(self._labels("joint", grid), torch.from_numpy(text), scores, masked, others)

    def _cross(self, layers: Layers, grid: Grid) -> Rule:
        labels, contexts = self._labels("cross", grid), self.reads_contexts
        tokens = len(self._tokens) if contexts else self._prompt_length
        apart = contexts or self._free_negative or self._timed is not None
        halves = self._halves if apart else (True,)
        contrast = contexts and self._steering.contrast
        tables = [self._table(prompted, contrast and not prompted) for prompted in halves]
        rule = self._over_text(layers, labels, tokens, tables)
        if contexts and self._steering.push and any(halves):
            each = zip(halves, tables, strict=True)
            other = self._whole(foreign(self._reading), prompted=True)
            others = [other if prompted else own for prompted, own in each]
            rule.push = Push(self._over_text(layers, labels, tokens, others), self._steering.push)
        return rule

    def _table(self, prompted: bool, contrast: bool = False) -> torch.Tensor:
        scores = table(self._reading, contrast, -self._steering.bound_penalty)
        if self._free_negative and not prompted:
            scores[:, :, : self._classes.ground] = 0
        if not self._reading.held.any():  # all that is steered are phrases over time
            scores[:, :, self._classes.hidden] = 0
        return self._whole(scores, prompted)

    def _whole(self, scores: torch.Tensor, prompted: bool) -> torch.Tensor:
        """A table with what belongs to no group, and with phrases over time."""
        scores = scores if self._subjects.free is None else with_free(scores)
        if self._timed is None:
            return scores
        return self._timed.behind(scores, since=0 if prompted else self._classes.ground)

    def _over_text(
        self, layers: Layers, labels: torch.Tensor, tokens: int, tables: list[torch.Tensor]
    ) -> Rule:
        """Cross-attention to so many tokens, with a table (frames, labels, classes) for each half."""
        queries, keys = LAID_OUT[layers.rows](labels), self._tokens[None, :tokens]
        if layers.rows == "clip":  # one row of all frames: a label of its own for each way that frames read
            ways, way = torch.stack(tables).unique(dim=1, return_inverse=True)
            queries = queries + (way * ways.shape[2]).repeat_interleave(labels[0].numel())[None]
            return Rule(queries.repeat(len(tables), 1), keys, ways.flatten(1, 2))
        return Rule(queries.repeat(len(tables), 1), keys, torch.cat(tables))
