# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a solid has to be, and how large, to fill a box of a camera's picture; imports no bpy.

Points are in the camera's own space: x right, y up, z towards whoever looks. Boxes are x1, y1, x2, y2 of the
picture, 0..1, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDS = 12
"""Of correction; a sphere near the edge of a wide lens needs most."""


@dataclass(frozen=True)
class Lens:
    """What a camera makes of points in its own space.

    Attributes:
        rows: float64 (3, 4): x and y of the picture in -1..1, before the division by the last row.
    """

    rows: np.ndarray

    @classmethod
    def of(cls, world_to_clip: np.ndarray, camera_to_world: np.ndarray) -> Lens:
        """From a camera's projection, (4, 4), and its pose without scale, (4, 4)."""
        return cls((world_to_clip @ camera_to_world)[[0, 1, 3]])

    def box(self, points: np.ndarray) -> np.ndarray:
        """Bound what is seen of points (n, 3): float64 (4,), which may reach beyond the picture."""
        seen = np.c_[points, np.ones(len(points))] @ self.rows.T
        x, y = (seen[:, :2] / seen[:, 2:]).T
        return np.array([x.min() + 1, 1 - y.max(), x.max() + 1, 1 - y.min()]) / 2

    def scale(self, distance: float) -> np.ndarray:
        """Parts of the picture that a unit takes at a distance, along x and y: (2,)."""
        return np.abs(self.rows[[0, 1], [0, 1]]) / self._divisor(distance) / 2

    def point(self, x: float, y: float, distance: float) -> np.ndarray:
        """The point that is seen at a place of the picture, at a distance: (3,)."""
        wanted = np.array([2 * x - 1, 1 - 2 * y]) * self._divisor(distance)
        across = self.rows[:2, :2]
        return np.append(
            np.linalg.solve(across, wanted + self.rows[:2, 2] * distance - self.rows[:2, 3]), -distance
        )

    def _divisor(self, distance: float) -> float:
        return float(self.rows[2, 3] - self.rows[2, 2] * distance)


def fit(points: np.ndarray, box, distance: float, lens: Lens, stretch: bool) -> tuple[np.ndarray, np.ndarray]:
    """Place and enlarge a solid so that it fills a box.

    Args:
        points: whose hull is the solid, around its origin: float64 (n, 3).
        box: to be filled.
        distance: of the origin from the camera.
        lens: of that camera.
        stretch: whether width and height may change each by itself, and the thickness with the lesser; else
            the height decides.

    Returns:
        The origin, (3,), and the factors along x, y and z, (3,).
    """
    wanted = np.asarray(box, float)
    size, middle = wanted[2:] - wanted[:2], (wanted[2:] + wanted[:2]) / 2
    factors, origin = np.ones(3), lens.point(middle[0], middle[1], distance)
    for _ in range(ROUNDS):
        seen = lens.box(_kept_before(origin + points * factors))
        ratio = size / (seen[2:] - seen[:2])
        ratio = ratio if stretch else np.full(2, ratio[1])
        factors = factors * np.append(ratio, 1.0)
        factors[2] = min(factors[:2]) if stretch else factors[1]
        seen = lens.box(_kept_before(origin + points * factors))
        missed = middle - (seen[2:] + seen[:2]) / 2
        origin = origin + np.append(missed * [1, -1] / lens.scale(distance), 0.0)
    return origin, factors


def _kept_before(points: np.ndarray) -> np.ndarray:
    """Points, moved before the camera where they are behind it while a size is still sought."""
    points = points.copy()
    points[:, 2] = np.minimum(points[:, 2], -1e-3)
    return points


def unit_points(shape: str) -> np.ndarray:
    """Points whose hull is what Blender draws for an empty of size 1: (n, 3), in its own space.

    Args:
        shape: an ``empty_display_type``; those that are neither round nor pointed count as cubes.
    """
    sides = 8 if shape == "CONE" else 32
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    circle = np.stack([np.cos(turn), np.zeros_like(turn), np.sin(turn)], axis=1)
    match shape:
        case "SPHERE":
            height = np.linspace(-1, 1, 200)
            around = np.pi * (1 + 5**0.5) * np.arange(200)
            ring = np.sqrt(1 - height**2)
            tips = np.vstack([np.eye(3), -np.eye(3)])
            return np.vstack([np.stack([ring * np.cos(around), ring * np.sin(around), height], axis=1), tips])
        case "CONE":
            return np.vstack([circle, [[0, 2, 0]]])
        case "CIRCLE":
            return circle
    return np.indices((2, 2, 2)).reshape(3, 8).T * 2.0 - 1.0
