# SPDX-License-Identifier: GPL-3.0-or-later
"""A shot as a job: what ``job.json`` and ``masks.npz`` say to the engine, whose ``job.py`` reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..borders import places
from ..errors import PeekabooError
from . import loras, settings, stating, timed_phrases
from .first_frame import Picture
from .layout import Layout
from .model import model_of
from .shots import Shot

SCHEMA_VERSION = 2


def make_job(
    scene, layout: Layout, seed: int, picture: Picture | None = None, shot: Shot | None = None
) -> dict:
    """Describe the clip that a scene's settings ask for, as ``job.json`` states it.

    Args:
        scene: with the settings; see :data:`.settings.SHOT` for where each stands.
        layout: of the scene.
        seed: of the clip; see :mod:`.seeds`.
        picture: that it starts from.
        shot: of the scene, which is one by default.
    """
    timing = layout.timing
    num_frames, height, width = layout.labels.shape
    prompt = scene.peekaboo.prompt if shot is None else shot.prompt
    over_time = timed_phrases.of_job(scene, prompt)
    return {
        "schema_version": SCHEMA_VERSION,
        **stating.stated(scene.peekaboo, settings.SHOT),
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
        **({"first_frame": picture.name} if picture else {}),
    }


def _subjects_of_job(layout: Layout) -> list[dict]:
    """Name and settings of each subject, and the strength where it is not whole throughout."""
    stated = [{"name": subject.name, **subject.stated} for subject in layout.subjects]
    if layout.strengths is None:
        return stated
    for subject, strength in zip(stated, layout.strengths, strict=True):
        if (strength < 1).any():
            subject["strength"] = [round(float(share), 4) for share in strength]
    return stated


def write_job(job: dict, labels: np.ndarray, folder: Path, picture: Picture | None = None) -> None:
    """Write a job folder, each file whole or not at all; earlier ones are replaced, links not followed.

    Args:
        job: as :func:`make_job` makes it.
        labels: uint8 (frames, height, width).
        folder: the job folder.
        picture: that the job names.

    Raises:
        PeekabooError: the folder cannot be written.
    """
    try:
        with places.opened(folder) as files:
            if picture is not None:
                files.write(picture.name, lambda file: file.write(picture.data))
            files.write("masks.npz", lambda file: np.savez_compressed(file, labels=labels))
            files.write("job.json", lambda file: file.write(f"{json.dumps(job, indent=2)}\n".encode()))
    except OSError as error:
        raise PeekabooError(
            f'The job cannot be written to "{folder}" ({error.strerror or error}): choose a folder '
            "that can be written."
        ) from None
