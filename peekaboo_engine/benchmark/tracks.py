# SPDX-License-Identifier: GPL-3.0-or-later
"""Box tracks: where one subject is to be in each frame, and the label maps that say so to the model.

A track is float64 (frames, 4): x1, y1, x2, y2 relative to the frame, y down.
"""

from __future__ import annotations

import numpy as np


def resample_track(boxes: np.ndarray, num_frames: int) -> np.ndarray:
    """Stretch a track (frames, 4) over `num_frames` frames, first and last kept, linear in between."""
    at = np.linspace(0, len(boxes) - 1, num_frames)
    return np.stack([np.interp(at, np.arange(len(boxes)), column) for column in boxes.T], axis=1)


def fill_gaps(boxes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill a track where it is not `known`, bool (frames,): linear in between, held at the ends."""
    at = np.arange(len(boxes))
    return np.stack([np.interp(at, at[known], column[known]) for column in boxes.T], axis=1)


def label_map(tracks: list[np.ndarray], width: int, height: int) -> np.ndarray:
    """Draw tracks as labels, uint8 (frames, height, width): k for the k-th track, later ones over earlier.

    A pixel belongs to a box if its centre does; a box always keeps at least one pixel of its own.
    """
    labels = np.zeros((len(tracks[0]), height, width), np.uint8)
    for label, boxes in enumerate(tracks, start=1):
        labels[_inside(boxes, width, height)] = label
    return labels


def _inside(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    x1, y1, x2, y2 = boxes.T[..., None]
    # A box between two pixel centres keeps the pixel nearest to its middle.
    columns = ((x >= x1) & (x < x2)) | _nearest(x, (x1 + x2) / 2)
    rows = ((y >= y1) & (y < y2)) | _nearest(y, (y1 + y2) / 2)
    return rows[:, :, None] & columns[:, None, :]


def _nearest(centres: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Mark, for each row of `middle` (frames, 1), the one centre nearest to it."""
    return np.abs(centres - middle).argmin(1)[:, None] == np.arange(len(centres))


def track_of_label(labels: np.ndarray, label: int) -> np.ndarray:
    """Bounding boxes of a label in a label map (frames, height, width); NaN in frames that do not show it."""
    _, height, width = labels.shape
    track = np.full((len(labels), 4), np.nan)
    for frame, mask in enumerate(labels == label):
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            corners = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
            track[frame] = corners
    return track
