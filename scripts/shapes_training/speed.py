# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile of the training step on an H100 asked for; none of it changes what is computed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F

_KERNEL_SIZE = 16  # frames, and channels of a head, that the attention kernel is written for


class HalfPrecisionTwin:
    """A bfloat16 copy of a network that does the forward and backward passes of its float32 master.

    Autocast would move every normalisation through float32, which is most of the memory traffic.
    """

    def __init__(self, master: torch.nn.Module):
        self.network = copy.deepcopy(master).bfloat16()
        self._master = list(master.parameters())
        self._twin = list(self.network.parameters())
        for module in self.network.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.forward = partial(_narrow_norm, module)

    @torch.no_grad()
    def pull_weights(self) -> None:
        """Take the master's present weights."""
        torch._foreach_copy_(self._twin, self._master)

    @torch.no_grad()
    def push_gradients(self) -> None:
        """Hand the gradients to the master, in float32, and forget them."""
        for master in self._master:
            master.grad = torch.empty_like(master)
        torch._foreach_copy_([p.grad for p in self._master], [p.grad for p in self._twin])
        for twin in self._twin:
            twin.grad = None


def _narrow_norm(module: torch.nn.LayerNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    from shapes_training.kernels import NarrowNorm

    return NarrowNorm.apply(hidden_states.contiguous(), module.weight, module.bias, module.eps)


def norms_in_input_precision(network: torch.nn.Module) -> None:
    """Keep group norms under autocast in the precision of their input; the kernels accumulate in float32."""
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = partial(_group_norm, module)


def _group_norm(module: torch.nn.GroupNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    with torch.autocast(hidden_states.device.type, enabled=False):
        dtype = hidden_states.dtype
        weight, bias = module.weight.to(dtype), module.bias.to(dtype)
        return F.group_norm(hidden_states, module.num_groups, weight, bias, module.eps)


@contextlib.contextmanager
def quick_attention_over_time() -> Iterator[None]:
    """Compute attention over a clip's 16 frames by a kernel made for it."""
    from shapes_training.kernels import ShortAttention

    fused = F.scaled_dot_product_attention
    fitting = (_KERNEL_SIZE, _KERNEL_SIZE)

    def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **options):
        if attn_mask is not None or is_causal or query.shape[-2:] != fitting or key.shape[-2:] != fitting:
            return fused(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **options)
        rows = [x.transpose(1, 2).contiguous() for x in (query, key, value)]
        return ShortAttention.apply(*rows, scale or _KERNEL_SIZE**-0.5).transpose(1, 2)

    F.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused
