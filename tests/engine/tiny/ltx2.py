# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random LTX-2 pipeline of the real classes, with sound and registers."""

import torch
from diffusers import (
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    LTX2ImageToVideoPipeline,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GemmaTokenizer,
    SiglipVisionConfig,
)

from .ltx import FRAMES, HEIGHT, WIDTH
from .unet3d import PROMPT, WORDS
from .wan import picture_of

__all__ = ["FRAMES", "HEIGHT", "WIDTH"]

TEXT_LENGTH = 24
CHANNELS, SOUND_CHANNELS, SOUND_TOKENS = 8, 4, 5


def tokenizer() -> GemmaTokenizer:
    """Gemma's tokenizer: WORDS and spaces are one token each, others one a letter."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pieces, merges = ["▁", *(chr(code) for code in range(33, 127))], []
    for word in WORDS:
        parts = list(word)
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in pieces:
                pieces.append(parts[0])
    vocabulary = {piece: number for number, piece in enumerate([*special, *pieces])}
    return GemmaTokenizer(vocab=vocabulary, merges=merges, model_max_length=64)


def pipeline(seed: int = 0, registers: int | None = 8, newer: bool = False) -> LTX2Pipeline:
    """Random weights from a seed.

    Args:
        seed: of the weights.
        registers: that stand in the place of padding; None leaves it masked.
        newer: whether layers can pass on values instead of attending, as in LTX-2.3.
    """
    torch.manual_seed(seed)
    tokens = tokenizer()
    text = Gemma3TextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    vision = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=28
    )
    text_encoder = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    )
    connectors = LTX2TextConnectors(
        caption_channels=16,
        text_proj_in_factor=3,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=registers,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=registers,
        connector_rope_base_seq_len=32,
    )
    transformer = LTX2VideoTransformer3DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        audio_in_channels=2 * SOUND_CHANNELS,
        audio_out_channels=2 * SOUND_CHANNELS,
        audio_num_attention_heads=2,
        audio_attention_head_dim=8,
        audio_cross_attention_dim=16,
        num_layers=2,
        caption_channels=16,
        perturbed_attn=newer,
    )
    vae = AutoencoderKLLTX2Video(
        latent_channels=CHANNELS,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    audio_vae = AutoencoderKLLTX2Audio(
        base_channels=8, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=SOUND_CHANNELS, mel_bins=8
    )
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=8,
        upsample_kernel_sizes=[4],
        upsample_factors=[2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
    )
    pipe = LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1),
        vae=vae.eval(),
        audio_vae=audio_vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokens,
        connectors=connectors.eval(),
        transformer=transformer.eval(),
        vocoder=vocoder.eval(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def started(seed: int = 0) -> LTX2ImageToVideoPipeline:
    """One that starts from a picture, of the same parts."""
    pipe = LTX2ImageToVideoPipeline(**pipeline(seed).components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


VARIANTS = {"": pipeline, "from a picture": started}
"""Pipelines of the family that are called otherwise."""


def latents(pipe: LTX2Pipeline, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, channels, latent frames, h, w)."""
    return both(pipe, prompt, steps, **options)[0]


def both(pipe: LTX2Pipeline, prompt: str = PROMPT, steps: int = 3, **options) -> tuple:
    """The latents of the pictures and of the sound."""
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "guidance_scale": 5.0}
    if isinstance(pipe, LTX2ImageToVideoPipeline):
        settings |= {"image": picture_of(WIDTH, HEIGHT), "image_crf": 0}
    return pipe(
        prompt=prompt,
        num_inference_steps=steps,
        output_type="latent",
        max_sequence_length=TEXT_LENGTH,
        generator=torch.Generator().manual_seed(0),
        return_dict=False,
        **settings | options,
    )


def texts(pipe: LTX2Pipeline, prompt: str = PROMPT) -> tuple[dict, dict]:
    """What the halves of guidance read, the prompt first, as keywords of the denoiser."""
    told = pipe.encode_prompt(prompt, max_sequence_length=TEXT_LENGTH)
    names = ("encoder_hidden_states", "audio_encoder_hidden_states", "encoder_attention_mask")
    prompt_half, negative_half = (
        dict(zip(names, pipe.connectors(text, mask, padding_side="left"), strict=True))
        for text, mask in (told[:2], told[2:])
    )
    return prompt_half, negative_half


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 3 * 4 * 6, CHANNELS, generator=torch.Generator().manual_seed(1))


def denoise(pipe: LTX2Pipeline, sample: torch.Tensor, timestep, text: dict) -> torch.Tensor:
    """One call of the denoiser."""
    at = torch.as_tensor(timestep).expand(len(sample))
    sound = torch.ones(len(sample), SOUND_TOKENS, 2 * SOUND_CHANNELS)
    return pipe.transformer(
        hidden_states=sample,
        audio_hidden_states=sound,
        timestep=at,
        sigma=at,
        audio_encoder_attention_mask=text["encoder_attention_mask"],
        num_frames=3,
        height=4,
        width=6,
        audio_num_frames=SOUND_TOKENS,
        **text,
    ).sample
