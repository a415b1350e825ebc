# SPDX-License-Identifier: GPL-3.0-or-later
"""First noise whose low frequencies follow the subjects, as FreeTraj (arXiv 2406.16863) has it.

Low frequencies of the first noise decide where things come to be. What lies under a subject in the middle of
the clip is carried along its path, and the low frequencies of that replace those of the noise. Other than
there, nothing is drawn anew: away from subjects the noise stays what the seed gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch

from ..errors import EngineError
from .labels import pool_labels

ORDER = 4
"""Of the Butterworth filter that separates frequencies, as in FreeTraj."""


def offsets(labels: np.ndarray, label: int) -> np.ndarray:
    """How far a subject's centre is from where it is in the middle of the frames that show it, in cells.

    Args:
        labels: (frames, h, w).
        label: the subject's, in one frame at least.

    Returns:
        int64 (frames, 2), down and to the right; 0 in frames without it.
    """
    centres = np.full((len(labels), 2), np.nan)
    for frame in np.flatnonzero((labels == label).any(axis=(1, 2))):
        centres[frame] = np.argwhere(labels[frame] == label).mean(axis=0)
    shown = np.flatnonzero(~np.isnan(centres[:, 0]))
    return np.nan_to_num(np.round(centres - centres[shown[len(shown) // 2]])).astype(np.int64)


def following_noise(noise: torch.Tensor, labels: np.ndarray, cutoff: float) -> torch.Tensor:
    """Noise of unit variance whose low frequencies are carried along with each subject.

    Args:
        noise: (batch, channels, frames, h, w), white, of unit variance.
        labels: (frames, h, w), 0 background.
        cutoff: where low frequencies end, as a share of the highest on each axis.

    Returns:
        The same shape and type. Every subject and the background keep unit variance; without a subject, the
        noise itself.
    """
    if not labels.any():
        return noise
    fresh = noise.float()
    carried = fresh.clone()
    for label in np.unique(labels[labels > 0]):
        path = offsets(labels, label)
        shown = np.flatnonzero((labels == label).any(axis=(1, 2)))
        patch = fresh[:, :, shown[len(shown) // 2]]
        for frame in shown:
            here = torch.from_numpy(labels[frame] == label).to(noise.device)
            moved = patch.roll(tuple(path[frame].tolist()), dims=(-2, -1))
            carried[:, :, frame] = torch.where(here, moved, carried[:, :, frame])
    axes = (-3, -2, -1)
    low = _low_pass(noise.shape[-3:], cutoff).to(noise.device)
    mixed = fresh + torch.fft.ifftn(torch.fft.fftn(carried - fresh, dim=axes) * low, dim=axes).real
    for label in np.unique(labels):
        here = torch.from_numpy(labels == label).to(noise.device)
        mixed[..., here] /= mixed[..., here].square().mean().sqrt()
    return mixed.to(noise.dtype)


def _low_pass(shape: tuple[int, ...], cutoff: float) -> torch.Tensor:
    """Butterworth filter of the frequencies of ``fftn``, each axis from 0 to its highest, 1."""
    axes = [torch.fft.fftfreq(length) * 2 for length in shape]
    squared = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(dim=0)
    return 1 / (1 + (squared / cutoff**2) ** ORDER)


def wrap_latents(prepare_latents: Callable, labels: np.ndarray, cutoff: float, scheduler) -> Callable:
    """A pipeline's ``prepare_latents`` with noise that follows; latents that are given are left alone."""
    if "num_frames" not in inspect.signature(prepare_latents).parameters:
        raise EngineError(
            "bad_option", "follow_noise needs a pipeline that begins with noise; set it to 0 for this one."
        )

    def following(*args, **kwargs):
        latents = prepare_latents(*args, **kwargs)
        given = inspect.signature(prepare_latents).bind(*args, **kwargs).arguments.get("latents")
        if given is not None or latents.shape[2] != len(labels):
            return latents
        scale = float(scheduler.init_noise_sigma)
        return following_noise(latents / scale, pool_labels(labels, *latents.shape[-2:]), cutoff) * scale

    return following
