# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoded clips to learn from, in a ring on the device, refreshed a few at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from shapes_training.scenes import HEIGHT, WIDTH, to_device

from solids_training.captions import MAX_TOKENS, CaptionEncoder
from solids_training.drawn_clips import draw_clips
from solids_training.networks import (
    LATENT_CHANNELS,
    LATENT_FRAMES,
    LATENT_STRIDE,
    LATENT_STRIDE_IN_TIME,
    latent_scale,
)
from solids_training.whole_clips import WholeClips

GRID = (LATENT_FRAMES, HEIGHT // LATENT_STRIDE, WIDTH // LATENT_STRIDE)


class Batch(NamedTuple):
    """Clips to learn from.

    Attributes:
        latents: float32 (clips, channels, *GRID), of unit variance.
        tokens: int64 (clips, MAX_TOKENS), captions.
        marks: int64 (clips, MAX_TOKENS), the part of the caption that a token belongs to.
        near: bool (clips, *GRID), cells at most one away from a visible subject.
    """

    latents: torch.Tensor
    tokens: torch.Tensor
    marks: torch.Tensor
    near: torch.Tensor


class LatentRing:
    """A ring of encoded clips with their captions."""

    def __init__(self, vae: AutoencoderKLWan, encode: CaptionEncoder, capacity: int, seed: int, device: str):
        self._clips, self._encode_captions = WholeClips(vae), encode
        self._mean, self._std = latent_scale(vae)
        self._cpu = torch.Generator().manual_seed(seed)
        self._device = torch.Generator(device).manual_seed(seed)
        self.size, self._next = 0, 0
        self._latents = torch.empty(capacity, LATENT_CHANNELS, *GRID, dtype=torch.bfloat16, device=device)
        self._tokens = torch.empty(capacity, MAX_TOKENS, dtype=torch.int64, device=device)
        self._marks = torch.empty_like(self._tokens)
        self._near = torch.empty(capacity, *GRID, dtype=torch.bool, device=device)

    @torch.no_grad()
    def refresh(self, clips: int) -> None:
        """Draw and encode some clips, in place of the oldest; their number divides the capacity."""
        scenes, drawn, visible = draw_clips(clips, self._cpu, self._device)
        with torch.autocast(drawn.device.type, torch.bfloat16):
            moments = self._clips.encode(drawn.transpose(1, 2)).float()
        mean, log_variance = moments.chunk(2, 1)
        noise = torch.randn(mean.shape, generator=self._device, device=mean.device)
        tokens, marks = self._encode_captions(scenes.captions)
        rows = slice(self._next, self._next + clips)
        self._latents[rows] = (mean + (0.5 * log_variance).exp() * noise - self._mean) / self._std
        self._tokens[rows] = to_device(tokens, self._tokens.device)
        self._marks[rows] = to_device(marks, self._marks.device)
        seen = F.max_pool2d(visible.amax(1), LATENT_STRIDE)
        later = seen[:, 1:].unflatten(1, (-1, LATENT_STRIDE_IN_TIME)).amax(2)
        seen = torch.cat([seen[:, :1], later], 1)
        self._near[rows] = F.max_pool2d(seen, 3, stride=1, padding=1) > 0
        self._next = (self._next + clips) % len(self._latents)
        self.size = min(self.size + clips, len(self._latents))

    def choose(self, batch: int) -> Batch:
        """Return a random choice of `batch` clips."""
        rows = torch.randint(self.size, (batch,), generator=self._device, device=self._latents.device)
        return Batch(self._latents[rows].float(), self._tokens[rows], self._marks[rows], self._near[rows])
