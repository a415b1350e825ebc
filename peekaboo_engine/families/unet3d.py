# SPDX-License-Identifier: GPL-3.0-or-later
"""ModelScope, ZeroScope and the embedded ``shapes``: ``UNet3DConditionModel`` with an image autoencoder.

Layout (diffusers, models/unets/unet_3d_condition.py; F frames, h x w cells):

========  ===============================================  =======================  ==================
kind      module path                                      queries (rows, tokens)   keys
========  ===============================================  =======================  ==================
spatial   ``*.attentions.j.*.attn1``                       (batch*F, h*w)           the same
cross     ``*.attentions.j.*.attn2``                       (batch*F, h*w)           text tokens
temporal  ``transformer_in.*``, ``*.temp_attentions.j.*``  (batch*h*w, F)           the same
========  ===============================================  =======================  ==================

In temporal blocks ``attn2`` is a second *self*-attention along time (``double_self_attention=True``,
models/transformers/transformer_temporal.py), not a cross-attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .family import Cells, Family, Grid, Layers
from .unets import (
    OF_FRAMES,
    clip_text,
    decode_frame_by_frame,
    decoded,
    pixels_of,
    taken_arguments,
    trial_of_frames,
)

if TYPE_CHECKING:
    import torch

TEMPORAL = r"(?P<level>(?:.*\.)?(?:transformer_in|temp_attentions\.\d+))\.transformer_blocks\.\d+"


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    return Grid(*call["sample"].shape[2:])  # (batch, channels, frames, h, w)


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The middle frame: this pipeline's scheduler steps latents of (frames, channels, h, w)."""
    middle = len(latents) // 2
    return decoded(pipe, latents[middle : middle + 1])


def _gate(block, forward, hidden_states, foreground, *args, **kwargs) -> torch.Tensor:
    """The released gate: h + M * Attn2(LN(M * h)), with M = 1 on the foreground.

    Background tokens come in as zeros before the norm and get nothing out. ``hidden_states`` has been through
    the norm already, so they are replaced by what it makes of zero.
    """
    of_zero = block.norm2(hidden_states.new_zeros(hidden_states.shape[-1]))
    return forward(hidden_states.where(foreground, of_zero), *args, **kwargs) * foreground


UNET3D = Family(
    name="UNet3D",
    pipelines=("TextToVideoSDPipeline", "VideoToVideoSDPipeline"),
    denoisers=("unet",),
    layers=(
        Layers(rf"{TEMPORAL}\.attn1", "temporal", "pixels"),
        Layers(rf"{TEMPORAL}\.attn2", "temporal", "pixels", gated=True),
        *OF_FRAMES,
    ),
    grid=_grid,
    cells=lambda configs: Cells(pixels=pixels_of(configs)),
    text=clip_text(),
    halves="one batch",
    arguments=taken_arguments,
    from_clip={"TextToVideoSDPipeline": "VideoToVideoSDPipeline"},
    picture=_picture,
    prepare=decode_frame_by_frame,
    blocks={"all": "", "mid_up": r"(mid_block|up_blocks)\."},
    trial=trial_of_frames,
    gate=_gate,
)
