# SPDX-License-Identifier: GPL-3.0-or-later
"""Times a step of HunyuanVideo 1.5's denoiser and its memory, with the mask of all pairs that diffusers makes
in each layer, and without, with random weights.

    python scripts/measure/benchmark_joint.py --json joint_cpu.json
    python scripts/measure/benchmark_joint.py --full --device cuda --json joint_gpu.json

Each way is a process of its own, whose peak of memory counts. On the CPU the network is narrow and the clip
short; ``--full`` has four of the 54 layers at their width and the tokens of 848 x 480 x 121.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import HunyuanVideo15Transformer3DModel

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import benchmark_full_size as full_size
import numpy as np

from peekaboo_engine.control.interception import call_under_rule, stand_in_for_attention, wrapped_forwards
from peekaboo_engine.control.rules import Rules, Subjects
from peekaboo_engine.control.settings import preset
from peekaboo_engine.control.windows import Moment
from peekaboo_engine.families import Grid
from peekaboo_engine.families.hunyuan15 import HUNYUAN15
from peekaboo_engine.names import PADDING, SHARED

WAYS = {
    "diffusers, no masks": (False, True),
    "ours, no masks": (False, False),
    "masks, with that of all pairs": (True, True),
    "masks, ours": (True, False),
}
"""Whether subjects are masked, and whether the mask of all pairs is made."""
REPEATS = 3
TEXT, READ = 1000, 60
"""Tokens of the prompt, and those of them that are read."""
LETTERS, PICTURE = 256, 729


def network(full: bool, device: torch.device) -> tuple[HunyuanVideo15Transformer3DModel, Grid]:
    """Random layers, and the size of a clip in tokens."""
    torch.manual_seed(0)
    narrow = {"num_attention_heads": 2, "attention_head_dim": 64, "rope_axes_dim": (16, 24, 24)}
    shape: dict[str, Any] = {"num_layers": 4} if full else {"num_layers": 2, **narrow}
    with device:
        made = HunyuanVideo15Transformer3DModel(in_channels=65, **shape).eval()
    return made.to(torch.bfloat16 if full else torch.float32), Grid(31, 30, 53) if full else Grid(5, 30, 40)


def called(
    made: HunyuanVideo15Transformer3DModel, grid: Grid, device: torch.device
) -> dict[str, torch.Tensor]:
    """Arguments of a call, of text alone."""
    noise = torch.Generator().manual_seed(1)

    def random(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes, generator=noise).to(device, made.dtype)

    read = torch.zeros(1, TEXT, device=device)
    read[:, :READ] = 1
    config = made.config
    return {
        "hidden_states": random(1, config.in_channels, *grid),
        "timestep": torch.tensor([900.0], device=device, dtype=made.dtype),
        "encoder_hidden_states": random(1, TEXT, config.text_embed_dim),
        "encoder_attention_mask": read,
        "encoder_hidden_states_2": random(1, LETTERS, config.text_embed_2_dim),
        "encoder_attention_mask_2": torch.zeros(1, LETTERS, device=device),
        "image_embeds": torch.zeros(1, PICTURE, config.image_embed_dim, device=device, dtype=made.dtype),
    }


def rules_of(grid: Grid, call: dict[str, torch.Tensor]) -> Rules:
    """Those of one subject over a quarter of the picture, while it is masked."""
    frames = 1 + 4 * (grid.frames - 1)
    labels = full_size.moving_boxes(frames, grid.rows * 16, grid.columns * 16, 0.25, 1)
    held = np.ones((1, frames))
    given = np.zeros(frames, bool)
    subjects = Subjects(labels, held, 4, given, np.zeros(1, bool))
    prompt = np.full(TEXT, PADDING)
    prompt[:READ] = SHARED
    prompt[5:8] = 1
    rules = Rules(preset("strong", HUNYUAN15), subjects, prompt, [], free_negative=True)
    assert HUNYUAN15.beside
    rules.move_to(Moment(0, 1.0, 1.0), (True,), HUNYUAN15.beside(call, prompt))
    return rules


def run(way: str, full: bool, device: torch.device) -> dict[str, Any]:
    """Median seconds of a call, peak of memory, and what came of it."""
    masked, dense = WAYS[way]
    made, grid = network(full, device)
    call = called(made, grid, device)
    rules = rules_of(grid, call)
    layers = HUNYUAN15.layers[0]

    def wrapper(forward, path="layer"):
        def guided(*args, **kwargs):
            if not masked and dense:
                return forward(*args, **kwargs)
            if not dense:
                kwargs = {**kwargs, "attention_mask": kwargs["attention_mask"].to("meta")}
            rule = rules.rule(layers, grid) if masked else rules.as_read(grid)
            return call_under_rule(rule, path, forward, *args, **kwargs)

        return guided

    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(wrapped_forwards({block.attn: wrapper for block in made.transformer_blocks}))
        stack.enter_context(stand_in_for_attention())
        if masked and dense:
            stack.enter_context(full_size.densely())
        times = []
        for repeat in range(REPEATS + 1):
            if not repeat and device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            full_size.synchronise(device)
            start = time.perf_counter()
            out = made(**call, return_dict=False)[0]
            full_size.synchronise(device)
            times.append(time.perf_counter() - start)
    peak = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "seconds": round(statistics.median(times[1:]), 4),
        "peak_mb": round(peak / 1e6),
        "out": out.float().cpu(),
        "pairs": (np.prod(grid) + TEXT + LETTERS + PICTURE).item() ** 2,
    }


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Layers and tokens of their real size.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    way: Annotated[str | None, typer.Option(hidden=True)] = None,
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print seconds and memory of each way, and write them as JSON."""
    if way is not None and out is not None:
        torch.save(run(way, full, torch.device(device)), out)
        return
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in WAYS:
            file = Path(place) / "told.pt"
            command = [sys.executable, __file__, "--device", device, "--way", name, "--out", str(file)]
            if subprocess.run([*command, *(["--full"] if full else [])], check=False).returncode:
                print(f"{name}: failed, most likely for want of memory")
                continue
            told[name] = torch.load(file, weights_only=True)
            print(f"{name}: {told[name]['seconds']:.3f} s, at most {told[name]['peak_mb']:,} MB", flush=True)
    for one, other in (list(WAYS)[:2], list(WAYS)[2:]):
        if one in told and other in told:
            far = (told[one]["out"] - told[other]["out"]).norm() / told[one]["out"].norm()
            told[other]["relative_difference"] = float(far)
            print(f"{other}: {far:.1e} from {one}")
    rows = {name: {key: value for key, value in row.items() if key != "out"} for name, row in told.items()}
    if json_file:
        record = {
            "command": " ".join(["python", *sys.argv]),
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "torch": torch.__version__,
            "rows": rows,
        }
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
