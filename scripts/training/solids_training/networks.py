# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of `solids`, of the classes that diffusers and transformers have for Wan, untrained."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

NUM_FRAMES = 17
LATENT_CHANNELS = 16
LATENT_STRIDE, LATENT_STRIDE_IN_TIME = 8, 4
LATENT_FRAMES = 1 + (NUM_FRAMES - 1) // LATENT_STRIDE_IN_TIME
TEXT_WIDTH = 256
#: Sampling spends more steps where the layout is decided: sigma = s u / (1 + (s - 1) u) for even u.
FLOW_SHIFT = 3.0


def build_autoencoder() -> AutoencoderKLWan:
    """A causal video autoencoder, 4 x 8 x 8 to one latent of 16 channels.

    As Wan 2.2's it begins by folding 2 x 2 pixels into channels, which spares the widest convolutions. It
    starts as an autoencoder of images: kernels see the present frame only, and time is halved by means.
    """
    vae = AutoencoderKLWan(
        base_dim=32,
        decoder_base_dim=48,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 3],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
        scale_factor_temporal=LATENT_STRIDE_IN_TIME,
        scale_factor_spatial=LATENT_STRIDE,
    )
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, WanResample) and hasattr(module, "time_conv"):
                _keep_time(module)
            elif isinstance(module, WanCausalConv3d) and module.kernel_size == (3, 3, 3):
                module.weight[:, :, :-1] = 0
                module.weight[:, :, -1] *= 3**0.5  # a third of the inputs are left
    return vae


def _keep_time(resample: WanResample) -> None:
    """Let a change of the frame rate begin as a mean of two frames, or as two copies of one."""
    conv = resample.time_conv
    conv.weight *= 0.1
    conv.bias.zero_()
    same = torch.eye(resample.dim)
    if resample.mode == "downsample3d":
        conv.weight[:, :, 1:, 0, 0] += 0.5 * same[:, :, None]
    else:
        conv.weight[:, :, -1, 0, 0] += same.repeat(2, 1)


def build_text_encoder(vocabulary: int) -> UMT5EncoderModel:
    """A UMT5 encoder of two layers, trained with the denoiser from scratch."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary,
            d_model=TEXT_WIDTH,
            d_kv=64,
            d_ff=2 * TEXT_WIDTH,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,  # data is endless
        )
    )


def build_denoiser() -> WanTransformer3DModel:
    """Wan's transformer of eight layers, 384 wide."""
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=6,
        attention_head_dim=64,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=256,
        ffn_dim=1536,
        num_layers=8,
        rope_max_seq_len=256,
    )


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Euler steps of flow matching: x = (1 - sigma) clip + sigma noise, the network predicts noise - clip.

    The network is given 1000 sigma as its timestep. The twin of few steps learns these very steps.
    """
    return FlowMatchEulerDiscreteScheduler(shift=FLOW_SHIFT)


def assemble(
    vae: AutoencoderKLWan,
    text_encoder: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    denoiser: WanTransformer3DModel,
) -> WanPipeline:
    """Return the pipeline that `WanPipeline.from_pretrained` loads again once saved."""
    pipe = WanPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=denoiser.eval(),
        scheduler=build_scheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latent_scale(vae: AutoencoderKLWan) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the autoencoder's latents by channel, (1, channels, 1, 1, 1)."""
    of = (vae.config.latents_mean, vae.config.latents_std)
    mean, std = (torch.tensor(values, device=vae.device).view(1, -1, 1, 1, 1) for values in of)
    return mean, std
