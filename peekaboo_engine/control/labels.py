# SPDX-License-Identifier: GPL-3.0-or-later
"""Label maps: which subject each pixel of each frame belongs to, at any resolution of the network.

A label map is a partition: every cell has exactly one label, 0 for the background and k for subject k.
Rows run from the top of the picture downwards, as in the decoded video.
"""

import numpy as np
from scipy import ndimage

from ..errors import EngineError

BACKGROUND = 0


def check_label_map(labels: np.ndarray, names: list[str]) -> np.ndarray:
    """Return ``labels`` as a contiguous uint8 array (frames, height, width), or say what is wrong with it.

    Args:
        labels: integer array (frames, height, width), values 0 ... ``len(names)``.
        names: what to call each subject in a message, in label order.

    Raises:
        EngineError: ``bad_labels`` for another shape or type, or a label that no subject has;
            ``subject_never_visible`` for a subject without a pixel in any frame.
    """
    labels = np.asarray(labels)
    if labels.ndim != 3 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise EngineError(
            "bad_labels",
            f"The label map must be an integer array (frames, height, width), but it is {labels.dtype} "
            f"of shape {labels.shape}; export the masks again.",
        )
    present = np.unique(labels)
    if present[0] < 0 or present[-1] > len(names):
        wrong = present[0] if present[0] < 0 else present[-1]
        raise EngineError(
            "bad_labels",
            f"The label map holds the label {wrong}, but there are only {len(names)} subjects; "
            "give every subject a phrase.",
        )
    for label, name in enumerate(names, start=1):
        if label not in present:
            raise EngineError(
                "subject_never_visible",
                f'The subject "{name}" is in no frame of the masks; move it into view or remove it.',
            )
    return np.ascontiguousarray(labels, dtype=np.uint8)


def small_subjects(labels: np.ndarray, subjects: int, least: float) -> np.ndarray:
    """Which subjects cover less than a share of the picture, in the median of the frames that show them.

    Args:
        labels: uint8 (frames, height, width), each subject in some frame.
        subjects: how many there are.
        least: the share, 0..1.

    Returns:
        bool (subjects,).
    """
    if not least:
        return np.zeros(subjects, bool)
    areas = [(labels == label).mean(axis=(1, 2)) for label in range(1, subjects + 1)]
    return np.array([float(np.median(area[area > 0])) < least for area in areas], bool)


def widen(labels: np.ndarray, subjects: np.ndarray, least: float) -> np.ndarray:
    """Give subjects that are smaller than a model can draw as much room as it needs.

    Each grows by one factor in all frames, to ``least`` in their median: it still comes nearer, leaves and
    enters the picture as it did. It takes the pixels of the background that are nearest to its own; no pixel
    of another subject.

    Args:
        labels: uint8 (frames, height, width).
        subjects: bool (subjects,), as :func:`small_subjects` tells them.
        least: share of the picture, 0..1.

    Returns:
        The same array where nobody is too small.
    """
    areas = {label: (labels == label).mean(axis=(1, 2)) for label in 1 + np.flatnonzero(subjects)}
    medians = {label: float(np.median(area[area > 0])) for label, area in areas.items()}
    widened = labels.copy() if areas else labels
    for label in sorted(areas, key=lambda label: medians[label]):  # the smallest chooses first
        more = (least / medians[label] - 1) * labels[0].size
        for frame in np.flatnonzero(areas[label]):
            _take_nearest(widened[frame], int(label), round(more * areas[label][frame]))
    return widened


def _take_nearest(labels: np.ndarray, label: int, count: int) -> None:
    """Give a label so many pixels of the background that lie nearest to it, in place: (height, width)."""
    free = np.flatnonzero(labels == BACKGROUND)
    distances = ndimage.distance_transform_edt(labels != label).flat[free]
    taken = free[np.argsort(distances, kind="stable")[:count]]
    labels.flat[taken] = label


MOST = 0.5
"""Share of a cell that takes it for a subject: the greater part, as long as nothing else is asked for."""


