# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what control costs: the denoiser's time over all steps of a clip, with masks and without.

    python scripts/measure/benchmark_steering.py --json docs/reference/steering_cpu.json

The fastest of several rounds counts for each step, so that other work on the machine does not.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.benchmark.controls import choose_controls
from peekaboo_engine.loading import load_model
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement

PROMPT, PHRASES = "a red ball and a blue cube on grass", ["a red ball", "a blue cube"]
CONTROLS = ["none", "peekaboo", "strong"]


def moving_boxes(frames: int, height: int, width: int) -> np.ndarray:
    """Two boxes, of a tenth of the picture each, that pass each other: uint8 (frames, height, width)."""
    labels = np.zeros((frames, height, width), np.uint8)
    for frame in range(frames):
        x = round(frame / (frames - 1) * 0.6 * width)
        labels[frame, height // 8 : height // 2, x + width // 12 : x + width // 3] = 1
        labels[frame, height // 2 : -height // 8, width - x - width // 3 : width - x - width // 12] = 2
    return labels


class Clip:
    """The denoiser's part of a clip under a control, step by step."""

    def __init__(self, entry, control, device: str, blocks: contextlib.ExitStack):
        self.pipe = load_model(entry, Placement(device=device)).pipe
        self.device = self.pipe.unet.device
        labels = moving_boxes(entry.num_frames, entry.height, entry.width)
        blocks.enter_context(control.steering(self.pipe, labels, PHRASES))
        shape = self.pipe.unet.config.in_channels, entry.num_frames, entry.height // 8, entry.width // 8
        self._latents = torch.randn(2, *shape, device=self.device, dtype=self.pipe.unet.dtype)
        prompt, negative = self.pipe.encode_prompt(PROMPT, self.device, 1, True)
        self._text = torch.cat([negative, prompt])
        self.pipe.scheduler.set_timesteps(entry.num_inference_steps, device=self.device)

    def seconds_of(self, step: int) -> float:
        """Wall time of one step, both halves of guidance."""
        synchronise(self.device)
        start = time.perf_counter()
        timestep = self.pipe.scheduler.timesteps[step]
        self.pipe.unet(self._latents, timestep, encoder_hidden_states=self._text)
        synchronise(self.device)
        return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for a GPU to finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the ratios here.")] = None,
    model: Annotated[str, typer.Option(help="Name of a model, or a folder in diffusers' format.")] = "shapes",
    rounds: Annotated[int, typer.Option(min=1, help="How often each step is timed.")] = 4,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Print the table, and write it as JSON."""
    entry = find_model(model)
    steps = entry.num_inference_steps
    controls = choose_controls(CONTROLS, [], entry.masked_steps, entry.family)
    fastest = {control.name: np.full(steps, np.inf) for control in controls}
    with torch.no_grad(), contextlib.ExitStack() as blocks:
        clips = {control.name: Clip(entry, control, device, blocks) for control in controls}
        for _, step in itertools.product(range(rounds), range(steps)):
            for name, clip in clips.items():  # side by side: a busy moment meets all of them
                fastest[name][step] = min(fastest[name][step], clip.seconds_of(step))
    at = next(iter(clips.values())).device
    free = fastest["none"].sum()
    table = Table("masks", "denoiser, s a clip", "to none", "slowest step to none")
    rows = []
    for name, seconds in fastest.items():
        row = {
            "control": name,
            "seconds": round(float(seconds.sum()), 2),
            "ratio": round(float(seconds.sum() / free), 3),
            "slowest_step": round(float(seconds.max() * steps / free), 2),
        }
        rows.append(row)
        table.add_row(name, f"{row['seconds']:.2f}", f"{row['ratio']:.3f}", f"{row['slowest_step']:.2f}")
    Console().print(table)
    if json_file:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "model": entry.title,
            "steps": steps,
            "rounds": rounds,
            "device": torch.cuda.get_device_name() if at.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "rows": rows,
        }
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
