# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile of the training step on an H100 asked for; none of it changes what is computed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F

_KERNEL_SIZE = 16  # frames, and channels of a head, that the attention kernel is written for
_WARM_UP = 3  # calls in which libraries choose their kernels


class RecordedCall:
    """A function of tensors, replayed as one CUDA graph.

    A step launches 4,700 kernels, which takes the host longer than it takes the device to run them. The
    function must do the same for all inputs of a shape, and never make the host wait.
    """

    def __init__(self, function: Callable[..., torch.Tensor]):
        self._function = function
        self._calls = 0

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what the function returns, a tensor that later calls leave alone."""
        self._calls += 1
        if self._calls <= _WARM_UP:
            return self._warm_up(inputs)
        if self._calls == _WARM_UP + 1:
            self._record(inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output.clone()

    def _warm_up(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            output = self._function(*inputs)
        current.wait_stream(side)
        return output

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, such as NCCL's, may go on asking the device for things meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = self._function(*self._inputs)


class FlatGradients:
    """The gradients of what learns as views of one tensor: one message between processes, one norm."""

    def __init__(self, network: torch.nn.Module):
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        sizes = [parameter.numel() for parameter in parameters]
        self.flat = torch.zeros(sum(sizes), device=parameters[0].device)
        for parameter, share in zip(parameters, self.flat.split(sizes), strict=True):
            parameter.grad = share.view_as(parameter)

    def clip(self, limit: float) -> torch.Tensor:
        """Shorten the whole gradient to `limit`, and return the norm that it had."""
        norm = self.flat.norm()
        self.flat.mul_((limit / (norm + 1e-6)).clamp(max=1))
        return norm


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
        """Hand the gradients to the master's own, in float32, and forget them."""
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
