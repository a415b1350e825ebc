# SPDX-License-Identifier: GPL-3.0-or-later
"""Where rays meet the solids of the `shapes` world.

Each solid is given in its own space, x right, y up, z away, within [-1, 1]³; a subject is that space,
stretched and turned. Rays are mapped into it unnormalised, so that their parameter t means the same in both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from peekaboo_engine.benchmark.shapes_world import SHAPES

TUBE = 0.32  # radius of the ring's tube; its outer radius is 1
_TRACE_STEPS = 96  # with 28, rings have holes of single pixels
_TRACE_EPSILON = 8e-3
_FAR = 1e6


class Rays(NamedTuple):
    """Rays o + t d, as their coordinates: six tensors that broadcast with each other."""

    ox: torch.Tensor
    oy: torch.Tensor
    oz: torch.Tensor
    dx: torch.Tensor
    dy: torch.Tensor
    dz: torch.Tensor


class Hits(NamedTuple):
    """Where rays first meet a solid: t (_FAR where they miss), and the normal there, not of unit length."""

    t: torch.Tensor
    nx: torch.Tensor
    ny: torch.Tensor
    nz: torch.Tensor

    @property
    def hit(self) -> torch.Tensor:
        """Which rays meet it."""
        return self.t < _FAR


def _quadratic(a: torch.Tensor, half_b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Both roots of a t² + 2 half_b t + c, in order for a > 0, and where they are real."""
    discriminant = half_b * half_b - a * c
    root = discriminant.clamp(min=0).sqrt()
    safe = torch.where(a.abs() > 1e-9, a, 1e-9)
    return (-half_b - root) / safe, (-half_b + root) / safe, discriminant > 0


def _slab(origin: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where rays enter and leave -1..1 along one axis."""
    safe = torch.where(direction.abs() > 1e-9, direction, 1e-9)
    one, other = (-1 - origin) / safe, (1 - origin) / safe
    return torch.minimum(one, other), torch.maximum(one, other)


def _found(t: torch.Tensor, hit: torch.Tensor) -> torch.Tensor:
    return torch.where(hit & (t > 1e-4), t, _FAR)


def meet_ball(r: Rays) -> Hits:
    """The unit sphere."""
    t, _, real = _quadratic(
        r.dx * r.dx + r.dy * r.dy + r.dz * r.dz,
        r.ox * r.dx + r.oy * r.dy + r.oz * r.dz,
        r.ox * r.ox + r.oy * r.oy + r.oz * r.oz - 1,
    )
    return Hits(_found(t, real), r.ox + t * r.dx, r.oy + t * r.dy, r.oz + t * r.dz)


def meet_cube(r: Rays) -> Hits:
    """The cube [-1, 1]³."""
    enter, leave = zip(_slab(r.ox, r.dx), _slab(r.oy, r.dy), _slab(r.oz, r.dz), strict=True)
    t = torch.maximum(torch.maximum(enter[0], enter[1]), enter[2])
    out = torch.minimum(torch.minimum(leave[0], leave[1]), leave[2])
    normals = (
        torch.where(own >= t, -d.sign(), torch.zeros_like(t))
        for own, d in zip(enter, (r.dx, r.dy, r.dz), strict=True)
    )
    return Hits(_found(t, t < out), *normals)


def meet_cylinder(r: Rays) -> Hits:
    """x² + z² <= 1 between y = -1 and 1."""
    t_in, t_out, real = _quadratic(
        r.dx * r.dx + r.dz * r.dz, r.ox * r.dx + r.oz * r.dz, r.ox * r.ox + r.oz * r.oz - 1
    )
    low, high = _slab(r.oy, r.dy)
    t = torch.maximum(t_in, low)
    on_cap = low > t_in
    zero = torch.zeros_like(t)
    return Hits(
        _found(t, real & (t < torch.minimum(t_out, high))),
        torch.where(on_cap, zero, r.ox + t * r.dx),
        torch.where(on_cap, -r.dy.sign(), zero),
        torch.where(on_cap, zero, r.oz + t * r.dz),
    )


def meet_cone(r: Rays) -> Hits:
    """From the apex at y = 1 to a base of radius 1 at y = -1: x² + z² = (1 - y)² / 4."""
    o, d = 1 - r.oy, -r.dy  # along the axis, from the apex down
    one, other, real = _quadratic(
        r.dx * r.dx + r.dz * r.dz - 0.25 * d * d,
        r.ox * r.dx + r.oz * r.dz - 0.25 * o * d,
        r.ox * r.ox + r.oz * r.oz - 0.25 * o * o,
    )
    mantle = torch.full_like(one, _FAR)
    for t in (one, other):  # not in order where the quadratic opens downwards
        down = o + t * d
        mantle = torch.minimum(mantle, _found(t, real & (down > 0) & (down < 2)))
    t = (-1 - r.oy) / torch.where(r.dy.abs() > 1e-9, r.dy, 1e-9)
    x, z = r.ox + t * r.dx, r.oz + t * r.dz
    base = _found(t, x * x + z * z < 1)
    t = torch.minimum(mantle, base)
    on_base = base < mantle
    zero = torch.zeros_like(t)
    return Hits(
        t,
        torch.where(on_base, zero, r.ox + t * r.dx),
        torch.where(on_base, -1.0, 0.25 * (o + t * d)),
        torch.where(on_base, zero, r.oz + t * r.dz),
    )


def _trace(r: Rays, t: torch.Tensor, end: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Follow rays from t on to a torus around y with a round tube, or to their end."""
    for _ in range(_TRACE_STEPS):
        x, y, z = r.ox + t * r.dx, r.oy + t * r.dy, r.oz + t * r.dz
        around = (x * x + z * z).sqrt() - (1 - TUBE)
        distance = (around * around + y * y).sqrt() - TUBE
        t = torch.minimum(t + distance / length, end)  # a ray that misses would run off to infinity
    return t


def meet_ring(r: Rays) -> Hits:
    """A torus around the y axis, by sphere tracing; its y is stretched so that the tube reaches -1 and 1.

    The distance is measured before that stretch, where the tube is round.
    """
    oy, dy = TUBE * r.oy, TUBE * r.dy
    length = (r.dx * r.dx + dy * dy + r.dz * r.dz).sqrt()
    start, end, near = _quadratic(
        r.dx * r.dx + dy * dy + r.dz * r.dz,
        r.ox * r.dx + oy * dy + r.oz * r.dz,
        r.ox * r.ox + oy * oy + r.oz * r.oz - 1.02,
    )
    t = start.clamp(min=0).expand(near.shape).clone()
    middle = 1 - TUBE
    # Most rays pass the ring at a distance, and tracing is most of the work of drawing.
    own = Rays(*(part.expand(near.shape)[near] for part in (r.ox, oy, r.oz, r.dx, dy, r.dz)))
    t[near] = _trace(own, *(part.expand(near.shape)[near] for part in (t, end, length)))
    x, y, z = r.ox + t * r.dx, oy + t * dy, r.oz + t * r.dz
    radius = (x * x + z * z).sqrt().clamp(min=1e-6)
    around = radius - middle
    distance = (around * around + y * y).sqrt() - TUBE
    hits = _found(t, near & (distance < _TRACE_EPSILON))
    # The normal in the solid's own, stretched space: the gradient there, so y counts TUBE-fold.
    return Hits(hits, around * x / radius, TUBE * y, around * z / radius)


MEETINGS = dict(zip(SHAPES, (meet_ball, meet_cube, meet_cylinder, meet_cone, meet_ring), strict=True))
