# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws scenes by casting rays: lit solids with shadows on textured grounds, a whole batch at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from peekaboo_engine.benchmark.shapes_world import COLOURS, SHAPES
from shapes_training.grounds import view_grounds
from shapes_training.scenes import HEIGHT, MAX_SUBJECTS, WIDTH, Scenes, to_device
from shapes_training.solids import MEETINGS, Hits, Rays
from shapes_training.staging import Staged, directions, into_solid, out_of_solid, stage

_SUBSAMPLES = 2  # rays for a pixel, along each axis
_SHADOW_STRIDE = 2  # pixels for a ray that looks for shadows, along each axis: they are soft
_SHADOW_DARKNESS = 0.5
_AMBIENT, _DIFFUSE, _GLOSS = 0.5, 0.52, 0.28
_FRAMES_AT_ONCE = 128  # bounds the memory: a frame has 184,000 rays


def draw(scenes: Scenes, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw scenes that lie on the generator's device.

    Returns the clips, float32 (B, F, 3, HEIGHT, WIDTH) in -1..1, and what is seen of each subject:
    coverage in 0..1, float32 (B, MAX_SUBJECTS, F, HEIGHT, WIDTH), less what hides behind nearer ones.
    """
    count, frames = scenes.travel.shape[:2]
    step = max(1, _FRAMES_AT_ONCE // frames)
    parts = [_draw_part(scenes[start : start + step], generator) for start in range(0, count, step)]
    clips, visible = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return clips, visible


def _draw_part(scenes: Scenes, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    staged = stage(scenes)
    ground = view_grounds(scenes, generator)
    ground = ground * (1 - _SHADOW_DARKNESS * _shadows(scenes, staged)[:, :, None])
    picture, visible = _subjects(scenes, staged)
    bare = 1 - visible.sum(1)
    return (picture + ground * bare[:, :, None]).clamp(0, 1) * 2 - 1, visible


def _pixel_rays(scenes: Scenes, step: float) -> tuple[torch.Tensor, ...]:
    """Directions through the middles of cells of `step` pixels, (B, 1, rows, columns)."""
    device = scenes.pitch.device
    x = (torch.arange(int(WIDTH / step), device=device) + 0.5) * step
    y = (torch.arange(int(HEIGHT / step), device=device)[:, None] + 0.5) * step
    return directions(scenes.pitch[:, None, None, None], x, y)


def _meet(scenes: Scenes, slot: int, rays: Rays) -> Hits:
    """Where rays meet each scene's own solid of a slot; (B, F, rows, columns)."""
    shape, present = scenes.shape[:, slot], scenes.present[:, slot]
    nothing = torch.full_like(rays.dx * rays.ox, 1e6)
    out = Hits(nothing, *(torch.zeros_like(nothing) for _ in range(3)))
    frames = rays.ox.shape[1]
    for index, name in enumerate(SHAPES):
        # Which scenes have this solid decides sizes, so the host has to know.
        chosen = ((shape == index) & present).nonzero().flatten()
        if not len(chosen):
            continue
        own = Rays(*(_of_scenes(part, chosen, frames) for part in rays))
        for whole, part in zip(out, MEETINGS[name](own), strict=True):
            whole[chosen] = part.expand_as(whole[chosen])
    return out


def _of_scenes(part: torch.Tensor, chosen: torch.Tensor, frames: int) -> torch.Tensor:
    return part[chosen] if len(part) > 1 else part.expand(len(chosen), frames, *part.shape[2:])


def _standing(scenes: Scenes, slot: int) -> torch.Tensor:
    is_ring = scenes.shape[:, slot] == SHAPES.index("ring")
    return (scenes.standing[:, slot] & is_ring)[:, None, None, None]


def _shadows(scenes: Scenes, staged: Staged) -> torch.Tensor:
    """How far each pixel of the ground is in a shadow, 0..1: (B, F, HEIGHT, WIDTH)."""
    dx, dy, dz = _pixel_rays(scenes, _SHADOW_STRIDE)
    origin = (dx / -dy, torch.full_like(dy, -1.0), dz / -dy)
    sun = tuple(c.view(-1, 1, 1, 1) for c in scenes.sun.unbind(-1))
    dark = torch.zeros(len(dx), scenes.travel.shape[1], *dx.shape[2:], device=dx.device)
    for slot in range(MAX_SUBJECTS):
        rays = into_solid(staged, slot, _standing(scenes, slot), origin, sun)
        dark = torch.maximum(dark, _meet(scenes, slot, rays).hit.float())
    soft = F.avg_pool2d(dark, 3, stride=1, padding=1, count_include_pad=False)
    return F.interpolate(soft, size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)


def _subjects(scenes: Scenes, staged: Staged) -> tuple[torch.Tensor, torch.Tensor]:
    """The subjects' part of the picture (B, F, 3, HEIGHT, WIDTH), and the coverage of each (B, S, F, ...)."""
    direction = _pixel_rays(scenes, 1 / _SUBSAMPLES)
    palette = to_device(torch.tensor(list(COLOURS.values())), scenes.pitch.device)
    nearest: torch.Tensor | None = None
    for slot in range(MAX_SUBJECTS):
        standing = _standing(scenes, slot)
        hits = _meet(scenes, slot, into_solid(staged, slot, standing, (0.0, 0.0, 0.0), direction))
        normal = out_of_solid(staged, slot, standing, hits[1:])
        bright, gloss = _light(scenes, normal, direction)
        own = palette[scenes.colour[:, slot]].view(-1, 1, 3, 1, 1) * bright[:, :, None] + gloss[:, :, None]
        if nearest is None:
            nearest, colour = hits.t, own
            owner = torch.where(hits.hit, slot, -1)
        else:
            nearer = hits.t < nearest
            nearest = torch.where(nearer, hits.t, nearest)
            owner = torch.where(nearer, slot, owner)
            colour = torch.where(nearer[:, :, None], own, colour)
    seen = torch.stack([(owner == slot).float() for slot in range(MAX_SUBJECTS)], 1)
    picture = colour.clamp(0, 1) * (owner >= 0)[:, :, None]
    return _pooled(picture), _pooled(seen)


def _pooled(samples: torch.Tensor) -> torch.Tensor:
    """Mean of a pixel's samples."""
    return F.avg_pool2d(samples.flatten(0, 2), _SUBSAMPLES).unflatten(0, samples.shape[:3])


def _light(
    scenes: Scenes, normal: tuple[torch.Tensor, ...], direction: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Brightness of a coloured surface, and the white gloss on it."""
    sx, sy, sz = (c.view(-1, 1, 1, 1) for c in scenes.sun.unbind(-1))
    nx, ny, nz = normal
    facing = nx * sx + ny * sy + nz * sz
    dx, dy, dz = direction
    length = (dx * dx + dy * dy + dz * dz).sqrt()
    mirrored = (2 * facing * nx - sx) * dx + (2 * facing * ny - sy) * dy + (2 * facing * nz - sz) * dz
    gloss = (-mirrored / length).clamp(min=0) ** 24
    skylight = _AMBIENT * (0.85 + 0.15 * ny)
    return skylight + _DIFFUSE * facing.clamp(min=0), _GLOSS * gloss * (facing > 0)
