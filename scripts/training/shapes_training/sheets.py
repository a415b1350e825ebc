# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures to look at while training."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import torch


def save_sheet(path: Path, pictures: torch.Tensor) -> None:
    """Write pictures (rows, columns, 3, H, W) in -1..1 as one PNG."""
    rows = [torch.cat(list(row), -1) for row in pictures]
    sheet = (torch.cat(rows, -2).clamp(-1, 1) + 1) * 127.5
    iio.imwrite(path, sheet.round().byte().permute(1, 2, 0).cpu().numpy())
