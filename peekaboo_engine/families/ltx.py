# SPDX-License-Identifier: GPL-3.0-or-later
"""LTX-Video (``LTXVideoTransformer3DModel``) and LTX-2, which makes sound as well.

Layout (diffusers, models/transformers/transformer_ltx.py and transformer_ltx2.py; F x h x w tokens of 8
frames and 32 x 32 pixels, packed to (batch, F*h*w, channels)):

==========  ==============================  ======================  =======================================
kind        module path                     queries (rows, tokens)  keys
==========  ==============================  ======================  =======================================
full        ``transformer_blocks.i.attn1``  (batch, F*h*w)          the same
cross       ``transformer_blocks.i.attn2``  (batch, F*h*w)          text tokens; padding is masked
left alone  ``audio_attn1``, ``audio_attn2``, ``audio_to_video_attn``, ``video_to_audio_attn`` of LTX-2
==========  ==============================  ======================  =======================================

LTX-Video reads T5's tokens, each at the place of its word. LTX-2 reads Gemma's through *connectors*
(pipelines/ltx2/connectors.py): a transformer in which all tokens attend to all, with learnt registers in the
place of padding, moved behind the words. A token stands where its word stood and began as that word, but has
read the others, and the registers have read them all: binding holds by places only.

Sound is denoised beside the pictures, reads the whole prompt and the whole clip, and is read by all pixels.
It is dropped in the end: clips are silent.

A picture to start from takes the place of the first frame's latents, at noise level 0; the scheduler steps
the others only. LTX-2 has up to three calls of its denoiser a step, two of them with the prompt alone: one in
which a layer passes on values instead of attending (spatio-temporal guidance), one without sound in the
pictures and the reverse (guidance by the other stream).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .family import Cells, Configs, Family, Grid, Layers, Layout, Text, Trial, first_and_last
from .transformers import STRONG

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DECODE_TIMESTEP, DECODE_NOISE = 0.05, 0.025
"""Noise that autoencoders with a timestep remove last, as LTX-Video's own examples have it."""

UNGUIDED = {
    "stg_scale": 0.0,
    "modality_scale": 1.0,
    "guidance_rescale": 0.0,
    "audio_guidance_scale": 1.0,
    "audio_stg_scale": 0.0,
    "audio_modality_scale": 1.0,
    "audio_guidance_rescale": 0.0,
}
"""What LTX-2 is told where a job wants no guidance, as distilled models do; by default it has all kinds."""


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    return Grid(call["num_frames"], call["height"], call["width"])


def _cells(configs: Configs) -> Cells:
    vae = configs["vae"]
    return Cells(
        pixels=vae.get("spatial_compression_ratio") or 32,
        frames=vae.get("temporal_compression_ratio") or 8,
    )


def _unpacked(latents: torch.Tensor, grid: Grid) -> torch.Tensor:
    """From (batch, tokens, channels) to (batch, channels, frames, h, w); patches are of one latent.

    Behind a picture the scheduler steps frames that are unpacked already.
    """
    return latents if latents.ndim == 5 else latents.unflatten(1, grid).permute(0, 4, 1, 2, 3)


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The middle frame of the latents, (batch, channels, frames, h, w), as if it were the first of a clip."""
    import torch

    vae, middle = pipe.vae, latents.shape[2] // 2
    of_frame = latents[:1, :, middle : middle + 1].float()
    mean, deviation = (
        values.view(1, -1, 1, 1, 1).to(of_frame) for values in (vae.latents_mean, vae.latents_std)
    )
    of_frame = (of_frame * deviation / vae.config.scaling_factor + mean).to(vae.dtype)
    none = torch.zeros(1, device=of_frame.device, dtype=of_frame.dtype)
    timestep = none if vae.config.timestep_conditioning else None
    return vae.decode(of_frame, timestep, return_dict=False)[0][0, :, 0]


def _arguments(pipe, usual: dict[str, Any]) -> dict[str, Any]:
    if not pipe.vae.config.timestep_conditioning:
        return usual
    return {**usual, "decode_timestep": DECODE_TIMESTEP, "decode_noise_scale": DECODE_NOISE}


def _arguments_2(pipe, usual: dict[str, Any]) -> dict[str, Any]:
    # LTX-2.0 projects its prompt within the denoiser; what came after reads the other stream's noise level.
    config = pipe.transformer.config
    call = {**_arguments(pipe, usual), "use_cross_timestep": not config.use_prompt_embeddings}
    if usual["guidance_scale"] <= 1:
        return call | UNGUIDED
    if not config.perturbed_attn:  # its layers cannot pass values on, so that call would be the first again
        call |= {"stg_scale": 0.0, "audio_stg_scale": 0.0}
    return call


def _pictures_2(pipe, first: Image, last: Image | None, frames: int) -> dict[str, Any]:
    # Compressing it as films are, which the models have seen in training, would need PyAV.
    return {**first_and_last(pipe, first, last, frames), "image_crf": 0}


TEXT_LENGTH = 128
"""Tokens of T5 that LTX-Video's pipeline reads."""


