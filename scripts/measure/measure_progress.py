# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how true the time left is that the panel shows, against what was really left.

    python scripts/measure/measure_progress.py shapes --steps 20 --json docs/journal/progress_shapes.json
    python scripts/measure/measure_progress.py wan --random --json docs/journal/progress_wan.json
    python scripts/measure/measure_progress.py wan --random --small --size 17x192x320      # a try

The engine is asked and followed as Blender's timer does it, by the add-on's own queue: first one that has to
be started, then the same one again. ``--random`` makes a model of the real size with random weights
(``zeroscope``, ``wan``, ``ltx-2``): what a network has learnt changes no time.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from full_size_model import write_job

from blender_addon.engine.orders import Order, Queue, duration
from blender_addon.engine.process import EngineSettings
from peekaboo_engine.models import find_model

POLL_SECONDS = 0.1
"""As Blender's timer looks."""
TRUE_AFTER = 3
"""So many finished steps, the time left is to be true."""
MOST_OFF = 0.2
"""Of what is really left."""
LAST_SHARE = 0.05
"""Of the denoising that is not judged: what is left of it then is less than the seconds that are shown."""


@dataclass(frozen=True)
class Look:
    """What the panel would have shown at a moment: seconds since the clip was asked for."""

    at: float
    phase: str
    step: int
    left: float | None


def save_random(name: str, small: bool, folder: Path) -> tuple[int, int, int]:
    """Save a model of random weights; returns frames, height and width of its clips."""
    from benchmark_full_size import SIZES, SMALL

    size = SIZES[name]
    frames, height, width = SMALL[name] if small else (size.frames, size.height, size.width)
    size.make(small).save_pretrained(folder)
    stated = {"title": f"{size.title}, random weights", "width": width, "height": height}
    (folder / "peekaboo.json").write_text(json.dumps(stated | {"num_frames": frames}), encoding="utf-8")
    return frames, height, width


def follow(queue: Queue, settings: EngineSettings, order: Order, logs: Path) -> list[Look]:
    """Have a clip made, and look at it as Blender does."""
    begun, looks = time.monotonic(), []
    queue.add(order)
    while not queue.arrived:
        queue.advance(lambda: settings, logs)
        if queue.outcomes:
            raise SystemExit(queue.outcomes[0].text)
        looks.append(Look(time.monotonic() - begun, order.phase, order.step, order.seconds_left))
        time.sleep(POLL_SECONDS)
    queue.arrived.clear()
    return looks


def judge(looks: list[Look], until_clip: bool) -> dict:
    """What the time left was worth.

    Args:
        looks: at one clip, in their order.
        until_clip: whether the time left was that until the clip is there, as from the second on; else until
            the last step.

    Raises:
        SystemExit: the denoising was over within three looks.
    """
    denoising = [look for look in looks if look.phase == "denoise"]
    if len({look.step for look in denoising}) <= TRUE_AFTER:
        raise SystemExit("The steps are too fast to be seen by a timer: take a larger --size.")
    after = [look for look in looks if look.at > denoising[-1].at and look.phase != "denoise"]
    began, ended = denoising[0].at, (after[0] if after else looks[-1]).at
    goal = looks[-1].at if until_clip else ended
    last = goal - LAST_SHARE * (goal - began)
    judged = [
        (look, look.left, goal - look.at)
        for look in looks
        if look.left is not None and look.at < last and (look.step >= TRUE_AFTER or look.at > ended)
    ]
    errors = [(left - really) / really for _, left, really in judged]
    lowest, rise = float("inf"), 0.0
    for _, left, _ in judged:
        rise = max(rise, left - lowest)
        lowest = min(lowest, left)
    finished = [look.at for before, look in pairwise(denoising) if look.step > before.step]
    each = [round(end - start, 3) for start, end in zip([began, *finished], finished, strict=False)]
    return {
        "seconds": round(looks[-1].at, 2),
        "until_the_first_step_begins": round(began, 2),
        "denoising": round(ended - began, 2),
        "after_it": round(looks[-1].at - ended, 2),
        "seconds_between_steps_seen": each,
        "judged": len(judged),
        "largest_error": round(max(((abs(error), error) for error in errors), default=(0.0, 0.0))[1], 4),
        "largest_rise_seconds": round(rise, 3),
        "largest_rise_share": round(rise / (goal - began), 4),
        "is_true": bool(judged) and max(map(abs, errors)) <= MOST_OFF,
        "shown": [
            {"at": round(look.at, 1), "step": look.step, "left": round(left, 1), "really": round(really, 1)}
            for look, left, really in judged[:: max(1, len(judged) // 40)]
        ],
    }


def main(
    model: Annotated[str, typer.Argument(help="Name or folder of a model; of a size with --random.")],
    steps: Annotated[int, typer.Option(min=5, help="Denoising steps.")] = 20,
    random: Annotated[bool, typer.Option("--random", help="Of the real size, with random weights.")] = False,
    small: Annotated[bool, typer.Option("--small", help="Narrow networks, for a try.")] = False,
    size: Annotated[str, typer.Option(metavar="FRAMESxHEIGHTxWIDTH", help="[default: the model's]")] = "",
    device: Annotated[str, typer.Option(help="What it is computed on, as torch calls that.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None,
) -> None:
    """Print how far off the time left was, and write all of it as JSON."""
    with tempfile.TemporaryDirectory(prefix="peekaboo-progress-") as name:
        folder = Path(name)
        if random:
            own, asked = save_random(model, small, folder / "model"), folder / "model"
        else:
            entry = find_model(model)
            own, asked = (entry.num_frames, entry.height, entry.width), Path(model)
        frames, height, width = map(int, size.split("x")) if size else own
        queue, found, computed_on, rest = Queue(), {}, "", 0.0
        settings = EngineSettings(Path(sys.executable), False, 600.0, device)
        try:
            for run in ("started for it", "warm"):
                take = folder / run
                write_job(take / "job", asked, steps, (frames, height, width))
                job = json.loads((take / "job" / "job.json").read_text(encoding="utf-8"))
                order = Order(0, run, job, take, usual_rest=rest)
                found[run] = judge(follow(queue, settings, order, folder), until_clip=bool(rest))
                computed_on, rest = queue.keeper.device, order.seconds_of_rest or 0.0
        finally:
            queue.leave(10.0)
    for run, one in found.items():
        print(
            f"{run:15} {duration(one['seconds'])} in all, {one['until_the_first_step_begins']:.1f} s before "
            f"the first step, {one['after_it']:.1f} s after the last; the time left was off by "
            f"{one['largest_error']:+.1%} at most, and rose by {one['largest_rise_seconds']:.2f} s at most: "
            f"{'true' if one['is_true'] else 'NOT true'} within {MOST_OFF:.0%}"
        )
    if json_file:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "machine": {"cores": os.cpu_count(), "device": computed_on, "python": platform.python_version()},
            "size": {"frames": frames, "height": height, "width": width},
            "steps": steps,
            "load": [round(load, 2) for load in os.getloadavg()],
            "runs": found,
        }
        json_file.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
