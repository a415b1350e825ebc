# SPDX-License-Identifier: GPL-3.0-or-later
"""Box tracks, as the paper's benchmark states them, to keyframed empties and back.

A record is a JSON object: ``id``, ``caption``, ``subject`` and ``bboxes``, one ``[x1, y1, x2, y2]`` a frame,
relative to the picture, y downwards. A box without area says that the subject is absent from its frame.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import authoring, compat, models, shot
from .errors import PeekabooError

FPS = 8
"""Frame rate of a scene made from a record; the benchmark's tracks were sampled at about this rate."""
DISTANCE = 10.0
"""How far the front of a subject is from the camera, in metres."""
THICKNESS = 0.05
"""Depth of a subject over its mean width and height: a thick block's sides cut corners off its outline."""
LENS, SENSOR = 50.0, 36.0
"""Focal length and sensor width of the camera, in millimetres: Blender's defaults."""


@dataclass(frozen=True)
class Record:
    """One subject's track.

    Attributes:
        id: of the record in its file.
        caption: describes the clip.
        phrase: the subject, as it stands in the caption.
        boxes: float64 (frames, 4): x1, y1, x2, y2, each 0..1, y downwards.
    """

    id: str
    caption: str
    phrase: str
    boxes: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """bool (frames,): in which frames the subject is there."""
        return np.all(self.boxes[:, 2:] > self.boxes[:, :2], axis=1)


def load(path: Path) -> list[Record]:
    """Read a file of records.

    Raises:
        PeekabooError: it cannot be read, or is not a list of records.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PeekabooError(
            f'"{path}" cannot be read ({error.strerror}): give a JSON file of layouts.'
        ) from None
    except ValueError:
        raise PeekabooError(f'"{path}" is not valid JSON: give a file of layouts.') from None
    if not isinstance(entries, list):
        raise PeekabooError(f'"{path}" is not a list of layouts: give a file in the benchmark\'s format.')
    return [_record(entry, index, path) for index, entry in enumerate(entries)]


def _record(entry: dict, index: int, path: Path) -> Record:
    try:
        boxes = np.array(entry["bboxes"], float)
        caption, subject = str(entry["caption"]), str(entry["subject"])
        identity = str(entry["id"])
    except (KeyError, TypeError, ValueError):
        boxes = np.empty(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise PeekabooError(
            f'Layout {index} of "{path}" is incomplete: it needs id, caption, subject and bboxes of '
            "four numbers a frame."
        )
    match = re.search(re.escape(subject), caption, re.IGNORECASE)
    return Record(identity, caption, match.group() if match else subject, boxes)


def build(scene, records: Sequence[Record], model: str = models.DEFAULT_MODEL) -> None:
    """Make an empty scene the shot of some records: a camera, and for each record a keyframed empty.

    The scene gets the model's aspect, so that the records' picture is the camera's frame, and the first
    record's caption as its prompt. Where boxes overlap, those of earlier records are nearer.

    Raises:
        PeekabooError: a subject is in no frame, the records differ in length, or there is no such model.
    """
    for record in records:
        if not record.present.any():
            raise PeekabooError(f'The subject of layout "{record.id}" is in no frame: choose another layout.')
    if len({len(record.boxes) for record in records}) > 1:
        raise PeekabooError("The layouts have different numbers of frames: choose layouts of the same clip.")
    width, height, _ = models.model_size(model)
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    scene.frame_start, scene.frame_end = 1, len(records[0].boxes)
    scene.frame_set(1)
    _add_camera(scene)
    distance = DISTANCE
    for record in records:
        distance += _add_subject(scene, record, width / height, distance)
    scene.peekaboo.prompt = records[0].caption
    scene.peekaboo.model = model


def _add_camera(scene) -> None:
    lens = bpy.data.cameras.new("Camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = LENS, SENSOR, "HORIZONTAL"
    camera = bpy.data.objects.new("Camera", lens)
    camera.location = (0, -DISTANCE, 0)
    camera.rotation_euler = (np.pi / 2, 0, 0)  # level, looking along +Y
    scene.collection.objects.link(camera)
    scene.camera = camera


def _add_subject(scene, record: Record, aspect: float, distance: float) -> float:
    """Add a keyframed block whose front is at a distance from the camera; returns the block's depth."""
    empty: Any = bpy.data.objects.new(record.phrase.capitalize(), None)
    empty.empty_display_type, empty.empty_display_size = "CUBE", 1.0
    authoring.mark(scene, empty, record.phrase)
    scene.collection.objects.link(empty)
    low, high, depth = _extents(record, aspect, distance)
    for i, present in enumerate(record.present):
        frame = scene.frame_start + i
        if not record.present.all():
            empty.hide_render = not present
            empty.keyframe_insert("hide_render", frame=frame)
        if present:
            middle = (low[i] + high[i]) / 2
            empty.location = (middle[0], distance - DISTANCE + depth / 2, middle[1])
            empty.scale = ((high[i, 0] - low[i, 0]) / 2, depth / 2, (high[i, 1] - low[i, 1]) / 2)
            empty.keyframe_insert("location", frame=frame)
            empty.keyframe_insert("scale", frame=frame)
    for curve in compat.fcurves(empty):
        for key in curve.keyframe_points:
            key.interpolation = "CONSTANT" if curve.data_path == "hide_render" else "LINEAR"
    return depth


