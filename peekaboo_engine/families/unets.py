# SPDX-License-Identifier: GPL-3.0-or-later
"""What families have in common whose denoiser is a UNet over the latents of an image autoencoder.

The transformers of a level (diffusers, models/transformers/transformer_2d.py) attend within a frame,
``attn1`` among its cells and ``attn2`` to the text; a level's grid is that of their input.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .family import Configs, Grid, Layers, Text, Trial

if TYPE_CHECKING:
    import torch

_PICTURE = r"(?P<level>.*\.attentions\.\d+)\.transformer_blocks\.\d+"

OF_FRAMES = (
    Layers(rf"{_PICTURE}\.attn1", "spatial", "frames"),
    Layers(rf"{_PICTURE}\.attn2", "cross", "frames"),
)
"""The attention layers of such transformers, whose batch is frames."""


def pixels_of(configs: Configs) -> int:
    """Pixels of a cell of the latents, along x and y alike."""
    return 2 ** (len(configs["vae"]["block_out_channels"]) - 1)


def clip_text(**options) -> Text:
    """Text as CLIP's encoders read it, padded to the tokenizer's own length."""
    return Text(
        # Textual inversion replaces words by several tokens: offsets count in the text after that.
        clean=lambda pipe, text: pipe.maybe_convert_prompt(text, pipe.tokenizer),
        length=lambda pipe, call: pipe.tokenizer.model_max_length,
        **options,
    )


def decoded(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The picture of latents (1, channels, h, w): float (3, height, width) in -1..1."""
    import torch

    vae = pipe.vae
    # That of XL overflows in half precision; the pipeline itself decodes in single and goes back.
    half = vae.dtype == torch.float16 and vae.config.force_upcast
    if half:
        vae.to(torch.float32)
    try:
        return vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample[0]
    finally:
        if half:
            vae.to(torch.float16)


def taken_arguments(pipe, usual: dict[str, Any]) -> dict[str, Any]:
    """Of the usual keywords those that a pipeline has: one of pictures asks for no number of frames."""
    taken = inspect.signature(pipe.__call__).parameters
    return {name: value for name, value in usual.items() if name in taken}


def decode_frame_by_frame(pipe) -> None:
    """Decoding all frames at once would take the most memory of a run."""
    pipe.vae.enable_slicing()


CLIP_LENGTH = 77
"""Tokens that CLIP's text encoders read."""


def trial_of_frames(denoiser, vae, index: Mapping[str, Any], grid: Grid, halves: int) -> Trial:
    """Of a denoiser that has frames as an axis of its latents, decoded one by one."""
    import torch

    config, own = denoiser.config, {"dtype": denoiser.dtype}
    call = {
        "sample": torch.empty(halves, config.in_channels, *grid, **own),
        "timestep": torch.empty((), dtype=torch.int64),
        "encoder_hidden_states": torch.empty(halves, CLIP_LENGTH, config.cross_attention_dim, **own),
    }
    frame = torch.empty(1, vae.config.latent_channels, *grid[1:], dtype=vae.dtype)
    return Trial(call, frame, frames=grid.frames)
