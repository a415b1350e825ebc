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

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from ..families import Codec
from .outlines import led_to
from .windows import Window

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from .rules import Subjects
    from .runs import Run
    from .settings import Steering

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
        subjects: where they are.
        steering: until when the masks act, for redrawing begins then; when it ends; and how often the clip is
            decoded and encoded.
    """

    def __init__(self, codec: Codec, pipe: DiffusionPipeline, subjects: Subjects, steering: Steering):
        self._codec, self._pipe, self._subjects = codec, pipe, subjects
        self._masks, self._window = steering.masks, Window(steering.redraw_until)
        self._times = steering.redraws
        self._run: Run | None = None
        self._turns: list[int] = []
        self._target: tuple[torch.Tensor, torch.Tensor] | None = None
        self._seen: torch.Tensor | None = None
        self._timestep = torch.zeros(())

    def see(self, latents: torch.Tensor, timestep: torch.Tensor) -> None:
        """Note what a call of the denoiser is given.

        Args:
            latents: (batch, channels, frames, rows, columns), with more channels behind those of the clip.
            timestep: one for all, or (batch, tokens), 0 where latents are given as they are to be.
        """
        self._seen, self._timestep = latents, torch.as_tensor(timestep)

    def changed(self, run: Run, velocity: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """The velocity of a step with the outlines that were redrawn.

        Args:
            run: how far the sampling has come.
            velocity: of the latents, both halves of guidance put together: (batch, channels, frames, rows,
                columns).
            noisy: the latents, as the scheduler has them.
        """
        if run is not self._run:
            masked = run.turns_within(self._masks)
            turns = [turn for turn in run.turns_within(self._window) if turn not in masked]
            self._run, self._turns, self._target = run, turns if masked else [], None
        told = run.reading.rules.told(run.now, self._window)
        if run.turn not in self._turns or not told.any():
            return velocity
        place, count = self._turns.index(run.turn), len(self._turns)
        anew = self._target is None or place in {count * time // self._times for time in range(self._times)}

        def placed(clean: torch.Tensor) -> torch.Tensor:
            if anew or self._target is None:
                self._target = self._redrawn(self._with_given(clean), told)
            target, strips = self._target
            strip = (strips * torch.from_numpy(told).to(strips)[:, :, None, None]).amax(dim=0)
            return clean + strip * (target - clean)

        return led_to(placed, velocity, noisy, run.now.level)

    def _with_given(self, clean: torch.Tensor) -> torch.Tensor:
        """What the model is heading for, with the frames of latents that it is given as they are to be.

        Wan 2.2 TI2V-5B has a first frame pasted in at timestep 0 in each call, while the scheduler goes on
        with noise there, of which nothing is heading anywhere; and later frames are decoded from it.
        """
        if self._seen is None or self._timestep.ndim < 2:
            return clean
        given = (self._timestep.reshape(len(self._timestep), clean.shape[2], -1) == 0).all(dim=-1).all(dim=0)
        seen = self._seen[: len(clean), : clean.shape[1]].to(clean)
        return torch.where(given.to(clean.device)[:, None, None], seen, clean)

    def _redrawn(self, clean: torch.Tensor, told: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of the redrawn clip, and 1 where they are of each subject's strip.

        The latter is (subjects, frames, rows, columns).
        """
        with _by_itself(self._pipe, self._pipe.vae):
            pictures = self._codec.decode(self._pipe, clean).float().clamp(-1, 1)
            strips = self._paint(pictures, told, clean.shape[-3:])
            return self._codec.encode(self._pipe, pictures).to(clean), strips

    def _paint(self, pictures: torch.Tensor, told: np.ndarray, grid: torch.Size) -> torch.Tensor:
        """Paint the strips of all frames, in place; returns which latents they are of."""
        subjects = self._subjects
        height, width = pictures.shape[-2:]
        cell = height // grid[-2]
        strips = pictures.new_zeros(len(told), *grid)
        for frame in range(pictures.shape[2]):
            latent = 0 if frame == 0 else 1 + (frame - 1) // subjects.frames
            if subjects.given[frame] or not told[:, latent].any():
                continue
            shares = torch.from_numpy(subjects.pools.shares_of(frame, height, width)).float().to(pictures)
            own = torch.from_numpy(told[:, latent]).to(shares.device)
            painted, where = painted_anew(pictures[:, :, frame], shares[own], shares[~own].sum(dim=0), cell)
            pictures[:, :, frame] = painted
            touched = functional.max_pool2d(where.to(strips), cell)
            strips[own, latent] = torch.maximum(strips[own, latent], touched)
        return strips


@contextlib.contextmanager
def _by_itself(pipe: DiffusionPipeline, part: nn.Module) -> Iterator[None]:
    """Have a part of an offloaded pipeline on the device without the others, and off it again behind.

    Left to themselves, parts push each other out in the order in which a pipeline usually calls them, where
    nothing is decoded between two steps: one of two denoisers would stay beside the autoencoder, and the
    autoencoder beside the denoiser.
    """
    hooks = getattr(pipe, "_all_hooks", [])
    for hook in hooks:
        if hook.model is not part:
            hook.offload()
    try:
        yield
    finally:
        for hook in hooks:
            if hook.model is part:
                hook.offload()


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
        The picture, and for each subject where it was painted along its outline: bool (subjects, height,
        width).
    """
    free = (others == 0).to(picture)
    wide = torch.stack([_grown(own, round(OUTWARD * cell)) for own in shares]) > 0
    ground, painted = _nearby(picture, ~wide.any(dim=0) * free, [round(side * cell) for side in AROUND])
    cores = torch.zeros_like(free)
    mixture = (1 - shares.sum(dim=0)) * ground
    for own in shares:
        core = (1 - _grown(1 - own, round(INWARD * cell))).clamp(min=0)
        core = core if bool((core > 0).any()) else own
        colours, known = _nearby(picture, core, [round(side * cell) for side in INSIDE])
        mixture = mixture + own * torch.where(known, colours, picture)
        cores = torch.maximum(cores, core)
    strip = (cores < 1) & (free > 0) & painted & wide
    return torch.where(strip.any(dim=0), mixture, picture), strip


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
