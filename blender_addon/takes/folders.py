# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes of a shot: a folder for each, and what is kept of one to make another."""

import re
from contextlib import suppress
from pathlib import Path

import bpy
import numpy as np

from .. import compat, paths
from ..borders import documents, places
from ..engine import job_schema
from ..errors import PeekabooError
from ..shot import shots
from . import reels, strips

CLIP, PICTURE = "clip.mp4", "clip.png"
"""The movie in the folder of a take, as the engine calls it, and what it makes of one frame."""
SAME_SHAPE = 0.03
"""Up to this share two aspects are the same: an enlarged clip has whole pixels."""


def new_folder(scene, shot: str = "") -> Path:
    """Make the folder of a scene's next clip: its name, that of the shot and a number, in its output folder.

    So no clip ever replaces another that a strip shows.

    Raises:
        PeekabooError: the output folder is beside a file that was never saved, or cannot be written.
    """
    base, name = _output_folder(scene), name_of(scene, shot)
    try:
        base.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path.name, name) for path in base.iterdir()), default=0)
        while True:
            try:
                folder = base / f"{name}_{number:03}"
                folder.mkdir()
            except FileExistsError:  # another Blender was faster
                number += 1
            else:
                return folder
    except OSError as error:
        raise _unwritable(base, error) from None


def check_writable(scene, folder: Path | None = None) -> None:
    """Make sure that a scene's clips can be written, before the work that they take.

    Args:
        scene: the user's.
        folder: that was chosen for them; the scene's output folder by default.

    Raises:
        PeekabooError: as :func:`new_folder`.
    """
    base = _output_folder(scene) if folder is None else folder
    try:
        places.check_writable(base)
    except OSError as error:
        raise _unwritable(base, error) from None


def _output_folder(scene) -> Path:
    stated = scene.peekaboo.output_folder
    if not stated or (stated.startswith("//") and not bpy.data.filepath):
        raise PeekabooError(
            "Clips go beside the .blend, which was never saved: save it first, or choose an output folder."
        )
    return paths.absolute(stated)


def _unwritable(folder: Path, error: OSError) -> PeekabooError:
    return PeekabooError(
        f'The output folder "{folder}" cannot be written ({error.strerror}): choose another one.'
    )


def name_of(scene, shot: str = "") -> str:
    """A scene's name, and that of a shot, as that of a folder; no other scene of the file has its part of it.

    The first scene of those whose names would be the same keeps it; others get a number.
    """
    scenes = list(bpy.data.scenes)
    name = paths.file_names([other.name for other in scenes])[scenes.index(scene)]
    return paths.file_name(f"{name}_{shot}") if shot else name


def _number(folder: str, name: str) -> int:
    match = re.fullmatch(rf"{re.escape(name)}_(\d+)", folder)
    return int(match[1]) if match else 0


def has_take(scene, job: dict, labels: np.ndarray) -> bool:
    """Whether a scene has the take already that a job would make: of the same settings, seed and masks."""
    for strip in reels.takes(scene):
        with suppress(PeekabooError):
            if strips.job_of(strip) == job and np.array_equal(read(strip)[1], labels):
                return True
    return False


def import_take(scene, folder: Path):
    """Make a clip a take of a scene again from its folder, whoever has made that; returns its strip.

    Only what is needed is read: the job, checked as any, how the clip was finished, and that, by Blender.

    Raises:
        PeekabooError: it is no folder of a take, or there is no room for it.
    """
    try:
        if places.is_link(folder / "job"):
            raise places.NotPlain("its job is a link")
        job = job_schema.read(folder / "job" / "job.json")
        clip = folder / (PICTURE if job["num_frames"] == 1 else CLIP)
        with places.open_file(clip):
            pass
        clip = _finished(folder, clip)
    except FileNotFoundError:
        raise PeekabooError(
            f'"{folder}" is not the folder of a take, which has a {CLIP} or {PICTURE} and a job folder: '
            "choose one."
        ) from None
    except OSError as error:
        problem = f"{error.strerror or error}"
    except job_schema.Damaged as error:
        problem = str(error)
    else:
        first, count = job["timing"]["frame_start"], job["timing"]["frame_count"]
        title = shots.title_at(scene, first, first + count - 1)
        with reels.prepared(scene) as holder:
            return strips.add_clip(holder, clip, job, shot=title)
    raise PeekabooError(f'The take in "{folder}" cannot be used ({problem}): choose another folder.')


def _finished(folder: Path, clip: Path) -> Path:
    """The clip of a take as it was finished last, by its record; the model's own where that is none.

    Raises:
        OSError: it is no plain file.
    """
    stated = _record(folder).get("finished")
    names = [str(name) for name in stated] if isinstance(stated, dict) else []
    known = {f"{name}{clip.suffix}" for name in strips.FINISHED}
    for name in reversed([name for name in names if name in known]):
        with suppress(FileNotFoundError), places.open_file(folder / name):
            return folder / name
    return clip


def _record(folder: Path) -> dict:
    """The record of a take; empty where it cannot be read."""
    try:
        stated = documents.read_json(folder / "clip.json")
    except (OSError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}


def doubt_of(strip) -> str | None:
    """Say why the movie of a take may not be the one that its job has made; None where it seems to be.

    Others may have cut it off or put another in its place, and Blender shows what there is.
    """
    if strip.type != "MOVIE":
        return None
    job, clip = strips.job_of(strip), paths.absolute(strips.file_of(strip)).name
    frames, width, height = compat.movie_size(strip)
    count, own = job["timing"]["frame_count"], (job["width"], job["height"])
    if not width or not height:
        return f"{clip} cannot be read as a movie: it may be cut off; generate it again."
    if frames != count:
        return f"{clip} has {frames} frames, and was made with {count}: it may be cut off, or another's."
    if abs(width / height / (own[0] / own[1]) - 1) > SAME_SHAPE:
        return (
            f"{clip} has pictures of {width} × {height}, and was made with {own[0]} × {own[1]}: it may be "
            "another's."
        )
    return None


def read(strip) -> tuple[dict, np.ndarray]:
    """Read again what a take was made from: its job, and labels uint8 (frames, height, width).

    Raises:
        PeekabooError: it is gone or damaged, or another take has replaced it.
    """
    job, folder = strips.job_of(strip), strips.folder_of(strip) / "job"
    try:
        if places.is_link(folder):
            raise places.NotPlain("it is a link")
        stored = job_schema.read(folder / "job.json")
        if stored != job:
            raise PeekabooError(
                f'The masks of "{strip.name}" were replaced by those of another take: press Restore '
                "Settings, then Generate."
            )
        return job, job_schema.read_labels(folder / "masks.npz", job)
    except FileNotFoundError:
        how = "not there any more"
    except OSError as error:
        how = f"not read ({error.strerror})"
    except job_schema.Damaged as error:
        how = f"damaged ({error})"
    raise PeekabooError(
        f'The masks of "{strip.name}" in "{folder}" are {how}: press Restore Settings, then Generate.'
    )
