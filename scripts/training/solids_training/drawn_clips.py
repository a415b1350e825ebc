# SPDX-License-Identifier: GPL-3.0-or-later
"""A ring of drawn clips to learn pictures from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from shapes_training.drawing import draw
from shapes_training.scenes import HEIGHT, WIDTH, Scenes, sample_scenes

from solids_training.networks import NUM_FRAMES

#: A subject's pixels weigh this much more than the ground's; up to `_SMALL_WEIGHT` times as much again where
#: it covers less than `_SMALL` of the frame, so that a small one does not count for nothing.
_SUBJECT_WEIGHT, _SMALL_WEIGHT, _SMALL = 3.0, 3.0, 0.06
_WEIGHT_STEPS = 16  # a weight is kept in sixteenths


class DrawnClips:
    """Clips on the device in bytes, refreshed a few at a time.

    Args:
        capacity: clips that it holds.
        seed: of the scenes.
        device: where they are drawn and kept.
    """

    def __init__(self, capacity: int, seed: int, device: str):
        self._cpu = torch.Generator().manual_seed(seed)
        self._device = torch.Generator(device).manual_seed(seed)
        self.size, self._next = 0, 0
        self._pixels = torch.empty(capacity, NUM_FRAMES, 3, HEIGHT, WIDTH, dtype=torch.uint8, device=device)
        self._weight = torch.empty(capacity, NUM_FRAMES, HEIGHT, WIDTH, dtype=torch.uint8, device=device)

    def refresh(self, clips: int) -> None:
        """Draw some clips, in place of the oldest; their number divides the capacity."""
        _, drawn, visible = draw_clips(clips, self._cpu, self._device)
        rows = slice(self._next, self._next + clips)
        self._pixels[rows] = ((drawn + 1) * 127.5).round().byte()
        self._weight[rows] = (_weight(visible) * _WEIGHT_STEPS).byte()
        self._next = (self._next + clips) % len(self._pixels)
        self.size = min(self.size + clips, len(self._pixels))

    def choose(self, clips: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Random stretches of so many frames, (clips, 3, frames, H, W) in -1..1, mirrored or not.

        Beside them the weight of each pixel in a loss, (clips, 1, frames, H, W).
        """
        device = self._pixels.device
        rows = torch.randint(self.size, (clips, 1), generator=self._device, device=device)
        start = torch.randint(NUM_FRAMES - frames + 1, (clips, 1), generator=self._device, device=device)
        columns = start + torch.arange(frames, device=device)
        pixels = self._pixels[rows, columns].transpose(1, 2).float() / 127.5 - 1
        weight = self._weight[rows, columns][:, None].float() / _WEIGHT_STEPS
        mirrored = torch.rand(clips, 1, 1, 1, 1, generator=self._device, device=device) < 0.5
        return torch.where(mirrored, pixels.flip(-1), pixels), torch.where(mirrored, weight.flip(-1), weight)


def draw_clips(
    clips: int, cpu: torch.Generator, device: torch.Generator
) -> tuple[Scenes, torch.Tensor, torch.Tensor]:
    """New scenes, on the device, with what `draw` makes of them."""
    scenes = sample_scenes(cpu, clips, NUM_FRAMES).to(device.device)
    return scenes, *draw(scenes, device)


def _weight(visible: torch.Tensor) -> torch.Tensor:
    """Weight of each pixel, (B, F, H, W), by what is seen of each subject, (B, S, F, H, W)."""
    area = visible.mean((-1, -2), keepdim=True).clamp(min=1e-4)
    near = F.max_pool2d(visible.flatten(0, 2)[:, None], 9, stride=1, padding=4).view_as(visible)
    return 1 + _SUBJECT_WEIGHT * ((_SMALL / area).sqrt().clamp(1, _SMALL_WEIGHT) * near).amax(1)
