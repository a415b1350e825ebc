# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in and out of files, whole or not at all."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import imageio.v2 as imageio
import numpy as np

from . import places
from .errors import EngineError, one_line

_LANCZOS = "lanczos+accurate_rnd+full_chroma_int"
"""How ffmpeg resamples."""
_MATRIX = "out_color_matrix=bt709:out_range=tv"
_TAGS = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1"
"""What sRGB is written as, and told in the file: where that tells nothing, players take large pictures for
another matrix than small ones, and show other colours."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place if the block succeeds, and is removed if not.

    Raises:
        EngineError: ``not_written`` when the disk or the folder does not take it.
    """
    try:
        with places.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise EngineError(
            "not_written",
            f"{path} was not written ({error.strerror or one_line(error)}); free some space or change the "
            "folder.",
        ) from error


def write_clip(
    path: Path,
    frames: np.ndarray,
    shown: np.ndarray,
    rate: Fraction,
    stop_if_cancelled: Callable[[], None] = lambda: None,
) -> None:
    """Write an H.264 mp4 (yuv420p), visually lossless, and read its length back before it counts as written.

    Args:
        path: where to.
        frames: uint8 (frames, height, width, 3), sRGB, even height and width.
        shown: index into ``frames`` for each frame of the clip: int (clip frames,).
        rate: frames a second.
        stop_if_cancelled: called with every frame; raises to end the writing.

    Raises:
        EngineError: ``not_written``.
    """
    pictures = (frames[index] for index in shown)
    write_frames(path, pictures, len(shown), rate, stop_if_cancelled=stop_if_cancelled)


def write_frames(
    path: Path,
    pictures: Iterable[np.ndarray],
    count: int,
    rate: Fraction,
    size: tuple[int, int] | None = None,
    stop_if_cancelled: Callable[[], None] = lambda: None,
) -> None:
    """Write pictures one after the other, as :func:`write_clip` does.

    Args:
        path: where to.
        pictures: uint8 (height, width, 3) each, sRGB, even height and width.
        count: of them.
        rate: frames a second.
        size: width and height that they are resampled to, by Lanczos; even; as they are by default.
        stop_if_cancelled: called with every frame; raises to end the writing.

    Raises:
        EngineError: ``not_written``.
    """
    scaled = "" if size is None else f"{size[0]}:{size[1]}:"
    filters = f"scale={scaled}flags={_LANCZOS}:{_MATRIX},format=yuv420p,{_TAGS}"
    with replacing(path) as temporary:
        with imageio.get_writer(
            temporary,
            format="FFMPEG",
            fps=rate,
            codec="libx264",
            pixelformat="yuv420p",
            macro_block_size=2,
            quality=None,
            output_params=["-vf", filters, "-crf", "14", "-preset", "medium", "-movflags", "+faststart"],
            ffmpeg_log_level="fatal",
        ) as writer:
            for picture in pictures:
                stop_if_cancelled()
                writer.append_data(picture)
        # ffmpeg's own failure (a full disk) does not come back through imageio.
        written = count_frames(temporary, stop_if_cancelled)
        if written != count:
            raise OSError(f"only {written} of {count} frames arrived on disk")


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG, and read its size back before it counts as written.

    Args:
        path: where to.
        pixels: uint8 (height, width, 3), sRGB.

    Raises:
        EngineError: ``not_written``.
    """
    with replacing(path) as temporary:
        imageio.imwrite(temporary, pixels, format="PNG")
        if imageio.imread(temporary, format="PNG").shape != pixels.shape:
            raise OSError("it did not arrive whole on disk")


def read_clip(path: Path) -> np.ndarray:
    """All frames of a clip: uint8 (frames, height, width, 3)."""
    with imageio.get_reader(path, format="FFMPEG") as reader:
        return np.stack([np.asarray(frame) for frame in reader])


def count_frames(path: Path, stop_if_cancelled: Callable[[], None] = lambda: None) -> int:
    """Number of frames that can be decoded; 0 for a file that is no clip."""
    try:
        with imageio.get_reader(path, format="FFMPEG") as reader:
            count = 0
            for _ in reader:
                stop_if_cancelled()
                count += 1
            return count
    except (OSError, ValueError, IndexError, RuntimeError):
        return 0
