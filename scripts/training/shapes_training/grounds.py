# SPDX-License-Identifier: GPL-3.0-or-later
"""Textured grounds, seen in perspective by a camera that moves over them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from peekaboo_engine.benchmark.shapes_world import GROUNDS
from shapes_training.scenes import HEIGHT, WIDTH, Scenes, to_device
from shapes_training.staging import directions

#: Texels of a ground, and the part of the plane that they cover, in heights of the camera: right and ahead.
_TEXELS = (512, 704)
_REACH_X, _NEAR_Z, _FAR_Z = 2.6, 0.1, 3.9


def _noise(batch: int, cell: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Smooth noise of unit scale, (B, *_TEXELS), whose grains are `cell` (rows, columns) texels."""
    grid = [s // c + 2 for s, c in zip(_TEXELS, cell, strict=True)]
    field = torch.randn(batch, 1, *grid, generator=generator, device=generator.device)
    return F.interpolate(field, size=_TEXELS, mode="bicubic", align_corners=True)[:, 0]


def _textures(ground: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Grounds seen from above, (B, 3, *_TEXELS) in 0..1; row 0 is the nearest."""
    batch, device = len(ground), ground.device
    y = torch.arange(_TEXELS[0], device=device)[:, None].float()
    broad, middle = _noise(batch, (90, 90), generator), _noise(batch, (32, 32), generator)
    blades, grains = _noise(batch, (20, 9), generator), _noise(batch, (13, 13), generator)
    dunes = _noise(batch, (36, 120), generator)
    ripples = torch.sin(y / 8.0 + 1.6 * middle + 1.5 * broad)
    plank_edge = (y % 64 - 32).abs() > 30
    veins = torch.sin(y / 4.2 + 2.0 * _noise(batch, (48, 190), generator) + 0.4 * dunes)
    relief = torch.stack(
        [
            0.09 * blades + 0.05 * middle,
            0.045 * ripples + 0.03 * broad,
            0.035 * dunes + 0.015 * broad,
            0.045 * grains + 0.04 * broad,
            0.06 * veins + 0.04 * dunes - 0.25 * plank_edge,
        ],
        1,
    )
    relief = relief[torch.arange(batch, device=device), ground]
    colours = to_device(torch.tensor(list(GROUNDS.values())), device)[ground]
    exposure = 1 + 0.06 * torch.randn(batch, 1, 1, generator=generator, device=device)
    return (colours[:, :, None, None] * (exposure * (1 + relief))[:, None]).clamp(0, 1)


def view_grounds(scenes: Scenes, generator: torch.Generator) -> torch.Tensor:
    """What the camera sees of the bare grounds, (B, F, 3, HEIGHT, WIDTH) in 0..1."""
    textures = _textures(scenes.ground, generator)
    batch, frames = scenes.travel.shape[:2]
    x = torch.arange(WIDTH, device=textures.device) + 0.5
    y = torch.arange(HEIGHT, device=textures.device)[:, None] + 0.5
    dx, dy, dz = directions(scenes.pitch[:, None, None, None], x, y)
    on_x = dx / -dy + scenes.travel[..., 0, None, None]
    on_z = dz / -dy + scenes.travel[..., 1, None, None]
    grid = torch.stack([on_x / _REACH_X, 2 * (on_z - _NEAR_Z) / (_FAR_Z - _NEAR_Z) - 1], -1)
    # All frames of a clip look at one ground, so stack them along the sampled height.
    grid = grid.reshape(batch, frames * HEIGHT, WIDTH, 2)
    view = F.grid_sample(textures, grid, align_corners=False, padding_mode="reflection")
    return view.view(batch, 3, frames, HEIGHT, WIDTH).transpose(1, 2)
