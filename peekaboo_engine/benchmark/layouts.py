# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of layouts: where subjects are to be, from the paper's released files or from one's own job folders.

A released file (eval/*_inputs.json of microsoft/Peekaboo, commit 0aa5a86: IMC, DAVIS-16, LaSOT, ssv2-ST) is a
JSON list of records with "id", "caption", "subject", "bboxes" and perhaps "metadata". A box is documented as
x1, y1, x2, y2 relative to the frame, y down. What the files really hold differs; each difference is put right
where that can be done without a guess, and named in :attr:`LayoutSet.findings`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..documents import parse_json
from ..errors import EngineError
from ..job import load_job
from ..limits import MAX_LAYOUT_BYTES
from ..places import read_file
from .davis import annotations_of, read_davis
from .tracks import fill_gaps, resample_track, track_of_label

T = TypeVar("T")

_LARGEST_EXCESS = 0.02  # of the frame: LaSOT's annotators went a pixel or two beyond the edge


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Track:
    """One subject and where it is to be."""

    subject: str  # words that name it, within the caption
    boxes: np.ndarray  # float64 (frames, 4): x1, y1, x2, y2 in 0..1; NaN where a job's masks do not show it


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Layout:
    """Tracks of one clip, all of the same number of frames."""

    id: str
    caption: str
    tracks: tuple[Track, ...]
    labels: np.ndarray | None = None  # a job's own masks, uint8 (frames, height, width)


@dataclass(frozen=True)
class LayoutSet:
    """The layouts of a file or of job folders, and what was found and put right in reading them."""

    name: str
    sha256: str
    layouts: list[Layout]
    findings: list[str]


def read_layouts(path: Path) -> LayoutSet:
    """Read a layouts file, a job folder, a folder of job folders, or DAVIS.

    Raises:
        EngineError: ``layouts_unreadable``, ``layouts_invalid`` for a file of another shape, an empty set
            or one without a box; what :func:`peekaboo_engine.job.load_job` raises.
    """
    if path.is_dir():
        return _read_davis(path) if annotations_of(path) else _read_jobs(path)
    try:
        content = read_file(path, MAX_LAYOUT_BYTES, follow=True)
        records = parse_json(content)
    except OSError as error:
        raise EngineError(
            "layouts_unreadable", f"Cannot read the layouts {path}: {error.strerror}; give a readable file."
        ) from error
    except ValueError as error:
        raise EngineError(
            "layouts_invalid", f"{path} is not JSON; give a layouts file such as imc_inputs.json."
        ) from error
    layouts, findings = _layouts_of_records(_checked_records(records, path), path)
    return LayoutSet(path.stem, hashlib.sha256(content).hexdigest(), layouts, findings)


class _Record(BaseModel):
    """A record of a released file; numbers stand for themselves as identifiers."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    id: str
    caption: str
    subject: str
    bboxes: Annotated[list[tuple[float, float, float, float]], Field(min_length=1)]
    metadata: dict[str, Any] = {}

    @property
    def boxes(self) -> np.ndarray:
        """Float64 (frames, 4), as they stand in the file."""
        return np.array(self.bboxes, np.float64)


def _checked_records(records: Any, path: Path) -> list[_Record]:
    if not isinstance(records, list) or not records:
        raise EngineError(
            "layouts_invalid",
            f"{path} is not a list of layouts, or an empty one; give a file such as imc_inputs.json.",
        )
    try:
        checked = TypeAdapter(list[_Record]).validate_python(records)
    except ValidationError as error:
        first = error.errors()[0]
        index, *field = first["loc"]
        raise EngineError(
            "layouts_invalid",
            f"Record {index} of {path} needs id, caption, subject and bboxes with 4 numbers for each frame "
            f"({'.'.join(map(str, field)) or 'the whole'}: {first['msg']}); correct it.",
        ) from None
    names = [record.id for record in checked]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EngineError(
            "layouts_invalid",
            f"{path} has more than one record with the id {min(twice)}; give each its own.",
        )
    return checked


def _layouts_of_records(records: list[_Record], path: Path) -> tuple[list[Layout], list[str]]:
    tracks = [record.boxes for record in records]
    findings = []
    if _inverted(np.concatenate(tracks)).any():
        reordered = [boxes[:, [0, 2, 1, 3]] for boxes in tracks]
        if not _inverted(np.concatenate(reordered)).any():
            tracks = reordered
            findings.append("boxes are in the order x1, x2, y1, y2 (documented: x1, y1, x2, y2): reordered")
    layouts, left_out, filled, clipped = [], [], [], 0
    for index, (record, boxes) in enumerate(zip(records, tracks, strict=True)):
        _check_boxes(boxes, index, path)
        clipped += int(((boxes < 0) | (boxes > 1)).any(1).sum())
        boxes = boxes.clip(0, 1)
        known = np.logical_and(boxes[:, 2] > boxes[:, 0], boxes[:, 3] > boxes[:, 1])
        if not known.any():
            left_out.append(record.id)
            continue
        if not known.all():
            filled.append(int((~known).sum()))
            boxes = fill_gaps(boxes, known)
        layouts.append(Layout(record.id, record.caption, (Track(record.subject, boxes),)))
    if not layouts:
        raise EngineError("layouts_invalid", f"Every box of {path} is empty; give a file with box tracks.")
    if clipped:
        findings.append(f"{clipped} boxes reach beyond the frame: clipped")
    if left_out:
        findings.append(f"{len(left_out)} records have no box at all ({_some(left_out)}): left out")
    if filled:
        findings.append(
            f"{sum(filled)} empty boxes in {len(filled)} other records: filled in from the frames around them"
        )
    lengths = {len(boxes) for boxes in tracks}
    if len(lengths) > 1:
        findings.append(
            f"tracks have {min(lengths)} to {max(lengths)} frames: stretched to the model's number"
        )
    return layouts, findings


def _inverted(boxes: np.ndarray) -> np.ndarray:
    return np.logical_or(boxes[:, 2] < boxes[:, 0], boxes[:, 3] < boxes[:, 1])


def _check_boxes(boxes: np.ndarray, index: int, path: Path) -> None:
    if not np.isfinite(boxes).all() or _inverted(boxes).any():
        raise EngineError(
            "layouts_invalid",
            f"Record {index} of {path} has a box that is not x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; "
            "correct it.",
        )
    if boxes.min() < -_LARGEST_EXCESS or boxes.max() > 1 + _LARGEST_EXCESS:
        raise EngineError(
            "layouts_invalid",
            f"Record {index} of {path} has a box outside 0..1; divide coordinates by the frame's width and "
            "height.",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _read_davis(folder: Path) -> LayoutSet:
    """The sequences of DAVIS-16: what is not seen of a subject is filled in, as in the released files."""
    read, digest, findings = read_davis(folder)
    layouts, filled = [], 0
    for name, words, boxes in read:
        known = ~np.isnan(boxes).any(axis=1)
        if not known.any():
            findings.append(f"{name} shows no object in any frame: left out")
            continue
        filled += int((~known).sum())
        layouts.append(Layout(name, words.caption, (Track(words.subject, fill_gaps(boxes, known)),)))
    if not layouts:
        raise EngineError("layouts_invalid", f"Every mask of {folder} is empty; unpack the download again.")
    if filled:
        findings.append(f"{filled} frames show no object: filled in from the frames around them")
    return LayoutSet(folder.resolve().name, digest, layouts, findings)


def _read_jobs(folder: Path) -> LayoutSet:
    """A job folder, or all job folders directly within a folder: their own masks and prompts."""
    alone = (folder / "job.json").is_file()
    folders = [folder] if alone else sorted(path.parent for path in folder.glob("*/job.json"))
    if not folders:
        raise EngineError(
            "layouts_unreadable",
            f"{folder} holds no job.json, nor does a folder within it, and is not DAVIS; give a layouts file "
            "or a job folder.",
        )
    digest, layouts = hashlib.sha256(), []
    for path in folders:
        job, labels = load_job(path)
        digest.update(job.model_dump_json().encode() + labels.tobytes())
        tracks = tuple(
            Track(subject.phrase, track_of_label(labels, label))
            for label, subject in enumerate(job.subjects, start=1)
        )
        layouts.append(Layout(path.resolve().name, job.prompt, tracks, labels))
    return LayoutSet(folder.resolve().name, digest.hexdigest(), layouts, [])


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return `count` items evenly spread over all, the first among them; all if there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def combine(layouts: list[Layout], subjects: int) -> list[Layout]:
    """Give each layout of one subject the tracks of others, so that it has `subjects` of them.

    The partners are those that overlap it least; of equal ones the next in the list. All tracks are stretched
    to the longest one's frames.

    Raises:
        EngineError: ``too_many_subjects`` for a set with fewer layouts than that.
    """
    if subjects > len(layouts):
        raise EngineError(
            "too_many_subjects",
            f"The set has {len(layouts)} layouts, too few for {subjects} subjects a clip; give a larger one.",
        )
    frames = max(len(layout.tracks[0].boxes) for layout in layouts)
    tracks = [
        replace(layout.tracks[0], boxes=resample_track(layout.tracks[0].boxes, frames)) for layout in layouts
    ]
    boxes = np.stack([track.boxes for track in tracks])
    chosen = [_with_partners(boxes, index, subjects) for index in range(len(layouts))]
    return [
        Layout("+".join(layouts[i].id for i in own), layouts[own[0]].caption, tuple(tracks[i] for i in own))
        for own in chosen
    ]


def _with_partners(boxes: np.ndarray, index: int, subjects: int) -> list[int]:
    """Indices of a track and its partners, out of boxes (tracks, frames, 4)."""
    count, own = len(boxes), [index]
    following = (index + np.arange(count)) % count
    shared = np.zeros(count)
    while len(own) < subjects:
        low, high = np.maximum(boxes, boxes[own[-1]]), np.minimum(boxes, boxes[own[-1]])
        width, height = (high[..., 2:] - low[..., :2]).clip(0).T
        shared += (width * height).sum(0)
        shared[own] = np.inf
        own.append(int(following[shared[following].argmin()]))
    return own
