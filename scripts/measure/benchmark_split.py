# SPDX-License-Identifier: GPL-3.0-or-later
"""Times the steps of one clip that several GPUs make together, against one GPU alone, with random weights.

    python scripts/measure/benchmark_split.py --devices cuda:0+cuda:1 --json split.json
    python scripts/measure/benchmark_split.py --small --devices cpu+cpu      # a try

Wan 2.1 1.3B at 832x480x81, under masks of full and cross-attention. What the devices denoise together is
held against what one of them denoises alone from the same noise.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import benchmark_full_size as full_size

from peekaboo_engine import splitting
from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.settings import preset
from peekaboo_engine.families import WAN
from peekaboo_engine.placement import Placement

REPEATS = 3
SHARE, SUBJECTS = 0.25, 1


def steps(pipe, size, masked: bool) -> tuple[float, torch.Tensor]:
    """Median seconds of a first step of denoising, both halves of guidance, and what its last call gave."""
    labels = full_size.moving_boxes(size.frames, size.height, size.width, SHARE, SUBJECTS)
    steering = replace(preset("strong", WAN), kinds=("cross", "full"), self_share=1.0)
    given: list[torch.Tensor] = []
    with torch.no_grad(), peekaboo(pipe, labels, full_size.PHRASES[:SUBJECTS], steering=steering):
        denoiser = full_size.Denoiser(pipe, size, SUBJECTS)
        index = 0 if masked else size.steps - 1
        noise = torch.randn(denoiser._latents.shape, generator=torch.Generator().manual_seed(0))
        denoiser._latents = noise.to(denoiser._latents)
        denoiser.step(index)
        times = [denoiser.seconds(index) for _ in range(REPEATS)]
        hook = pipe.transformer.register_forward_hook(lambda module, args, made: given.append(made[0]))
        denoiser.step(index)
        hook.remove()
    return statistics.median(times), given[-1].float().cpu()


def measured(pipe, size) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Seconds and results of a masked step and a free one."""
    made = {name: steps(pipe, size, name == "masked") for name in ("masked", "free")}
    return {name: each[0] for name, each in made.items()}, {name: each[1] for name, each in made.items()}


def run(number: int, devices: str, meeting: Path, small: bool, out: Path) -> None:
    """One of the processes: alone first, each by itself, then together."""
    placement = Placement(device=devices, number=number)
    size = full_size.SIZES["wan"]
    if small:
        frames, height, width = full_size.SMALL["wan"]
        size = replace(size, frames=frames, height=height, width=width)
    splitting.join(placement, meeting)
    device, _ = placement.resolve()
    torch.manual_seed(0)
    pipe = size.make(small).to(device)
    alone, wanted = measured(pipe, size)
    splitting.split(size.title, [pipe.transformer], placement)
    together, got = measured(pipe, size)
    far = {name: float((got[name] - wanted[name]).norm() / wanted[name].norm()) for name in got}
    if number == 0:
        out.write_text(json.dumps({"alone": alone, "together": together, "relative_difference": far}))
    splitting.leave()


def main(
    devices: Annotated[str, typer.Option(help="Such as cuda:0+cuda:1.")] = "cuda:0+cuda:1",
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None,
    small: Annotated[bool, typer.Option(help="Narrow networks and a short clip, for a try.")] = False,
    number: Annotated[int | None, typer.Option(hidden=True)] = None,
    folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print the seconds of steps, and write them as JSON."""
    if number is not None and folder is not None:
        run(number, devices, folder / "meeting", small, folder / "told.json")
        return
    count = len(Placement(device=devices).devices)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, __file__, "--devices", devices, *(["--small"] if small else [])]
        others = [
            subprocess.Popen([*command, "--number", str(each), "--folder", place]) for each in range(count)
        ]
        failed = [other.wait() for other in others]
        if any(failed):
            raise SystemExit(f"a process ended with {max(failed)}")
        told: dict[str, Any] = json.loads((Path(place) / "told.json").read_text(encoding="utf-8"))
    for name, alone in told["alone"].items():
        ratio = told["together"][name] / alone
        print(f"{name}: alone {alone:.4f} s, together {told['together'][name]:.4f} s ({ratio:.3f})")
    print(f"relative difference: {told['relative_difference']}")
    if json_file:
        on_gpu = torch.cuda.is_available() and "cuda" in devices
        record = {
            "command": " ".join(["python", *sys.argv]),
            "devices": devices,
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "torch": torch.__version__,
            "seconds": round(time.perf_counter() - started, 1),
            **told,
        }
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
