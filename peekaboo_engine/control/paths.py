# SPDX-License-Identifier: GPL-3.0-or-later
"""Attention along time that follows the subjects instead of staying at a pixel of the frame.

What moves lies under other pixels in each frame, so that masked temporal attention shows it little of itself.
Motion-Zero (arXiv 2401.10150) shifts whole frames so that the subject stands still. Here every subject gets
rows of its own, one for each place relative to its centre, and the background keeps the rows of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from .attention import Rule
from .noise import offsets

NOTHING = -3
"""Label of an entry of a row in which the frame has no cell."""


@dataclass
class Paths:
    """Temporal attention along rows that gather cells over the frames.

    Args:
        cells: int64 (rows, frames), index into the cells of all pixels and frames; any where there is none.
        rows: int64 (pixels, frames), index into the entries of all rows and frames: where a cell is.
        rule: the labels of the entries.
    """

    cells: torch.Tensor
    rows: torch.Tensor
    rule: Rule
    _kept: dict = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pixels, frames as queries, frames as keys."""
        return (*self.rows.shape, self.rows.shape[1])

    def fits(self, query: torch.Tensor, key: torch.Tensor) -> bool:
        """Whether an attention call has this rule's shape: (pixels, heads, frames, channels)."""
        pixels, frames = self.rows.shape
        return query.shape[0] == pixels and query.shape[2] == key.shape[2] == frames

    def attend(self, query, key, value, scale=None) -> torch.Tensor:
        """Attention of each cell along its row: as :func:`.attention.masked_attention`."""
        if query.device not in self._kept:
            self._kept[query.device] = (self.cells.to(query.device), self.rows.to(query.device))
        cells, rows = self._kept[query.device]
        query, key, value = (_regrouped(part, cells) for part in (query, key, value))
        return _regrouped(self.rule.attend(query, key, value, scale), rows)


def _regrouped(tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Take tokens (rows, heads, frames, channels) to (rows', heads, frames, channels) by a flat index."""
    flat = tokens.transpose(1, 2).flatten(0, 1)  # (rows * frames, heads, channels)
    return flat[places.flatten()].unflatten(0, places.shape).transpose(1, 2)


def follow(labels: np.ndarray, free_half: bool, halves: int) -> Paths:
    """Rows that follow the subjects.

    Args:
        labels: (frames, h, w), 0 background.
        free_half: whether the first half of the batch is left alone.
        halves: how many halves the batch has.
    """
    frames = len(labels)
    pixels = labels[0].size
    flat = labels.reshape(frames, pixels).T  # (pixels, frames)
    cell = np.arange(pixels)[:, None] * frames + np.arange(frames)
    row = [np.where(flat == 0, cell, 0)]
    owner = [np.where(flat == 0, 0, NOTHING)]
    for label in np.unique(labels[labels > 0]):
        frame, y, x = np.nonzero(labels == label)
        relative = np.stack([y, x], axis=1) - offsets(labels, label)[frame]
        places, entry = np.unique(relative, axis=0, return_inverse=True)
        row.append(np.zeros((len(places), frames), np.int64))
        owner.append(np.full((len(places), frames), NOTHING))
        row[-1][entry.ravel(), frame] = cell[y * labels.shape[2] + x, frame]
        owner[-1][entry.ravel(), frame] = label
    cells, labels_of = np.concatenate(row), np.concatenate(owner)
    filled = np.flatnonzero(labels_of.ravel() != NOTHING)
    rows = np.empty(pixels * frames, np.int64)
    rows[cells.ravel()[filled]] = filled
    spare = len(cells) - pixels
    whole = (np.pad(cell, ((0, spare), (0, 0))), cell, np.pad(0 * cell, ((0, spare), (0, 0))))
    steered = (cells, rows.reshape(pixels, frames), labels_of)
    parts = [whole if free_half and half == 0 else steered for half in range(max(halves, 1))]
    all_cells, all_rows, all_labels = (
        torch.from_numpy(
            np.concatenate([part[kind] + half * size * frames for half, part in enumerate(parts)])
        )
        for kind, size in enumerate((pixels, len(cells), 0))
    )
    return Paths(all_cells, all_rows, Rule(all_labels, all_labels))
