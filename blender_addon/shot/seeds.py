# SPDX-License-Identifier: GPL-3.0-or-later
"""Which seed a clip has: the one place that decides."""

from __future__ import annotations

import random
from collections.abc import Iterable

SEED_LIMIT = 2**31
"""Seeds are less than this: what an integer property of Blender's holds."""


def seeds(scene, count: int = 1) -> list[int]:
    """The seeds of a scene's next clips: random ones, or the one that is set and those after it."""
    settings = scene.peekaboo
    if settings.seed_mode == "RANDOM":
        return [random.randrange(SEED_LIMIT) for _ in range(count)]
    return [(settings.seed + i) % SEED_LIMIT for i in range(count)]


def unused_seed(scene, used: Iterable[int]) -> int:
    """A seed for one more clip like others: the one after the largest of theirs, or a random one."""
    if scene.peekaboo.seed_mode == "RANDOM":
        return seeds(scene)[0]
    return (max(used, default=-1) + 1) % SEED_LIMIT
