# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what is foreseen of a clip's memory against what was measured on a GPU; needs none.

    python scripts/measure/foreseen_memory.py docs/reference/full_size_memory.json --json foreseen.json

Networks are of the full sizes, on torch's meta device; peaks are told without the weights on the card.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from diffusers import (
    AutoencoderKL,
    AutoencoderKLLTX2Video,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    LTX2VideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    UNet3DConditionModel,
    WanTransformer3DModel,
)
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.families import Family, Grid
from peekaboo_engine.families.ltx import LTX, LTX2
from peekaboo_engine.families.unet3d import UNET3D
from peekaboo_engine.families.wan import WAN
from peekaboo_engine.memory import foresee


def wan(**shape: int) -> WanTransformer3DModel:
    """A denoiser of Wan's class: of its blocks, which are alike, two say what all do."""
    return WanTransformer3DModel(
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", **shape | {"num_layers": 2}
    )


def pictures() -> AutoencoderKL:
    """The autoencoder of Stable Diffusion, which ZeroScope has."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )


MODELS: dict[str, tuple[Family, Any, Any, torch.dtype]] = {
    "ZeroScope": (UNET3D, UNet3DConditionModel, pictures, torch.float16),
    "Wan 2.1 1.3B": (
        WAN,
        lambda: wan(num_attention_heads=12, ffn_dim=8960),
        AutoencoderKLWan,
        torch.bfloat16,
    ),
    "LTX-2's size, in Wan's classes": (
        WAN,
        lambda: wan(num_attention_heads=32, ffn_dim=16384),
        AutoencoderKLWan,
        torch.bfloat16,
    ),
    "LTX-2": (
        LTX2,
        lambda: LTX2VideoTransformer3DModel(num_layers=2),
        lambda: AutoencoderKLLTX2Video(spatial_compression_ratio=32, temporal_compression_ratio=8),
        torch.bfloat16,
    ),
    "LTX-Video": (
        LTX,
        lambda: LTXVideoTransformer3DModel(num_layers=2),
        AutoencoderKLLTXVideo,
        torch.bfloat16,
    ),
}
CELLS = {"ZeroScope": (8, 1), "LTX-2": (32, 8), "LTX-Video": (32, 8)}
"""Pixels and frames of a token, where they are not Wan's 16 and 4."""


def grid_of(row: dict[str, Any]) -> Grid:
    """The size of a measured clip in tokens."""
    pixels, frames = CELLS.get(row["model"], (16, 4))
    return Grid((row["frames"] - 1) // frames + 1, row["height"] // pixels, row["width"] // pixels)


def foreseen_of(row: dict[str, Any]) -> dict[str, float]:
    """What is foreseen for a measured clip, in GB above the weights."""
    family, denoiser, vae, dtype = MODELS[row["model"]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with torch.device("meta"):
            networks = {family.denoisers[0]: denoiser(), "vae": vae()}
        for name, network in networks.items():
            network.save_config(folder / name)
        index = {name: ["diffusers", type(network).__name__] for name, network in networks.items()}
        (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
        needs = foresee(family, folder, grid_of(row), True, dtype)
    assert needs is not None
    decoding = needs.decoding_tiled if row["vae_tiling"] else needs.decoding
    return {"denoising": round(needs.denoising, 3), "decoding": round(decoding or 0, 3)}


def main(
    measured: Annotated[Path, typer.Argument(help="Peaks as they were measured.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None,
) -> None:
    """Print both, and how far they are apart."""
    table = Table("model", "clip", "denoising", "foreseen", "decoding", "foreseen", "the larger, off by")
    told = []
    for row in json.loads(measured.read_text(encoding="utf-8"))["rows"]:
        if row["model"] not in MODELS or row["offload"] or row["masked"] > row["vae_tiling"]:
            continue  # offloaded rows have the weights of one part beside; masks added .03 GB at most
        peaks = {name: round((peak - row["weights_on_card"]) / 1e9, 3) for name, peak in row["peaks"].items()}
        foreseen = {name: gb for name, gb in foreseen_of(row).items() if name in peaks}
        off = max(foreseen.values()) / max(peaks.values()) - 1
        size = f"{row['frames']} x {row['width']} x {row['height']}{', tiles' if row['vae_tiling'] else ''}"
        told.append(
            {
                "model": row["model"],
                "clip": size,
                "measured": peaks,
                "foreseen": foreseen,
                "off": round(off, 3),
            }
        )
        pairs = [
            f"{each[name]:.2f}" if name in each else ""
            for name in ("denoising", "decoding")
            for each in (peaks, foreseen)
        ]
        table.add_row(row["model"], size, *pairs, f"{off:+.0%}")
    Console(width=120).print(table)
    if json_file:
        record = {"command": " ".join(["python", *sys.argv]), "unit": "GB above the weights", "rows": told}
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
