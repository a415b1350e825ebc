# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how long Blender's window leaves a timer waiting while a clip is generated.

    python scripts/measure/measure_timer_gaps.py [--out docs/journal/timer_gaps.json]

It needs a Blender ($BLENDER, or one on the PATH) and the engine's .venv, and uses the display that there is
or starts Xvfb. A fresh profile gets the extension; the user's own is not touched. What Blender does by itself
is measured first: its gaps without a job are the floor under those with one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house import installed, virtual_display
from house.environments import ENGINE, CommandError, run_main
from house.find_blender import find_blender

INSIDE = Path(__file__).with_name("timer_gaps.py")
ALLOWED_MS = 15
"""Above the floor: what Blender takes to draw as often as during a generation."""


def main() -> int:
    """Measure, print the figures, and write them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    parser.add_argument("--model", default="shapes", help="name or folder of the model to generate with")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps; 0 for the model's own")
    parser.add_argument("--takes", type=int, default=0, help="measure with so many takes as pictures")
    parser.add_argument("--python", default=str(ENGINE.python), help="the engine's Python")
    asked = parser.parse_args()
    blender = find_blender()
    if blender is None:
        raise CommandError("There is no Blender here: set BLENDER to one, or put it on the PATH.")
    os.environ["BLENDER"] = blender.path
    has_display = bool(os.environ.get("DISPLAY")) or sys.platform != "linux"
    if not has_display and (reason := virtual_display.missing()):
        raise CommandError(f"There is no display: this {reason}.")
    with tempfile.TemporaryDirectory(prefix="peekaboo-gaps-") as name:
        display = nullcontext(os.environ.get("DISPLAY", "")) if has_display else virtual_display.display()
        with display as screen:
            facts = measure(Path(name), screen, asked)
    show(facts)
    if asked.out:
        asked.out.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return 0


def measure(folder: Path, screen: str, asked: argparse.Namespace) -> dict:
    """Install the extension into a new profile and measure there.

    Raises:
        CommandError: Blender did not get to the end.
    """
    profile = installed.install(folder)
    load_before = os.getloadavg()
    run = subprocess.run(
        [
            *(os.environ["BLENDER"], "--window-geometry", "0", "0", *virtual_display.SIZE.split("x")),
            *("--python", str(INSIDE), "--", str(folder), asked.model, str(asked.steps), str(asked.takes)),
        ],
        env={**profile.variables, "DISPLAY": screen, "PEEKABOO_PYTHON": asked.python},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if run.returncode or not (folder / "gaps.json").is_file() or "Traceback" in run.stdout:
        print(run.stdout[-4000:], file=sys.stderr)
        raise CommandError("Blender did not get through the measurement: see its output above.")
    facts = json.loads((folder / "gaps.json").read_text(encoding="utf-8"))
    return {
        "command": " ".join(["python scripts/measure/measure_timer_gaps.py", *sys.argv[1:]]),
        "processors": os.cpu_count(),
        "load_before": [round(load, 2) for load in load_before],
        "load_after": [round(load, 2) for load in os.getloadavg()],
    } | facts


def show(facts: dict) -> None:
    """Print what a person wants to know."""
    print(f"Blender {facts['blender']}, {facts['processors']} processors, load {facts['load_before'][0]}")
    print(f"{'milliseconds between ticks':58}  longest    99 %  > 50  drawn  own call  own share")
    for place, situations in facts["measured"].items():
        for name, found in situations.items():
            print(
                f"{place + ', ' + name:58}{found['longest_ms']:9.1f}{found['percentile_99_ms']:8.1f}"
                f"{found['gaps_over_50_ms']:6}{found['viewport_drawings']:7}{found['longest_own_call_ms']:10.1f}"
                f"{100 * found['own_share']:10.2f}%"
            )
    for place, situations in facts["measured"].items():
        found = situations["generation"]
        moments = ", ".join(f"{moment} {ms:.0f}" for moment, ms in found["longest_by_moment"].items())
        floor = situations["no job, drawn as during one"]["longest_ms"]
        verdict = "within" if found["longest_ms"] <= floor + ALLOWED_MS else "not within"
        print(
            f"{place}: longest gap over a generation {found['longest_ms']:.1f} ms, {verdict} {ALLOWED_MS} of "
            f"the floor, {floor:.1f}"
        )
        print(f"  the longest of each phase: {moments}")


if __name__ == "__main__":
    sys.exit(run_main(main))
