# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random Wan pipeline of the real classes."""

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from .unet3d import PROMPT, WORDS

FRAMES, HEIGHT, WIDTH = 9, 64, 96
"""Latents of 3 x 8 x 12, tokens of 3 x 4 x 6."""
TEXT_LENGTH = 24


def tokenizer() -> T5Tokenizer:
    """Words that are listed are one token each, others one a letter."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0)]
    vocabulary += [("▁" + word, -1.0) for word in WORDS]
    vocabulary += [(chr(code), -8.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


def _denoiser(seed: int) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=32,
        freq_dim=64,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    ).eval()


def pipeline(seed: int = 0, experts: int = 1, **options) -> WanPipeline:
    """Random weights from a seed.

    Args:
        seed: of the weights.
        experts: denoisers; two as in Wan 2.2 A14B.
        options: of the pipeline, such as ``expand_timesteps`` of Wan 2.2 TI2V-5B.
    """
    torch.manual_seed(seed)
    tokens = tokenizer()
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokens), d_model=32, d_ff=64, d_kv=8, num_heads=4, num_layers=2, dropout_rate=0.0
        )
    )
    vae = AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    if experts == 2:
        options = {"transformer_2": _denoiser(seed + 1), "boundary_ratio": 0.875, **options}
    pipe = WanPipeline(
        tokenizer=tokens,
        text_encoder=text_encoder.eval(),
        vae=vae.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=_denoiser(seed),
        **options,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe: WanPipeline, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, 16, latent frames, h, w)."""
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "guidance_scale": 5.0}
    return pipe(
        prompt,
        num_inference_steps=steps,
        output_type="latent",
        max_sequence_length=TEXT_LENGTH,
        generator=torch.Generator().manual_seed(0),
        **settings | options,
    ).frames


def texts(pipe: WanPipeline, prompt: str = PROMPT) -> tuple[torch.Tensor, torch.Tensor]:
    """What the halves of guidance read, the prompt first: (1, tokens, channels) each."""
    return pipe.encode_prompt(prompt, max_sequence_length=TEXT_LENGTH)


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 16, 3, 8, 12, generator=torch.Generator().manual_seed(1))


def denoise(pipe: WanPipeline, sample: torch.Tensor, timestep, text: torch.Tensor) -> torch.Tensor:
    """One call of the denoiser."""
    at = torch.as_tensor(timestep).expand(len(sample))
    return pipe.transformer(hidden_states=sample, timestep=at, encoder_hidden_states=text).sample
