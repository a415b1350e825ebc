# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random Stable Diffusion XL: two text encoders, the second with another padding token."""

import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from .stable_diffusion import (
    FRAMES,
    HEIGHT,
    PROMPT,
    WIDTH,
    autoencoder,
    denoiser,
    latents,
    noise,
    text_config,
)
from .unet3d import tokenizer

__all__ = ["FRAMES", "HEIGHT", "PROMPT", "WIDTH", "denoise", "latents", "noise", "pipeline", "texts"]


def pipeline(seed: int = 0) -> StableDiffusionXLPipeline:
    """Random weights from a seed."""
    torch.manual_seed(seed)
    tokens, others = tokenizer(), tokenizer()
    others.pad_token = "!"
    pipe = StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(text_config(tokens)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(text_config(others, projection_dim=32)).eval(),
        tokenizer=tokens,
        tokenizer_2=others,
        unet=denoiser(
            cross_attention_dim=64,
            transformer_layers_per_block=(2, 1),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def texts(pipe, prompt: str = PROMPT) -> tuple[torch.Tensor, torch.Tensor]:
    """What the halves of guidance read, the prompt first: (1, tokens, channels) each."""
    return pipe.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=True)[:2]


def denoise(pipe, sample: torch.Tensor, timestep, text: torch.Tensor) -> torch.Tensor:
    """One call of the denoiser."""
    batch = len(sample)
    added = {"text_embeds": torch.zeros(batch, 32), "time_ids": torch.zeros(batch, 6)}
    return pipe.unet(sample, timestep, encoder_hidden_states=text, added_cond_kwargs=added).sample
