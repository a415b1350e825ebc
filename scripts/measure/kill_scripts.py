# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill scripts/batch_render.py at random moments, and look at what it and its engine leave.

    python scripts/measure/kill_scripts.py --blend SHOT --model FOLDER --blender-python PYTHON [--kills 50]

Each run is a whole one: Blender's module, the scene, masks, the engine. The script alone is killed, by
SIGKILL, SIGTERM or SIGINT; its engine has to notice. What must hold is as in ``kill_engine.py``; how long the
engine outlives the script is recorded. Linux only, since an engine is found by a variable in its environment.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kill_engine import ORPHAN_SECONDS, left_in, nested  # noqa: E402

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MARK = "PEEKABOO_KILLED_RUN"


def main() -> None:
    """Kill so many scripts; the exit code is 1 if one left what it should not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blend", type=Path, required=True, help="file with a shot")
    parser.add_argument("--model", type=Path, required=True, help="folder of a small model")
    parser.add_argument("--blender-python", default=sys.executable, help="a Python with the bpy module")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "reference" / "kills_scripts.json")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    command = [
        asked.blender_python,
        str(ROOT / "scripts" / "batch_render.py"),
        str(asked.blend.resolve()),
        *("--model", str(asked.model.resolve()), "--steps", "2", "--out"),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        begun = time.monotonic()
        subprocess.run([*command, str(root / "whole")], check=True, capture_output=True)
        whole = time.monotonic() - begun
        runs: list[tuple[str, str, float]] = []
        with suppress(KeyboardInterrupt):  # the record is of those that were
            for number in range(asked.kills):
                moment, how = draw.uniform(0, 1.05 * whole), draw.choice(SIGNALS)
                runs.append(kill(command, root, number, moment, how))
                print(*runs[-1], flush=True)
    record = {
        "command": "python scripts/measure/kill_scripts.py --blend SHOT --model FOLDER "
        f"--blender-python PYTHON --kills {asked.kills}",
        "seconds_of_a_whole_run": round(whole, 1),
        "kills": len(runs),
        "wrong": [left for _, left, _ in runs if left.startswith("WRONG")],
        "left_by_signal": nested((how, left) for how, left, _ in runs),
        "longest_that_an_engine_lived_on_seconds": round(max(lived for _, _, lived in runs), 1),
        "load_average": round(os.getloadavg()[1], 1),
        "processors": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    asked.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    raise SystemExit(bool(record["wrong"]))


def kill(
    command: list[str], root: Path, number: int, moment: float, how: signal.Signals
) -> tuple[str, str, float]:
    """Kill one script; returns the signal, what is left, and how long its engine lived on."""
    take, following = root / f"take_{number}", root / f"following_{number}"
    process = subprocess.Popen(
        [*command, str(take)],
        env=os.environ | {MARK: str(number)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(moment)
    process.send_signal(how)
    process.wait()
    begun, lived = time.monotonic(), 0.0
    while marked(number):
        lived = time.monotonic() - begun
        if lived > 3 * ORPHAN_SECONDS:
            return how.name, "WRONG: an engine lives on", lived
        time.sleep(0.05)
    left = left_in(take, following) if take.is_dir() else "nothing"
    for folder in (take, following):
        shutil.rmtree(folder, ignore_errors=True)
    return how.name, left, lived


def marked(number: int) -> bool:
    """Whether a process of a run is there."""
    mark = f"{MARK}={number}\0".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                return True
        except OSError:
            continue
    return False


if __name__ == "__main__":
    main()
