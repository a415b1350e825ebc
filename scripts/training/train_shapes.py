# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the embedded model `shapes` from a seed, on one GPU, in runs that continue each other.

    python scripts/training/train_shapes.py vae      --folder checkpoints/shapes --seconds 280
    python scripts/training/train_shapes.py denoiser --folder checkpoints/shapes --seconds 1200 \\
        --run-seconds 560
    python scripts/training/train_shapes.py denoiser --folder checkpoints/shapes --seconds 1200 \\
        --run-seconds 560
    python scripts/training/train_shapes.py export   --folder checkpoints/shapes \\
        --out peekaboo_engine/assets/shapes

On several GPUs of one machine, `torchrun --nproc-per-node 2 scripts/training/train_shapes.py denoiser ...`
learns from as many times the clips a step.

`--seconds` lays out the learning rate's schedule over all runs together; `--run-seconds` ends one run early.
Seeds fix the initial weights and the clips drawn; how many steps fit into the time depends on the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from shapes_training.denoiser_training import export, train_denoiser
from shapes_training.vae_training import train_vae


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    for name in ("vae", "denoiser", "export"):
        stage = stages.add_parser(name)
        stage.add_argument("--folder", type=Path, required=True, help="checkpoints and logs")
        stage.add_argument("--seed", type=int, default=0)
        stage.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        if name == "export":
            stage.add_argument(
                "--out", type=Path, required=True, help="folder for the pipeline, in half precision"
            )
            continue
        stage.add_argument("--seconds", type=float, required=True, help="training time over all runs")
        stage.add_argument(
            "--run-seconds", type=float, default=float("inf"), help="end this run after so long"
        )
        stage.add_argument("--batch", type=int, default=16 if name == "vae" else 32, help="clips in a step")
        stage.add_argument("--init", type=Path, help="a saved pipeline whose weights to start from")
        if name == "denoiser":
            stage.add_argument("--capacity", type=int, default=16384, help="clips in the ring of latents")
            stage.add_argument("--chunk", type=int, default=32, help="clips drawn anew at a time")
            stage.add_argument("--chunk-interval", type=int, default=16, help="steps between two chunks")
            stage.add_argument("--peak-rate", type=float, default=7e-4, help="learning rate after warm-up")
            stage.add_argument("--probe-clips", type=int, default=12, help="clips sampled at every save")
    return parser.parse_args()


def main() -> None:
    """Run one stage."""
    arguments = vars(_arguments())
    stage = arguments.pop("stage")
    arguments["folder"].mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    stages: dict[str, Callable] = {"vae": train_vae, "denoiser": train_denoiser, "export": export}
    stages[stage](**arguments)


if __name__ == "__main__":
    main()
