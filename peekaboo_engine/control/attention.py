# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaled dot-product attention in which a label says which keys a query sees.

One rule covers the three masks of the paper (equations 2-5 of arXiv 2312.07509): spatial attention over the
pixels of a frame, temporal attention over the frames of a pixel, cross-attention over the tokens of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

scaled_dot_product_attention = F.scaled_dot_product_attention
"""PyTorch's own, kept here because :mod:`.interception` stands in its place while a pipeline runs."""

GATHER_FROM = 2**17
"""From this many pairs of query and key a row on, CPU attention gathers each label's tokens: less work than
without a mask.

Below it, and on GPUs, whose kernels want few large calls, one masked call is faster
(docs/reference/method.md).
"""

MASK_BUDGET = 2**27
"""Most elements of a mask that are made at once; rows beyond it are computed in further calls."""

KEEP_BUDGET = 2**25
"""Most elements of a mask that is kept for the next layer and step; a larger one is made again each time."""


@dataclass
class Rule:
    """Who may see whom at one kind of attention site.

    Args:
        queries: int64 (rows, query tokens), the label of each.
        keys: int64 (rows or 1, key tokens), the class of each.
        sees: bool (rows or 1, labels, classes), what a label sees of a class of keys.

    The batch of an attention call repeats the rows (classifier-free guidance: twice): item ``b`` follows row
    ``b % rows``.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    sees: torch.Tensor
    _kept: dict = field(default_factory=dict, repr=False)

    @classmethod
    def within(cls, labels: torch.Tensor) -> Rule:
        """Self-attention among tokens of the same label: int64 (rows, tokens)."""
        return cls(labels, labels, torch.eye(int(labels.max()) + 1, dtype=torch.bool)[None])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, query tokens, key tokens."""
        return (*self.queries.shape, self.keys.shape[1])

    def fits(self, query: torch.Tensor, key: torch.Tensor) -> bool:
        """Whether an attention call has this rule's shape: (batch, heads, tokens, channels)."""
        rows, queries, keys = self.shape
        return query.shape[0] % rows == 0 and query.shape[2] == queries and key.shape[2] == keys

    def to(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and what is seen, a row each, on ``device``; copied once."""
        if device not in self._kept:
            rows = len(self.queries)
            self._kept[device] = tuple(
                part.to(device).expand(rows, *part.shape[1:]) for part in (self.queries, self.keys, self.sees)
            )
        return self._kept[device]

    def mask(self, rows: slice, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Additive mask of some rows: (rows, query tokens, key tokens)."""
        queries, keys, sees = (part[rows] for part in self.to(device))
        row = torch.arange(len(queries), device=device)[:, None, None]
        hidden = ~sees[row, queries[:, :, None], keys[:, None, :]]
        return torch.zeros(hidden.shape, device=device, dtype=dtype).masked_fill_(hidden, float("-inf"))


def masked_attention(query, key, value, rule: Rule, scale=None) -> torch.Tensor:
    """Attention under ``rule``; what a query may not see has exactly no influence on it.

    Args:
        query: (batch, heads, query tokens, channels).
        key, value: (batch, heads, key tokens, channels).
        rule: who sees whom; ``batch`` is a multiple of its rows.
        scale: as in PyTorch, default 1 / sqrt(channels).

    Returns:
        (batch, heads, query tokens, channels).
    """
    if query.device.type == "cpu" and query.shape[2] * key.shape[2] >= GATHER_FROM:
        return _gathered(query, key, value, rule, scale)
    return _masked(query, key, value, rule, scale)


def _masked(query, key, value, rule: Rule, scale):
    """Masked calls of a bounded number of rows; the repeats of a row share its mask."""
    rows, queries, keys = rule.shape
    repeats = query.shape[0] // rows
    size = repeats * queries * keys
    if rows * size <= min(KEEP_BUDGET, MASK_BUDGET):
        kept = rule._kept
        place = (query.device, query.dtype, repeats)
        if place not in kept:
            mask = rule.mask(slice(None), query.device, query.dtype)[:, None]
            kept[place] = mask.repeat(repeats, 1, 1, 1)
        return scaled_dot_product_attention(query, key, value, attn_mask=kept[place], scale=scale)
    out = torch.empty_like(query)
    step = max(1, MASK_BUDGET // size)
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        mask = rule.mask(part, query.device, query.dtype)[:, None].repeat(repeats, 1, 1, 1)
        items = torch.arange(query.shape[0], device=query.device).view(repeats, rows)[:, part].flatten()
        out[items] = scaled_dot_product_attention(
            query[items], key[items], value[items], attn_mask=mask, scale=scale
        )
    return out


def _gathered(query, key, value, rule: Rule, scale):
    """Each label's queries with the keys that they see, in unmasked calls: the same result with less work."""
    queries, keys, sees = rule.to(query.device)
    rows = len(queries)
    out = torch.empty_like(query)
    for row in range(rows):
        items = slice(row, None, rows)  # the repeats of this row
        for label in queries[row].unique():
            of_queries = (queries[row] == label).nonzero().flatten()
            of_keys = sees[row, label, keys[row]].nonzero().flatten()
            out[items, :, of_queries] = scaled_dot_product_attention(
                query[items][:, :, of_queries],
                key[items][:, :, of_keys],
                value[items][:, :, of_keys],
                scale=scale,
            )
    return out
