# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a model of ModelScope's and ZeroScope's real size with random weights, and a job for it.

    python scripts/measure/full_size_model.py full-size
    python -m peekaboo_engine generate full-size/job

Where no weights can be fetched, memory, speed and offloading can still be tried: they do not depend on what a
network has learnt. The clip is noise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.job import SCHEMA_VERSION
from peekaboo_engine.models import find_model

FRAMES, HEIGHT, WIDTH = 24, 320, 576
"""Of ZeroScope's clips, the larger ones."""


def pipeline(small: bool) -> TextToVideoSDPipeline:
    """Networks of the real classes: 1,411 + 84 + 340 million parameters, or two million."""
    blocks = {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
        "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
        "norm_num_groups": 8,
    }
    channels = 32 if small else 1024
    tokenizer = CLIPTokenizer.from_pretrained(find_model("shapes").folder, subfolder="tokenizer")
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        unet = UNet3DConditionModel(
            attention_head_dim=8 if small else 64, cross_attention_dim=channels, **(blocks if small else {})
        )
        vae = AutoencoderKL(
            block_out_channels=(32,) * 4 if small else (128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1 if small else 2,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer) if small else 49_408,
                hidden_size=channels,
                intermediate_size=4 * channels,
                num_hidden_layers=2 if small else 23,
                num_attention_heads=channels // (8 if small else 64),
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    return TextToVideoSDPipeline(
        vae=vae.half(),
        text_encoder=text_encoder.half(),
        tokenizer=tokenizer,
        unet=unet.half(),
        scheduler=scheduler,
    )


def write_job(
    folder: Path, model: Path, steps: int, size: tuple[int, int, int] = (FRAMES, HEIGHT, WIDTH), seed: int = 0
) -> None:
    """A box that stands still, with a strip as long as the clip; its size is frames, height and width."""
    frames, height, width = size
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "schema_version": SCHEMA_VERSION,
        "prompt": "a red ball on grass",
        "subjects": [{"name": "Ball", "phrase": "a red ball"}],
        "model": str(model),
        "width": width,
        "height": height,
        "num_frames": frames,
        "timing": {
            "frame_start": 1,
            "frame_count": frames,
            "fps": 8,
            "fps_base": 1.0,
            "scene_frames": list(range(1, frames + 1)),
        },
        "seed": seed,
        "num_inference_steps": steps,
        "control": {"method": "strong"},
    }
    (folder / "job.json").write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
    labels = np.zeros((frames, height, width), np.uint8)
    labels[:, height // 4 : height // 2, width // 4 : width // 2] = 1
    np.savez_compressed(folder / "masks.npz", labels=labels)


def main(
    out: Annotated[Path, typer.Argument(help="Folder for model and job.")],
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps of the job.")] = 4,
    small: Annotated[bool, typer.Option(help="Narrow networks, for a try on a CPU.")] = False,
) -> None:
    """Write model and job."""
    torch.manual_seed(0)
    model = out.resolve() / "model"
    pipeline(small).save_pretrained(model)
    stated = {"title": "Full size, random weights", "width": WIDTH, "height": HEIGHT, "num_frames": FRAMES}
    (model / "peekaboo.json").write_text(json.dumps(stated) + "\n", encoding="utf-8")
    write_job(out / "job", model, steps)
    print(f"{out / 'job'}")


if __name__ == "__main__":
    typer.run(main)
