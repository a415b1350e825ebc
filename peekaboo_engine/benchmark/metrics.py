# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a subject follows its box: the measures of the paper and of its released evaluation.

Boxes are x1, y1, x2, y2 relative to the frame, y down; None where a detector found nothing. "The paper" is
Peekaboo (arXiv 2312.07509, table 1), "as released" its eval/get_metrics.py (microsoft/Peekaboo at 0aa5a86),
which rasterises boxes; here areas are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Box = Sequence[float]


@dataclass(frozen=True)
class TrackScore:
    """The measures of one subject in one clip of F frames."""

    frames: int
    detected: int  # frames in which the subject was found
    miou: float  # volumetric
    miou_per_frame: float
    ap50: float
    cd: float  # centroid distance, misses at (0, 0)
    cd_detected: float | None  # over frames with a detection


@dataclass(frozen=True)
class Binding:
    """Whose box the detections of one subject lie in, in a clip of several."""

    detections: int  # in frames in which this subject and another are to be seen
    bound: int  # of them, those that overlap their own box more than any other subject's
    iou_own: float  # with the own box, summed over the detections
    iou_other: float  # with the other subject's box that is overlapped most, summed as well


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
    """Mean of the frames' IoU, 0 where nothing was found.

    The mIoU of later papers, such as TrailBlazer (arXiv 2401.00896); its code leaves misses out of the mean.
    """
    return sum(iou(w, f) for w, f in zip(wanted, found, strict=True) if f is not None) / len(wanted)


def average_precision_50(wanted: Sequence[Box], found: Sequence[Box | None]) -> float:
    """Fraction of the frames with a detection whose IoU is at least 0.5; 0 without any.

    The paper's AP50, as released: there is one detection a frame at most, so no ranking by score.
    """
    overlaps = [iou(w, f) for w, f in zip(wanted, found, strict=True) if f is not None]
    return sum(overlap >= 0.5 for overlap in overlaps) / len(overlaps) if overlaps else 0.0


def centroid_distance(wanted: Sequence[Box], found: Sequence[Box | None], aspect: float) -> float:
    """Mean distance of box centres in units of the frame's diagonal; a miss has its centre at (0, 0).

    The paper's CD, as released but for one thing: the released code divides by the diagonal of 576 x 320 for
    every model, and here it is the clip's own. `aspect` is the frame's width over its height.
    """
    distances = _distances(wanted, [f if f is not None else (0, 0, 0, 0) for f in found], aspect)
    return sum(distances) / len(distances)


def centroid_distance_detected(
    wanted: Sequence[Box], found: Sequence[Box | None], aspect: float
) -> float | None:
    """The same over frames with a detection only, None without any: how far off, not how often seen."""
    distances = _distances(wanted, found, aspect)
    return sum(distances) / len(distances) if distances else None


def _distances(wanted: Sequence[Box], found: Sequence[Box | None], aspect: float) -> list[float]:
    """Distances of centres where something was found, in diagonals."""
    return [
        math.hypot((w[0] + w[2] - f[0] - f[2]) / 2 * aspect, (w[1] + w[3] - f[1] - f[3]) / 2)
        / math.hypot(aspect, 1)
        for w, f in zip(wanted, found, strict=True)
        if f is not None
    ]


def score_track(wanted: Sequence[Box], found: Sequence[Box | None], aspect: float) -> TrackScore:
    """All measures of one subject in one clip, of width over height `aspect`.

    Raises:
        ValueError: if the numbers of frames differ or are zero.
    """
    if not wanted or len(wanted) != len(found):
        raise ValueError(
            f"{len(wanted)} boxes and {len(found)} detections: give one detection or None for each frame."
        )
    return TrackScore(
        frames=len(wanted),
        detected=sum(f is not None for f in found),
        miou=volumetric_iou(wanted, found),
        miou_per_frame=mean_frame_iou(wanted, found),
        ap50=average_precision_50(wanted, found),
        cd=centroid_distance(wanted, found, aspect),
        cd_detected=centroid_distance_detected(wanted, found, aspect),
    )


def score_binding(
    wanted: Sequence[Sequence[Box | None]], found: Sequence[Sequence[Box | None]]
) -> list[Binding]:
    """Whether each subject is in its own box or in another's. Ours: the paper has one subject a clip.

    Args:
        wanted, found: for each subject its boxes along time; None where it is not to be seen, or not found.

    Returns:
        For each subject; without detections if it is alone.
    """
    return [_binding_of(subject, wanted, found[subject]) for subject in range(len(wanted))]


def _binding_of(subject: int, wanted: Sequence[Sequence[Box | None]], found: Sequence[Box | None]) -> Binding:
    overlaps = []
    for frame, detection in enumerate(found):
        own = wanted[subject][frame]
        tracks = (track[frame] for other, track in enumerate(wanted) if other != subject)
        others = [box for box in tracks if box is not None]
        if detection is not None and own is not None and others:
            overlaps.append((iou(own, detection), max(iou(other, detection) for other in others)))
    return Binding(
        detections=len(overlaps),
        bound=sum(own > other for own, other in overlaps),
        iou_own=sum(own for own, _ in overlaps),
        iou_other=sum(other for _, other in overlaps),
    )


def summarise_binding(bindings: Sequence[Binding]) -> dict[str, float | None]:
    """Over all detections of all clips; None without any, as where clips have one subject.

    ``bound``      fraction that overlaps its own box more than any other subject's.
    ``iou_own``    mean IoU with the own box.
    ``iou_other``  mean IoU with the other subject's box that is overlapped most.
    """
    total = sum(binding.detections for binding in bindings)
    return {
        key: sum(getattr(binding, key) for binding in bindings) / total if total else None
        for key in ("bound", "iou_own", "iou_other")
    }


def summarise(scores: Sequence[TrackScore]) -> dict[str, float | None]:
    """Means over clips (over subjects, where clips have several), ready for a table.

    As released (the first of the two lines that get_metrics.py prints, which are the paper's columns):

    ``miou_covered``  mean of the volumetric IoU over clips that count as covered; None without any.
    ``coverage``      fraction of clips with the subject in more than half of their frames. Released: in more
                      than 8, which is half of 16, but a third of 24.
    ``ap50``          mean weighted by the number of detections.
    ``cd``            mean over all clips.

    And what makes them comparable where models differ in how often they draw the subject at all:

    ``miou``, ``miou_per_frame``  means over all clips, none left out.
    ``cd_detected``               mean over clips with a detection; None without any.
    ``detected``                  fraction of all frames with the subject.
    """
    if not scores:
        raise ValueError("There are no clips to summarise.")
    detected = sum(s.detected for s in scores)
    covered = [s for s in scores if 2 * s.detected > s.frames]
    return {
        "miou": _mean([s.miou for s in scores]),
        "miou_covered": _mean([s.miou for s in covered]),
        "miou_per_frame": _mean([s.miou_per_frame for s in scores]),
        "ap50": sum(s.ap50 * s.detected for s in scores) / detected if detected else 0.0,
        "coverage": len(covered) / len(scores),
        "cd": _mean([s.cd for s in scores]),
        "cd_detected": _mean([s.cd_detected for s in scores if s.cd_detected is not None]),
        "detected": detected / sum(s.frames for s in scores),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
