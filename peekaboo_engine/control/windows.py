# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when something is steered: for which subject, in which frame, at this step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moment:
    """Where the sampling is.

    Args:
        step: index of the denoising step.
        level: its noise level.
        start: noise level of the first step.
    """

    step: int
    level: float
    start: float


@dataclass(frozen=True)
class Window:
    """From the first step to a noise level, or for a number of steps.

    Args:
        until: noise level at which it ends; None counts ``steps``.
        steps: number of steps.
    """

    until: float | None
    steps: int = 0

    def left(self, now: Moment) -> float:
        """How much of it is left, from 1 at its beginning to 0 at its end."""
        if self.until is None:
            return max(0.0, 1 - now.step / self.steps) if self.steps else 0.0
        if now.start <= self.until:
            return 0.0
        return max(0.0, (now.level - self.until) / (now.start - self.until))

    def holds(self, now: Moment, strengths: np.ndarray) -> np.ndarray:
        """Who is held now, where a strength is the share of the window for which one is held.

        Args:
            now: the moment.
            strengths: (subjects, frames), 0..1.

        Returns:
            bool (subjects, frames).
        """
        if self.until is None:
            return now.step < self.steps * strengths
        return (self.left(now) > 1 - strengths) & (self.left(now) > 0)