def _trial(denoiser, vae, index: Mapping[str, Any], grid: Grid, halves: int) -> Trial:
    import torch

    config, own = denoiser.config, {"dtype": denoiser.dtype}
    call = {
        "hidden_states": torch.empty(halves, math.prod(grid), config.in_channels, **own),
        "encoder_hidden_states": torch.empty(halves, TEXT_LENGTH, config.caption_channels, **own),
        "encoder_attention_mask": torch.empty(halves, TEXT_LENGTH, **own),
        "timestep": torch.empty(halves),
        **dict(zip(("num_frames", "height", "width"), grid, strict=True)),
        "rope_interpolation_scale": (1.0, 1.0, 1.0),
    }
    latents = torch.empty(1, vae.config.latent_channels, *grid, dtype=vae.dtype)
    timed = vae.config.timestep_conditioning
    return Trial(call, latents, {"temb": torch.empty(1, dtype=vae.dtype) if timed else None})


TEXT_LENGTH_2 = 1024
"""Tokens of Gemma that LTX-2's pipeline reads."""
SOUND_RATE = 25
"""Latents of sound in a second, of 16,000 values a second by 160 and by 4."""
FRAME_RATE = 24
"""Of LTX-2's clips."""


def _trial_2(denoiser, vae, index: Mapping[str, Any], grid: Grid, halves: int) -> Trial:
    import torch

    config, own = denoiser.config, {"dtype": denoiser.dtype}
    frames = 1 + (grid.frames - 1) * config.vae_scale_factors[0]
    sounds = round(frames / FRAME_RATE * SOUND_RATE)
    # What LTX-2.0 projects within the denoiser, its successors have projected in their connectors.
    early = not config.use_prompt_embeddings
    widths = (
        (config.cross_attention_dim, config.audio_cross_attention_dim)
        if early
        else (config.caption_channels,) * 2
    )
    texts = [torch.empty(halves, TEXT_LENGTH_2, width, **own) for width in widths]
    read = torch.empty(halves, TEXT_LENGTH_2, **own)
    call = {
        "hidden_states": torch.empty(halves, math.prod(grid), config.in_channels, **own),
        "audio_hidden_states": torch.empty(halves, sounds, config.audio_in_channels, **own),
        "encoder_hidden_states": texts[0],
        "audio_encoder_hidden_states": texts[1],
        "timestep": torch.empty(halves),
        "sigma": torch.empty(halves),
        "encoder_attention_mask": read,
        "audio_encoder_attention_mask": read,
        **dict(zip(("num_frames", "height", "width"), grid, strict=True)),
        "audio_num_frames": sounds,
        "use_cross_timestep": early,
    }
    latents = torch.empty(1, vae.config.latent_channels, *grid, dtype=vae.dtype)
    timed = vae.config.timestep_conditioning
    return Trial(call, latents, {"temb": torch.empty(1, dtype=vae.dtype) if timed else None})


def _layout_2(pipe) -> Layout:
    parts = pipe.connectors  # none where tokenizers alone are loaded, of which nobody asks for padding
    registers = parts is not None and parts.config.video_connector_num_learnable_registers
    return Layout(pads="registers" if registers else "masked", side="left")


LTX = Family(
    name="LTX",
    pipelines=("LTXPipeline", "LTXImageToVideoPipeline"),
    given_picture=frozenset({"LTXImageToVideoPipeline"}),
    from_picture={"LTXPipeline": "LTXImageToVideoPipeline"},
    denoisers=("transformer",),
    layers=(
        Layers(r"transformer_blocks\.\d+\.attn1", "full", "clip"),
        Layers(r"transformer_blocks\.\d+\.attn2", "cross", "clip"),
    ),
    grid=_grid,
    cells=_cells,
    text=Text(
        clean=lambda pipe, text: text,
        length=lambda pipe, call: call["max_sequence_length"],
        layout=lambda pipe: Layout(pads="masked"),
        halves=lambda encoded: (encoded[0], encoded[2]),
    ),
    halves="one batch",
    picture=_picture,
    trial=_trial,
    arguments=_arguments,
    unpacked=_unpacked,
    half="bfloat16",
    presets={"strong": STRONG},
)

LTX2 = Family(
    name="LTX2",
    pipelines=("LTX2Pipeline", "LTX2ImageToVideoPipeline"),
    given_picture=frozenset({"LTX2ImageToVideoPipeline"}),
    from_picture={"LTX2Pipeline": "LTX2ImageToVideoPipeline"},
    pictures=_pictures_2,
    denoisers=("transformer",),
    layers=LTX.layers,
    left_alone=(r"transformer_blocks\.\d+\.(audio_attn[12]|audio_to_video_attn|video_to_audio_attn)$",),
    grid=_grid,
    cells=_cells,
    text=Text(
        clean=lambda pipe, text: text.strip(),
        length=lambda pipe, call: call["max_sequence_length"],
        layout=_layout_2,
        halves=lambda encoded: (encoded[0], encoded[2]),
    ),
    halves="one batch",
    picture=_picture,
    trial=_trial_2,
    arguments=_arguments_2,
    unpacked=_unpacked,
    half="bfloat16",
    presets={"strong": STRONG},
    attends=lambda call: not call.get("all_perturbed"),
    contrast=False,  # what stands behind the text would have to go through the connectors
)
