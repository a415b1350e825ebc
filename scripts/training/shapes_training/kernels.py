# SPDX-License-Identifier: GPL-3.0-or-later
"""Two Triton kernels for what general ones do badly: attention over 16 frames, and norms of narrow rows.

A clip has tens of thousands of 16-frame sequences; fused attention pads each to a tile of 64 or more, and the
general layer norm spends a thread block on a row of 64 channels. Both took a third of a training step.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_ROWS = 32  # rows of a norm that a program treats at a time
_SHARES = 1024  # programs that a norm's backward pass is shared among


@triton.jit
def _probabilities(q, k, scale):
    scores = tl.dot(q, tl.trans(k)) * scale
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit
def _attention_forward(
    q_at,
    k_at,
    v_at,
    out_at,
    heads,
    batch_stride,
    frame_stride,
    scale,
    FRAMES: tl.constexpr,
    DIM: tl.constexpr,
):
    program = tl.program_id(0)
    frame, channel = tl.arange(0, FRAMES)[:, None], tl.arange(0, DIM)[None, :]
    at = (program // heads) * batch_stride + (program % heads) * DIM + frame * frame_stride + channel
    q, k, v = tl.load(q_at + at), tl.load(k_at + at), tl.load(v_at + at)
    weights = _probabilities(q, k, scale).to(v.dtype)
    tl.store(out_at + at, tl.dot(weights, v).to(v.dtype))


@triton.jit
def _attention_backward(
    q_at, k_at, v_at, grad_at, dq_at, dk_at, dv_at, heads, batch_stride, frame_stride, scale,
    FRAMES: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    frame, channel = tl.arange(0, FRAMES)[:, None], tl.arange(0, DIM)[None, :]
    at = (program // heads) * batch_stride + (program % heads) * DIM + frame * frame_stride + channel
    q, k, v, grad = tl.load(q_at + at), tl.load(k_at + at), tl.load(v_at + at), tl.load(grad_at + at)
    weights = _probabilities(q, k, scale)
    tl.store(dv_at + at, tl.dot(tl.trans(weights.to(v.dtype)), grad).to(v.dtype))
    dweights = tl.dot(grad, tl.trans(v))
    dscores = (weights * (dweights - tl.sum(dweights * weights, 1)[:, None]) * scale).to(v.dtype)
    tl.store(dq_at + at, tl.dot(dscores, k).to(v.dtype))
    tl.store(dk_at + at, tl.dot(tl.trans(dscores), q).to(v.dtype))


class ShortAttention(torch.autograd.Function):
    """Attention of contiguous query, key, value (batch, frames, heads, dim) with frames = dim = 16."""

    @staticmethod
    def forward(ctx, query, key, value, scale):
        """Return (batch, frames, heads, dim)."""
        batch, frames, heads, dim = query.shape
        out = torch.empty_like(value)
        sizes = (heads, frames * heads * dim, heads * dim, scale, frames, dim)
        _attention_forward[(batch * heads,)](query, key, value, out, *sizes, num_warps=1)
        ctx.save_for_backward(query, key, value)
        ctx.sizes = sizes
        return out

    @staticmethod
    def backward(ctx, grad):
        """Recompute the weights: cheaper than to keep them."""
        query, key, value = ctx.saved_tensors
        grads = [torch.empty_like(x) for x in (query, key, value)]
        programs = (query.shape[0] * query.shape[2],)
        _attention_backward[programs](query, key, value, grad.contiguous(), *grads, *ctx.sizes, num_warps=1)
        return *grads, None


@triton.jit
def _norm_forward(
    x_at, weight_at, bias_at, y_at, mean_at, inverse_at, rows, width, eps,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    inside = (row[:, None] < rows) & (column[None, :] < width)
    at = row[:, None].to(tl.int64) * width + column[None, :]
    x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(x, 1) / width
    centred = tl.where(inside, x - mean[:, None], 0.0)
    inverse = 1 / tl.sqrt(tl.sum(centred * centred, 1) / width + eps)
    weight = tl.load(weight_at + column, mask=column < width, other=0.0).to(tl.float32)
    bias = tl.load(bias_at + column, mask=column < width, other=0.0).to(tl.float32)
    y = centred * inverse[:, None] * weight[None, :] + bias[None, :]
    tl.store(y_at + at, y.to(y_at.dtype.element_ty), mask=inside)
    tl.store(mean_at + row, mean, mask=row < rows)
    tl.store(inverse_at + row, inverse, mask=row < rows)


@triton.jit
def _norm_backward(
    x_at, weight_at, grad_at, mean_at, inverse_at, dx_at, dweight_at, dbias_at, rows, width,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    column = tl.arange(0, WIDTH)
    weight = tl.load(weight_at + column, mask=column < width, other=0.0).to(tl.float32)
    dweight = tl.zeros([WIDTH], tl.float32)
    dbias = tl.zeros([WIDTH], tl.float32)
    for index in range(BLOCKS):
        row = (program * BLOCKS + index) * ROWS + tl.arange(0, ROWS)
        inside = (row[:, None] < rows) & (column[None, :] < width)
        at = row[:, None].to(tl.int64) * width + column[None, :]
        mean = tl.load(mean_at + row, mask=row < rows, other=0.0)
        inverse = tl.load(inverse_at + row, mask=row < rows, other=0.0)
        x = tl.load(x_at + at, mask=inside, other=0.0).to(tl.float32)
        grad = tl.load(grad_at + at, mask=inside, other=0.0).to(tl.float32)
        normal = tl.where(inside, (x - mean[:, None]) * inverse[:, None], 0.0)
        dweight += tl.sum(grad * normal, 0)
        dbias += tl.sum(grad, 0)
        dnormal = grad * weight[None, :]
        shared = tl.sum(dnormal * normal, 1)[:, None] * normal + tl.sum(dnormal, 1)[:, None]
        dx = (dnormal - shared / width) * inverse[:, None]
        tl.store(dx_at + at, dx.to(dx_at.dtype.element_ty), mask=inside)
    tl.store(dweight_at + program * width + column, dweight, mask=column < width)
    tl.store(dbias_at + program * width + column, dbias, mask=column < width)


class NarrowNorm(torch.autograd.Function):
    """Layer norm over the last axis of a contiguous tensor, for at most a few hundred channels."""

    @staticmethod
    def forward(ctx, hidden_states, weight, bias, eps):
        """Return the normalised tensor in the input's precision."""
        width = hidden_states.shape[-1]
        rows = hidden_states.numel() // width
        out = torch.empty_like(hidden_states)
        mean = torch.empty(rows, dtype=torch.float32, device=hidden_states.device)
        inverse = torch.empty_like(mean)
        block = triton.next_power_of_2(width)
        programs = (triton.cdiv(rows, _ROWS),)
        _norm_forward[programs](
            hidden_states, weight, bias, out, mean, inverse, rows, width, eps, _ROWS, block
        )
        ctx.save_for_backward(hidden_states, weight, mean, inverse)
        return out

    @staticmethod
    def backward(ctx, grad):
        """Each program sums its share of the weight's gradient; the shares are added up afterwards."""
        hidden_states, weight, mean, inverse = ctx.saved_tensors
        width, rows = hidden_states.shape[-1], len(mean)
        blocks = triton.cdiv(rows, _ROWS * _SHARES)
        programs = triton.cdiv(rows, _ROWS * blocks)
        grad = grad.contiguous()
        dx = torch.empty_like(hidden_states)
        dweight, dbias = torch.empty(2, programs, width, dtype=torch.float32, device=grad.device)
        block = triton.next_power_of_2(width)
        _norm_backward[(programs,)](
            hidden_states, weight, grad, mean, inverse, dx, dweight, dbias, rows, width, _ROWS, block, blocks
        )
        return dx, dweight.sum(0).to(weight.dtype), dbias.sum(0).to(weight.dtype), None
