# SPDX-License-Identifier: GPL-3.0-or-later
"""A shot as a job: what ``job.json`` and ``masks.npz`` say to the engine, whose ``job.py`` reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..borders import places
from ..engine import job_schema
from ..errors import PeekabooError
from ..masks import cameras
from . import loras, settings, stating, timed_phrases
from .layout import Layout
from .model import model_of
from .pictures import Picture
from .shots import Shot

SCHEMA_VERSION = 2


def make_job(
    scene, layout: Layout, seed: int, pictures: Mapping[str, Picture] = {}, shot: Shot | None = None
) -> dict:
    """Describe the clip that a scene's settings ask for, as ``job.json`` states it.

    Args:
        scene: with the settings; see :data:`.settings.SHOT` for where each stands.
        layout: of the scene.
        seed: of the clip; see :mod:`.seeds`.
        pictures: that it starts from and ends with, by the fields that name them.
        shot: of the scene, which is one by default.
    """
    timing = layout.timing
    num_frames, height, width = layout.labels.shape
    prompt = scene.peekaboo.prompt if shot is None else shot.prompt
    stated = stating.stated(scene.peekaboo, settings.SHOT)
    if scene.peekaboo.enlarge:
        stated["finish"] |= picture_of(scene)
    over_time = timed_phrases.of_job(scene, prompt)
    return {
        "schema_version": SCHEMA_VERSION,
        **stated,
        "prompt": prompt,
        "model": model_of(scene),
        "loras": loras.of_job(scene),
        "seed": seed,
        "subjects": _subjects_of_job(layout),
        "width": width,
        "height": height,
        "num_frames": num_frames,
        "timing": {
            "frame_start": timing.frame_start,
            "frame_count": timing.frame_count,
            "fps": timing.fps,
            "fps_base": timing.fps_base,
            "scene_frames": list(timing.scene_frames),
        },
        **({"timed_phrases": over_time} if over_time else {}),
        **{field: picture.name for field, picture in pictures.items()},
    }


def picture_of(scene) -> dict[str, int]:
    """Width and height of a scene's picture, up to those of the largest clip, as a job has them."""
    width, height, _ = cameras.picture_size(scene.render)
    return {"width": min(width, job_schema.MAX_CLIP_SIDE), "height": min(height, job_schema.MAX_CLIP_SIDE)}


def _subjects_of_job(layout: Layout) -> list[dict]:
    """Name and settings of each subject, and the strength where it is not whole throughout."""
    stated = [{"name": subject.name, **subject.stated} for subject in layout.subjects]
    if layout.strengths is None:
        return stated
    for subject, strength in zip(stated, layout.strengths, strict=True):
        if (strength < 1).any():
            subject["strength"] = [round(float(share), 4) for share in strength]
    return stated


def write_job(
    job: dict,
    labels: np.ndarray,
    folder: Path,
    pictures: Mapping[str, Picture] = {},
    source: Path | None = None,
) -> None:
    """Write a job folder, each file whole or not at all; earlier ones are replaced, links not followed.

    Args:
        job: as :func:`make_job` makes it.
        labels: uint8 (frames, height, width).
        folder: the job folder.
        pictures: that the job names, by its fields.
        source: the clip that it names, which is copied; no link is followed.

    Raises:
        PeekabooError: the folder cannot be written, or the clip cannot be read.
    """
    try:
        with ExitStack() as stack, places.opened(folder) as files:
            for picture in pictures.values():
                files.write(picture.name, lambda file, picture=picture: file.write(picture.data))
            if source is not None:
                clip = stack.enter_context(_opened_clip(source))
                files.write(job["source_clip"], lambda file: shutil.copyfileobj(clip, file))
            files.write("masks.npz", lambda file: np.savez_compressed(file, labels=labels))
            files.write("job.json", lambda file: file.write(f"{json.dumps(job, indent=2)}\n".encode()))
    except OSError as error:
        raise PeekabooError(
            f'The job cannot be written to "{folder}" ({error.strerror or error}): choose a folder '
            "that can be written."
        ) from None


def _opened_clip(path: Path) -> BinaryIO:
    try:
        return places.open_file(path)
    except OSError as error:
        raise PeekabooError(
            f'The clip "{path}" cannot be read ({error.strerror or error}): choose another take.'
        ) from None
