# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random text-to-video pipeline of the real classes: the whole path in a second, nothing fetched."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

PROMPT = "a red ball and a blue cube on grass"
WORDS = sorted({*PROMPT.split(), "panda", "the", "in"})
FRAMES, HEIGHT, WIDTH = 5, 64, 96
"""Latents of 8 x 12, and 1 x 2 cells at the coarsest level of the UNet."""


def tokenizer(model_max_length: int = 77) -> CLIPTokenizer:
    """CLIP's tokenizer: WORDS are one token each, other words one token a letter."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = letters + [letter + "</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in pieces:
                pieces.append(parts[0])
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *pieces]
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=model_max_length)


def pipeline(seed: int = 0) -> TextToVideoSDPipeline:
    """Random weights from a seed; 3 levels with attention, 42 attention layers."""
    torch.manual_seed(seed)
    tokens = tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokens.model_max_length,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    unet = UNet3DConditionModel(
        sample_size=8,
        layers_per_block=1,
        norm_num_groups=8,
        block_out_channels=(32, 64, 64, 64),
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    )
    pipe = TextToVideoSDPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokens,
        unet=unet.eval(),
        scheduler=DDIMScheduler(clip_sample=False),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe: TextToVideoSDPipeline, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, 4, frames, h, w)."""
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "guidance_scale": 5.0, **options}
    return pipe(
        prompt,
        num_inference_steps=steps,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        **settings,
    ).frames


def texts(pipe: TextToVideoSDPipeline, prompt: str = PROMPT) -> tuple[torch.Tensor, torch.Tensor]:
    """What the halves of guidance read, the prompt first: (1, tokens, channels) each."""
    return pipe.encode_prompt(prompt, "cpu", 1, True)


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 4, FRAMES, 8, 12, generator=torch.Generator().manual_seed(1))


def denoise(pipe: TextToVideoSDPipeline, sample: torch.Tensor, timestep, text: torch.Tensor) -> torch.Tensor:
    """One call of the denoiser."""
    return pipe.unet(sample, timestep, encoder_hidden_states=text).sample
