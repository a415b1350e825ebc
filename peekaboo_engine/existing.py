# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the clip of a job is there already, so that a batch that is run again makes only what is
missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import __version__
from .documents import read_json
from .drafts import clip_name
from .errors import EngineError
from .finishing import finished_name, size_within
from .job import Job, load_job
from .loras import beside
from .loras import find as find_lora
from .models import ModelEntry, find_model
from .placement import Placement
from .places import sha256_of
from .weights import weights_of

PACKAGES = ("torch", "diffusers", "transformers", "imageio")
"""Whose versions a clip's record has."""


def versions() -> dict[str, str]:
    """Of the engine and of what decides the pixels of a clip."""
    return {"peekaboo_engine": __version__, **{name: version(name) for name in PACKAGES}}


def existing_clip(
    folder: Path,
    out: Path,
    weights: Callable[[ModelEntry], dict[str, str]] = weights_of,
    placement: Placement | None = None,
    finished: bool = True,
) -> Path | None:
    """Find the clip of a job: made of the same job, masks, pictures, model, LoRAs and versions, and whole.

    It may have been made on another device, but in the precision that it would be made in there now.

    Args:
        folder: of the job.
        out: where its clip would be.
        weights: what tells a model's weights; one that remembers saves reading them again and again.
        placement: how it would be made now; as a job is made by default when left out.
        finished: whether it has to be as the job wants it finished; otherwise the model's own is looked for.

    Returns:
        None where it has to be made, for whatever reason: also where the job cannot be read, which
        generating then says.
    """
    found = whole_clip(folder, out, finished)
    if found is None:
        return None
    clip, record = found
    try:
        job, _ = load_job(folder)
        same = (
            all(record["versions"].get(name) == known for name, known in versions().items())
            and _same_pixels(record, job, placement or Placement())
            and _same_model(folder, record, job, weights)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EngineError):
        return None
    return clip if same else None


def whole_clip(folder: Path, out: Path, finished: bool = True) -> tuple[Path, dict[str, Any]] | None:
    """Find the clip of a job as :func:`existing_clip`, whatever model and versions this machine has.

    Returns:
        The clip, where the job asks for it as it was finished, and its record; None without.
    """
    try:
        record = read_json(out / "clip.json")
        job, labels = load_job(folder)
        clip = out / clip_name(job.num_frames)
        same = (
            record["job"] == job.model_dump(exclude_unset=True)
            and record["labels_sha256"] == hashlib.sha256(labels.tobytes()).hexdigest()
            and _given(folder, job) == {name: record[name]["sha256"] for name in _GIVEN if name in record}
            and sha256_of(clip) == record["clip_sha256"]
            and (not (finished and job.finish.wanted) or _is_finished(out, record["finished"], job))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EngineError):
        return None
    shown = out / finished_name(job.num_frames, job.finish) if finished and job.finish.wanted else clip
    return (shown, record) if same else None


def _is_finished(out: Path, stated: dict[str, Any], job: Job) -> bool:
    name = finished_name(job.num_frames, job.finish)
    size = size_within(job.width, job.height, job.finish)
    made = stated[name]["width"], stated[name]["height"]
    return made == size and sha256_of(out / name) == stated[name]["sha256"]


_GIVEN = ("first_frame", "last_frame", "source_clip")


def _given(folder: Path, job: Job) -> dict[str, str]:
    """Hashes of the pictures and clips that a job brings along."""
    names = {which: getattr(job, which) for which in _GIVEN}
    return {which: sha256_of(folder / name) for which, name in names.items() if name}


def _same_pixels(record: dict[str, Any], job: Job, placement: Placement) -> bool:
    half = find_model(job.model).family.half
    return placement.would_make(record["device"], record["dtype"], record["memory"], half)


def _same_model(
    folder: Path, record: dict[str, Any], job: Job, weights: Callable[[ModelEntry], dict[str, str]]
) -> bool:
    entry = find_model(job.model)
    told = weights(entry)
    loras = [find_lora(lora).described() for lora in (*entry.own_loras, *beside(job.loras, folder))]
    return {name: record["model"].get(name) for name in told} == told and record["loras"] == loras
