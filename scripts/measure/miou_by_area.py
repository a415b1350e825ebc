# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a result of `evaluate` by the area that the boxes cover: what control does for small subjects.

python scripts/measure/miou_by_area.py lasot_inputs.json docs/reference/control/lasot_controls.json
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.benchmark.layouts import read_layouts

EDGES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 1.01)
"""Of the bins: shares of the frame."""


def areas_of(path: Path) -> dict[str, float]:
    """Mean share of the frame that the boxes of each layout cover, by its id."""
    areas = {}
    for layout in read_layouts(path).layouts:
        x1, y1, x2, y2 = np.concatenate([track.boxes for track in layout.tracks]).T
        areas[layout.id] = float(np.nanmean((x2 - x1) * (y2 - y1)))
    return areas


def main(
    layouts: Annotated[Path, typer.Argument(help="The layouts file that was evaluated.")],
    result: Annotated[Path, typer.Argument(help="What `evaluate --json` wrote, of one subject a clip.")],
) -> None:
    """Print mIoU and coverage of each control, by the area of the boxes."""
    areas = areas_of(layouts)
    table_of_clips = json.loads(result.read_text(encoding="utf-8"))["clips"]
    clips = [dict(zip(table_of_clips["columns"], row, strict=True)) for row in table_of_clips["data"]]
    controls = list(dict.fromkeys(clip["control"] for clip in clips))
    table = Table("area of the box", "clips", *(f"{name}: mIoU, coverage" for name in controls))
    for low, high in itertools.pairwise(EDGES):
        cells, count = [], 0
        for name in controls:
            own = [c for c in clips if c["control"] == name and low <= areas[c["layout"]] < high]
            count = len(own)
            if own:
                covered = np.mean([clip["detected"] > clip["frames"] / 2 for clip in own])
                cells.append(f"{np.mean([clip['miou'] for clip in own]):.3f}, {covered:.2f}")
        if count:
            table.add_row(f"{low:.0%} to {min(high, 1):.0%}", str(count), *cells)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
