# SPDX-License-Identifier: GPL-3.0-or-later
"""Wan 2.1 and 2.2, text to video: ``WanTransformer3DModel`` with a causal video autoencoder.

Layout (diffusers, models/transformers/transformer_wan.py; F x h x w tokens, patches of the latents):

=====  ==================  ======================  ===============================
kind   module path         queries (rows, tokens)  keys
=====  ==================  ======================  ===============================
full   ``blocks.i.attn1``  (batch, F*h*w)          the same
cross  ``blocks.i.attn2``  (batch, F*h*w)          text tokens, padded with zeros
=====  ==================  ======================  ===============================

Wan 2.2 A14B has two denoisers, one for each half of the noise levels; in TI2V-5B a token covers 32 pixels,
and every token has a timestep of its own. The text is padded with zeros that nothing masks: they are read as
any other token, and belong to whom ``special_tokens`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .family import Cells, Configs, Family, Grid, Layers, Text

if TYPE_CHECKING:
    import torch


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    sizes = call["hidden_states"].shape[2:]  # (batch, channels, frames, h, w)
    return Grid(*(size // patch for size, patch in zip(sizes, denoiser.config.patch_size, strict=True)))


def _cells(configs: Configs) -> Cells:
    vae, denoiser = configs["vae"], configs.get("transformer") or configs["transformer_2"]
    frames, height, _ = denoiser["patch_size"]
    return Cells(
        pixels=height * (vae.get("scale_factor_spatial") or 8),
        frames=frames * (vae.get("scale_factor_temporal") or 4),
    )


def _clean(pipe, text: str) -> str:
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    return prompt_clean(text)


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The middle frame of the latents, (batch, channels, frames, h, w), as if it were the first of a clip."""
    vae, middle = pipe.vae, latents.shape[2] // 2
    of_frame = latents[:1, :, middle : middle + 1].to(vae.dtype)
    mean, deviation = (
        of_frame.new_tensor(values).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return vae.decode(of_frame * deviation + mean, return_dict=False)[0][0, :, 0]


WAN = Family(
    name="Wan",
    pipelines=("WanPipeline", "WanVideoToVideoPipeline"),
    denoisers=("transformer", "transformer_2"),
    layers=(
        Layers(r"blocks\.\d+\.attn1", "full", "clip"),
        Layers(r"blocks\.\d+\.attn2", "cross", "clip"),
    ),
    grid=_grid,
    cells=_cells,
    text=Text(clean=_clean, length=lambda pipe, call: call["max_sequence_length"]),
    halves="two calls",
    picture=_picture,
    half="bfloat16",
    single=("vae",),
    # What steered a small model of this build best: masks of full attention undo some of what those of cross-
    # attention do unless they are left to the first half of the layers, and contrast by guidance blurs who is
    # who. No step of a few-step schedule falls on these levels, as some do on .9 and .5.
    presets={
        "strong": {
            "until": 0.89,
            "bound_until": 0.49,
            "kinds": ("cross", "full"),
            "self_share": 0.5,
            "contrast": False,
        }
    },
)
