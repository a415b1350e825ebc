# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures that a clip starts from and ends with: rendered from its scene, or files of the user's."""

from __future__ import annotations

import hashlib
import re
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


FIELDS = ("first_frame", "last_frame")
"""Where a job names them."""
CHOICES = ("start_from", "end_with")
"""The settings that ask for them."""


def problem(scene) -> str | None:
    """Say in a sentence what of *Start From* and *End With* does not go with the model; None where all does.

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
    if settings.end_with != "nothing" and last == "none":
        return "This model takes no last frame: choose Nothing in End With, or another model."
    if settings.end_with == "nothing" and last == "needed":
        return "This model needs a last frame: choose Rendered Frame or Picture in End With."
    if settings.end_with != "nothing" and settings.start_from == "text":
        return (
            "A clip that ends with a picture starts with one, too: choose Rendered Frame or Picture in Start "
            "From."
        )
    if settings.start_from == "picture" and not settings.picture:
        return "There is no picture to start from: choose one, or Rendered Frame."
    if settings.end_with == "picture" and not settings.last_picture:
        return "There is no picture to end with: choose one, or Rendered Frame."
    return None


def may_end(scene) -> bool:
    """Whether a clip of the scene may end with a picture: its model takes one, and it starts from one."""
    try:
        return scene.peekaboo.start_from != "text" and catalogue.last_frame(model_of(scene)) != "none"
    except PeekabooError:
        return False


def check(scene) -> None:
    """Raise PeekabooError for a :func:`problem`."""
    if told := problem(scene):
        raise PeekabooError(told)


def rendered_times(scene, times: Sequence[float]) -> list[float]:
    """The times, of those of a clip's frames, at which its scene has to be rendered."""
    ends = zip(CHOICES, (times[0], times[-1]), strict=True)
    return [time for choice, time in ends if getattr(scene.peekaboo, choice) == "rendered"]


def of(scene, times: Sequence[float], rendered: Mapping[float, Picture] = {}) -> dict[str, Picture]:
    """The pictures that a scene's clip starts from and ends with, by the fields of a job.

    Args:
        scene: with the settings.
        times: that the frames of the clip stand for, in scene frames.
        rendered: pictures that were rendered already, by their times.

    Raises:
        PeekabooError: one cannot be rendered or read, or does not go with the model.
    """
    check(scene)
    settings, found = scene.peekaboo, {}
    for field, choice, time, path in zip(
        FIELDS, CHOICES, (times[0], times[-1]), (settings.picture, settings.last_picture), strict=True
    ):
        if getattr(settings, choice) == "picture":
            found[field] = read(paths.absolute(path), field)
        elif getattr(settings, choice) == "rendered":
            picture = rendered[time] if time in rendered else _rendered(scene, time)
            found[field] = picture_of(picture.data, Path(picture.name), field)
    return found


def _rendered(scene, time: float) -> Picture:
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
                yield "Rendering the clip's picture", number + 1, len(times)
            rendered[time] = read(path)
    then(rendered)


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=bpy.app.tempdir or None, prefix="peekaboo-") as folder:
        yield Path(folder) / "first_frame.png"


def read(path: Path, field: str = FIELDS[0]) -> Picture:
    """Read a file that the user has chosen.

    Args:
        path: of the file.
        field: of a job, by which the picture is called.

    Raises:
        PeekabooError: it is missing, too large, or neither PNG nor JPEG.
    """
    try:
        data = places.read_file(path, job_schema.MAX_PICTURE, follow=True)
    except OSError as error:
        raise PeekabooError(
            f'The picture "{path}" cannot be read ({error.strerror or error}): choose another one.'
        ) from None
    return picture_of(data, path, field)


def picture_of(data: bytes, path: Path, field: str = FIELDS[0]) -> Picture:
    """The picture that a file holds; raises as :func:`read`."""
    suffix = next((name for start, name in SIGNATURES.items() if data.startswith(start)), None)
    if suffix is None:
        raise PeekabooError(f'"{path}" is neither PNG nor JPEG: save the picture as one of these.')
    return Picture(f"{field}_{hashlib.sha256(data).hexdigest()[:12]}.{suffix}", data)


def of_job(job: Mapping, folder: Path) -> dict[str, Picture]:
    """The pictures in the folder of a job, by its fields.

    Raises:
        PeekabooError: one is gone, or was replaced.
    """
    return {field: _of_job(name, folder) for field in FIELDS if (name := job.get(field))}


def _of_job(name: str, folder: Path) -> Picture:
    try:
        picture = picture_of(places.read_file(folder / name, job_schema.MAX_PICTURE), folder / name)
    except OSError as error:
        raise PeekabooError(
            f'The picture "{name}" in "{folder}" cannot be read ({error.strerror or error}): press Restore '
            "Settings, then Generate."
        ) from None
    stated = re.fullmatch(r"(?:first|last)_frame_([0-9a-f]{12})\.\w+", name)
    if stated and stated[1] not in picture.name:
        raise PeekabooError(
            f'The picture "{name}" in "{folder}" was replaced: press Restore Settings, then Generate.'
        )
    return Picture(name, picture.data)
