# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip finished for its scene: a picture for each frame of the scene, and as large as the scene's.

Smoothing is motion-compensated interpolation by ffmpeg's ``minterpolate``, enlarging a Lanczos resampling by
its ``scale``. Both are made from the frames of the model; the clip that has these stays beside.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from PIL import Image

from .documents import read_json
from .drafts import KINDS, clip_name
from .errors import EngineError
from .given_clips import read_source
from .given_pictures import read_picture
from .job import Finish, Timing, load_job
from .places import sha256_of
from .video import replacing, write_frames, write_picture

_BETWEEN = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"
_RATE = 10
"""Frames a second of the clip that ffmpeg interpolates; any, as only the ratio counts."""
_MOST_STEPS = 100
"""Between two frames of a model: beyond, pictures are held for as long as is left over."""


def finished_name(num_frames: int, finish: Finish) -> str:
    """What a clip of so many frames is called when it is finished: a name for each kind, so that one stays
    while another is made."""
    kind = KINDS[2 if finish.smooth and finish.enlarge else int(finish.enlarge)]
    return f"{kind}.{'png' if num_frames == 1 else 'mp4'}"


def size_within(width: int, height: int, finish: Finish) -> tuple[int, int]:
    """The size of a finished clip: as large as goes into the scene's picture; even, and never smaller.

    Args:
        width, height: of the clip.
        finish: with the size of the scene's picture, if it is to be enlarged.
    """
    if not finish.enlarge or finish.width is None or finish.height is None:
        return width, height
    scale = max(1.0, min(finish.width / width, finish.height / height))
    return round(width * scale / 2) * 2, round(height * scale / 2) * 2


def places_between(timing: Timing) -> np.ndarray:
    """Which place among a model's frames each frame of its smooth clip shows: float (frame_count,).

    Place 1.5 is midway between the second frame and the third. Each model frame is at the scene time that it
    was made for; before the first, and after the last, that one stays.
    """
    times = np.array(timing.scene_frames)
    order = np.maximum.accumulate(times)  # as they are in all jobs of ours
    frames = timing.frame_start + np.arange(timing.frame_count)
    return np.interp(frames, order, np.arange(len(order)))


def smooth_frames(
    frames: Sequence[np.ndarray] | np.ndarray,
    places: np.ndarray,
    stop_if_cancelled: Callable[[], None] = lambda: None,
) -> Iterator[np.ndarray]:
    """Pictures at places between frames, which follow the motion from each to the next.

    Args:
        frames: uint8 (frames, height, width, 3), two or more.
        places: see :func:`places_between`; they do not go down.
        stop_if_cancelled: called with every frame; raises to end it.

    Yields:
        uint8 (height, width, 3), one for each place.
    """
    gaps = np.diff(places)
    longest = 1 / gaps[gaps > 0].min() if (gaps > 0).any() else 1.0
    steps = int(min(_MOST_STEPS, 2 * np.ceil(longest - 1e-6)))
    # ffmpeg gives nothing before the second frame and after the last but one: so both ends are doubled, and
    # frame i is picture (i + 1) * steps.
    wanted = steps + np.round(places * steps).astype(int)
    with tempfile.TemporaryDirectory() as own:
        path = Path(own) / "frames.mkv"
        _write_lossless(
            path, (frames[index] for index in [0, *range(len(frames)), len(frames) - 1]), stop_if_cancelled
        )
        filters = f"minterpolate=fps={_RATE * steps}:{_BETWEEN}"
        with imageio.get_reader(
            path, format="FFMPEG", output_params=["-vf", filters, "-fps_mode", "passthrough"]
        ) as reader:
            at, index = 0, -1
            picture = np.asarray(frames[0])
            for index, found in enumerate(reader):
                stop_if_cancelled()
                picture = np.asarray(found)
                while at < len(wanted) and wanted[at] == index:
                    yield picture
                    at += 1
                if at == len(wanted):
                    return
    raise RuntimeError(f"ffmpeg has made {index + 1} pictures, and {wanted[-1] + 1} are needed")


