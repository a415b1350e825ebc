# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip that another one is made from: a stranger's movie, cut to the frames and the size of the new one.

Only MP4 is demuxed, whatever a file is called, and it is read as a file alone: a playlist in its place would
have ffmpeg open what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from PIL import Image

from . import limits
from .errors import EngineError, one_line
from .given_pictures import filling_box
from .places import sha256_of

_AS_MP4 = ["-f", "mov", "-protocol_whitelist", "file"]


@dataclass(frozen=True, eq=False)
class GivenClip:
    """A clip as the pipeline is given it.

    Args:
        name: of its file.
        sha256: of the bytes of its file.
        frames: RGB, as many as the new clip has, of its size.
    """

    name: str
    sha256: str
    frames: tuple[Image.Image, ...]


def read_source(
    path: Path, num_frames: int, width: int, height: int, stop_if_cancelled: Callable[[], None]
) -> GivenClip:
    """Read a clip as so many frames of a size.

    Frame i of N is the first of the clip's C frames that shows it where each is held for C / N; frames fill
    the new size, the same left out on both sides.

    Args:
        path: of an MP4.
        num_frames, width, height: of the new clip.
        stop_if_cancelled: called with every frame; raises to end the reading.

    Raises:
        EngineError: ``bad_clip``; names the file.
    """
    try:
        digest = sha256_of(path)
        count = sum(1 for _ in _frames(path, stop_if_cancelled))
        if not count:
            raise ValueError("it has no frames")
        wanted = [min(-(-i * count // num_frames), count - 1) for i in range(num_frames)]
        shown = {
            index: _cut(frame, width, height)
            for index, frame in enumerate(_frames(path, stop_if_cancelled))
            if index in set(wanted)
        }
        return GivenClip(path.name, digest, tuple(shown[index] for index in wanted))
    except FileNotFoundError:
        raise EngineError("bad_clip", f"{path} is missing; give the job its clip again.") from None
    except EngineError:
        raise
    except (OSError, ValueError, IndexError, KeyError, RuntimeError) as error:
        raise EngineError(
            "bad_clip", f"{path} is no MP4 that can be read ({one_line(error)}); give another clip."
        ) from None


def _frames(path: Path, stop_if_cancelled: Callable[[], None]) -> Iterator[np.ndarray]:
    """Its frames, uint8 (height, width, 3), as many as a clip may have."""
    with imageio.get_reader(path, format="FFMPEG", input_params=_AS_MP4) as reader:
        across, down = reader.get_meta_data()["source_size"]
        if across * down > limits.MAX_PICTURE_PIXELS:
            raise ValueError(f"it has {across} x {down} pixels")
        for frame in islice(reader, limits.MAX_CLIP_FRAMES):
            stop_if_cancelled()
            yield np.asarray(frame)


def _cut(frame: np.ndarray, width: int, height: int) -> Image.Image:
    picture = Image.fromarray(frame)
    if picture.size == (width, height):
        return picture
    box = filling_box(*picture.size, width, height)
    return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
