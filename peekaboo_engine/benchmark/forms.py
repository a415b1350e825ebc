# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a subject fills its silhouette: measures of pixels, where masks are silhouettes and not boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUND = 1.15
"""Up to this ratio of width over height to that of the silhouette, either way, a subject keeps its form."""


@dataclass(frozen=True)
class FormScore:
    """The measures of one subject in one clip."""

    frames: int  # in which its silhouette is to be seen
    pixel_iou: float  # summed over them; a miss counts its silhouette
    shared: int  # frames in which it was found and neither touches the edge of the picture
    kept: int  # of them, those in which its aspect is that of the silhouette


def score_form(wanted: np.ndarray, found: Sequence[np.ndarray | None]) -> FormScore:
    """Compare what was found of a subject with its silhouette.

    Intersections of pixels are summed over the frames that show the silhouette, and so are unions: one
    number for a clip, as :func:`.metrics.volumetric_iou` is for boxes. The aspect is that of the boxes around
    both, which says nothing where one of them is cut by the edge of the picture.

    Args:
        wanted: bool (frames, height, width).
        found: for each frame bool (height, width), or None.
    """
    frames = shared_pixels = all_pixels = shared = kept = 0
    for silhouette, blob in zip(wanted, found, strict=True):
        if not silhouette.any():
            continue
        frames += 1
        blob = np.zeros_like(silhouette) if blob is None else blob
        shared_pixels += int((silhouette & blob).sum())
        all_pixels += int((silhouette | blob).sum())
        if blob.any() and not (_cut(silhouette) or _cut(blob)):
            shared += 1
            ratio = _aspect(blob) / _aspect(silhouette)
            kept += 1 / ROUND <= ratio <= ROUND
    return FormScore(frames, shared_pixels / all_pixels if all_pixels else 0.0, shared, int(kept))


def summarise_forms(scores: Sequence[FormScore]) -> dict[str, float | None]:
    """Over clips and subjects; None where there are no silhouettes.

    ``pixel_iou``  mean over clips and subjects.
    ``form_kept``  fraction of the frames that can tell in which a subject's aspect is its silhouette's.
    """
    shared = sum(score.shared for score in scores)
    return {
        "pixel_iou": sum(score.pixel_iou for score in scores) / len(scores) if scores else None,
        "form_kept": sum(score.kept for score in scores) / shared if shared else None,
    }


def _cut(mask: np.ndarray) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _aspect(mask: np.ndarray) -> float:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return float((columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1))
