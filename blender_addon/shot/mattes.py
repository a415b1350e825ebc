# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene's camera sees, as files for other programs: see :mod:`..masks.mattes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from mathutils import Color

from ..borders import drafts
from ..errors import PeekabooError
from ..masks import clay, mattes, simulations
from ..masks.cast import Role
from ..masks.sampling import frames_to_play, known
from . import shots, subjects

KINDS = {
    "png": ("PNG per Subject", "A black-and-white picture of each subject and frame"),
    "exr": ("Cryptomatte", "An OpenEXR file of each frame, with colors, depth and Cryptomatte"),
    "depth": ("Depth", "An OpenEXR file of each frame, and a PNG in which the nearest is white"),
    "white": ("White Model", "A picture of each frame in which all is of gray clay, made by Cycles"),
}
"""Label and description of each kind of files."""


OF_ALL = {"depth", "white"}
"""Kinds that show all that a render shows, with *Occluded by Scene* or without."""


class Export:
    """Files of a scene's frames, made some frames at a time, of which all come to be or none.

    Attributes:
        frames: of the range that clips are made of, by the scene's step.
        roles: of the scene's subjects.
        hides: see :func:`sampling.sample`.
    """

    def __init__(self, scene, kind: str, frames: range, folder: Path, draft: Path, smooth: bool):
        """See :func:`exporting`."""
        self.frames = frames
        self.roles = _roles(scene, kind)
        self.hides = True if kind in OF_ALL else None
        self._folder, self._draft = folder, draft
        self._writer = _writer(scene, kind, self.roles, draft, smooth)

    def draw(self, frames, on_frame: Callable[[], None] = lambda: None) -> None:
        """Make the files of some frames; ``on_frame`` is called after each.

        Raises:
            PeekabooError: the scene cannot be projected, or the files cannot be written.
        """
        try:
            self._writer.draw(frames, on_frame)
        except OSError as error:
            raise _unwritable(self._folder, error) from None

    def finish(self) -> list[Path]:
        """Put the files into their folder; returns their paths, or those of folders of them.

        Raises:
            PeekabooError: they cannot be written.
        """
        try:
            names = self._writer.finish()
            for path in sorted(self._draft.rglob("*")):
                if path.is_file():
                    place = self._folder / path.relative_to(self._draft)
                    place.parent.mkdir(exist_ok=True)
                    path.replace(place)
        except OSError as error:
            raise _unwritable(self._folder, error) from None
        return [self._folder / name for name in names]


@contextmanager
def exporting(scene, kind: str, folder: Path, smooth: bool = False) -> Iterator[Export]:
    """Export a scene's frames within a block.

    Args:
        scene: the user's.
        kind: of :data:`KINDS`.
        folder: gets the files.
        smooth: whether a pixel may be a subject's in part; only for masks and Cryptomattes.

    Raises:
        PeekabooError: there is no frame, the folder cannot be written, or there is no subject for masks and
            Cryptomattes.
    """
    first, last = shots.range_of(scene)
    frames = range(first, last + 1, scene.frame_step)
    _roles(scene, kind)
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft = stack.enter_context(drafts.draft_in(folder))
        except OSError as error:
            raise _unwritable(folder, error) from None
        yield Export(scene, kind, frames, folder, draft, smooth)


def write_mattes(
    scene,
    kind: str,
    folder: Path,
    on_frame: Callable[[int, int], None] | None = None,
    on_play: Callable[[int, int], None] | None = None,
    smooth: bool = False,
) -> list[Path]:
    """Export all frames of a scene; arguments and errors are also those of :func:`exporting`.

    Args:
        scene: the user's.
        kind: see there.
        folder: see there.
        on_frame: called after each frame with its number, from 1, and the number of frames.
        on_play: likewise, for frames that are played for the sake of simulations.
        smooth: see there.

    Returns:
        What :meth:`Export.finish` returns.
    """
    done = 0
    with exporting(scene, kind, folder, smooth) as export:

        def count() -> None:
            nonlocal done
            done += 1
            if on_frame is not None:
                on_frame(done, len(export.frames))

        with known(scene, export.roles, export.frames, on_play, export.hides):
            export.draw(export.frames, count)
        return export.finish()


def write_in_turns(scene, kind: str, folder: Path, smooth: bool = False) -> simulations.Turns[list[Path]]:
    """Export all frames of a scene as :func:`write_mattes` does, a frame a turn, and return the same.

    A scene whose simulations have no bake is shown frame by frame first. Nothing is written where the
    iterator is closed before its end.
    """
    with exporting(scene, kind, folder, smooth) as export:
        frames = export.frames
        span = frames_to_play(scene, export.roles, frames, export.hides)
        with simulations.Playing(scene, *span) if span else nullcontext() as playing:
            if playing is not None:
                yield from playing.in_turns()
            for number, frame in enumerate(frames, start=1):
                export.draw([frame])
                yield "Frame", number, len(frames)
        return export.finish()


def _roles(scene, kind: str) -> list[Role]:
    """The subjects of a scene; only for what shows all of it there need not be any."""
    if kind in OF_ALL and not subjects.used(scene):
        return []
    return subjects.roles_of(scene)


def _writer(scene, kind: str, roles: list[Role], draft: Path, smooth: bool) -> mattes.Writer:
    match kind:
        case "png":
            return mattes.Masks(scene, roles, draft, smooth)
        case "exr":
            linear = [Color(role.objects[0].peekaboo.color).from_srgb_to_scene_linear() for role in roles]
            return mattes.Cryptomattes(scene, roles, draft, smooth, [(one.r, one.g, one.b) for one in linear])
        case "depth":
            return mattes.Depths(scene, roles, draft)
    return clay.WhiteModel(scene, roles, draft)


def _unwritable(folder: Path, error: OSError) -> PeekabooError:
    return PeekabooError(
        f'The masks cannot be written to "{folder}" ({error.strerror or error}): choose another folder, or '
        "free some space."
    )
