# SPDX-License-Identifier: GPL-3.0-or-later
"""Make hundreds of clips in engines that stay up, and look whether these grow.

    python scripts/measure/soak.py [--jobs 500] [--json docs/reference/soak.json]

The command line's own batch makes as many jobs of a tiny random model in one warm engine, then across two.
With each clip, the resident memory, open files, threads and child processes of the batch and of its engines
are read from /proc (Linux only), which may be in the middle of an engine's next clip. A process is flat if,
from the second fifth of its samples to the last, the fewest open files, threads and children are no more, and
the median of its memory grows by 2 % at most; the first fifth is for caches to fill. The figure, an SVG
beside the JSON, has the memory. The exit code is 1 if one grew, a clip is missing, or anything else is left
in the folders of clips or in the temporary one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median

import torch
from full_size_model import pipeline, write_job

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.benchmark.plots import curves
from peekaboo_engine.drafts import RESULTS, clip_name

ROOT = Path(__file__).resolve().parents[2]
SIZE = (4, 64, 96)
"""Frames, height and width of a clip."""
STEPS = 1
MOST_GROWTH = 0.02
"""Of an engine's memory, from the second fifth of its clips to the last."""
POINTS = 25
"""Of a line in the figure, and rows of an engine in the JSON: as many equal parts of a run."""


@dataclass(frozen=True)
class Sample:
    """What a process holds at a moment.

    Attributes:
        clip: number of the clip, of the whole batch, that was made just before.
        memory: resident, in MB.
        files: open file descriptors.
        threads: of the process.
        children: processes that it started and that are there, ended or not.
    """

    clip: int
    memory: float
    files: int
    threads: int
    children: int


def main() -> int:
    """Make the clips, print and write what engines held; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=500, help="of each run")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "reference" / "soak.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peekaboo-soak-") as name:
        folder = Path(name)
        jobs = write_jobs(folder, asked.jobs)
        runs = [soak(folder, jobs, "one engine", "cpu"), soak(folder, jobs, "two engines", "cpu,cpu")]
    facts = {
        "command": f"python scripts/measure/soak.py --jobs {asked.jobs}",
        "clip": dict(zip(("frames", "height", "width", "steps"), (*SIZE, STEPS), strict=True)),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}",
        "runs": runs,
    }
    text = re.sub(
        r"\[\s+([-\d., \n]+?)\s+\]", lambda row: f"[{' '.join(row[1].split())}]", json.dumps(facts, indent=1)
    )
    asked.json.write_text(text + "\n", encoding="utf-8")
    lines = [
        (f"{run['run']}, no. {number}" if len(run["engines"]) > 1 else run["run"], gigabytes(engine))
        for run in runs
        for number, engine in enumerate(run["engines"], start=1)
    ]
    picture = curves("Resident memory of an engine, GB", "clips of the batch", lines)
    asked.json.with_suffix(".svg").write_text(picture + "\n", encoding="utf-8")
    for run in runs:
        print(f"{run['run']}: {run['clips']} clips in {run['seconds']} s")
        for name, row in [("batch", run["batch"]), *(("engine", engine) for engine in run["engines"])]:
            print(
                f"  {name}: {row['second_fifth']} to {row['last_fifth']}, {'' if row['flat'] else 'not '}flat"
            )
    return 0 if all(run["flat"] and not run["left"] and run["clips"] == asked.jobs for run in runs) else 1


def write_jobs(folder: Path, count: int) -> list[Path]:
    """Write a tiny random model and jobs of it, which differ by their seeds; returns their folders."""
    torch.manual_seed(0)
    pipeline(small=True).save_pretrained(folder / "model")
    jobs = [folder / "jobs" / f"{number:04}" for number in range(count)]
    for number, job in enumerate(jobs):
        write_job(job, folder / "model", STEPS, SIZE, seed=number)
    return jobs


def soak(folder: Path, jobs: list[Path], name: str, devices: str) -> dict:
    """Make the clips of jobs, and watch the engines that do."""
    out, temporary = folder / name.replace(" ", "_"), folder / "temporary"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "peekaboo_engine", "generate", *map(str, jobs), "--devices", devices]
    held: dict[int, list[Sample]] = defaultdict(list)
    load, begun = os.getloadavg()[0], time.monotonic()
    with subprocess.Popen(
        [*command, "--out", str(out), "--force"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as batch:
        assert batch.stdout is not None
        made = 0
        for line in batch.stdout:
            if not line.startswith("made "):
                print(line, end="", file=sys.stderr)
                continue
            made += 1
            for process in (batch.pid, *children(batch.pid)):
                if sample := look(process, made):
                    held[process].append(sample)
    seconds = time.monotonic() - begun
    starter, *engines = [described(samples) for samples in held.values()]
    return {
        "run": name,
        "devices": devices,
        "clips": sum((job_out / clip_name(SIZE[0])).is_file() for job_out in out.iterdir()),
        "seconds": round(seconds, 1),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
        "flat": bool(engines) and all(process["flat"] for process in (starter, *engines)),
        "left": sorted(str(path.relative_to(folder)) for path in left_in(out, temporary)),
        "engines": engines,
        "batch": starter,
    }


def left_in(out: Path, temporary: Path) -> list[Path]:
    """What lies in the folders of clips and in the temporary one besides clips."""
    return [path for path in out.glob("*/*") if path.name not in RESULTS] + [*temporary.iterdir()]


def children(process: int) -> list[int]:
    """The processes that a process started, by any of its threads, and that are there."""
    found = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(number) for number in listed.read_text().split()]
        except OSError:  # the thread has just ended
            continue
    return found


def look(process: int, clip: int) -> Sample | None:
    """What a process holds; None of one that has just ended."""
    folder = Path(f"/proc/{process}")
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return Sample(
            clip,
            int(status["VmRSS"].split()[0]) / 1024,
            len(list((folder / "fd").iterdir())),
            int(status["Threads"]),
            len(children(process)),
        )
    except (OSError, KeyError):  # one that has ended has no memory
        return None


def described(samples: list[Sample]) -> dict:
    """A process's course by equal parts of its run, and whether it is flat."""
    fifth = max(1, len(samples) // 5)
    early, late = summed_up(samples[fifth : 2 * fifth]), summed_up(samples[-fifth:])
    size = max(1, len(samples) // POINTS)
    parts = [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]
    growth = late.memory / early.memory - 1
    return {
        "samples": len(samples),
        "memory_growth": round(growth, 4),
        "second_fifth": asdict(early),
        "last_fifth": asdict(late),
        "most_files": max(sample.files for sample in samples),
        "flat": growth <= MOST_GROWTH
        and all(getattr(late, count) <= getattr(early, count) for count in ("files", "threads", "children")),
        "course": [list(astuple(summed_up(part))) for part in parts],
    }


def summed_up(samples: list[Sample]) -> Sample:
    """The medians of clip and memory, and the fewest of what is counted.

    What is left open raises the fewest; the most depend on what an engine was at.
    """
    clips, memory, *counts = zip(*map(astuple, samples), strict=True)
    return Sample(round(median(clips)), round(median(memory), 1), *map(min, counts))


def gigabytes(engine: dict) -> list[tuple[float, float]]:
    """An engine's memory over the clips of its batch, as the figure has it."""
    return [(clip, memory / 1024) for clip, memory, *_ in engine["course"]]


if __name__ == "__main__":
    raise SystemExit(main())
