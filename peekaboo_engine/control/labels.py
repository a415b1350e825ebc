# SPDX-License-Identifier: GPL-3.0-or-later
"""Label maps: which subject each pixel of each frame belongs to, at any resolution of the network.

A label map is a partition: every cell has exactly one label, 0 for the background and k for subject k.
Rows run from the top of the picture downwards, as in the decoded video.
"""

import numpy as np

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


def pool_labels(labels: np.ndarray, height: int, width: int, frames: int = 1) -> np.ndarray:
    """Pool a label map to a coarser (or finer) grid by the share that each label covers.

    A cell takes the label that covers most of it. A subject that is visible in a frame but wins no cell
    there takes the cell that it covers most, so that small subjects survive at the coarsest level: the
    released code samples every s-th pixel instead and loses them (src/models/attention.py:184-197 of
    microsoft/Peekaboo).

    Args:
        labels: uint8 (frames, H, W).
        height, width: the grid, in cells; need not divide H and W.
        frames: that a cell stands for together, after the first, which stands alone.

    Returns:
        uint8 (1 + (frames of the map - 1) / frames, height, width), a partition. Every subject visible in a
        frame keeps at least one cell in it as long as the frame has as many cells as visible subjects.
    """
    present = np.unique(labels)
    _, full_height, full_width = labels.shape
    rows, columns = _overlap(full_height, height), _overlap(full_width, width)
    coverage = np.stack([rows @ (labels == label) @ columns.T for label in present])
    if frames > 1:
        coverage = pool_frames(coverage, frames, axis=1)
    winner = coverage.argmax(axis=0)
    for frame in range(coverage.shape[1]):
        _keep_visible_subjects(coverage[:, frame], winner[frame], present)
    return present[winner].astype(np.uint8)


def pool_frames(values: np.ndarray, frames: int, axis: int) -> np.ndarray:
    """Means over time as video autoencoders compress it: the first frame alone, then so many together."""
    first, rest = np.split(values, [1], axis=axis)
    count = rest.shape[axis] // frames
    shape = (*rest.shape[:axis], count, frames, *rest.shape[axis + 1 :])
    together = rest.reshape(shape).mean(axis=axis + 1)
    return np.concatenate([first, together], axis=axis)


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
