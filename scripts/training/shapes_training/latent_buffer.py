# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoded clips to learn from.

Drawing and encoding a clip costs as much as learning from it, so latents wait in a ring on the device: a few
are replaced now and then, and each step learns from a random choice of all.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from shapes_training.captions import MAX_TOKENS, CaptionEncoder
from shapes_training.drawing import draw
from shapes_training.networks import LATENT_CHANNELS, LATENT_STRIDE
from shapes_training.scenes import HEIGHT, NUM_FRAMES, WIDTH, sample_scenes, to_device

_GRID = (HEIGHT // LATENT_STRIDE, WIDTH // LATENT_STRIDE)


class Batch(NamedTuple):
    """Clips to learn from.

    Attributes:
        latents: float32 (clips, channels, frames, rows, columns), of unit variance.
        tokens: int64 (clips, MAX_TOKENS), captions.
        marks: int64 (clips, MAX_TOKENS), the part of the caption that a token belongs to.
        near: bool (clips, frames, rows, columns), cells at most one away from a visible subject.
    """

    latents: torch.Tensor
    tokens: torch.Tensor
    marks: torch.Tensor
    near: torch.Tensor


class LatentBuffer:
    """A ring of encoded clips with their captions, refreshed a few at a time."""

    def __init__(self, vae: AutoencoderKL, encode: CaptionEncoder, capacity: int, seed: int, device: str):
        self.vae, self._encode_captions, self._next = vae, encode, 0
        self._cpu = torch.Generator().manual_seed(seed)
        self._device = torch.Generator(device).manual_seed(seed)
        self.size = 0
        self._latents = torch.empty(
            capacity, LATENT_CHANNELS, NUM_FRAMES, *_GRID, dtype=torch.bfloat16, device=device
        )
        self._tokens = torch.empty(capacity, MAX_TOKENS, dtype=torch.int64, device=device)
        self._marks = torch.empty_like(self._tokens)
        self._near = torch.empty(capacity, NUM_FRAMES, *_GRID, dtype=torch.bool, device=device)

    @torch.no_grad()
    def refresh(self, clips: int) -> None:
        """Draw and encode some clips, in place of the oldest; their number divides the capacity."""
        scenes = sample_scenes(self._cpu, clips)
        drawn, visible = draw(scenes.to(self._device.device), self._device)
        frames = drawn.flatten(0, 1)
        with torch.autocast(frames.device.type, torch.bfloat16):
            latents = self.vae.encode(frames).latent_dist.sample(self._device)
        latents = latents.unflatten(0, drawn.shape[:2]).transpose(1, 2) * self.vae.config.scaling_factor
        tokens, marks = self._encode_captions(scenes.captions)
        rows = slice(self._next, self._next + clips)
        self._latents[rows] = latents
        self._tokens[rows] = to_device(tokens, self._tokens.device)
        self._marks[rows] = to_device(marks, self._marks.device)
        seen = F.max_pool2d(visible.amax(1), LATENT_STRIDE)
        self._near[rows] = F.max_pool2d(seen, 3, stride=1, padding=1) > 0
        self._next = (self._next + clips) % len(self._latents)
        self.size = min(self.size + clips, len(self._latents))

    def choose(self, batch: int) -> Batch:
        """Return a random choice of `batch` clips."""
        rows = torch.randint(self.size, (batch,), generator=self._device, device=self._latents.device)
        return Batch(self._latents[rows].float(), self._tokens[rows], self._marks[rows], self._near[rows])
