# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the learning curve of the embedded model from the logs of its training.

    python scripts/training/plot_learning.py docs/reference/shapes_training.json \\
        docs/reference/control/learning.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.benchmark.plots import curves

RUNS = {
    "lit solids": ("denoiser_solids", 32),
    "final world": ("denoiser_final_world", 32),
    "on two GPUs": ("denoiser_two_cards", 64),
}
"""Logs of the runs on lit solids, one after the other, and the clips in a step of each."""

WINDOW = 5
"""Entries of a log, each the mean of a hundred steps, that a dot is the mean of."""


def main(
    logs: Annotated[Path, typer.Argument(help="JSON with the logs.")],
    out: Annotated[Path, typer.Argument(help="SVG.")],
) -> None:
    """Draw the loss of each run over the clips of this world that the model had seen."""
    data = json.loads(logs.read_text(encoding="utf-8"))
    lines, seen = [], 0.0
    for title, (name, clips_in_a_step) in RUNS.items():
        points = []
        for start in range(0, len(data[name]), WINDOW):
            entries = data[name][start : start + WINDOW]
            thousands = seen + entries[-1]["step"] * clips_in_a_step / 1000
            points.append((round(thousands), sum(entry["loss"] for entry in entries) / len(entries)))
        seen = thousands
        lines.append((title, points))
    out.write_text(
        curves("Loss, mean of 500 steps", "thousand clips of lit solids", lines) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    typer.run(main)
