# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads box tracks in the format of the paper's released benchmark, and fits them to a model's frames.

The file is a JSON list of records with "id", "caption", "subject" and "bboxes": for each frame x1, y1, x2, y2
relative to the frame, y down.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError


@dataclass(frozen=True)
class Layout:
    """One record: a subject and where it is to be."""

    id: str
    caption: str
    subject: str
    boxes: np.ndarray  # float64 (frames, 4): x1, y1, x2, y2 in 0..1


def read_layouts(path: Path) -> list[Layout]:
    """Read all records of a layouts file.

    Raises EngineError if there is no such file, it is not such a list, or a record lacks a usable track.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(
            "layouts_unreadable", f"Cannot read the layouts {path}: {error.strerror}; give a readable file."
        ) from error
    except ValueError as error:
        raise EngineError(
            "layouts_invalid", f"{path} is not JSON; give a layouts file such as imc.json."
        ) from error
    if not isinstance(records, list) or not records:
        raise EngineError(
            "layouts_invalid", f"{path} is not a list of layouts; give a file such as imc.json."
        )
    return [_layout(record, index, path) for index, record in enumerate(records)]


def _layout(record: Any, index: int, path: Path) -> Layout:
    try:
        boxes = np.asarray(record["bboxes"], dtype=np.float64)
        layout = Layout(str(record["id"]), str(record["caption"]), str(record["subject"]), boxes)
    except (TypeError, KeyError, ValueError):
        boxes = None
    if boxes is None or boxes.ndim != 2 or boxes.shape[1:] != (4,) or not len(boxes):
        message = (
            f"Record {index} of {path} needs id, caption, subject and bboxes with 4 numbers for each frame."
        )
        raise EngineError("layouts_invalid", message)
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        message = (
            f"Record {index} of {path} has an empty box, or not in the order x1, y1, x2, y2; correct it."
        )
        raise EngineError("layouts_invalid", message)
    return layout


def spread(layouts: list[Layout], count: int) -> list[Layout]:
    """Return `count` layouts evenly spread over the list, the first among them; all if there are fewer."""
    count = min(count, len(layouts))
    return [layouts[index * len(layouts) // count] for index in range(count)]


def resample_track(boxes: np.ndarray, num_frames: int) -> np.ndarray:
    """Stretch a track (frames, 4) over `num_frames` frames, first and last kept, linear in between."""
    at = np.linspace(0, len(boxes) - 1, num_frames)
    return np.stack([np.interp(at, np.arange(len(boxes)), column) for column in boxes.T], axis=1)


def label_map(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Draw a track as labels of subject 1, uint8 (frames, height, width).

    A pixel belongs to the box if its centre does; a box always keeps at least one pixel.
    """
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    x1, y1, x2, y2 = boxes.T[..., None]
    # A box between two pixel centres keeps the pixel nearest to its middle.
    columns = ((x >= x1) & (x < x2)) | _nearest(x, (x1 + x2) / 2)
    rows = ((y >= y1) & (y < y2)) | _nearest(y, (y1 + y2) / 2)
    return (rows[:, :, None] & columns[:, None, :]).astype(np.uint8)


def _nearest(centres: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Mark, for each row of `middle` (frames, 1), the one centre nearest to it."""
    return np.abs(centres - middle).argmin(1)[:, None] == np.arange(len(centres))
