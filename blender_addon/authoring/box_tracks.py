# SPDX-License-Identifier: GPL-3.0-or-later
"""Box tracks, as the paper's benchmark states them, to keyframed empties and back.

A record is a JSON object: ``id``, ``caption``, ``subject`` and ``bboxes``, one ``[x1, y1, x2, y2]`` a frame,
relative to the picture, y downwards. A box without area says that the subject is absent from its frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from .. import compat
from ..borders.documents import read_json
from ..engine import catalogue
from ..errors import PeekabooError
from ..masks import cameras
from ..shot import subjects
from ..shot.layout import Layout, timing_of
from ..shot.size import picture_of

MAX_BYTES = 64 * 2**20
"""Of a file of records; the benchmark's largest has 20 MB."""
FPS = 8
"""Frame rate of a scene made from a record; the benchmark's tracks were sampled at about this rate."""
DISTANCE = 10.0
"""How far the front of a subject is from the camera, in metres."""
THICKNESS = 0.05
"""Depth of a subject over its mean width and height: a thick block's sides cut corners off its outline."""
LENS, SENSOR = 50.0, 36.0
"""Focal length and sensor width of the camera, in millimetres: Blender's defaults."""


@dataclass(frozen=True)
class BoxTrack:
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


def load(path: Path) -> list[BoxTrack]:
    """Read a file of records.

    Raises:
        PeekabooError: it cannot be read, or is not a list of records.
    """
    try:
        entries = read_json(path, MAX_BYTES, follow=True)
    except OSError as error:
        raise PeekabooError(
            f'"{path}" cannot be read ({error.strerror}): give a JSON file of layouts.'
        ) from None
    except ValueError:
        raise PeekabooError(f'"{path}" is not valid JSON: give a file of layouts.') from None
    if not isinstance(entries, list):
        raise PeekabooError(f'"{path}" is not a list of layouts: give a file in the benchmark\'s format.')
    return [_record(entry, index, path) for index, entry in enumerate(entries)]


