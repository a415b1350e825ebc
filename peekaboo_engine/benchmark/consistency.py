# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the background stays what it is without control, where both clips start from the same noise."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .tracks import label_map

_WINDOW = 7  # pixels
_C1, _C2 = 0.01**2, 0.03**2  # for a range of 0..1, as in the paper
_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def background_consistency(
    clip: np.ndarray, unmasked: np.ndarray, subjects: list[np.ndarray]
) -> float | None:
    """Structural similarity of two clips where neither is to show, or shows, a subject.

    SSIM (Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Transactions on Image Processing 13:4) of luma, in flat
    windows of 7 x 7 pixels, averaged over the windows that lie wholly in the background of all frames.

    Args:
        clip, unmasked: uint8 (frames, height, width, 3).
        subjects: tracks (frames, 4) of the boxes that were wanted and of those found in either clip; NaN in
            frames without one.

    Returns:
        1 for equal backgrounds, about 0 for unrelated ones; None where no background is left.
    """
    background = ~_covered(subjects, *clip.shape[:3])
    reach = _WINDOW // 2
    whole = -F.max_pool2d(-torch.from_numpy(background)[:, None].float(), _WINDOW, 1, reach)[:, 0] > 0
    whole = whole[:, reach:-reach, reach:-reach]
    if not whole.any():
        return None
    return float(_structural_similarity(_luma(clip), _luma(unmasked))[whole].mean())


def _covered(subjects: list[np.ndarray], frames: int, height: int, width: int) -> np.ndarray:
    covered = np.zeros((frames, height, width), bool)
    for track in subjects:
        present = ~np.isnan(track).any(1)
        if present.any():
            covered[present] |= label_map([track[present]], width, height) > 0
    return covered


def _luma(clip: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(clip).permute(0, 3, 1, 2).double() / 255  # a variance is a small difference
    return (pixels * _LUMA).sum(1, keepdim=True)


def _structural_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """SSIM of each window of two clips (F, 1, H, W): (F, H - 6, W - 6)."""

    def mean(values: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(values, _WINDOW, 1)

    mean_a, mean_b = mean(a), mean(b)
    # Unbiased, as over a sample of the window's pixels.
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    variance_a = unbiased * (mean(a * a) - mean_a**2)
    variance_b = unbiased * (mean(b * b) - mean_b**2)
    covariance = unbiased * (mean(a * b) - mean_a * mean_b)
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    texture = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return (light * texture)[:, 0]
