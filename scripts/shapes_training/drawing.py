# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws scenes: shaded shapes with soft edges and soft shadows on textured grounds, a whole batch at a time.

Every shape is an implicit function on the square [-1, 1]² (x right, y down) that its box is mapped to, so
that the silhouette always fills the box. Outlines follow Inigo Quilez's idea of distance functions, written
anew here.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES
from shapes_training.scenes import HEIGHT, MAX_SUBJECTS, PAN_MARGIN, WIDTH, Scenes, to_device

_LIGHT = (-0.50, -0.58, 0.64)  # unit vector to the light: up, left, and towards the viewer
_SHADOW_OFFSET = (0.16, 0.20)  # in half boxes
_SHADOW_STRENGTH = 0.42

Pair = tuple[torch.Tensor, torch.Tensor]  # distance to the outline (negative inside) and brightness


def _lambert(nx: torch.Tensor, ny: torch.Tensor, nz: torch.Tensor) -> torch.Tensor:
    facing = nx * _LIGHT[0] + ny * _LIGHT[1] + nz * _LIGHT[2]
    return 0.56 + 0.46 * facing.clamp(min=0)


def _ball(x: torch.Tensor, y: torch.Tensor) -> Pair:
    radius_squared = x * x + y * y
    return radius_squared.sqrt() - 1, _lambert(x, y, (1 - radius_squared).clamp(min=0).sqrt())


def _cube(x: torch.Tensor, y: torch.Tensor) -> Pair:
    top = (y < -0.6) & (x - 0.6 < -0.6 - y)
    side = (x > 0.6) & ~top
    brightness = torch.where(top, 1.0, torch.where(side, 0.56, 0.80))
    return torch.maximum(x.abs(), y.abs()) - 1, brightness


def _star(x: torch.Tensor, y: torch.Tensor) -> Pair:
    # Five points on a circle reach 0.951 sideways, 1 up and 0.809 down: undo that, to fill the box.
    x, y = 0.951 * x, 0.9045 * y - 0.0955
    sector = 2 * math.pi / 5
    angle = torch.atan2(x, -y)
    folded = angle - sector * torch.round(angle / sector)
    radius = (x * x + y * y).sqrt()
    along, across = radius * folded.cos(), radius * folded.sin().abs()
    inner = (0.46 * math.cos(sector / 2), 0.46 * math.sin(sector / 2))
    edge = (1 - inner[0], -inner[1])
    length = math.hypot(*edge)
    distance = ((across - inner[1]) * edge[0] - (along - inner[0]) * edge[1]) / length
    return distance, torch.where(folded > 0, 0.70, 0.98)


def _ring(x: torch.Tensor, y: torch.Tensor) -> Pair:
    radius = (x * x + y * y).sqrt().clamp(min=1e-3)
    middle, half = 0.73, 0.27
    across = ((radius - middle) / half).clamp(-1, 1)
    brightness = _lambert(x / radius * across, y / radius * across, (1 - across * across).sqrt())
    return (radius - middle).abs() - half, brightness


def _cone(x: torch.Tensor, y: torch.Tensor) -> Pair:
    half = (y + 1) / 1.82
    slope = math.hypot(1, 1 / 1.82)
    base = y - (0.82 + 0.18 * (1 - x * x).clamp(min=0).sqrt())
    across = (x / half.clamp(min=1e-3)).clamp(-1, 1)
    towards_viewer = 0.9 * (1 - across**2).sqrt()
    return torch.maximum((x.abs() - half) / slope, base), _lambert(
        across, across.new_tensor(-0.3), towards_viewer
    )


_OUTLINES = dict(zip(SHAPES, (_ball, _cube, _star, _ring, _cone), strict=True))


