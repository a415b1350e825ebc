# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a subject follows its box: the measures of the paper and of its released evaluation.

Boxes are x1, y1, x2, y2 relative to the frame, y down; None where a detector found nothing. "As released" is
eval/get_metrics.py of microsoft/Peekaboo (commit 0aa5a86), which rasterises boxes; here areas are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Box = Sequence[float]


@dataclass(frozen=True)
class ClipScore:
    """The measures of one clip of F frames."""

    frames: int
    detected: int  # frames in which the subject was found
    miou: float  # volumetric
    miou_per_frame: float
    ap50: float
    centroid_distance: float


def area(box: Box) -> float:
    """Area of a box; an inverted or empty one has none."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def intersection(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 if both are empty."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def volumetric_iou(wanted: Sequence[Box], found: Sequence[Box | None]) -> float:
    """Intersections summed over all frames by unions summed over all frames; nothing found is an empty box.

    What the paper calls mIoU, as released. A clip is one volume, so large boxes weigh more than small ones.
    """
    shared = sum(intersection(w, f) for w, f in zip(wanted, found, strict=True) if f is not None)
    total = sum(area(w) + (area(f) if f is not None else 0.0) for w, f in zip(wanted, found, strict=True))
    return shared / (total - shared) if total > shared else 0.0


def mean_frame_iou(wanted: Sequence[Box], found: Sequence[Box | None]) -> float:
    """Mean of the frames' IoU, 0 where nothing was found: other papers' mIoU, which leave misses out."""
    return sum(iou(w, f) for w, f in zip(wanted, found, strict=True) if f is not None) / len(wanted)


def average_precision_50(wanted: Sequence[Box], found: Sequence[Box | None]) -> float:
    """Fraction of the frames with a detection whose IoU is at least 0.5, as released; 0 without any."""
    overlaps = [iou(w, f) for w, f in zip(wanted, found, strict=True) if f is not None]
    return sum(overlap >= 0.5 for overlap in overlaps) / len(overlaps) if overlaps else 0.0


def centroid_distance(wanted: Sequence[Box], found: Sequence[Box | None]) -> float:
    """Mean distance of box centres over frames with a detection, in units of the frame's diagonal.

    Relative coordinates make a diagonal of sqrt(2). The released code counts a miss as a centre at (0, 0),
    which measures the detector and not the distance; here misses are left out, and a clip without any has
    distance 1.
    """
    distances = [
        math.hypot((w[0] + w[2] - f[0] - f[2]) / 2, (w[1] + w[3] - f[1] - f[3]) / 2)
        for w, f in zip(wanted, found, strict=True)
        if f is not None
    ]
    return sum(distances) / len(distances) / math.sqrt(2) if distances else 1.0


def score_clip(wanted: Sequence[Box], found: Sequence[Box | None]) -> ClipScore:
    """All measures of one clip. Raises ValueError if the numbers of frames differ or are zero."""
    if not wanted or len(wanted) != len(found):
        raise ValueError(
            f"{len(wanted)} boxes and {len(found)} detections: give one detection or None for each frame."
        )
    return ClipScore(
        frames=len(wanted),
        detected=sum(f is not None for f in found),
        miou=volumetric_iou(wanted, found),
        miou_per_frame=mean_frame_iou(wanted, found),
        ap50=average_precision_50(wanted, found),
        centroid_distance=centroid_distance(wanted, found),
    )


def summarise(scores: Sequence[ClipScore]) -> dict[str, float]:
    """Means over clips, none left out; AP50 is weighted by detections as released.

    `detected` is the fraction of all frames with the subject, `coverage` the fraction of clips that have it
    in more than half of their frames (released: in more than 8, which is half of 16).
    """
    if not scores:
        raise ValueError("There are no clips to summarise.")
    detected = sum(s.detected for s in scores)
    return {
        "clips": len(scores),
        "miou": sum(s.miou for s in scores) / len(scores),
        "miou_per_frame": sum(s.miou_per_frame for s in scores) / len(scores),
        "ap50": sum(s.ap50 * s.detected for s in scores) / detected if detected else 0.0,
        "coverage": sum(2 * s.detected > s.frames for s in scores) / len(scores),
        "cd": sum(s.centroid_distance for s in scores) / len(scores),
        "detected": detected / sum(s.frames for s in scores),
    }
