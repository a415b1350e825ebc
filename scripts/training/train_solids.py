# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the embedded model `solids` and its twin of few steps from a seed, in runs that continue each other.

    torchrun --nproc-per-node 4 scripts/training/train_solids.py autoencoder --folder checkpoints/solids \\
        --seconds 420
    torchrun --nproc-per-node 4 scripts/training/train_solids.py denoiser --folder checkpoints/solids \\
        --seconds 470
    torchrun --nproc-per-node 4 scripts/training/train_solids.py twin --folder checkpoints/solids --seconds 90
    cp -r checkpoints/solids/pipeline peekaboo_engine/assets/solids
    cp -r checkpoints/solids/twin peekaboo_engine/assets/solids_twin

Each GPU of one machine is a process. `--seconds` lays out the learning rate's schedule over all runs
together; `--run-seconds` ends one run early. Seeds fix the initial weights and the clips drawn; how many
steps fit into the time depends on the machine. The twin is made in one run, from the denoiser's last
checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from shapes_training import drawing
from solids_training.autoencoder_training import train_autoencoder
from solids_training.denoiser_training import train_denoiser
from solids_training.twin_training import train_twin


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, batch in (("autoencoder", 12), ("denoiser", 128), ("twin", 128)):
        stage = stages.add_parser(name)
        stage.add_argument("--folder", type=Path, required=True, help="checkpoints and logs")
        stage.add_argument("--seed", type=int, default=0)
        stage.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        stage.add_argument("--seconds", type=float, required=True, help="training time over all runs")
        stage.add_argument("--batch", type=int, default=batch, help="clips of whole length in a step")
        if name == "twin":
            stage.add_argument("--paths", type=int, default=3072, help="of the teacher, to learn from")
        else:
            stage.add_argument(
                "--run-seconds", type=float, default=float("inf"), help="end this run after so long"
            )
            stage.add_argument("--capacity", type=int, default=4088, help="clips in the ring")
            stage.add_argument("--chunk", type=int, default=7, help="clips drawn anew at a time")
            stage.add_argument("--chunk-interval", type=int, default=2, help="steps between two chunks")
        if name == "autoencoder":
            stage.add_argument("--init", type=Path, help="averaged weights to start from, for clips only")
            stage.add_argument(
                "--decoder-of", type=Path, help="an autoencoder of which to train the decoder alone"
            )
            stage.add_argument("--held-out", type=int, default=32, help="clips to measure with")
        else:
            stage.add_argument("--probe-clips", type=int, default=32, help="clips sampled at the end")
    return parser.parse_args()


def main() -> None:
    """Run one stage."""
    arguments = vars(_arguments())
    stage = arguments.pop("stage")
    arguments["folder"].mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    if arguments["device"].startswith("cuda"):
        drawing._FRAMES_AT_ONCE = 512  # there is memory for it, and fewer launches wait for the host
    stages: dict[str, Callable] = {
        "autoencoder": train_autoencoder,
        "denoiser": train_denoiser,
        "twin": train_twin,
    }
    stages[stage](**arguments)


if __name__ == "__main__":
    main()
