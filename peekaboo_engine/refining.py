# SPDX-License-Identifier: GPL-3.0-or-later
"""A take made anew by another model: its clip and its masks, at that model's size, as a job of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from .drafts import clip_name
from .errors import EngineError, one_line
from .given_pictures import filling_box
from .job import Job, load_job
from .models import ModelEntry, find_model
from .places import open_file, unused_name

SOURCE = "source.mp4"
"""What the take's clip is called in the new job's folder."""
KEPT = {"prompt", "negative_prompt", "subjects", "num_frames", "timing", "masks", "timed_phrases"}
"""What of a job is the shot's, not the model's."""


def refined(job: Job, model: str, entry: ModelEntry, strength: float, seed: int | None = None) -> Job:
    """A take's job for another model: the same shot at its size, with its own defaults.

    Args:
        job: of the take.
        model: by its name, or its folder.
        entry: the same.
        strength: share of the sampling that is done to the take's clip.
        seed: another one; None keeps the take's.
    """
    return Job(
        **job.model_dump(include=KEPT),
        schema_version=2,
        model=model,
        width=entry.width,
        height=entry.height,
        seed=job.seed if seed is None else seed,
        source_clip=SOURCE,
        source_strength=strength,
    )


def recut(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Labels at another size, as the clip's own frames are cut to it: the middle fills the frame.

    Args:
        labels: uint8 (frames, old height, old width).
        height, width: the new size.

    Returns:
        uint8 (frames, height, width), the nearest label at each pixel.
    """
    _, old_height, old_width = labels.shape
    left, top, right, bottom = filling_box(old_width, old_height, width, height)
    rows = np.floor(top + (np.arange(height) + 0.5) * (bottom - top) / height).astype(int)
    columns = np.floor(left + (np.arange(width) + 0.5) * (right - left) / width).astype(int)
    return np.ascontiguousarray(labels[:, rows.clip(0, old_height - 1)][:, :, columns.clip(0, old_width - 1)])


def write_refined(take: Path, out: Path, model: str, strength: float, seed: int | None = None) -> Path:
    """Write the job that makes a take anew; returns its folder, ``job`` in the folder of the new take.

    Args:
        take: folder of a take: its clip, and in ``job`` what made it.
        out: folder of the new one, made if it is not there.
        model: by its name, or its folder.
        strength, seed: see :func:`refined`.

    Raises:
        EngineError: ``bad_take`` for a folder without a clip, or a picture; ``not_written``; and what
            :func:`.find_model` and :func:`.load_job` raise.
    """
    job, labels = load_job(take / "job")
    entry = find_model(model)
    entry.check_source(True)
    if job.num_frames == 1:
        raise EngineError(
            "bad_take", f"{take} is a picture, and only clips are made anew; give another take."
        )
    new = refined(job, model, entry, strength, seed)
    if (out / "job").exists():
        raise EngineError(
            "not_written",
            f"{out} has a job already; run python -m peekaboo_engine generate {out / 'job'}, or choose "
            "another folder.",
        )
    draft = out / unused_name(".peekaboo-")
    try:
        out.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        with open_file(take / clip_name(job.num_frames)) as clip, (draft / SOURCE).open("xb") as copy:
            shutil.copyfileobj(clip, copy)
        np.savez_compressed(draft / "masks.npz", labels=recut(labels, entry.height, entry.width))
        stated = new.model_dump(mode="json", exclude_none=True)
        (draft / "job.json").write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
        draft.rename(out / "job")
    except FileNotFoundError:
        raise EngineError("bad_take", f"{take} has no clip; give the folder of a whole take.") from None
    except OSError as error:
        raise EngineError(
            "not_written",
            f"The job was not written to {out} ({error.strerror or one_line(error)}); choose another folder.",
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out / "job"
