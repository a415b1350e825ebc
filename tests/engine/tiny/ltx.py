# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random LTX-Video pipeline of the real classes."""

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from transformers import T5Config, T5EncoderModel

from .unet3d import PROMPT
from .wan import picture_of, tokenizer

FRAMES, HEIGHT, WIDTH = 17, 128, 192
"""Tokens of 3 x 4 x 6."""
TEXT_LENGTH = 24
CHANNELS = 8


def pipeline(seed: int = 0) -> LTXPipeline:
    """Random weights from a seed."""
    torch.manual_seed(seed)
    tokens = tokenizer()
    text_encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokens), d_model=32, d_ff=64, d_kv=8, num_heads=4, num_layers=2, dropout_rate=0.0
        )
    )
    transformer = LTXVideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=2,
        caption_channels=32,
    )
    vae = AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    pipe = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1),
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokens,
        transformer=transformer.eval(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def started(seed: int = 0) -> LTXImageToVideoPipeline:
    """One that starts from a picture, of the same parts."""
    pipe = LTXImageToVideoPipeline(**pipeline(seed).components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


VARIANTS = {"": pipeline, "from a picture": started}
"""Pipelines of the family that are called otherwise."""


def latents(pipe: LTXPipeline, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, tokens, channels)."""
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "guidance_scale": 5.0}
    if isinstance(pipe, LTXImageToVideoPipeline):
        settings["image"] = picture_of(WIDTH, HEIGHT)
    return pipe(
        prompt=prompt,
        num_inference_steps=steps,
        output_type="latent",
        max_sequence_length=TEXT_LENGTH,
        generator=torch.Generator().manual_seed(0),
        **settings | options,
    ).frames


def texts(pipe: LTXPipeline, prompt: str = PROMPT) -> tuple[dict, dict]:
    """What the halves of guidance read, the prompt first, as keywords of the denoiser."""
    told = pipe.encode_prompt(prompt, max_sequence_length=TEXT_LENGTH)
    names = ("encoder_hidden_states", "encoder_attention_mask")
    return dict(zip(names, told[:2], strict=True)), dict(zip(names, told[2:], strict=True))


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 3 * 4 * 6, CHANNELS, generator=torch.Generator().manual_seed(1))


def denoise(pipe: LTXPipeline, sample: torch.Tensor, timestep, text: dict) -> torch.Tensor:
    """One call of the denoiser."""
    at = torch.as_tensor(timestep).expand(len(sample))
    return pipe.transformer(
        hidden_states=sample,
        timestep=at,
        num_frames=3,
        height=4,
        width=6,
        rope_interpolation_scale=(8 / 25, 32, 32),
        **text,
    ).sample