def _record(entry: dict, index: int, path: Path) -> BoxTrack:
    try:
        boxes = np.array(entry["bboxes"], float)
        caption, subject = str(entry["caption"]), str(entry["subject"])
        identity = str(entry["id"])
    except (KeyError, TypeError, ValueError, OverflowError):
        boxes = np.empty(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise PeekabooError(
            f'Layout {index} of "{path}" is incomplete: it needs id, caption, subject and bboxes of '
            "four numbers a frame."
        )
    match = re.search(re.escape(subject), caption, re.IGNORECASE)
    return BoxTrack(identity, caption, match.group() if match else subject, boxes)


def build(scene, records: Sequence[BoxTrack], model: str = catalogue.DEFAULT_MODEL) -> None:
    """Make an empty scene the shot of some records: a camera, and for each record a keyframed empty.

    The scene gets the model's aspect, so that the records' picture is the camera's frame, and the first
    record's caption as its prompt. Where boxes overlap, those of earlier records are nearer.

    Raises:
        PeekabooError: a subject is in no frame, the records differ in length, or there is no such model.
    """
    check(records)
    width, height, _ = catalogue.model_size(model)
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.peekaboo.model = model
    take_timing(scene, records[0])
    _add_camera(scene)
    add_subjects(scene, records, DISTANCE)
    scene.peekaboo.prompt = records[0].caption


def check(records: Sequence[BoxTrack]) -> None:
    """Make sure that records can be the subjects of one shot.

    Raises:
        PeekabooError: a subject is in no frame, or the records differ in length.
    """
    for record in records:
        if not record.present.any():
            raise PeekabooError(f'The subject of layout "{record.id}" is in no frame: choose another layout.')
    if len({len(record.boxes) for record in records}) > 1:
        raise PeekabooError("The layouts have different numbers of frames: choose layouts of the same clip.")


def choose(records: Sequence[BoxTrack], identity: str) -> BoxTrack:
    """Find the record of an id; the first one where that is empty.

    Raises:
        PeekabooError: there is none.
    """
    found = next((record for record in records if record.id == identity or not identity), None)
    if found is None and records:
        raise PeekabooError(
            f'There is no layout "{identity}" in the file: choose "{records[0].id}" or another.'
        )
    if found is None:
        raise PeekabooError("The file holds no layout: choose another one.")
    return found


def take_timing(scene, record: BoxTrack) -> None:
    """Give a scene a frame for each box of a record, at the rate of the benchmark's tracks."""
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    scene.frame_start, scene.frame_end = 1, len(record.boxes)
    scene.frame_set(1)


def _add_camera(scene) -> None:
    lens = bpy.data.cameras.new("Camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = LENS, SENSOR, "HORIZONTAL"
    camera = bpy.data.objects.new("Camera", lens)
    camera.location = (0, -DISTANCE, 0)
    camera.rotation_euler = (np.pi / 2, 0, 0)  # level, looking along +Y
    scene.collection.objects.link(camera)
    scene.camera = camera


def add_subjects(scene, records: Sequence[BoxTrack], distance: float, collection=None) -> list:
    """Put an empty for each record before a scene's camera, which they follow; returns them.

    A record's boxes are spread over the scene's range as a model's frames are, so that a model of as many
    frames sees each box. The lens is taken as it is at the current frame.

    Args:
        scene: with a camera.
        records: in which earlier ones are nearer.
        distance: of the front of the nearest, from the camera.
        collection: gets the empties; the scene's own by default.

    Raises:
        PeekabooError: the camera cannot be projected.
    """
    width, height = picture_of(scene)
    picture = _Picture.of(scene, width / height)
    times = timing_of(scene, len(records[0].boxes)).scene_frames
    added = []
    for record in records:
        empty: Any = bpy.data.objects.new(record.phrase.capitalize(), None)
        empty.empty_display_type, empty.empty_display_size = "CUBE", 1.0
        subjects.mark(scene, empty, record.phrase)
        (collection or scene.collection).objects.link(empty)
        follow(empty, scene.camera)
        distance += _keyframe(empty, record, times, picture, distance)
        added.append(empty)
    return added


@dataclass(frozen=True)
class _Picture:
    """A camera's picture in the camera's own space.

    Attributes:
        low: x and y of its lower left corner, at the distance 1, (2,).
        high: of its upper right corner.
        perspective: whether it grows with the distance.
    """

    low: np.ndarray
    high: np.ndarray
    perspective: bool

    @classmethod
    def of(cls, scene, aspect: float) -> _Picture:
        """Look through a scene's camera at the current frame; raises as :func:`cameras.view`."""
        if scene.camera is None:
            raise PeekabooError(
                f'The scene "{scene.name}" has no camera to put the layout before: add one and make it the '
                "active camera."
            )
        rows = cameras.picture_rows(scene.camera, bpy.context.evaluated_depsgraph_get(), scene.render, aspect)
        across, ahead = (
            rows[:, :2],
            rows[:, 3] - rows[:, 2],
        )  # the latter of what is on the line of sight, at 1
        low, high = (np.linalg.solve(across, side - ahead) for side in (-1, 1))
        return cls(low, high, scene.camera.data.type == "PERSP")


def follow(empty, camera) -> None:
    """Parent an empty to a camera, but not to its scale, which Blender does not look with."""
    empty.parent = camera
    empty.matrix_parent_inverse = Matrix.LocRotScale(
        None, None, camera.matrix_world.to_scale()
    ).inverted_safe()


def _keyframe(empty, record: BoxTrack, times: Sequence[float], picture: _Picture, distance: float) -> float:
    """Let a block's front be at a distance from the camera and fill the boxes; returns the block's depth."""
    low, high, depth = _extents(record, picture, distance)
    for i, present in enumerate(record.present):
        if not record.present.all():
            empty.hide_render = not present
            empty.keyframe_insert("hide_render", frame=times[i])
        if present:
            middle = (low[i] + high[i]) / 2
            empty.location = (*middle, -distance - depth / 2)
            empty.scale = (*(high[i] - low[i]) / 2, depth / 2)
            empty.keyframe_insert("location", frame=times[i])
            empty.keyframe_insert("scale", frame=times[i])
    for curve in compat.fcurves(empty):
        for key in curve.keyframe_points:
            key.interpolation = "CONSTANT" if curve.data_path == "hide_render" else "LINEAR"
    return depth


def _extents(record: BoxTrack, picture: _Picture, distance: float) -> tuple[np.ndarray, np.ndarray, float]:
    """X and Y ranges in the camera's space, each (frames, 2), of blocks that fill the boxes, and their depth.

    In perspective a side of a silhouette is cast by the block's front where it lies on the outer side of the
    line of sight, and by its back, which is further away, where it lies on the inner side.
    """
    flipped = record.boxes * [1, -1, 1, -1] + [0, 1, 0, 1]  # y upwards: x1, y2', x2, y1'
    size = picture.high - picture.low
    low = picture.low + flipped[:, [0, 3]] * size
    high = picture.low + flipped[:, [2, 1]] * size
    depth = THICKNESS * float(np.mean((high - low)[record.present]))
    if not picture.perspective:
        return low, high, depth
    depth *= distance
    back = distance + depth
    return np.where(low > 0, back, distance) * low, np.where(high < 0, back, distance) * high, depth


def projected_boxes(layout: Layout) -> np.ndarray:
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


def records_of(layout: Layout, caption: str) -> list[dict]:
    """State a layout in the benchmark's format: one record a subject, all with the same caption.

    Boxes bound what is seen of a subject; it is ``[0, 0, 0, 0]`` where that is nothing.
    """
    boxes = projected_boxes(layout)
    return [
        {
            "id": subject.name,
            "caption": caption,
            "subject": subject.phrase,
            "bboxes": boxes[:, k].round(5).tolist(),
        }
        for k, subject in enumerate(layout.subjects)
    ]
