# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture that a shot's clip starts from: rendered from its scene, or a file of the user's."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy

from .. import paths
from ..borders import places
from ..engine import catalogue, job_schema
from ..errors import PeekabooError
from ..masks import simulations, still
from .model import model_of
from .size import picture_of as picture_of_shot

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}
"""How the files begin that an engine takes."""


@dataclass(frozen=True)
class Picture:
    """A picture as a job folder holds it.

    Attributes:
        name: of its file, which says what is in it: two jobs with pictures of the same name are the same.
        data: the file.
    """

    name: str
    data: bytes


def problem(scene) -> str | None:
    """Say in a sentence what of *Start From* does not go with the model; None where all does.

    A model that cannot be used is told of elsewhere.
    """
    settings = scene.peekaboo
    try:
        taken = catalogue.first_frame(model_of(scene))
        last = catalogue.last_frame(model_of(scene))
    except PeekabooError:
        return None
    if settings.start_from == "text" and taken == "needed":
        return "This model starts from a picture: choose Rendered Frame or Picture in Start From."
    if settings.start_from != "text" and taken == "none":
        return "This model takes no first frame: choose Text in Start From, or another model."
    if last == "needed":
        return "This model needs a last frame, which a shot cannot give it: choose another model."
    if settings.start_from == "picture" and not settings.picture:
        return "There is no picture to start from: choose one, or Rendered Frame."
    return None


def check(scene) -> None:
    """Raise PeekabooError for a :func:`problem`."""
    if told := problem(scene):
        raise PeekabooError(told)


def of(scene, time: float, rendered: Mapping[float, Picture] = {}) -> Picture | None:
    """The picture that a scene's clip starts from; None where it starts from text.

    Args:
        scene: with the settings.
        time: that the first frame of the clip stands for, in scene frames.
        rendered: pictures that were rendered already, by their times.

    Raises:
        PeekabooError: it cannot be rendered or read, or does not go with the model.
    """
    check(scene)
    if scene.peekaboo.start_from == "text":
        return None
    if scene.peekaboo.start_from == "picture":
        return read(paths.absolute(scene.peekaboo.picture))
    if time in rendered:
        return rendered[time]
    with _place() as path:
        still.render_still(scene, time, picture_of_shot(scene), path)
        return read(path)


def in_turns(
    scene, times: Sequence[float], then: Callable[[dict[float, Picture]], object]
) -> simulations.Turns[None]:
    """Render the pictures of a scene while its window goes on drawing.

    Args:
        scene: with the settings.
        times: of the pictures.
        then: gets them by their times.

    Raises:
        PeekabooError: as :func:`of`.
    """
    size, rendered = picture_of_shot(scene), {}
    for number, time in enumerate(times):
        with _place() as path:
            for _ in still.render_in_turns(scene, time, size, path):
                yield "Rendering the first frame", number + 1, len(times)
            rendered[time] = read(path)
    then(rendered)


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=bpy.app.tempdir or None, prefix="peekaboo-") as folder:
        yield Path(folder) / "first_frame.png"


def read(path: Path) -> Picture:
    """Read a file that the user has chosen.

    Raises:
        PeekabooError: it is missing, too large, or neither PNG nor JPEG.
    """
    try:
        data = places.read_file(path, job_schema.MAX_PICTURE, follow=True)
    except OSError as error:
        raise PeekabooError(
            f'The picture "{path}" cannot be read ({error.strerror or error}): choose another one.'
        ) from None
    return picture_of(data, path)


def picture_of(data: bytes, path: Path) -> Picture:
    """The picture that a file holds; raises as :func:`read`."""
    suffix = next((name for start, name in SIGNATURES.items() if data.startswith(start)), None)
    if suffix is None:
        raise PeekabooError(f'"{path}" is neither PNG nor JPEG: save the picture as one of these.')
    return Picture(f"first_frame_{hashlib.sha256(data).hexdigest()[:12]}.{suffix}", data)


def of_job(job: dict, folder: Path) -> Picture | None:
    """The picture in the folder of a job; None where it has none.

    Raises:
        PeekabooError: it is gone, or was replaced.
    """
    if not (name := job.get("first_frame")):
        return None
    try:
        picture = picture_of(places.read_file(folder / name, job_schema.MAX_PICTURE), folder / name)
    except OSError as error:
        raise PeekabooError(
            f'The first frame in "{folder}" cannot be read ({error.strerror or error}): press Restore '
            "Settings, then Generate."
        ) from None
    if name.startswith("first_frame_") and name != picture.name:
        raise PeekabooError(
            f'The first frame in "{folder}" was replaced: press Restore Settings, then Generate.'
        )
    return Picture(name, picture.data)