def _write_lossless(path: Path, frames: Iterable[np.ndarray], stop_if_cancelled: Callable[[], None]) -> None:
    with imageio.get_writer(
        path,
        format="FFMPEG",
        fps=_RATE,
        codec="libx264rgb",
        pixelformat="rgb24",
        macro_block_size=1,
        quality=None,
        output_params=["-qp", "0", "-preset", "ultrafast"],
        ffmpeg_log_level="fatal",
    ) as writer:
        for frame in frames:
            stop_if_cancelled()
            writer.append_data(np.asarray(frame))


def finish_clip(
    take: Path,
    frames: np.ndarray,
    timing: Timing,
    finish: Finish,
    stop_if_cancelled: Callable[[], None] = lambda: None,
) -> Path:
    """Write the finished clip of a take, which is as long as its clip to the frame, and say so in its record.

    Args:
        take: folder of the clip and of ``clip.json``.
        frames: of the model, uint8 (frames, height, width, 3), sRGB.
        timing: of the clip.
        finish: what is wanted.
        stop_if_cancelled: called with every frame; raises to end the writing.

    Returns:
        The file.

    Raises:
        EngineError: ``not_written``, ``bad_take``.
    """
    height, width = frames.shape[1:3]
    size = size_within(width, height, finish)
    path = take / finished_name(len(frames), finish)
    if len(frames) == 1:
        write_picture(path, np.asarray(Image.fromarray(frames[0]).resize(size, Image.Resampling.LANCZOS)))
    else:
        held = timing.held_frames(len(frames))
        if finish.smooth and len(frames) < timing.frame_count:
            shown = smooth_frames(frames, places_between(timing), stop_if_cancelled)
        else:  # each frame of the scene has one of its own
            shown = (frames[index] for index in held)
        scaled = None if size == (width, height) else size
        write_frames(path, shown, len(held), timing.rate, scaled, stop_if_cancelled)
    _record(take, finish, size, path)
    return path


def _record(take: Path, finish: Finish, size: tuple[int, int], path: Path) -> None:
    """State in the record of a take how it was finished: of all that are beside it, this one last."""
    try:
        record = read_json(take / "clip.json")
    except FileNotFoundError:  # a take of somebody else's may have none
        record = {}
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict):
        raise EngineError(
            "bad_take", f"{take / 'clip.json'} is no record of a clip; move it away, and finish it again."
        )
    stated = record.get("finished")
    others = {name: stated[name] for name in stated if name != path.name} if isinstance(stated, dict) else {}
    made = {"width": size[0], "height": size[1], "sha256": sha256_of(path)}
    record["finished"] = {**others, path.name: made}
    with replacing(take / "clip.json") as info:
        info.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def finish_take(
    take: Path,
    finish: Finish,
    stop_if_cancelled: Callable[[], None] = lambda: None,
    folder: Path | None = None,
) -> Path:
    """Finish a take that is there, from its clip; returns the finished one.

    Args:
        take: folder of a take: its clip and its record.
        finish, stop_if_cancelled: as :func:`finish_clip` has them.
        folder: of the job that made it; ``job`` in it when left out.

    Raises:
        EngineError: ``bad_take``, ``bad_clip``, ``bad_picture``, ``busy_folder``, and what :func:`.load_job`
            and :func:`finish_clip` raise.
    """
    job, _ = load_job(folder or take / "job")
    recorded = _recorded(take)
    clip = take / clip_name(job.num_frames)
    if job.num_frames == 1:
        frames = np.asarray(read_picture(clip, job.width, job.height, lambda _: None).pixels)[None]
    else:
        given = read_source(clip, job.num_frames, job.width, job.height, stop_if_cancelled)
        frames = np.stack([np.asarray(frame) for frame in given.frames])
    path = finish_clip(take, frames, job.timing, finish, stop_if_cancelled)
    if _recorded(take) != recorded:  # another engine has published there
        path.unlink(missing_ok=True)
        raise EngineError(
            "busy_folder", f"The clip in {take} was made anew while it was finished; finish it again."
        )
    return path


def _recorded(take: Path) -> Any:
    """The hash of the clip that a take's record is about; None where there is none."""
    try:
        return read_json(take / "clip.json").get("clip_sha256")
    except (OSError, ValueError, AttributeError):
        return None
