# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan a night of 10,000 shots from what can be measured: workers, what a task costs, and what is stored.

    python scripts/measure/scale.py [--jobs 48] [--json docs/reference/scale.json]

On this machine, with a tiny random model and one thread an engine: the command line's batch with 1, 2 and 4
engines; the same batch again, whose clips are all kept; and a job in a process of its own, as a farm's task
has one. Their ratios are what counts, since the machine may have other work. Files are measured at the size
of a model that people use: the masks of three boxes that move, and a clip of a plain picture and one of
noise, between which all others are. Seconds of a clip on a GPU are those of ``benchmark_full_size.py``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from full_size_model import write_job
from soak import SIZE, STEPS, write_jobs

from peekaboo_engine.video import write_clip

ROOT = Path(__file__).resolve().parents[2]
SHOTS = 10_000
NIGHT_HOURS = 10
WORKERS = (1, 2, 4)
ALONE = 4
"""Jobs that get a process of their own."""
CONTROL, SHARE = "strong", 0.25
"""Of the row of a full-size measurement: the method, and the share of the picture that the subject covers."""
MEASURED = ("zeroscope", "wan")
"""Models of which seconds on a GPU are known: docs/reference/full_size_NAME_h200.json."""


def main() -> int:
    """Measure, project and write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=48, help="of each batch")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "reference" / "scale.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peekaboo-scale-") as name:
        folder = Path(name)
        jobs = write_jobs(folder, asked.jobs)
        workers = [with_workers(jobs, folder / f"with_{count}", count) for count in WORKERS]
        kept = batch(jobs, folder / "with_1", 1)
        alone = [in_a_process(job, folder / "alone" / job.name) for job in jobs[:ALONE]]
        files = [stored(folder / "files", *size_of(measured(name))) for name in MEASURED]
    first, task = workers[0]["seconds"], sum(alone) / len(alone)
    warm = (first - task) / (len(jobs) - 1)  # what one more clip takes in an engine that is up
    facts = {
        "command": f"python scripts/measure/scale.py --jobs {asked.jobs}",
        "clip": dict(zip(("frames", "height", "width", "steps"), (*SIZE, STEPS), strict=True)),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}",
        "workers": [row | {"ratio": round(first / row["seconds"], 2)} for row in workers],
        "kept": {"seconds": round(kept, 1), "seconds_a_clip": round(kept / len(jobs), 3)},
        "process_a_task": {
            "seconds": round(task, 2),
            "warm_seconds_a_clip": round(warm, 3),
            "ratio": round(task / warm, 1),
        },
        "files": files,
        "night": [projected(name, row) for name, row in zip(MEASURED, files, strict=True)],
    }
    text = json.dumps(facts, indent=1)
    asked.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def batch(jobs: list[Path], out: Path, workers: int, *options: str) -> float:
    """Make clips by the command line; returns the seconds that it took."""
    command = [sys.executable, "-m", "peekaboo_engine", "generate", *map(str, jobs), "--out", str(out)]
    begun = time.monotonic()
    subprocess.run(
        [*command, "--devices", ",".join(["cpu"] * workers), *options],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - begun


def with_workers(jobs: list[Path], out: Path, workers: int) -> dict:
    """Clips by so many engines."""
    load = os.getloadavg()[0]
    seconds = batch(jobs, out, workers)
    return {
        "workers": workers,
        "jobs": len(jobs),
        "seconds": round(seconds, 1),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
    }


def in_a_process(job: Path, out: Path) -> float:
    """Seconds of one job in an engine that is started for it."""
    return batch([job], out, 1, "--force")


def measured(name: str) -> dict:
    """What was measured of a model at full size."""
    path = ROOT / "docs" / "reference" / f"full_size_{name}_h200.json"
    return json.loads(path.read_text("utf-8"))


def size_of(facts: dict) -> tuple[int, int, int]:
    """Frames, height and width of a measurement's clips."""
    clip = facts["clip"]
    return clip["frames"], clip["height"], clip["width"]


def stored(folder: Path, frames: int, height: int, width: int) -> dict:
    """Bytes of the files of a shot of a size."""
    write_job(folder, folder, STEPS, (frames, height, width))
    labels = np.zeros((frames, height, width), np.uint8)
    for subject in (1, 2, 3):
        for frame in range(frames):
            left = (width // 4 * subject + frame * subject) % width
            top = height // 8 * subject
            labels[frame, top : top + height // 3, left : left + width // 5] = subject
    np.savez_compressed(folder / "masks.npz", labels=labels)
    noise = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)
    sizes = {}
    for name, pixels in (("plain", np.zeros_like(noise)), ("noise", noise)):
        write_clip(folder / f"{name}.mp4", pixels, np.arange(frames), Fraction(16))
        sizes[name] = (folder / f"{name}.mp4").stat().st_size
    return {
        "frames": frames,
        "height": height,
        "width": width,
        "masks": (folder / "masks.npz").stat().st_size,
        "job": (folder / "job.json").stat().st_size,
        "clip_of_a_plain_picture": sizes["plain"],
        "clip_of_noise": sizes["noise"],
    }


def projected(name: str, files: dict) -> dict:
    """A night of a model: hours of GPUs, how many of them, and bytes, from what was measured."""
    facts = measured(name)
    row = next(
        row
        for row in facts["rows"]
        if (row["control"], row["share"], row["subjects"], row["dense"]) == (CONTROL, SHARE, 1, False)
    )
    seconds = sum(row["steps"][moment] * count for moment, count in row["moments"].items())
    seconds += row["first"] + facts["decoding_seconds"]
    hours = SHOTS * seconds / 3600
    return {
        "model": facts["model"],
        "device": facts["device"],
        "seconds_a_clip": round(seconds, 1),
        "gpu_hours": round(hours, 1),
        "gpus_in_a_night": math.ceil(hours / NIGHT_HOURS),
        "gigabytes_of_jobs": round(SHOTS * (files["masks"] + files["job"]) / 1e9, 2),
        "gigabytes_of_clips": [
            round(SHOTS * files[which] / 1e9, 1) for which in ("clip_of_a_plain_picture", "clip_of_noise")
        ],
    }


if __name__ == "__main__":
    raise SystemExit(main())