class Pools:
    """A label map on grids of other sizes, each made once; a grid of whole cells of another from that one.

    Args:
        labels: uint8 (frames, H, W).
        share: of a cell, from which on the subject that covers most of it takes it from the background.
    """

    def __init__(self, labels: np.ndarray, share: float = MOST):
        self._labels, self._share = labels, share
        self._present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
        self._coverage: dict[tuple[int, int], np.ndarray] = {}

    def at(self, height: int, width: int, frames: int = 1) -> np.ndarray:
        """Pool to a coarser (or finer) grid by the share that each label covers.

        A cell takes the label that covers most of it, or a subject that covers the given share of it. A
        subject that is visible in a frame but wins no cell
        there takes the cell that it covers most, so that small subjects survive at the coarsest level: the
        released code samples every s-th pixel instead and loses them (src/models/attention.py:184-197 of
        microsoft/Peekaboo).

        Args:
            height, width: the grid, in cells; need not divide H and W.
            frames: that a cell stands for together, after the first, which stands alone.

        Returns:
            uint8 (1 + (frames of the map - 1) / frames, height, width), a partition. Every subject visible
            in a frame keeps at least one cell in it as long as the frame has as many cells as visible
            subjects.
        """
        coverage = self._covered(height, width)
        if frames > 1:
            coverage = pool_frames(coverage, frames, axis=1)
        winner = coverage.argmax(axis=0)
        if self._share < MOST and self._present[0] == BACKGROUND:
            subjects = coverage[1:]
            winner = np.where(subjects.max(axis=0) >= self._share, 1 + subjects.argmax(axis=0), winner)
        for frame in range(coverage.shape[1]):
            _keep_visible_subjects(coverage[:, frame], winner[frame], self._present)
        return self._present[winner].astype(np.uint8)

    def shares(self, height: int, width: int, frames: int = 1) -> np.ndarray:
        """Which share of each cell each subject covers, on a grid as of :meth:`at`.

        Returns:
            float64 (subjects that the map holds, frames, height, width).
        """
        coverage = self._covered(height, width)[self._present != BACKGROUND]
        return pool_frames(coverage, frames, axis=1) if frames > 1 else coverage

    def shares_of(self, frame: int, height: int, width: int) -> np.ndarray:
        """The same in one frame, which is not kept: float64 (subjects that the map holds, height, width)."""
        subjects = self._present[self._present != BACKGROUND]
        labels = self._labels[frame : frame + 1]
        return np.concatenate([_coverage(labels == label, height, width) for label in subjects])

    def _covered(self, height: int, width: int) -> np.ndarray:
        """Fraction of each cell that each label covers: float64 (labels, frames, height, width)."""
        if (height, width) not in self._coverage:
            finer = [size for size in self._coverage if size[0] % height == 0 and size[1] % width == 0]
            if finer:
                coverage = _means(self._coverage[min(finer)], height, width)
            else:
                subjects = self._present[self._present != BACKGROUND]
                each = [_coverage(self._labels == label, height, width) for label in subjects]
                if len(subjects) < len(self._present):  # a partition: the rest, but for what rounding leaves
                    each.insert(0, np.ones((len(self._labels), height, width)) - sum(each))
                coverage = np.stack(each)
            self._coverage[height, width] = coverage
        return self._coverage[height, width]


def pool_labels(labels: np.ndarray, height: int, width: int, frames: int = 1) -> np.ndarray:
    """A label map on one grid, see :meth:`Pools.at`."""
    return Pools(labels).at(height, width, frames)


def pool_frames(values: np.ndarray, frames: int, axis: int) -> np.ndarray:
    """Means over time as video autoencoders compress it: the first frame alone, then so many together."""
    first, rest = np.split(values, [1], axis=axis)
    count = rest.shape[axis] // frames
    shape = (*rest.shape[:axis], count, frames, *rest.shape[axis + 1 :])
    together = rest.reshape(shape).mean(axis=axis + 1)
    return np.concatenate([first, together], axis=axis)


def _coverage(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Fraction of each cell that a mask covers: bool (frames, H, W) to float64 (frames, height, width)."""
    _, full_height, full_width = mask.shape
    if full_height % height or full_width % width:
        return _overlap(full_height, height) @ mask @ _overlap(full_width, width).T
    # Whole pixels to a cell: counted, which takes a fifth of the time.
    return _means(mask.view(np.uint8), height, width)


def _means(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means over cells of whole pixels: (..., H, W) to float64 (..., height, width)."""
    *before, full_height, full_width = values.shape
    high, wide = full_height // height, full_width // width
    kind = np.uint32 if values.dtype == np.uint8 else np.float64
    in_rows = values.reshape(*before, height, high, full_width).sum(axis=-2, dtype=kind)
    return in_rows.reshape(*before, height, width, wide).sum(axis=-1) / (high * wide)


def _overlap(full: int, cells: int) -> np.ndarray:
    """Fraction of each cell that each pixel covers along one axis: (cells, full), rows sum to 1."""
    edges = np.arange(cells + 1) * (full / cells)
    start, end = edges[:-1, None], edges[1:, None]
    pixel = np.arange(full)[None]
    shared = np.minimum(end, pixel + 1) - np.maximum(start, pixel)
    return np.clip(shared, 0, None) * (cells / full)


def _keep_visible_subjects(coverage: np.ndarray, winner: np.ndarray, present: np.ndarray) -> None:
    """Give each subject that is visible but won no cell the cell it covers most, in place.

    Args:
        coverage: (labels, h, w) area fractions of one frame.
        winner: (h, w) index into ``present`` of each cell's label.
        present: the label of each index.
    """
    cells = np.bincount(winner.ravel(), minlength=len(present))
    area = coverage.sum(axis=(1, 2))
    lost = [i for i in range(len(present)) if present[i] != BACKGROUND and area[i] > 0 and cells[i] == 0]
    # The smallest subject has the fewest cells to choose from, so it chooses first.
    for i in sorted(lost, key=lambda i: area[i]):
        for cell in np.argsort(-coverage[i], axis=None, kind="stable"):
            owner = winner.flat[cell]
            if present[owner] == BACKGROUND or cells[owner] > 1:  # never take a subject's last cell
                winner.flat[cell] = i
                cells[owner] -= 1
                cells[i] += 1
                break
