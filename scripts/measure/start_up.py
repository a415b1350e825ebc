# SPDX-License-Identifier: GPL-3.0-or-later
"""Times what a program waits for before the engine has imported torch, as whole processes.

    python scripts/measure/start_up.py --json docs/reference/start_up.json

Each command runs in turn with the others, so that what else the machine does meets all of them alike.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = {
    "python": ["-c", "pass"],
    "import peekaboo_engine": ["-c", "import peekaboo_engine, sys; assert 'torch' not in sys.modules"],
    "--help": ["-m", "peekaboo_engine", "--help"],
    "models list": ["-m", "peekaboo_engine", "models", "list"],
    "import torch": ["-c", "import torch"],
}
"""None but the last needs torch; it stands here for what the others save."""


def seconds_of(arguments: list[str]) -> tuple[float, float]:
    """Wall time of a Python, and processor time of it."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-s", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - started, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Of each command, after one that is not counted.")] = 9,
) -> None:
    """Print medians, and write them as JSON."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for run in range(runs + 1):
        for name, arguments in COMMANDS.items():
            measured = seconds_of(arguments)
            if run:
                taken[name].append(measured)
    rows = {
        name: {
            "wall_seconds": round(statistics.median(wall for wall, _ in each), 3),
            "processor_seconds": round(statistics.median(spent for _, spent in each), 3),
        }
        for name, each in taken.items()
    }
    for name, row in rows.items():
        print(f"{name:24} {row['wall_seconds']:.3f} s, {row['processor_seconds']:.3f} s of a processor")
    if json_file:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "runs": runs},
            "medians": rows,
        }
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
