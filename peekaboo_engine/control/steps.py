# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step a call of the denoiser belongs to, as a pipeline counts them."""

from __future__ import annotations

import functools

import numpy as np
import torch

from .levels import NoiseLevels


class Steps:
    """The steps of one run, from the timesteps to which its scheduler is set.

    The loop of a pipeline goes over the scheduler's timesteps, calls the denoiser once or more and the
    scheduler once in each turn. It counts a step, and tells its progress and its callback, when ``order``
    turns have gone by since the last, not counting those with which a scheduler warms up. So second-order
    schedulers take two turns a step, and PNDM's first step takes all of its Runge-Kutta calls. The same rule
    is in the loop of every pipeline (diffusers, ``num_warmup_steps``).

    Args:
        scheduler: after ``set_timesteps``.
    """

    def __init__(self, scheduler):
        self._timesteps = np.asarray(torch.as_tensor(scheduler.timesteps).tolist())
        self._levels = NoiseLevels(scheduler)
        self._order = getattr(scheduler, "order", 1)
        steps = getattr(scheduler, "num_inference_steps", None) or len(self._timesteps) // self._order
        self._warm_up = max(0, len(self._timesteps) - steps * self._order)

    def __len__(self) -> int:
        return len(self._timesteps)

    def turn(self, timestep: float, likely: int) -> int:
        """The turn of the loop that a call at a timestep belongs to.

        Args:
            timestep: as the denoiser gets it; half precision rounds.
            likely: where the loop should be by the number of times that the scheduler was called. What it
                says of equal timesteps is true; elsewhere the timestep itself is.
        """
        distance = np.abs(self._timesteps - timestep)
        nearest = int(distance.argmin())
        likely = min(likely, len(distance) - 1)
        return likely if distance[likely] <= distance[nearest] else nearest

    def is_at(self, turn: int, timestep: float) -> bool:
        """Whether a call at a timestep belongs to a turn, or may."""
        return turn < len(self._timesteps) and self.turn(timestep, likely=turn) == turn

    def step(self, turn: int) -> int:
        """Index of the step of a turn."""
        return max(0, turn // self._order - self._warm_up // self._order)

    def done(self, turn: int) -> int:
        """Number of steps that are done after a turn; the last one ends the last step, even a half of it."""
        turns = len(self._timesteps)
        return -(-(turns - self._warm_up) // self._order) if turn == turns - 1 else self.step(turn + 1)

    def level(self, turn: int) -> float:
        """Noise level at a turn."""
        return self._levels[turn]


class Turns:
    """Counts how often a scheduler was called, as a stand-in for its ``step`` method.

    Attributes:
        done: calls in this run.
    """

    def __init__(self) -> None:
        self.done = 0

    def counting(self, step):
        """The method, counted."""

        @functools.wraps(step)  # pipelines look at its signature
        def counted(*args, **kwargs):
            out = step(*args, **kwargs)
            self.done += 1
            return out

        return counted
