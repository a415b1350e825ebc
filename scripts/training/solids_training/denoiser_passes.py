# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward pass of `WanTransformer3DModel` as training runs it: the same function, in fewer kernels.

What differs from diffusers' own is a bias on the scores of cross-attention (`captions.padding_bias`), so that
a caption of a dozen words need not drag five hundred tokens of padding along.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock


class DenoiserPasses:
    """Predicts velocities with a Wan transformer's weights.

    Args:
        denoiser: whose weights are used.
        compiled: compile the block that all layers share; for a GPU.
    """

    def __init__(self, denoiser: WanTransformer3DModel, compiled: bool = False):
        self.denoiser = denoiser
        self._block = torch.compile(_block, dynamic=False) if compiled else _block

    def __call__(
        self, noisy: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """Velocity of noisy latents (B, C, F, H, W) at timesteps (B,), for text (B, tokens, width)."""
        model = self.denoiser
        batch, _, frames, height, width = noisy.shape
        cosine, sine = model.rope(noisy)
        # Pairs of neighbouring channels share an angle.
        cosine, sine = cosine[..., 0::2].transpose(1, 2), sine[..., 1::2].transpose(1, 2)
        x = model.patch_embedding(noisy).flatten(2).transpose(1, 2).contiguous()
        temb, modulation, context, _ = model.condition_embedder(timestep, context, None)
        modulation = modulation.unflatten(1, (6, -1)).float()
        for layer in model.blocks:
            x = self._block(layer, x, context, modulation, cosine, sine, bias)
        shift, scale = (model.scale_shift_table + temb.float()[:, None]).chunk(2, 1)
        x = model.proj_out((model.norm_out(x.float()) * (1 + scale) + shift).to(x.dtype))
        rows, columns = height // 2, width // 2
        x = x.view(batch, frames, rows, columns, 1, 2, 2, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
        return x.reshape(batch, -1, frames, height, width)


def _block(
    layer: WanTransformerBlock,
    x: torch.Tensor,
    context: torch.Tensor,
    modulation: torch.Tensor,
    cosine: torch.Tensor,
    sine: torch.Tensor,
    bias: torch.Tensor,
) -> torch.Tensor:
    shift, scale, gate, ff_shift, ff_scale, ff_gate = (layer.scale_shift_table + modulation).chunk(6, 1)
    normal = (layer.norm1(x.float()) * (1 + scale) + shift).to(x.dtype)
    query, key, value = _heads(layer.attn1, normal, normal)
    out = F.scaled_dot_product_attention(_turned(query, cosine, sine), _turned(key, cosine, sine), value)
    out = layer.attn1.to_out[0](out.transpose(1, 2).flatten(2))
    x = (x.float() + out * gate).to(x.dtype)
    query, key, value = _heads(layer.attn2, layer.norm2(x.float()).to(x.dtype), context)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    out = (scores.float() + bias).softmax(-1).to(value.dtype) @ value
    x = x + layer.attn2.to_out[0](out.transpose(1, 2).flatten(2))
    normal = (layer.norm3(x.float()) * (1 + ff_scale) + ff_shift).to(x.dtype)
    return (x.float() + layer.ffn(normal).float() * ff_gate).to(x.dtype)


def _heads(attention: WanAttention, x: torch.Tensor, source: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Query, key and value, (B, heads, tokens, width)."""
    value = attention.to_v(source)
    query = attention.norm_q(attention.to_q(x)).to(value.dtype)
    key = attention.norm_k(attention.to_k(source)).to(value.dtype)
    return tuple(part.unflatten(2, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value))


def _turned(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of (B, heads, tokens, width)."""
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    return torch.stack(turned, -1).flatten(-2).to(x.dtype)
