# SPDX-License-Identifier: GPL-3.0-or-later
"""Stable Diffusion 1.5, 2.1 and XL, pictures: ``UNet2DConditionModel``, steered as a clip of one frame.

Layout (diffusers, models/unets/unet_2d_condition.py; h x w cells):

=======  ==========================  ======================  ===========
kind     module path                 queries (rows, tokens)  keys
=======  ==========================  ======================  ===========
spatial  ``*.attentions.j.*.attn1``  (batch, h*w)            the same
cross    ``*.attentions.j.*.attn2``  (batch, h*w)            text tokens
=======  ==========================  ======================  ===========

XL reads the prompt with two encoders, whose tokens are joined on their features: token i of the text is
token i of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .family import Cells, Family, Grid, Trial
from .unets import OF_FRAMES, clip_text, decoded, pixels_of, taken_arguments, trial_of_frames

if TYPE_CHECKING:
    import torch


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    return Grid(1, *call["sample"].shape[2:])  # (batch, channels, h, w)


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    return decoded(pipe, latents[:1])


def _trial(denoiser, vae, index: Mapping[str, Any], grid: Grid, halves: int) -> Trial:
    import torch

    config = denoiser.config
    of_frame = trial_of_frames(denoiser, vae, index, grid, halves)
    call = {**of_frame.call, "sample": of_frame.call["sample"][:, :, 0]}
    latents = of_frame.latents
    if config.addition_embed_type == "text_time":  # XL: its size and a summary of the text as well
        times = 6 * config.addition_time_embed_dim
        summary = config.projection_class_embeddings_input_dim - times
        call["added_cond_kwargs"] = {
            "text_embeds": torch.empty(halves, summary, dtype=denoiser.dtype),
            "time_ids": torch.empty(halves, 6, dtype=denoiser.dtype),
        }
        latents = latents.float()  # see :func:`.decoded`
    return Trial(call, latents)


STABLE_DIFFUSION = Family(
    name="Stable Diffusion",
    pipelines=("StableDiffusionPipeline", "StableDiffusionXLPipeline"),
    denoisers=("unet",),
    layers=OF_FRAMES,
    grid=_grid,
    cells=lambda configs: Cells(pixels=pixels_of(configs), most=1),
    text=clip_text(tokenizers=("tokenizer", "tokenizer_2"), alike=("prompt_2",)),
    halves="one batch",
    arguments=taken_arguments,
    picture=_picture,
    trial=_trial,
    blocks={"all": "", "mid_up": r"(mid_block|up_blocks)\."},
)
