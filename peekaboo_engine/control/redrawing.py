# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines of single frames, which latents of several frames cannot tell: pictures are redrawn along them.

Once the masks have ended, the clip that the model is heading for is decoded. In each of its frames a strip
along the outlines of the subjects is painted anew: inside with what the subject is like nearby, outside with
the ground nearby. That is encoded, and takes the place of what the model expects in the latents of the strip,
until the next time, or the end of this stretch of the sampling. The model is free afterwards to give the
strip the texture and light that belong there. As in :mod:`.outlines`, nothing is known of a subject but what
the model drew, and the denoiser is called no more often; the autoencoder is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ..families import Codec
from .windows import Window

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from .labels import Pools
    from .runs import Run

INWARD, OUTWARD = 0.5, 1.5
"""Width of the strip inside of an outline and around it, in latent pixels."""
INSIDE, AROUND = (2.5, 7.5), (4, 10)
"""Sides of the windows in which a subject's colours, and the ground's, are looked for one after the other, in
latent pixels."""


class Redrawing:
    """Brings what the sampling is heading for to the outlines of its frames.

    Args:
        codec: of the family.
        pipe: that is steered.
        pools: the label map.
        frames: that a frame of latents stands for, after the first.
        masks: until when the masks act; redrawing begins then.
        until: noise level at which it ends.
        times: how often it is decoded and encoded.
    """

    def __init__(
        self,
        codec: Codec,
        pipe: DiffusionPipeline,
        pools: Pools,
        frames: int,
        masks: Window,
        until: float,
        times: int,
    ):
        self._codec, self._pipe, self._pools, self._frames = codec, pipe, pools, frames
        self._masks, self._window, self._times = masks, Window(until), times
        self._run: Run | None = None
        self._turns: list[int] = []
        self._target: tuple[torch.Tensor, torch.Tensor] | None = None

    def changed(
        self, run: Run, told: np.ndarray, velocity: torch.Tensor, noisy: torch.Tensor
    ) -> torch.Tensor:
        """The velocity of a step with the outlines that were redrawn.

        Args:
            run: how far the sampling has come.
            told: whose outlines are told now: bool (subjects, frames of latents).
            velocity: of the latents, both halves of guidance put together: (batch, channels, frames, rows,
                columns).
            noisy: the latents.
        """
        if run is not self._run:
            masked = run.turns_within(self._masks)
            turns = [turn for turn in run.turns_within(self._window) if turn not in masked]
            self._run, self._turns, self._target = run, turns if masked else [], None
        if run.turn not in self._turns or not told.any():
            return velocity
        level = run.now.level
        clean = noisy.float() - level * velocity.float()
        place, count = self._turns.index(run.turn), len(self._turns)
        if self._target is None or place in {count * time // self._times for time in range(self._times)}:
            self._target = self._redrawn(clean, told)
        target, strip = self._target
        change = strip * (target - clean)
        return (velocity.float() - change / level).to(velocity.dtype)

    def _redrawn(self, clean: torch.Tensor, told: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of the redrawn clip, and 1 where they are of the strip: (frames, rows, columns)."""
        pictures = self._codec.decode(self._pipe, clean).float().clamp(-1, 1)
        height, width = pictures.shape[-2:]
        cell = height // clean.shape[-2]
        strip = clean.new_zeros(clean.shape[-3:])
        for frame in range(pictures.shape[2]):
            latent = 0 if frame == 0 else 1 + (frame - 1) // self._frames
            if not told[:, latent].any():
                continue
            shares = torch.from_numpy(self._pools.shares_of(frame, height, width)).to(pictures)
            own = torch.from_numpy(told[:, latent]).to(shares.device)
            painted, where = painted_anew(pictures[:, :, frame], shares[own], shares[~own].sum(dim=0), cell)
            pictures[:, :, frame] = painted
            touched = functional.max_pool2d(where[None, None].to(strip), cell)[0, 0]
            strip[latent] = torch.maximum(strip[latent], touched)
        return self._codec.encode(self._pipe, pictures).to(clean), strip


def painted_anew(
    picture: torch.Tensor, shares: torch.Tensor, others: torch.Tensor, cell: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint a strip along the outlines of subjects.

    Args:
        picture: (batch, 3, height, width).
        shares: of each pixel that each subject covers: (subjects, height, width).
        others: that other subjects cover, (height, width); where they are nothing is painted.
        cell: side of a latent pixel.

    Returns:
        The picture, and bool (height, width) where it was painted.
    """
    free = (others == 0).to(picture)
    wide = _grown(shares.sum(dim=0), round(OUTWARD * cell))
    ground, painted = _nearby(picture, (wide == 0) * free, [round(side * cell) for side in AROUND])
    cores = torch.zeros_like(free)
    mixture = (1 - shares.sum(dim=0)) * ground
    for own in shares:
        core = (1 - _grown(1 - own, round(INWARD * cell))).clamp(min=0)
        core = core if bool((core > 0).any()) else own
        colours, known = _nearby(picture, core, [round(side * cell) for side in INSIDE])
        mixture = mixture + own * torch.where(known, colours, picture)
        cores = torch.maximum(cores, core)
    strip = (wide > 0) & (cores < 1) & (free > 0) & painted
    return torch.where(strip, mixture, picture), strip


def _grown(values: torch.Tensor, by: int) -> torch.Tensor:
    """The most within a square around each pixel of (height, width)."""
    rows = functional.max_pool2d(values[None, None], (2 * by + 1, 1), stride=1, padding=(by, 0))
    return functional.max_pool2d(rows, (1, 2 * by + 1), stride=1, padding=(0, by))[0, 0]


def _nearby(
    picture: torch.Tensor, where: torch.Tensor, sides: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of a picture where something is, in windows around each pixel, in all of it where none is near.

    Returns:
        (batch, 3, height, width); and whether there is any of it at all.
    """
    count = where.sum()
    means = (picture * where).sum(dim=(-2, -1), keepdim=True) / count.clamp(min=1e-6)
    means = means.expand_as(picture)
    for side in reversed(sides):
        sums, share = _blurred(picture * where, side), _blurred(where[None, None], side)
        means = torch.where(share > 1e-4, sums / share.clamp(min=1e-4), means)
    return means, count > 0


def _blurred(values: torch.Tensor, side: int) -> torch.Tensor:
    """Means over squares of (batch, channels, height, width), with zeros beyond the edge."""
    by = side // 2
    rows = functional.avg_pool2d(values, (2 * by + 1, 1), stride=1, padding=(by, 0))
    return functional.avg_pool2d(rows, (1, 2 * by + 1), stride=1, padding=(0, by))
