# SPDX-License-Identifier: GPL-3.0-or-later
"""How much clips look like drawn ones: a Fréchet distance over features of the segmenter.

The paper's claim that control does not cost quality rests on FVD (its table 2), the Fréchet distance between
features of generated and of real videos (arXiv 1812.01717, and arXiv 1706.08500 for pictures). Here the real
ones are clips of the drawing program that the embedded models learnt from, and the features are those of the
segmenter that was trained on them (:meth:`.segmenter.Segmenter.features`), so it is for that world alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy import linalg

DRAWN = Path(__file__).parent.parent / "assets" / "shapes_segmenter" / "drawn.safetensors"
"""Statistics of drawn clips of one, two and three subjects (scripts/training/draw_reference.py)."""

_MOMENTS = 4  # of a clip


def samples_of(features: np.ndarray) -> np.ndarray:
    """What counts of a clip: four moments, evenly spread, each with the change to the next frame.

    The change tells a clip that moves from one that stands still or flickers, which frames alone do not.

    Args:
        features: of all frames, (frames, channels), two frames at least.

    Returns:
        float64 (4, 2 * channels).
    """
    at = np.linspace(0, len(features) - 2, _MOMENTS).round().astype(int)
    return np.concatenate([features[at], features[at + 1] - features[at]], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Statistics:
    """Mean (channels,) and covariance (channels, channels) of samples."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray) -> Statistics:
        """Of samples (count, channels), two at least."""
        return cls(samples.mean(0), np.cov(samples, rowvar=False))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Squared Wasserstein distance of two normal distributions: |m - n|² + tr(A + B - 2 (A B)^½).

    It is 0 for equal ones. From few samples it comes out too large: compare numbers of equally many clips,
    and with the distance of so many drawn clips from the rest.
    """
    # The trace of (A B)^1/2 is that of the symmetric (A^1/2 B A^1/2)^1/2, whose eigenvalues are real.
    root = _root(a.covariance)
    shared = np.sqrt(linalg.eigvalsh(root @ b.covariance @ root).clip(0)).sum()
    apart = float(((a.mean - b.mean) ** 2).sum())
    return max(0.0, apart + float(np.trace(a.covariance) + np.trace(b.covariance)) - 2 * float(shared))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def distance_from_drawn(clips: Sequence[np.ndarray], subjects: int) -> float | None:
    """Distance of clips from drawn ones of as many subjects; None of one clip, or where no such were drawn.

    Args:
        clips: of each its samples, as :func:`samples_of` has them.
        subjects: in each of them.
    """
    drawn = read_statistics(DRAWN).get(subjects)
    if drawn is None or len(clips) < 2:
        return None
    return frechet_distance(Statistics.of(np.concatenate(clips)), drawn)


def are_features_of(digest: object) -> bool:
    """Whether the statistics are of this segmenter's features, which say nothing of another's."""
    with safe_open(DRAWN, framework="numpy") as file:
        return file.metadata()["segmenter"] == digest


def read_statistics(path: Path) -> dict[int, Statistics]:
    """Statistics by the number of subjects."""
    held = load_file(path)
    counts = sorted(int(name.removeprefix("mean_")) for name in held if name.startswith("mean_"))
    return {
        count: Statistics(*(held[f"{part}_{count}"].astype(np.float64) for part in ("mean", "covariance")))
        for count in counts
    }


def write_statistics(path: Path, statistics: dict[int, Statistics], told: dict[str, str]) -> None:
    """Write them in single precision, with words about where they come from."""
    parts = {}
    for count, own in statistics.items():
        parts[f"mean_{count}"] = own.mean.astype(np.float32)
        parts[f"covariance_{count}"] = own.covariance.astype(np.float32)
    save_file(parts, path, metadata=told)
