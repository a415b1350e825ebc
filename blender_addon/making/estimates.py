# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a clip will take, from how long earlier ones of its model have taken on this machine.

A step takes about as long as there are pixels in all frames, and a clip so many steps and what is done after
them; before the first clip the engine starts, and its model is loaded. Attention grows faster than that, so
that far from what was measured nothing is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..borders import documents, places
from ..engine import catalogue
from ..engine.orders import Order
from ..errors import PeekabooError
from ..memory import remembered
from ..shot.model import model_of
from ..shot.shots import Shot
from ..shot.size import size_of
from . import engine_choice

FILE = "times.json"
MOST_MODELS = 100
FARTHEST = 4.0
"""Times as many pixels, or as few, for which what was measured is said to hold."""


class Measured(NamedTuple):
    """How long the last clip of a model has taken.

    Attributes:
        pixels: of all its frames.
        step: seconds of a step.
        rest: seconds of all else, with the start of the engine and the loading of the model.
        after: of those, the seconds from the last step on.
    """

    pixels: float
    step: float
    rest: float
    after: float = 0.0  # which files of before do not have

    @property
    def start(self) -> float:
        """Seconds before the first step."""
        return max(0.0, self.rest - self.after)


_known: dict[str, Measured] | None = None


def learn(order: Order) -> None:
    """Keep how long a clip has taken, also for other sessions."""
    step = order.seconds_of_step
    if step is None:  # it had fewer than two steps
        return
    model, known = order.job["model"], _read()
    before, after = known.pop(model, None), order.seconds_of_rest or 0.0
    rest = max(after, order.seconds - step * order.steps)
    if before is not None and not order.loaded:  # by an engine that had it, which says nothing of the start
        rest = after + before.start
    known[model] = Measured(_pixels(order.job), step, rest, after)
    while len(known) > MOST_MODELS:
        del known[next(iter(known))]
    folder = engine_choice.user_folder()
    if folder is not None:
        data = json.dumps(known).encode()
        with suppress(OSError), places.opened(folder) as files:  # an estimate is not worth an error
            files.write(FILE, lambda file: file.write(data))


def _pixels(job: dict) -> int:
    return job["width"] * job["height"] * job["num_frames"]


def after_steps(job: dict) -> float:
    """Seconds that a clip takes from its last step on, by the last one of its model; 0 if nobody knows."""
    known = _read().get(job["model"])
    return known.after * _pixels(job) / known.pixels if known else 0.0


def seconds_of(
    scene, shots: Sequence[Shot], count: int, has_loaded: Callable[[str], bool] = lambda model: False
) -> float | None:
    """How long so many takes of shots will take, in seconds; None where nobody knows.

    Args:
        scene: of the shots.
        shots: that are made.
        count: of takes of each.
        has_loaded: whether an engine is up that has a model loaded.
    """
    try:
        model = model_of(scene)
        steps = scene.peekaboo.num_inference_steps or catalogue.steps_of(model)
        pixels = [math.prod(size_of(scene, shot)) for shot in shots]
    except PeekabooError:
        return None
    known = _read().get(model)
    if (
        known is None
        or not steps
        or any(not 1 / FARTHEST <= one / known.pixels <= FARTHEST for one in pixels)
    ):
        return None
    clips = count * sum((known.after + steps * known.step) * one / known.pixels for one in pixels)
    return clips + (0.0 if has_loaded(model) else known.start)


def seconds_by_model(scene, shot: Shot, models: Sequence[str]) -> dict[str, float]:
    """How long a clip of a shot takes, by those models of which that is known; of the scene's by default."""
    found: dict[str, float] = {}
    before = scene.peekaboo.model
    try:
        for model in models or [before]:
            scene.peekaboo.model = model
            if seconds := seconds_of(scene, [shot], 1):
                found[model] = seconds
    finally:
        scene.peekaboo.model = before
    return found


def start_of(model: str) -> float | None:
    """How long it took the last time to start the engine and to load a model, up to the first step."""
    known = _read().get(model)
    return None if known is None else known.start


def _read() -> dict[str, Measured]:
    """What is known, from the file the first time; nothing where that is none of ours."""
    return _load() if _known is None else _known


@remembered({})
def _load() -> dict[str, Measured]:
    global _known
    folder = engine_choice.user_folder()
    _known = _from_file(folder / FILE) if folder is not None else {}
    return _known


def _from_file(path: Path) -> dict[str, Measured]:
    try:
        stated = documents.read_json(path)
        found = {model: Measured(*map(float, numbers)) for model, numbers in stated.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return {
        model: one
        for model, one in found.items()
        if all(map(math.isfinite, one)) and one.pixels > 0 and min(one) >= 0
    }


def forget() -> None:
    """Read the file again at the next question."""
    global _known
    _known = None
