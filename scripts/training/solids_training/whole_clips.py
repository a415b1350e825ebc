# SPDX-License-Identifier: GPL-3.0-or-later
"""The passes of `AutoencoderKLWan` over a whole clip at once, with the same results as its own.

diffusers feeds a clip through in chunks of one and then four frames, with a cache before every convolution,
to bound the memory of long videos. A convolution that is causal in time needs neither: here each layer sees
all frames, in a dozen large kernels instead of hundreds of small ones. A single frame sees only the last tap
of each kernel, so it costs a 2D convolution.

Clips are (B, C, T, H, W) in memory as B T H W C, so that the frames of a batch are also a batch of images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanCausalConv3d,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    WanRMS_norm,
    patchify,
    unpatchify,
)
from torch import nn


class WholeClips:
    """Encodes and decodes whole clips, with gradients.

    Args:
        vae: whose weights are used.
        fused: compile the norms with what follows them into one kernel each; for a GPU.
        stacked: compute a 3D convolution as a 2D one over three frames stacked as channels: three times as
            fast on a CPU, slower by a seventh on an H200.
    """

    def __init__(self, vae: AutoencoderKLWan, fused: bool = False, stacked: bool = False):
        self.vae, self.stacked = vae, stacked
        if fused:
            torch._dynamo.config.recompile_limit = 64  # a kernel for each width and layout
        self._norm = torch.compile(_norm_silu) if fused else _norm_silu
        self._fused = fused

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        """Mean and log variance of latents, (B, 2 z, 1 + (T - 1) / 4, H / 8, W / 8), of clips in -1..1."""
        encoder = self.vae.encoder
        x = patchify(clips, self.vae.config.patch_size).contiguous(memory_format=torch.channels_last_3d)
        x = self._convolve(encoder.conv_in, x)
        for layer in encoder.down_blocks:
            x = self._layer(layer, x)
        x = self._layer(encoder.mid_block, x)
        x = self._convolve(encoder.conv_out, self._normed(encoder.norm_out, x))
        return self._convolve(self.vae.quant_conv, x)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Clips (B, 3, T, H, W), not clamped, so that what is out of range still learns."""
        decoder = self.vae.decoder
        x = latents.contiguous(memory_format=torch.channels_last_3d)
        x = self._convolve(self.vae.post_quant_conv, x)
        x = self._layer(decoder.mid_block, self._convolve(decoder.conv_in, x))
        for block in decoder.up_blocks:
            for layer in (*block.resnets, *(block.upsamplers or ())):
                x = self._layer(layer, x)
        x = self._convolve(decoder.conv_out, self._normed(decoder.norm_out, x))
        return unpatchify(x, self.vae.config.patch_size)

    def _layer(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if isinstance(layer, WanMidBlock):
            x = self._layer(layer.resnets[0], x)
            for attention, block in zip(layer.attentions, layer.resnets[1:], strict=True):
                x = self._layer(block, self._layer(attention, x))
            return x
        if isinstance(layer, WanAttentionBlock):  # within a frame, so it knows no chunks
            return layer(x).contiguous(memory_format=torch.channels_last_3d)
        if isinstance(layer, WanResample):
            return self._resample(layer, x)
        assert isinstance(layer, WanResidualBlock)
        shortcut = x
        if isinstance(layer.conv_shortcut, WanCausalConv3d):
            shortcut = self._convolve(layer.conv_shortcut, x)
        x = self._convolve(layer.conv1, self._normed(layer.norm1, x))
        return shortcut + self._convolve(layer.conv2, self._normed(layer.norm2, x))

    def _resample(self, layer: WanResample, x: torch.Tensor) -> torch.Tensor:
        several = x.shape[2] > 1
        if layer.mode == "upsample3d" and several:
            # The first frame stands for itself; each later one becomes two.
            doubled = _convolve_time(layer.time_conv, F.pad(x[:, :, 1:], (0, 0, 0, 0, 2, 0)), stride=1)
            doubled = doubled.unflatten(1, (2, x.shape[1])).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
            x = torch.cat([x[:, :, :1], doubled], 2)
        frames = _as_images(x)
        if layer.mode.startswith("upsample"):
            frames = F.interpolate(frames, scale_factor=2.0, mode="nearest-exact")
            frames = layer.resample[1](frames)
        else:
            frames = layer.resample(frames)
        x = _as_clips(frames, len(x))
        if layer.mode == "downsample3d" and several:
            x = torch.cat([x[:, :, :1], _convolve_time(layer.time_conv, x, stride=2)], 2)
        return x

    def _normed(self, norm: WanRMS_norm, x: torch.Tensor) -> torch.Tensor:
        rows = x.permute(0, 2, 3, 4, 1)
        flat = rows.reshape(-1, x.shape[1])
        if self._fused:
            torch._dynamo.maybe_mark_dynamic(flat, 0)
        return self._norm(flat, norm.gamma).view(rows.shape).permute(0, 4, 1, 2, 3)

    def _convolve(self, conv: WanCausalConv3d, x: torch.Tensor) -> torch.Tensor:
        beside, before = conv._padding[0], conv.kernel_size[0] - 1
        if x.shape[2] == 1 or not before:
            out = F.conv2d(_as_images(x), conv.weight[:, :, -1], conv.bias, padding=beside)
            return _as_clips(out, len(x))
        x = F.pad(x, (0, 0, 0, 0, before, 0)).contiguous(memory_format=torch.channels_last_3d)
        if not self.stacked:
            return F.conv3d(x, conv.weight, conv.bias, padding=(0, beside, beside))
        return _stacked_convolution(x, conv, 1, beside)


def _norm_silu(rows: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """RMS norm of each row, computed in float32, and SiLU, in the input's precision."""
    x = rows.float()
    x = x * (x.shape[-1] / x.square().sum(-1, keepdim=True).clamp(min=1e-24)).sqrt() * gamma.float().flatten()
    return F.silu(x).to(rows.dtype)


def _convolve_time(conv: WanCausalConv3d, x: torch.Tensor, stride: int) -> torch.Tensor:
    return _stacked_convolution(x, conv, stride, 0)


def _stacked_convolution(x: torch.Tensor, conv: WanCausalConv3d, stride: int, beside: int) -> torch.Tensor:
    """A convolution over time without padding there, as one over images of several frames' channels."""
    taps = conv.kernel_size[0]
    count = (x.shape[2] - taps) // stride + 1
    stack = torch.cat([x[:, :, tap : tap + stride * (count - 1) + 1 : stride] for tap in range(taps)], 1)
    weight = conv.weight.transpose(1, 2).flatten(1, 2)
    return _as_clips(F.conv2d(_as_images(stack), weight, conv.bias, padding=beside), len(x))


def _as_images(x: torch.Tensor) -> torch.Tensor:
    """(B, C, T, H, W) as (B T, C, H, W)."""
    return x.transpose(1, 2).reshape(-1, x.shape[1], *x.shape[3:])


def _as_clips(images: torch.Tensor, clips: int) -> torch.Tensor:
    """(B T, C, H, W) as (B, C, T, H, W)."""
    return images.unflatten(0, (clips, -1)).transpose(1, 2)
