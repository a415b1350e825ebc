# SPDX-License-Identifier: GPL-3.0-or-later
"""The job: all that one generation needs, as plain data in a folder.

``JOB/job.json`` is the :class:`Job` below. ``JOB/masks.npz`` holds ``labels``, uint8 (num_frames, height,
width), 0 for the background and k for ``subjects[k-1]``, top row first. Pictures that the job names, PNG or
JPEG, lie beside it. Nothing is ever pickled.
"""

import math
import os
import zipfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO, Annotated, Literal

import numpy as np
from numpy.lib import format as npy
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from . import limits
from .documents import first_fault, read_json, without_controls
from .errors import EngineError, one_line
from .loras import Lora
from .names import Method
from .places import open_file

SCHEMA_VERSION = 2
"""Jobs of version 1 do not tell what made their masks (:class:`Masks`, ``Subject.outline``)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


_Prose = Annotated[str, Field(max_length=limits.MAX_PROMPT), AfterValidator(_without_nul)]
_Name = Annotated[str, Field(max_length=limits.MAX_NAME), AfterValidator(without_controls)]
_SceneFrame = Annotated[float, Field(ge=-limits.MAX_SCENE_FRAME, le=limits.MAX_SCENE_FRAME)]
_Side = Annotated[int, Field(ge=limits.MIN_SIDE, le=limits.MAX_SIDE, multiple_of=8)]
_Steps = Annotated[int, Field(ge=1, le=limits.MAX_STEPS)]
_Picture = Annotated[str, Field(max_length=limits.MAX_NAME, pattern=r"^[A-Za-z0-9_-]+\.(png|jpg|jpeg)$")]
"""A PNG or a JPEG in the job's folder, by its plain name."""
_Movie = Annotated[str, Field(max_length=limits.MAX_NAME, pattern=r"^[A-Za-z0-9_-]+\.mp4$")]
"""An MP4 in the job's folder, by its plain name."""
_OfFrames = Field(max_length=limits.MAX_FRAMES, fail_fast=True)


class Subject(_Strict):
    """One subject: label k of the masks is the k-th of the job's list.

    ``strength`` is, for each frame of the model, the share of the steering during which the subject is
    held; None is all of them. ``outline`` is how its mask was made: ``SURFACE`` is what it looks like from
    the camera, to whose form ``strong`` keeps where its family has settings for that and all subjects are so;
    ``HULL`` is room around it, as boxes are, and so is what does not say.
    """

    name: _Name
    phrase: Annotated[str, Field(min_length=1, max_length=limits.MAX_PHRASE), AfterValidator(_without_nul)]
    outline: Literal["HULL", "SURFACE"] | None = None
    strength: Annotated[list[Annotated[float, Field(ge=0, le=1)]], _OfFrames] | None = None


class TimedPhrase(_Strict):
    """Words of the prompt that are read from scene frame ``frame_start`` to ``frame_end`` alone.

    Within ``fade`` scene frames before and after, ever less of them is read: their weight in attention falls
    as a Gaussian does, with a standard deviation of a third of it, as in Prompt Relay (arXiv 2604.10030).
    """

    phrase: Annotated[str, Field(min_length=1, max_length=limits.MAX_PHRASE), AfterValidator(_without_nul)]
    frame_start: Annotated[int, Field(ge=-limits.MAX_SCENE_FRAME, le=limits.MAX_SCENE_FRAME)]
    frame_end: Annotated[int, Field(ge=-limits.MAX_SCENE_FRAME, le=limits.MAX_SCENE_FRAME)]
    fade: Annotated[float, Field(ge=0, le=limits.MAX_CLIP_FRAMES)] = 0

    @model_validator(mode="after")
    def _in_order(self) -> "TimedPhrase":
        if self.frame_end < self.frame_start:
            raise ValueError(f"frame_end is {self.frame_end}, before frame_start at {self.frame_start}")
        return self

    def weights(self, scene_frames: list[float]) -> np.ndarray:
        """How much each frame of the model reads of them: float (num_frames,) in 0..1."""
        times = np.array(scene_frames)
        inside = (times >= self.frame_start) & (times < self.frame_end + 1)
        if not self.fade:
            return inside.astype(float)
        away = np.maximum(self.frame_start - times, times - self.frame_end - 1)
        return np.where(inside, 1.0, np.where(away < self.fade, np.exp(-4.5 * (away / self.fade) ** 2), 0.0))


