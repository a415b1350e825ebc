# SPDX-License-Identifier: GPL-3.0-or-later
"""The job: all that one generation needs, as plain data in a folder.

``JOB/job.json`` is the :class:`Job` below. ``JOB/masks.npz`` holds ``labels``, uint8 (num_frames, height,
width), 0 for the background and k for ``subjects[k-1]``, top row first. Nothing is ever pickled.
"""

import json
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import EngineError, one_line
from .models import Method

SCHEMA_VERSION = 2
"""Jobs of version 1 do not tell what made their masks (:class:`Masks`, ``Subject.outline``)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Subject(_Strict):
    """One subject: label k of the masks is the k-th of the job's list.

    ``strength`` is, for each frame of the model, the share of the steering during which the subject is
    held; None is all of them. ``outline`` is how its mask was made.
    """

    name: str
    phrase: Annotated[str, Field(min_length=1)]
    outline: Literal["HULL", "SURFACE"] | None = None
    strength: list[Annotated[float, Field(ge=0, le=1)]] | None = None


class Timing(_Strict):
    """Where the clip stands in the scene, and the scene time that each frame of the model stands for.

    Model frame i of N is held during scene frames [i*D/N, (i+1)*D/N) of the D = ``frame_count`` frames.
    """

    frame_start: int
    frame_count: Annotated[int, Field(ge=1)]
    fps: Annotated[int, Field(ge=1)]
    fps_base: Annotated[float, Field(ge=0.01, le=1000)]
    scene_frames: list[float]

    @property
    def rate(self) -> Fraction:
        """Frames a second as a ratio: Blender's 24 / 1.001 becomes 24000/1001."""
        return self.fps / Fraction(self.fps_base).limit_denominator(1001)

    def held_frames(self, num_frames: int) -> np.ndarray:
        """Index of the model's frame that each frame of the clip shows: int (frame_count,)."""
        return np.arange(self.frame_count) * num_frames // self.frame_count


class Control(_Strict):
    """How the masks act: a preset of :mod:`peekaboo_engine.control.settings`, and fields that differ from it.

    None is the model's own default. Without ``masked_steps`` the masks of ``strong`` end at a noise level,
    and those of ``peekaboo`` after the model's own number of steps.
    """

    method: Method | None = None
    masked_steps: Annotated[int, Field(ge=0)] | None = None
    blocks: Literal["all", "mid_up"] = "all"
    special_tokens: Literal["background", "released", "shared"] = "background"
    gate_second_temporal: bool = False


class Masks(_Strict):
    """How the masks were made from the scene: kept for who makes them again, nothing to the engine."""

    occluded_by_scene: bool = False
    motion_blur: bool = False


class Job(_Strict):
    """One generation. None means the model's own default."""

    schema_version: Literal[1, 2]
    prompt: Annotated[str, Field(min_length=1)]
    negative_prompt: str = ""
    subjects: Annotated[list[Subject], Field(min_length=1, max_length=255)]
    model: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(ge=8, multiple_of=8)]
    height: Annotated[int, Field(ge=8, multiple_of=8)]
    num_frames: Annotated[int, Field(ge=1)]
    timing: Timing
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    num_inference_steps: Annotated[int, Field(ge=1, le=300)] | None = None
    guidance_scale: Annotated[float, Field(ge=0)] | None = None
    control: Control = Control()
    masks: Masks | None = None

    @model_validator(mode="after")
    def _one_scene_frame_each(self) -> "Job":
        if len(self.timing.scene_frames) != self.num_frames:
            raise ValueError(
                f"timing.scene_frames has {len(self.timing.scene_frames)} entries, not {self.num_frames}"
            )
        for index, subject in enumerate(self.subjects):
            if subject.strength is not None and len(subject.strength) != self.num_frames:
                raise ValueError(
                    f"subjects.{index}.strength has {len(subject.strength)} entries, not {self.num_frames}"
                )
        return self

    @property
    def strengths(self) -> np.ndarray:
        """How long each subject is held in each frame, 0..1: float (subjects, num_frames)."""
        held = [subject.strength or [1.0] * self.num_frames for subject in self.subjects]
        return np.array(held)

    @property
    def phrases(self) -> list[str]:
        """The phrase of each subject, in label order."""
        return [subject.phrase for subject in self.subjects]


def load_job(folder: Path) -> tuple[Job, np.ndarray]:
    """Read and check a job folder.

    Returns:
        The job and its labels, uint8 (num_frames, height, width).

    Raises:
        EngineError: ``bad_job``, ``newer_schema``, ``bad_masks`` ``masks_mismatch``; they name the field.
    """
    job = _read_job(folder / "job.json")
    labels = _read_labels(folder / "masks.npz")
    wanted = (job.num_frames, job.height, job.width)
    if labels.shape != wanted:
        raise EngineError(
            "masks_mismatch",
            f"masks.npz holds labels of shape {labels.shape}, but job.json asks for {wanted} (frames, "
            "height, width); export the masks again for this model.",
        )
    return job, labels


def _read_job(path: Path) -> Job:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(
            "bad_job", f"{path} could not be read ({error.strerror}); give a folder that holds job.json."
        ) from None
    except ValueError as error:
        raise EngineError("bad_job", f"{path} is not JSON ({error}); export the job again.") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise EngineError(
            "newer_schema",
            f"{path} has schema version {version}, this engine knows {SCHEMA_VERSION}; update the engine.",
        )
    try:
        return Job.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EngineError(
            "bad_job", f"{path} is not a valid job ({field}: {first['msg']}); correct that field."
        ) from None


def _read_labels(path: Path) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # numpy does not read to the checksum
        if damaged:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        with np.load(path, allow_pickle=False) as arrays:
            labels = arrays["labels"]
    except FileNotFoundError:
        raise EngineError("bad_masks", f"{path} is missing; export the masks again.") from None
    except KeyError:
        raise EngineError("bad_masks", f'{path} holds no array "labels"; export the masks again.') from None
    except Exception as error:  # zipfile and numpy raise a dozen kinds over damaged bytes
        raise EngineError(
            "bad_masks", f"{path} is damaged ({one_line(error)}); export the masks again."
        ) from None
    if labels.dtype != np.uint8:
        raise EngineError(
            "bad_masks", f'The array "labels" of {path} is {labels.dtype}, not uint8; export the masks again.'
        )
    return labels
