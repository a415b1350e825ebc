# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random AnimateDiff: a Stable Diffusion with a motion adapter."""

import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter
from transformers import CLIPTextModel

from .stable_diffusion import autoencoder, denoiser, text_config
from .unet3d import PROMPT, latents, noise, tokenizer

__all__ = ["FRAMES", "HEIGHT", "PROMPT", "WIDTH", "denoise", "latents", "noise", "pipeline", "texts"]

FRAMES, HEIGHT, WIDTH = 5, 64, 96
"""Latents of 8 x 12."""


def adapter(seed: int = 0) -> MotionAdapter:
    """Motion modules for the denoiser of the tiny Stable Diffusion."""
    torch.manual_seed(seed)
    return MotionAdapter(
        block_out_channels=(16, 32),
        motion_layers_per_block=1,
        motion_norm_num_groups=8,
        motion_num_attention_heads=4,
        motion_max_seq_length=32,
    ).eval()


def pipeline(seed: int = 0) -> AnimateDiffPipeline:
    """Random weights from a seed."""
    torch.manual_seed(seed)
    tokens = tokenizer()
    pipe = AnimateDiffPipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(text_config(tokens)).eval(),
        tokenizer=tokens,
        unet=denoiser(),
        motion_adapter=adapter(seed),
        scheduler=DDIMScheduler(clip_sample=False),
    )
    pipe.unet.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def texts(pipe, prompt: str = PROMPT) -> tuple[torch.Tensor, torch.Tensor]:
    """What the halves of guidance read, the prompt first: (1, tokens, channels) each."""
    return pipe.encode_prompt(prompt, "cpu", 1, True)


def denoise(pipe, sample: torch.Tensor, timestep, text: torch.Tensor) -> torch.Tensor:
    """One call of the denoiser, which is given the text for each frame."""
    text = text.repeat_interleave(sample.shape[2], dim=0)
    return pipe.unet(sample, timestep, encoder_hidden_states=text).sample
