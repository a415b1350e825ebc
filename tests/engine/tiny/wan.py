# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random Wan pipeline of the real classes."""

import numpy as np
import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
)
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

from peekaboo_engine.families.wan import WAN

from .unet3d import PROMPT, WORDS

FRAMES, HEIGHT, WIDTH = 9, 64, 96
"""Latents of 3 x 8 x 12, tokens of 3 x 4 x 6."""
TEXT_LENGTH = 24
CLIP_SIZE, CLIP_PATCH = 32, 16
"""Pixels."""
CLIP_TOKENS = 5
"""That CLIP makes of such a picture."""


def tokenizer() -> T5Tokenizer:
    """Words that are listed are one token each, others one a letter."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0)]
    vocabulary += [("▁" + word, -1.0) for word in WORDS]
    vocabulary += [(chr(code), -8.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


def _denoiser(seed: int, cls=WanTransformer3DModel, **options) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return cls(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=32,
        freq_dim=64,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
        **options,
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


def _of_class(pipe: WanPipeline, cls, **changes):
    """A pipeline of another class of the components of one, but for some."""
    parts = {**pipe.components, **changes}
    if cls is WanVACEPipeline:
        parts.pop("expand_timesteps", None)
    other = cls(**parts)
    WAN.prepare(other)
    other.set_progress_bar_config(disable=True)
    return other


def pasted_in() -> WanImageToVideoPipeline:
    """As Wan 2.2 TI2V-5B: the latents of the first frame are given."""
    return _of_class(pipeline(), WanImageToVideoPipeline, expand_timesteps=True)


def beside_noise() -> WanImageToVideoPipeline:
    """As Wan 2.2 I2V-A14B: the first frame in channels beside the noise, and two denoisers."""
    parts = {"transformer": _denoiser(0, in_channels=36), "transformer_2": _denoiser(1, in_channels=36)}
    return _of_class(pipeline(), WanImageToVideoPipeline, **parts, boundary_ratio=0.875)


def seen_by_clip(**options) -> WanImageToVideoPipeline:
    """As Wan 2.1 I2V: in channels, and as tokens of CLIP beside the text; options of the denoiser."""
    torch.manual_seed(0)
    sizes = {"image_size": CLIP_SIZE, "patch_size": CLIP_PATCH, "hidden_size": 32, "intermediate_size": 37}
    clip = CLIPVisionModel(CLIPVisionConfig(**sizes, num_hidden_layers=2, num_attention_heads=2)).eval()
    size = {"height": CLIP_SIZE, "width": CLIP_SIZE}
    processor = CLIPImageProcessor(size=size, crop_size=size)
    denoiser = _denoiser(0, in_channels=36, image_dim=32, added_kv_proj_dim=24, **options)
    parts = {"transformer": denoiser, "image_encoder": clip, "image_processor": processor}
    return _of_class(pipeline(), WanImageToVideoPipeline, **parts)


def ends_seen_by_clip() -> WanImageToVideoPipeline:
    """As Wan 2.1 FLF2V: so, and each of CLIP's tokens of two pictures has a place."""
    return seen_by_clip(pos_embed_seq_len=2 * CLIP_TOKENS)


def vace() -> WanVACEPipeline:
    """As Wan VACE, whose second stream of blocks reads what is given."""
    channels = 2 * 16 + 8 * 8
    denoiser = _denoiser(0, WanVACETransformer3DModel, vace_layers=[0, 1], vace_in_channels=channels)
    torch.nn.init.normal_(denoiser.vace_blocks[0].proj_out.weight)  # begins as zeros
    return _of_class(pipeline(), WanVACEPipeline, transformer=denoiser)


VARIANTS = {
    "": pipeline,
    "pasted in": pasted_in,
    "beside noise": beside_noise,
    "seen by CLIP": seen_by_clip,
    "ends seen by CLIP": ends_seen_by_clip,
    "VACE": vace,
}
"""Pipelines of the family that are built otherwise."""


def picture(seed: int = 0) -> Image.Image:
    """A smooth picture of random colours, of the size of a clip."""
    return picture_of(WIDTH, HEIGHT, seed)


def picture_of(width: int, height: int, seed: int = 0) -> Image.Image:
    """The same, of any size."""
    few = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)


def text_length(pipe) -> int:
    """Tokens to which the prompt is padded."""
    return 512 if pipe.transformer.config.image_dim is not None else TEXT_LENGTH


def _given(pipe) -> dict:
    """The first frame, and the last, to pipelines that need them."""
    if not isinstance(pipe, WanImageToVideoPipeline):
        return {}
    ends = pipe.transformer.config.pos_embed_seq_len is not None
    return {"image": picture(), "last_image": picture(1) if ends else None}


def latents(pipe: WanPipeline, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, 16, latent frames, h, w)."""
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, "guidance_scale": 5.0, **_given(pipe)}
    settings["max_sequence_length"] = text_length(pipe)
    return pipe(
        prompt=prompt,
        num_inference_steps=steps,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        **settings | options,
    ).frames


def texts(pipe: WanPipeline, prompt: str = PROMPT) -> tuple[torch.Tensor, torch.Tensor]:
    """What the halves of guidance read, the prompt first: (1, tokens, channels) each."""
    return pipe.encode_prompt(prompt, max_sequence_length=text_length(pipe))


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 16, 3, 8, 12, generator=torch.Generator().manual_seed(1))


def denoise(pipe: WanPipeline, sample: torch.Tensor, timestep, text: torch.Tensor) -> torch.Tensor:
    """One call of the denoiser, with something given where it takes that."""
    batch, config = len(sample), pipe.transformer.config
    at = torch.as_tensor(timestep).expand(batch)
    random = torch.Generator().manual_seed(2)
    more = {}
    if pipe.config.get("expand_timesteps"):
        at = at[:, None].repeat(1, 3 * 4 * 6)
        at[:, : 4 * 6] = 0
    if config.in_channels == 36:
        beside = torch.randn(1, 20, *sample.shape[2:], generator=random).expand(batch, -1, -1, -1, -1)
        sample = torch.cat([sample, beside], dim=1)
    if config.image_dim is not None:
        # CLIP's tokens of two pictures come as two items of a batch
        pictures = 1 if config.pos_embed_seq_len is None else 2
        seen = torch.randn(pictures, CLIP_TOKENS, 32, generator=random)
        more["encoder_hidden_states_image"] = seen.repeat(batch, 1, 1)
    if isinstance(pipe, WanVACEPipeline):
        control = torch.randn(1, config.vace_in_channels, *sample.shape[2:], generator=random)
        more["control_hidden_states"] = control.expand(batch, -1, -1, -1, -1)
    return pipe.transformer(hidden_states=sample, timestep=at, encoder_hidden_states=text, **more).sample