class Timing(_Strict):
    """Where the clip stands in the scene, and the scene time that each frame of the model stands for.

    Model frame i of N is held during scene frames [i*D/N, (i+1)*D/N) of the D = ``frame_count`` frames.
    """

    frame_start: Annotated[int, Field(ge=-limits.MAX_SCENE_FRAME, le=limits.MAX_SCENE_FRAME)]
    frame_count: Annotated[int, Field(ge=1, le=limits.MAX_CLIP_FRAMES)]
    fps: Annotated[int, Field(ge=1, le=limits.MAX_FPS)]
    fps_base: Annotated[float, Field(ge=limits.MIN_FPS_BASE, le=limits.MAX_FPS_BASE)]
    scene_frames: Annotated[list[_SceneFrame], _OfFrames]

    @model_validator(mode="after")
    def _of_a_movie(self) -> "Timing":
        if self.rate > limits.MAX_RATE:
            raise ValueError(f"fps / fps_base is more than {limits.MAX_RATE} frames a second")
        if self.rate * limits.MAX_FRAME_SECONDS < 1:
            raise ValueError(f"fps_base / fps is more than {limits.MAX_FRAME_SECONDS} seconds a frame")
        return self

    @property
    def rate(self) -> Fraction:
        """Frames a second as a ratio: Blender's 24 / 1.001 becomes 24000/1001."""
        base = Fraction(self.fps_base)
        named = base.limit_denominator(1001)
        if not math.isclose(named, base, rel_tol=1e-6):
            named = base.limit_denominator(10**6)
        return self.fps / named

    def held_frames(self, num_frames: int) -> np.ndarray:
        """Index of the model's frame that each frame of the clip shows: int (frame_count,)."""
        return np.arange(self.frame_count) * num_frames // self.frame_count


class Control(_Strict):
    """How the masks act: a preset of :mod:`peekaboo_engine.control.settings`, and fields that differ from it.

    None is the model's own default. Without ``masked_steps`` the masks of ``strong`` end at a noise level,
    and those of ``peekaboo`` after the model's own number of steps. ``widen_small`` gives subjects that are
    smaller than the model can draw as much room as it needs, where that is known of it.
    """

    method: Method | None = None
    masked_steps: Annotated[int, Field(ge=0, le=limits.MAX_STEPS)] | None = None
    blocks: Literal["all", "mid_up"] = "all"
    special_tokens: Literal["background", "released", "shared"] = "background"
    gate_second_temporal: bool = False
    widen_small: bool = True


class Masks(_Strict):
    """How the masks were made from the scene: kept for who makes them again, nothing to the engine."""

    occluded_by_scene: bool = False
    motion_blur: bool = False
    framing: Annotated[float, Field(ge=-1, le=1)] = 0.0


class Finish(_Strict):
    """What is done to a clip for its scene, beside the clip of the model's own frames.

    ``smooth`` makes a picture for each frame of the scene, between those of the model; ``enlarge`` makes them
    as large as goes into ``width`` x ``height``, the scene's own picture.
    """

    smooth: bool = False
    enlarge: bool = False
    width: Annotated[int, Field(ge=1, le=limits.MAX_CLIP_SIDE)] | None = None
    height: Annotated[int, Field(ge=1, le=limits.MAX_CLIP_SIDE)] | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is to be done."""
        return self.smooth or self.enlarge


StartFrom = Literal["text", "rendered", "picture"]
"""Where a first frame comes from."""


EndWith = Literal["nothing", "rendered", "picture"]
"""Where a last frame comes from; None is nothing."""


class Job(_Strict):
    """One generation. None means the model's own default; ``loras`` come on top of the model's own.

    ``schedule`` is one of :mod:`.schedules`, by name.
    Words of ``timed_phrases`` are read in some frames alone; the same words may be there several times.
    ``first_frame`` and ``last_frame`` are pictures that the clip starts from and ends with, files of the
    job's folder; ``start_from`` and ``end_with`` are kept for who makes them again, and
    nothing to the engine. ``source_clip``
    is a clip, another file of it, that is made anew: ``source_strength`` is the share of the sampling that is
    done to it, from its noise level down.
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)]
    prompt: Annotated[_Prose, Field(min_length=1)]
    negative_prompt: _Prose = ""
    subjects: Annotated[list[Subject], Field(min_length=1, max_length=limits.MAX_SUBJECTS, fail_fast=True)]
    model: Annotated[str, Field(min_length=1, max_length=limits.MAX_PATH), AfterValidator(without_controls)]
    width: _Side
    height: _Side
    num_frames: Annotated[int, Field(ge=1, le=limits.MAX_FRAMES)]
    timing: Timing
    seed: Annotated[int, Field(ge=0, le=limits.MAX_SEED)]
    num_inference_steps: _Steps | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=limits.MAX_GUIDANCE)] | None = None
    schedule: Annotated[str, Field(max_length=limits.MAX_NAME), AfterValidator(without_controls)] | None = (
        None
    )
    loras: Annotated[list[Lora], Field(max_length=limits.MAX_LORAS, fail_fast=True)] = []
    timed_phrases: Annotated[
        list[TimedPhrase], Field(max_length=limits.MAX_TIMED_PHRASES, fail_fast=True)
    ] = []
    control: Control = Control()
    masks: Masks | None = None
    finish: Finish = Finish()
    first_frame: _Picture | None = None
    last_frame: _Picture | None = None
    start_from: StartFrom | None = None
    end_with: EndWith | None = None
    source_clip: _Movie | None = None
    source_strength: Annotated[float, Field(gt=0, le=1)] = 0.6

    @model_validator(mode="after")
    def _in_proportion(self) -> "Job":
        if self.num_frames * self.height * self.width > limits.MAX_VOXELS:
            raise ValueError(f"num_frames x height x width is more than {limits.MAX_VOXELS}")
        if len(self.timing.scene_frames) != self.num_frames:
            raise ValueError(
                f"timing.scene_frames has {len(self.timing.scene_frames)} entries, not {self.num_frames}"
            )
        if any(later < earlier for earlier, later in pairwise(self.timing.scene_frames)):
            raise ValueError("timing.scene_frames goes back in time")
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
    def timed(self) -> dict[str, np.ndarray]:
        """How much each frame of the model reads of phrases over time: float (num_frames,) in 0..1 each."""
        found: dict[str, np.ndarray] = {}
        known: dict[str, str] = {}
        for each in self.timed_phrases:
            phrase = known.setdefault(each.phrase.lower(), each.phrase)
            weights = each.weights(self.timing.scene_frames)
            found[phrase] = np.maximum(found.get(phrase, 0.0), weights)
        return found

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
    if folder.is_symlink():
        raise EngineError("bad_job", f"{folder} is a link; give the folder that it leads to.")
    job = _read_job(folder / "job.json")
    return job, _read_labels(folder / "masks.npz", (job.num_frames, job.height, job.width))


