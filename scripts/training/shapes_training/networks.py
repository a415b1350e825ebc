# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of `shapes`, of diffusers' and transformers' own classes, and the pipeline made of them."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    TextToVideoSDPipeline,
    UNet3DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LATENT_CHANNELS = 8
LATENT_STRIDE = 8
TEXT_WIDTH = 192
#: Sampling spends more steps where the layout is decided: sigma = s u / (1 + (s - 1) u) for even u.
FLOW_SHIFT = 3.0


def build_vae() -> AutoencoderKL:
    """An image autoencoder, 8 x 8 pixels to one latent of 8 channels."""
    return AutoencoderKL(
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=16,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        sample_size=288,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text encoder of two layers, trained with the denoiser from scratch."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=6,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_denoiser() -> UNet3DConditionModel:
    """ModelScope's network with three levels instead of four and one layer a block.

    Cross- and self-attention at both upper levels and in the middle; at the lowest only in the middle, as
    there.
    """
    return UNet3DConditionModel(
        sample_size=(20, 36),
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=16,
    )


def build_scheduler() -> DPMSolverMultistepScheduler:
    """A second-order solver for flow matching: x = (1 - sigma) clip + sigma noise, the network predicts
    noise - clip.

    The network is given 1000 sigma as its timestep.
    """
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=FLOW_SHIFT,
        final_sigmas_type="zero",
        lower_order_final=True,
    )


def normalise_latents(vae: AutoencoderKL, mean: torch.Tensor, std: float) -> None:
    """Make the latents' mean zero in each channel, by folding `mean` into the 1 x 1 convolutions around them.

    What remains of scale goes into `scaling_factor`, which the pipeline applies; it knows no shift.
    """
    with torch.no_grad():
        vae.quant_conv.bias[: len(mean)] -= mean
        vae.post_quant_conv.bias += vae.post_quant_conv.weight[:, :, 0, 0] @ mean
    vae.register_to_config(scaling_factor=1.0 / std)


def assemble(
    vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, denoiser: UNet3DConditionModel
) -> TextToVideoSDPipeline:
    """Return the pipeline that `TextToVideoSDPipeline.from_pretrained` loads again once saved."""
    pipe = TextToVideoSDPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=denoiser.eval(),
        scheduler=build_scheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