def _extents(record: Record, aspect: float, distance: float) -> tuple[np.ndarray, np.ndarray, float]:
    """World X and Z ranges, each (frames, 2), of blocks that fill the boxes, and their common depth in Y.

    A side of a silhouette is cast by the block's front where it lies on the outer side of the picture's
    middle, and by its back, which is further away, where it lies on the inner side.
    """
    half = np.array([1, 1 / aspect]) * SENSOR / 2 / LENS  # half the frame at distance 1
    flipped = record.boxes * [1, -1, 1, -1] + [0, 1, 0, 1]  # y upwards: x1, y2', x2, y1'
    low = (2 * flipped[:, [0, 3]] - 1) * half
    high = (2 * flipped[:, [2, 1]] - 1) * half
    depth = THICKNESS * float(np.mean((high - low)[record.present])) * distance
    back = distance + depth
    return np.where(low > 0, back, distance) * low, np.where(high < 0, back, distance) * high, depth


def projected_boxes(layout: shot.Layout) -> np.ndarray:
    """Bound each subject's pixels: float64 (frames, subjects, 4), relative x1, y1, x2, y2.

    Zeros where it is not.
    """
    frames, height, width = layout.labels.shape
    boxes = np.zeros((frames, len(layout.subjects), 4))
    for i in range(frames):
        for k in range(len(layout.subjects)):
            mask = layout.labels[i] == k + 1
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if len(rows):
                left, right = columns[0] / width, (columns[-1] + 1) / width
                boxes[i, k] = left, rows[0] / height, right, (rows[-1] + 1) / height
    return boxes


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4), inside the picture; 1 where both are absent."""
    a, b = np.clip(a, 0, 1), np.clip(b, 0, 1)
    overlap = np.prod(
        np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0), axis=-1
    )
    union = sum(np.prod(np.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (a, b)) - overlap
    return np.divide(overlap, union, out=np.ones_like(overlap), where=union > 0)


def records_of(layout: shot.Layout, caption: str) -> list[dict]:
    """State a layout in the benchmark's format: one record a subject, all with the same caption.

    Boxes bound what is seen of a subject; it is ``[0, 0, 0, 0]`` where that is nothing.
    """
    boxes = projected_boxes(layout)
    return [
        {"id": name, "caption": caption, "subject": phrase, "bboxes": boxes[:, k].round(5).tolist()}
        for k, (name, phrase) in enumerate(layout.subjects)
    ]
