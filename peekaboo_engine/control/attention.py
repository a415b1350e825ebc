# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaled dot-product attention in which a query sees the keys of its own label, and the shared ones.

One rule covers the three masks of the paper (equations 2-5 of arXiv 2312.07509): spatial attention over the
pixels of a frame, temporal attention over the frames of a pixel, cross-attention over the tokens of the text.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from .spans import SHARED

scaled_dot_product_attention = F.scaled_dot_product_attention
"""PyTorch's own, kept here because :mod:`.interception` stands in its place while a pipeline runs."""

GATHER_FROM = 512
"""From this many queries a row, CPU attention gathers each label's tokens: less work than without a mask.

Below it, and on GPUs, whose kernels want few large calls, one masked call is faster (docs/method.md).
"""

MASK_BUDGET = 2**27
"""Most elements of a boolean mask that are held at once; rows beyond it are computed in further calls."""


@dataclass
class Rule:
    """Who may see whom at one kind of attention site.

    Args:
        queries: int64 (rows, query tokens) labels.
        keys: int64 (rows, key tokens) labels, or ``SHARED`` / ``HIDDEN``.

    The batch of an attention call repeats the rows (classifier-free guidance: twice): item ``b`` follows row
    ``b % rows``.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    _on_device: dict = field(default_factory=dict, repr=False)

    def fits(self, query: torch.Tensor, key: torch.Tensor) -> bool:
        """Whether an attention call has this rule's shape: (batch, heads, tokens, channels)."""
        rows, tokens = self.queries.shape
        return query.shape[0] % rows == 0 and query.shape[2] == tokens and key.shape[2] == self.keys.shape[1]

    def to(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Both label tensors on ``device``, copied once."""
        if device not in self._on_device:
            self._on_device[device] = (self.queries.to(device), self.keys.to(device))
        return self._on_device[device]


def visible(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Boolean (rows, query tokens, key tokens): whether the query may see the key."""
    return (queries[:, :, None] == keys[:, None, :]) | (keys == SHARED)[:, None, :]


def masked_attention(query, key, value, rule: Rule, scale=None) -> torch.Tensor:
    """Attention under ``rule``; what a query may not see has exactly no influence on it.

    Args:
        query: (batch, heads, query tokens, channels).
        key, value: (batch, heads, key tokens, channels).
        rule: labels of the tokens; ``batch`` is a multiple of its rows.
        scale: as in PyTorch, default 1 / sqrt(channels).

    Returns:
        (batch, heads, query tokens, channels).
    """
    queries, keys = rule.to(query.device)
    if query.device.type == "cpu" and query.shape[2] >= GATHER_FROM:
        return _gathered(query, key, value, queries, keys, scale)
    return _masked(query, key, value, queries, keys, scale)


def _masked(query, key, value, queries, keys, scale):
    """Masked calls of a bounded number of rows; the repeats of a row share its mask."""
    rows = len(queries)
    repeats = query.shape[0] // rows
    out = torch.empty_like(query)
    for part in torch.arange(rows, device=query.device).split(
        max(1, MASK_BUDGET // (repeats * queries.shape[1] * keys.shape[1]))
    ):
        mask = visible(queries[part], keys[part])[:, None].repeat(repeats, 1, 1, 1)
        if len(part) == rows:
            return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
        items = (part + rows * torch.arange(repeats, device=query.device)[:, None]).flatten()
        out[items] = scaled_dot_product_attention(
            query[items], key[items], value[items], attn_mask=mask, scale=scale
        )
    return out


def _gathered(query, key, value, queries, keys, scale):
    """Each label's queries with the keys that they see, in unmasked calls: the same result with less work."""
    rows = len(queries)
    out = torch.empty_like(query)
    for row in range(rows):
        items = slice(row, None, rows)  # the repeats of this row
        for label in queries[row].unique():
            of_queries = (queries[row] == label).nonzero().flatten()
            of_keys = ((keys[row] == label) | (keys[row] == SHARED)).nonzero().flatten()
            out[items, :, of_queries] = scaled_dot_product_attention(
                query[items][:, :, of_queries],
                key[items][:, :, of_keys],
                value[items][:, :, of_keys],
                scale=scale,
            )
    return out
