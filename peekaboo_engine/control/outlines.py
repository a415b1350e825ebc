# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines finer than tokens: what a denoiser expects is shaped by the masks, pixel by latent pixel.

Masks of attention are as coarse as tokens, 16 pixels wide in Wan, and what a token cannot say the model has
to guess. But in each step a flow model says, all the same, what clean latents it is heading for: x - s v, for
latents x at noise level s and its velocity v. Where a subject's outline passes, these are made a mixture of
what the subject is like inside, on the average, and of the ground around, each in the share that it covers;
and v is changed accordingly. Nothing is known of the subject but what the model itself drew, and no call is
added.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

WHOLE = 0.5
"""From this share of a latent pixel on it is all a subject's: of what moves, four frames cover little."""
INSIDE = 0.9
"""Latent pixels of which a subject covers so much say what it is like inside."""
AROUND = 7, 13
"""Sides of the windows, in latent pixels, in which the ground is looked for, one after the other."""


def shaped(clean: torch.Tensor, shares: torch.Tensor, firmness: float) -> torch.Tensor:
    """Shape what a denoiser expects.

    Args:
        clean: latents without noise, (batch, channels, frames, rows, columns).
        shares: of each latent pixel that each subject covers, (subjects, frames, rows, columns); none in
            frames in which it is not held.
        firmness: how far they are brought to the mixture, 0 not at all and 1 all the way.
    """
    if not bool((shares > 0).any()):
        return clean
    grown = functional.max_pool2d(shares, 3, stride=1, padding=1)
    edge = (grown > 0) & (functional.max_pool2d(1 - shares, 3, stride=1, padding=1) > 0)
    covered = (shares / WHOLE).clamp(max=1)
    covered = covered / covered.sum(dim=0).clamp(min=1)
    ground, known = _nearby(clean, ((grown > 0).sum(dim=0) == 0).to(clean))
    mixture = (1 - covered.sum(dim=0)) * torch.where(known, ground, clean)
    for own in covered:
        most = own.amax(dim=(1, 2), keepdim=True)
        inside = ((own > INSIDE) | ((most <= INSIDE) & (own == most) & (own > 0))).to(clean)
        count = inside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
        mixture = mixture + own * (clean * inside).sum(dim=(3, 4), keepdim=True) / count
    return torch.where(edge.any(dim=0), clean + firmness * (mixture - clean), clean)


def led_to(
    placed: Callable[[torch.Tensor], torch.Tensor], velocity: torch.Tensor, noisy: torch.Tensor, level: float
) -> torch.Tensor:
    """The velocity that heads for other clean latents than a flow model's own.

    Args:
        placed: from those that it heads for, x - s v, to the others, in single precision.
        velocity: v.
        noisy: x, of the same shape.
        level: s, above 0.
    """
    clean = noisy.float() - level * velocity.float()
    return (velocity.float() - (placed(clean) - clean) / level).to(velocity.dtype)


def _nearby(clean: torch.Tensor, ground: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of the ground nearby, in the whole frame where none is; and where there is any in the frame.

    Args:
        clean: (batch, channels, frames, rows, columns).
        ground: 1 where it is, else 0: (frames, rows, columns).
    """
    count = ground.sum(dim=(1, 2), keepdim=True)
    means = (clean * ground).sum(dim=(3, 4), keepdim=True) / count.clamp(min=1)
    means = means.expand_as(clean)
    for side in reversed(AROUND):
        sums, share = (_blurred(each, side) for each in (clean * ground, ground))
        means = torch.where(share > 0, sums / share.clamp(min=1e-6), means)
    return means, (count > 0).expand_as(ground)


def _blurred(values: torch.Tensor, side: int) -> torch.Tensor:
    """Means over windows of (..., rows, columns), with zeros beyond the edge."""
    flat = values.reshape(-1, 1, *values.shape[-2:])
    return functional.avg_pool2d(flat, side, stride=1, padding=side // 2).reshape(values.shape)
