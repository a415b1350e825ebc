# SPDX-License-Identifier: GPL-3.0-or-later
"""Which seed a clip has: the one place that decides."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice

SEED_LIMIT = 2**31
"""Seeds are less than this: what an integer property of Blender's holds."""


def seeds(scene, count: int = 1) -> list[int]:
    """The seeds of a scene's next clips: random ones, or the one that is set and those after it."""
    return list(islice(further_seeds(scene), count))


def further_seeds(scene) -> Iterator[int]:
    """The seeds of a scene's next clips without end; see :func:`seeds`."""
    settings = scene.peekaboo
    if settings.seed_mode == "RANDOM":
        while True:
            yield random.randrange(SEED_LIMIT)
    yield from ((settings.seed + i) % SEED_LIMIT for i in range(SEED_LIMIT))


def unused_seed(scene, used: Iterable[int]) -> int:
    """A seed for one more clip like others: the one after the largest of theirs, or a random one."""
    if scene.peekaboo.seed_mode == "RANDOM":
        return seeds(scene)[0]
    return (max(used, default=-1) + 1) % SEED_LIMIT
