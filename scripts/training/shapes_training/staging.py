# SPDX-License-Identifier: GPL-3.0-or-later
"""From the boxes in which subjects are to be seen to solids on the ground before a camera.

World axes are x right, y up, z ahead (level), in heights of the camera over the ground; the camera is at the
origin, the ground is the plane y = -1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from peekaboo_engine.benchmark.shapes_world import SHAPES
from shapes_training.scenes import HEIGHT, WIDTH, Scenes
from shapes_training.solids import TUBE, Rays

#: Focal length in pixels, for a field of view of 38 degrees from top to bottom.
FOCAL = 0.5 * HEIGHT / math.tan(math.radians(19))


@dataclass
class Staged:
    """Solids of B scenes, S subjects and F frames.

    `axes` are half sizes along the solid's own axes; `yaw` turns it around the vertical.
    """

    centre: torch.Tensor  # (B, S, F, 3)
    axes: torch.Tensor  # (B, S, F, 3)
    yaw: torch.Tensor  # (B, S, F)


def directions(pitch: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """World directions of the rays through pixels, of depth 1 along the optical axis.

    `pitch` broadcasts with x and y, which are in pixels.
    """
    right, down = (x - 0.5 * WIDTH) / FOCAL, (y - 0.5 * HEIGHT) / FOCAL
    sine, cosine = pitch.sin(), pitch.cos()
    ahead = (right + 0 * cosine, -down * cosine - sine, cosine - down * sine)
    return torch.broadcast_tensors(*ahead)


def stage(scenes: Scenes) -> Staged:
    """Put the subjects so that each about fills its box, with its lowest point on the ground or above it.

    A box's height is shared between how tall a solid is and how deep, which a camera from above sees as
    height.
    """
    pitch = scenes.pitch[:, None, None]
    half_width, half_height = (0.5 * scenes.boxes[..., 2:]).unbind(-1)
    sine, cosine = pitch.sin(), pitch.cos()
    shape, standing = scenes.shape[:, :, None], scenes.standing[:, :, None]
    deep = torch.minimum(half_width, 0.55 * half_height / sine)
    # Round solids and flat rings, by their outline seen at the camera's pitch; then those with a flat top.
    round_tall = (half_height**2 - (deep * sine) ** 2).clamp(min=1).sqrt() / cosine
    edged_tall = (half_height - deep * sine) / cosine
    pointed_tall = (half_height - 0.5 * deep * sine) / cosine
    lying = half_height / (sine + TUBE * cosine)
    is_ring = shape == SHAPES.index("ring")
    tall = torch.where(shape == SHAPES.index("ball"), round_tall, edged_tall)
    tall = torch.where(shape == SHAPES.index("cone"), pointed_tall, tall)
    tall = torch.where(is_ring, torch.where(standing, half_height / cosine, TUBE * lying), tall)
    deep = torch.where(is_ring, torch.where(standing, TUBE * torch.minimum(half_width, tall), lying), deep)

    _, rise, _ = directions(pitch, scenes.boxes[..., 0], scenes.boxes[..., 1])
    depth = 1 / (tall * (1 + 2 * scenes.lift) / FOCAL - rise)
    ahead = torch.stack(directions(pitch, scenes.boxes[..., 0], scenes.boxes[..., 1]), -1)
    axes = torch.stack([half_width, tall, deep], -1) * (depth / FOCAL)[..., None]
    turning = (shape == SHAPES.index("cube")) | (is_ring & standing)
    return Staged(ahead * depth[..., None], axes, torch.where(turning, scenes.yaw, 0.0))


def into_solid(
    staged: Staged,
    slot: int,
    standing: torch.Tensor,
    origin: tuple[torch.Tensor | float, ...],
    direction: tuple[torch.Tensor, ...],
) -> Rays:
    """Rays of the world in the space of one subject of each scene.

    `origin` and `direction` are coordinates that broadcast to (B, F, rows, columns). A standing ring's own y
    axis points at the camera.
    """
    cx, cy, cz = (c[..., None, None] for c in staged.centre[:, slot].unbind(-1))
    ax, ay, az = (a[..., None, None] for a in staged.axes[:, slot].unbind(-1))
    yaw = staged.yaw[:, slot, :, None, None]
    cosine, sine = yaw.cos(), yaw.sin()

    def turned(x, y, z):
        own = (cosine * x - sine * z) / ax, y / ay, (sine * x + cosine * z) / az
        return own[0], torch.where(standing, own[2], own[1]), torch.where(standing, own[1], own[2])

    ox, oy, oz = origin
    return Rays(*turned(ox - cx, oy - cy, oz - cz), *turned(*direction))


def out_of_solid(
    staged: Staged, slot: int, standing: torch.Tensor, normal: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    """Unit normals in the world from normals in the space of one subject of each scene."""
    nx, ny, nz = normal
    ny, nz = torch.where(standing, nz, ny), torch.where(standing, ny, nz)
    ax, ay, az = (a[..., None, None] for a in staged.axes[:, slot].unbind(-1))
    nx, ny, nz = nx / ax, ny / ay, nz / az
    yaw = staged.yaw[:, slot, :, None, None]
    cosine, sine = yaw.cos(), yaw.sin()
    x, y, z = cosine * nx + sine * nz, ny, cosine * nz - sine * nx
    length = (x * x + y * y + z * z).sqrt().clamp(min=1e-9)
    return x / length, y / length, z / length
