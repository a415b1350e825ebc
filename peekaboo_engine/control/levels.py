# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise levels: where in the sampling a step stands, in a measure that schedulers share.

The denoiser sees ``a * clip + s * noise``. The level is s / (a + s), from 1 (noise) to 0 (clip). It is the
sigma of flow matching, where a = 1 - s, and sigma / (1 + sigma) of schedulers that count noise over signal.
"""

from __future__ import annotations

import numpy as np
import torch


class NoiseLevels:
    """The levels of the timesteps that a diffusers scheduler is set to.

    Args:
        scheduler: after ``set_timesteps``.
    """

    def __init__(self, scheduler):
        self._timesteps = np.asarray(torch.as_tensor(scheduler.timesteps).tolist())
        self._levels = _levels(scheduler, self._timesteps)

    def __getitem__(self, turn: int) -> float:
        """The level at one of the timesteps, by its place."""
        return float(self._levels[turn])

    def at(self, timestep: float) -> float:
        """The level at a timestep as the denoiser gets it, or at the nearest one (half precision rounds)."""
        return float(self._levels[np.abs(self._timesteps - timestep).argmin()])


def _levels(scheduler, timesteps: np.ndarray) -> np.ndarray:
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:  # DDIM, DDPM, PNDM: signal coefficient sqrt(alpha), noise sqrt(1 - alpha)
        table = np.asarray(scheduler.alphas_cumprod, np.float64)
        alphas = np.interp(timesteps, np.arange(len(table)), table)
        ratios = np.sqrt((1 - alphas) / alphas)
        return ratios / (1 + ratios)
    values = np.asarray(torch.as_tensor(sigmas).tolist())[: len(timesteps)]
    return values if counts_flow(scheduler) else values / (1 + values)


def counts_flow(scheduler) -> bool:
    """Whether a scheduler's sigmas are those of flow matching; others count noise over signal."""
    # Flow-matching schedulers have a shift of their own; others have a switch for it.
    return bool(scheduler.config.get("use_flow_sigmas")) or "shift" in scheduler.config
