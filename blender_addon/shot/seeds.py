# SPDX-License-Identifier: GPL-3.0-or-later
"""Which seed a clip has: the one place that decides."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice

from .shots import Shot

SEED_LIMIT = 2**31
"""Seeds are less than this: what an integer property of Blender's holds."""


def seeds(scene, count: int = 1, shot: Shot | None = None) -> list[int]:
    """The seeds of a shot's next clips: random ones, or the one that is set and those after it."""
    return list(islice(further_seeds(scene, shot), count))


def further_seeds(scene, shot: Shot | None = None) -> Iterator[int]:
    """The seeds of a shot's next clips without end; one of its own comes first. See :func:`seeds`."""
    settings, own = scene.peekaboo, None if shot is None else shot.seed
    while own is None and settings.seed_mode == "RANDOM":
        yield random.randrange(SEED_LIMIT)
    first = settings.seed if own is None else own
    yield from ((first + i) % SEED_LIMIT for i in range(SEED_LIMIT))


def unused_seed(scene, used: Iterable[int]) -> int:
    """A seed for one more clip like others: the one after the largest of theirs, or a random one."""
    if scene.peekaboo.seed_mode == "RANDOM":
        return seeds(scene)[0]
    return (max(used, default=-1) + 1) % SEED_LIMIT