def _read_job(path: Path) -> Job:
    try:
        data = read_json(path, keys=_MAX_KEYS, once=True)
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
        raise EngineError(
            "bad_job", f"{path} is not a valid job ({first_fault(error)}); correct that field."
        ) from None


_MAX_KEYS = 64  # of an object of a job, each of which may become an error with a dictionary of its own


def _read_labels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """The labels of masks.npz; what the file says of itself is compared before anything is expanded."""
    try:
        with open_file(path) as file:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                return _read_array(archive, archive.getinfo("labels.npy"), shape)
    except FileNotFoundError:
        raise EngineError("bad_masks", f"{path} is missing; export the masks again.") from None
    except KeyError:
        raise EngineError("bad_masks", f'{path} holds no array "labels"; export the masks again.') from None
    except _OtherArray as error:
        raise EngineError(error.code, f"{path} holds {error}; export the masks again.") from None
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise EngineError(
            "bad_masks", f"{path} could not be read ({reason}); export the masks again."
        ) from None
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds over damaged bytes
        raise EngineError(
            "bad_masks", f"{path} is damaged ({one_line(error)}); export the masks again."
        ) from None


class _OtherArray(Exception):
    """An array that reads well but is not what the job asks for."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


_END = zipfile.sizeEndCentDir  # type: ignore[attr-defined] # bytes of the record that ends an archive
_END_64 = zipfile.sizeEndCentDir64Locator  # type: ignore[attr-defined]


def _check_directory(file: IO[bytes]) -> None:
    """Refuse an archive whose table of contents alone would fill the memory, as zipfile reads all of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END - _END_64))
    tail = file.read()
    end = tail[-_END:]
    if len(end) < _END or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":  # a comment, which none of ours has
        raise zipfile.BadZipFile("it is no npz file")
    if b"PK\6\7" in tail or int.from_bytes(end[12:16], "little") > limits.MAX_ARCHIVE_DIRECTORY:
        raise zipfile.BadZipFile("it holds too many files")


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shape: tuple[int, int, int]) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("it is compressed in a way that npz files are not")
    with archive.open(member) as stream:
        found, dtype = _read_header(stream)
        before = stream.tell()
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if dtype != np.uint8:
        raise _OtherArray("bad_masks", f'an array "labels" that is {dtype}, not uint8')
    if found != shape:
        raise _OtherArray(
            "masks_mismatch",
            f"labels of shape {found}, but job.json asks for {shape} (frames, height, width)",
        )
    if member.file_size != before + int(np.prod(shape)):
        raise ValueError("its size is not that of its array")
    with archive.open(member) as stream:
        labels = npy.read_array(stream, allow_pickle=False, max_header_size=limits.MAX_ARRAY_HEADER)
        stream.read(1)  # at its end the checksum is compared
    return labels


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of arrays is none that masks have")
    found, _, dtype = readers[version](stream, max_header_size=limits.MAX_ARRAY_HEADER)
    return found, dtype