def _outline(shape: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> Pair:
    """Distance and brightness of each clip's own shape; `shape` is (B,), x and y are (B, F, H, W)."""
    pairs = [outline(x, y) for outline in _OUTLINES.values()]
    chosen = shape.view(-1, 1, 1, 1)
    distance, brightness = pairs[0]
    for index, (other_distance, other_brightness) in enumerate(pairs[1:], start=1):
        distance = torch.where(chosen == index, other_distance, distance)
        brightness = torch.where(chosen == index, other_brightness, brightness)
    # Sharp corners of an implicit function reach far beyond them; the box ends them.
    return torch.maximum(distance, torch.maximum(x.abs(), y.abs()) - 1), brightness


def _noise(
    batch: int, cell: tuple[int, int], size: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    """Smooth noise of unit scale, (B, *size), whose grains are `cell` (height, width) pixels."""
    grid = [s // c + 2 for s, c in zip(size, cell, strict=True)]
    field = torch.randn(batch, 1, *grid, generator=generator, device=generator.device)
    return F.interpolate(field, size=size, mode="bicubic", align_corners=True)[:, 0]


def _grounds(ground: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Textured grounds, (B, 3, HEIGHT + 2 PAN_MARGIN, WIDTH + 2 PAN_MARGIN), in 0..1."""
    batch, device = len(ground), ground.device
    size = (HEIGHT + 2 * PAN_MARGIN, WIDTH + 2 * PAN_MARGIN)

    def noise(height: int, width: int) -> torch.Tensor:
        return _noise(batch, (height, width), size, generator)

    y = torch.arange(size[0], device=device)[:, None].float()
    broad, middle = noise(56, 56), noise(20, 20)
    blades, grains, dunes = noise(14, 6), noise(8, 8), noise(24, 80)
    ripples = torch.sin(y / 5.0 + 1.6 * middle + 1.5 * broad)
    plank_edge = ((y + 12 * broad.mean((1, 2), keepdim=True)) % 40 - 20).abs() > 18.4
    veins = torch.sin(y / 2.6 + 2.0 * noise(30, 120) + 0.4 * dunes)
    relief = torch.stack(
        [
            0.09 * blades + 0.05 * middle,
            0.045 * ripples + 0.03 * broad,
            0.035 * dunes + 0.015 * broad,
            0.045 * grains + 0.04 * broad,
            0.07 * veins + 0.04 * dunes - 0.25 * plank_edge,
        ],
        1,
    )
    relief = relief[torch.arange(batch, device=device), ground]
    colours = to_device(torch.tensor(list(GROUNDS.values())), device)[ground]
    exposure = 1 + 0.06 * torch.randn(batch, 1, 1, generator=generator, device=device)
    return (colours[:, :, None, None] * (exposure * (1 + relief))[:, None]).clamp(0, 1)


def _panned(ground: torch.Tensor, pan: torch.Tensor) -> torch.Tensor:
    """The frame's view of the ground in every frame, (B, F, 3, H, W), at subpixel offsets `pan` (B, F, 2)."""
    batch, frames = pan.shape[:2]
    full_height, full_width = ground.shape[-2:]
    x = torch.arange(WIDTH, device=pan.device) + PAN_MARGIN + pan[..., 0, None]
    y = torch.arange(HEIGHT, device=pan.device) + PAN_MARGIN + pan[..., 1, None]
    x, y = 2 * x / (full_width - 1) - 1, 2 * y / (full_height - 1) - 1
    grid = torch.stack(
        [x[:, :, None, :].expand(-1, -1, HEIGHT, -1), y[:, :, :, None].expand(-1, -1, -1, WIDTH)], -1
    )
    # All frames of a clip look at one ground, so stack them along the sampled height.
    grid = grid.reshape(batch, frames * HEIGHT, WIDTH, 2)
    view = F.grid_sample(ground, grid, align_corners=True, padding_mode="border")
    return view.view(batch, 3, frames, HEIGHT, WIDTH).transpose(1, 2)


def draw(scenes: Scenes, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw scenes that lie on the generator's device.

    Returns the clips, float32 (B, F, 3, HEIGHT, WIDTH) in -1..1, and what is seen of each subject:
    coverage in 0..1, float32 (B, MAX_SUBJECTS, F, HEIGHT, WIDTH), less what hides behind the nearer one.
    """
    device = generator.device
    clip = _panned(_grounds(scenes.ground, generator), scenes.pan)
    pixel_x = torch.arange(WIDTH, device=device) + 0.5
    pixel_y = torch.arange(HEIGHT, device=device)[:, None] + 0.5
    palette = to_device(torch.tensor(list(COLOURS.values())), device)
    batch, frames = scenes.pan.shape[:2]
    visible = torch.zeros(batch, MAX_SUBJECTS, frames, HEIGHT, WIDTH, device=device)
    for slot in range(MAX_SUBJECTS):
        centre_x, centre_y, width, height = scenes.boxes[:, slot, :, :, None, None].unbind(2)
        x, y = (pixel_x - centre_x) / (0.5 * width), (pixel_y - centre_y) / (0.5 * height)
        present = scenes.present[:, slot].view(-1, 1, 1, 1)
        scale = 0.5 * torch.minimum(width, height)  # half boxes to pixels

        distance, _ = _outline(scenes.shape[:, slot], x - _SHADOW_OFFSET[0], y - _SHADOW_OFFSET[1])
        shadow = (0.5 - distance * scale / 12).clamp(0, 1) * present
        clip = clip * (1 - _SHADOW_STRENGTH * shadow[:, :, None])

        distance, brightness = _outline(scenes.shape[:, slot], x, y)
        coverage = (0.5 - distance * scale).clamp(0, 1) * present
        colour = palette[scenes.colour[:, slot]].view(-1, 1, 3, 1, 1)
        clip = torch.lerp(clip, (colour * brightness[:, :, None]).clamp(0, 1), coverage[:, :, None])
        visible[:, :slot] *= 1 - coverage[:, None]
        visible[:, slot] = coverage
    return clip * 2 - 1, visible
