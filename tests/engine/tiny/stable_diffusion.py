# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random Stable Diffusion, as 1.5 and 2.1 are built."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

from .unet3d import PROMPT, tokenizer

__all__ = ["FRAMES", "HEIGHT", "PROMPT", "WIDTH", "denoise", "latents", "noise", "pipeline", "texts"]

FRAMES, HEIGHT, WIDTH = 1, 64, 96
"""A picture; latents of 8 x 12."""
BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


def text_config(tokens, **options) -> CLIPTextConfig:
    """A small encoder of CLIP's for a tokenizer."""
    return CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokens.model_max_length,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **options,
    )


def denoiser(**options) -> UNet2DConditionModel:
    """Two levels, of which the finer one attends."""
    settings = {
        "sample_size": 8,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "block_out_channels": (16, 32),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
    }
    return UNet2DConditionModel(**settings | BLOCKS | options).eval()


def autoencoder() -> AutoencoderKL:
    """Pictures of 8 pixels a cell."""
    return AutoencoderKL(
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    ).eval()


def pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """Random weights from a seed, without a safety checker."""
    torch.manual_seed(seed)
    tokens = tokenizer()
    pipe = StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(text_config(tokens)).eval(),
        tokenizer=tokens,
        unet=denoiser(),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def with_safety_checker(holds_back: bool) -> StableDiffusionPipeline:
    """The pipeline with a safety checker that finds something in every picture, or in none."""
    pipe = pipeline()
    vision = {"image_size": 30, "patch_size": 2, "hidden_size": 32, "intermediate_size": 32}
    layers = {"num_hidden_layers": 1, "num_attention_heads": 4}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision | layers, projection_dim=32))
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0 if holds_back else 2.0)  # of cosines
        checker.special_care_embeds_weights.fill_(2.0)
    seen = CLIPImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})
    parts = {"safety_checker": checker.eval(), "feature_extractor": seen}
    return StableDiffusionPipeline(**{**pipe.components, **parts})


def latents(pipe, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, 4, h, w)."""
    settings = {"height": HEIGHT, "width": WIDTH, "guidance_scale": 5.0, **options}
    return pipe(
        prompt,
        num_inference_steps=steps,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        **settings,
    ).images


def texts(pipe, prompt: str = PROMPT) -> tuple[torch.Tensor, torch.Tensor]:
    """What the halves of guidance read, the prompt first: (1, tokens, channels) each."""
    return pipe.encode_prompt(prompt, "cpu", 1, True)[:2]


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 4, 8, 12, generator=torch.Generator().manual_seed(1))


def denoise(pipe, sample: torch.Tensor, timestep, text: torch.Tensor) -> torch.Tensor:
    """One call of the denoiser."""
    return pipe.unet(sample, timestep, encoder_hidden_states=text).sample
