# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a shot's clip is, and how many pictures it has, of what its model can do."""

from __future__ import annotations

import math
from itertools import product

from ..engine import catalogue, job_schema
from ..errors import PeekabooError
from ..masks import cameras
from . import shots
from .model import model_of
from .shots import Shot

ALIKE = 0.1
"""Up to this share, a clip's rate and the model's own are the same to the eye."""


def size_of(scene, shot: Shot | None = None) -> tuple[int, int, int]:
    """Width, height and number of frames of a shot's clip; the scene is one by default.

    Raises:
        PeekabooError: there is no such model, it cannot make that size, or the scene's range is empty.
    """
    return *picture_of(scene), frames_of(scene, shot)


def picture_of(scene) -> tuple[int, int]:
    """Width and height of a scene's clips, in pixels; raises as :func:`size_of`."""
    model, settings = model_of(scene), scene.peekaboo
    width, height, num_frames = catalogue.model_size(model)
    multiple = catalogue.abilities(model).multiple
    if settings.size == "aspect":
        width, height = _with_aspect(width * height, cameras.picture_size(scene.render)[2], multiple)
    elif settings.size == "custom":
        width, height = settings.width, settings.height
        near = tuple(max(multiple, round(side / multiple) * multiple) for side in (width, height))
        if near != (width, height):
            raise PeekabooError(
                f"The model makes no pictures of {width} × {height}, only multiples of {multiple}: take "
                f"{near[0]} × {near[1]}."
            )
    if problem := job_schema.size_problem(width, height, num_frames):
        raise PeekabooError(f"Pictures of {width} × {height} are not made ({problem}): take another size.")
    return width, height


def _with_aspect(pixels: int, aspect: float, multiple: int) -> tuple[int, int]:
    """The size nearest to an aspect and a number of pixels, of sides that are multiples of a number."""
    height = math.sqrt(pixels / aspect) / multiple
    sides = ((math.floor(side), math.ceil(side)) for side in (height * aspect, height))
    choices = [(max(1, x) * multiple, max(1, y) * multiple) for x, y in product(*sides)]

    def strays(size: tuple[int, int]) -> float:
        return abs(math.log(size[0] / size[1] / aspect)) + abs(math.log(size[0] * size[1] / pixels))

    return min(choices, key=strays)


def frames_of(scene, shot: Shot | None = None) -> int:
    """Number of frames of a shot's clip; raises as :func:`size_of`.

    It is the model's own, or as many as the shot lasts at the model's own rate, up to the most that it makes.
    """
    model = model_of(scene)
    own, can = catalogue.model_size(model)[2], catalogue.abilities(model)
    if scene.peekaboo.frames != "shot" or not can.rate or own == 1:
        return own
    wanted = math.ceil(seconds_of(scene, shot) * can.rate - 1e-6)
    most = max(own, can.most_frames)
    groups = max(1, math.ceil((wanted - 1) / can.compression))
    return 1 + min(groups, (most - 1) // can.compression) * can.compression


def seconds_of(scene, shot: Shot | None = None) -> float:
    """How long a shot lasts."""
    first, last = (shot.first, shot.last) if shot is not None else shots.range_of(scene)
    return (last - first + 1) * scene.render.fps_base / scene.render.fps


def in_words(scene, shot: Shot | None = None) -> str:
    """Say what a shot's clip will be: ``832 × 480, 81 pictures in 5.1 s, 16 a second``; raises as
    :func:`size_of`."""
    width, height, count = size_of(scene, shot)
    if count == 1:
        return f"{width} × {height}, one picture"
    seconds, own = seconds_of(scene, shot), catalogue.abilities(model_of(scene)).rate
    rate = count / seconds
    text = f"{width} × {height}, {count} pictures in {seconds:.2g} s, {rate:.3g} a second"
    if not own or abs(rate / own - 1) <= ALIKE:
        return text
    speed = f"{own / rate:.2g} times slower" if rate < own else f"{rate / own:.2g} times faster"
    return f"{text}: what the model moves at its own {own:g} is seen {speed}"
