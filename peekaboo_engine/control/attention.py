# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaled dot-product attention in which a label says which keys a query sees.

One rule covers the three masks of the paper (equations 2-5 of arXiv 2312.07509), spatial attention over the
pixels of a frame, temporal attention over the frames of a pixel, cross-attention over the tokens of the text,
and what newer models have in place of the first two: attention over all pixels of all frames.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
import torch.nn.functional as F

varlen_attn: Callable[..., torch.Tensor] | None = None  # before PyTorch 2.10
with contextlib.suppress(ImportError):
    from torch.nn.attention import varlen

    varlen_attn = cast(Callable[..., torch.Tensor], varlen.varlen_attn)

scaled_dot_product_attention = F.scaled_dot_product_attention
"""PyTorch's own, kept here because :mod:`.interception` stands in its place while a pipeline runs."""

GATHER_FROM = {"cpu": 2**17, "cuda": 2**26}
"""From this many pairs of query and key a row on, attention on such a device gathers each label's tokens:
less work than without a mask. Below it, one masked call is faster (docs/reference/method.md)."""

GATHER_ELSEWHERE = 2**26
"""The same on devices that nobody has measured."""

RUNS_FROM = 2**22
"""From this many pairs of query and key a row on, a GPU in half precision attends within runs of tokens of
one label where rows are many, as in the frames of a UNet: no mask, which would take half of a gigabyte there.
"""

MASK_BUDGET = 2**27
"""Most elements of a mask that are made at once; rows beyond it, and queries of a row that is larger by
itself, are computed in further calls."""

KEEP_BUDGET = 2**26
"""Most elements of a mask that is kept for the next layer and step; a larger one is made again each time."""

HIDDEN = -math.inf
"""In the table of a rule: has exactly no influence."""


@dataclass
class Rule:
    """Who may see whom at one kind of attention site.

    Args:
        queries: int64 (rows, query tokens), the label of each.
        keys: int64 (rows or 1, key tokens), the class of each.
        table: float (rows or 1, labels, classes), what is added to the score of a class of keys for a label:
            0 is seen as without a mask, ``HIDDEN`` not at all, a number below 0 less.
        push: away from what is read under another rule.
        whole: whether it says all, also what the model's own mask would.
        partition: whether queries are the keys, and those of a label see one another and nothing else.

    The batch of an attention call repeats the rows (classifier-free guidance: twice): item ``b`` follows row
    ``b % rows``.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    table: torch.Tensor
    push: Push | None = None
    whole: bool = False
    partition: bool = False
    _kept: dict = field(default_factory=dict, repr=False)

    @classmethod
    def within(cls, labels: torch.Tensor, others: float = HIDDEN, free: int | None = None) -> Rule:
        """Self-attention among tokens of the same label: int64 (rows, tokens).

        Args:
            labels: of the tokens.
            others: what is added to the score of tokens of another label.
            free: a label that sees all and is seen by all, if there is one.
        """
        same = torch.eye(int(labels.max()) + 1, dtype=torch.bool)
        if free is not None:
            same[free] = same[:, free] = True
        table = torch.zeros(same.shape).masked_fill_(~same, others)[None]
        return cls(labels, labels, table, partition=others == HIDDEN and free is None)

    @classmethod
    def seeing(cls, queries: torch.Tensor, keys: torch.Tensor, sees: torch.Tensor) -> Rule:
        """What a label sees of a class of keys is said by a bool table."""
        return cls(queries, keys, torch.zeros(sees.shape).masked_fill_(~sees, HIDDEN))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, query tokens, key tokens."""
        return (*self.queries.shape, self.keys.shape[1])

    def fits(self, query: torch.Tensor, key: torch.Tensor) -> bool:
        """Whether an attention call has this rule's shape: (batch, heads, tokens, channels)."""
        rows, queries, keys = self.shape
        return query.shape[0] % rows == 0 and query.shape[2] == queries and key.shape[2] == keys

    def share(self, process: int, processes: int) -> Rule:
        """The rule of the queries that one of several processes has, of as many each; all keys."""
        place = ("share", process, processes)
        if place not in self._kept:
            queries = self.queries.chunk(processes, dim=1)[process]
            push = self.push and Push(self.push.rule.share(process, processes), self.push.scale)
            self._kept[place] = Rule(queries, self.keys, self.table, push, self.whole)
        return self._kept[place]

    def to(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and the table, a row each, on ``device``; copied once."""
        if device not in self._kept:
            rows = len(self.queries)
            self._kept[device] = tuple(
                part.to(device).expand(rows, *part.shape[1:])
                for part in (self.queries, self.keys, self.table)
            )
        return self._kept[device]

    def mask(self, rows: slice, some: slice, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Additive mask of some rows and some of their queries: (rows, queries, key tokens)."""
        queries, keys, table = (part[rows] for part in self.to(device))
        row = torch.arange(len(queries), device=device)[:, None, None]
        return table.to(dtype)[row, queries[:, some, None], keys[:, None, :]]

    def kept_mask(self, repeats: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """The whole mask for a batch of so many repeats, kept: (batch, 1, query tokens, key tokens)."""
        place = (device, dtype, repeats)
        if place not in self._kept:
            every = slice(None)
            self._kept[place] = self.mask(every, every, device, dtype)[:, None].repeat(repeats, 1, 1, 1)
        return self._kept[place]

    def runs(self, repeats: int, device: torch.device) -> Runs:
        """The tokens of a batch of so many repeats, ordered by row and label; found once."""
        place = (device, repeats, "runs")
        if place not in self._kept:
            self._kept[place] = Runs.of(self.queries, repeats, device)
        return self._kept[place]

    def groups(self, device: torch.device) -> list[Group]:
        """The queries of each row and label, with the keys that they see; found once."""
        place = (device, "groups")
        if place not in self._kept:
            queries, keys, table = self.to(device)
            self._kept[place] = [
                Group.of(row, queries[row], label, table[row, label, keys[row]])
                for row in range(len(queries))
                for label in queries[row].unique()
            ]
        return self._kept[place]


@dataclass(frozen=True)
class Runs:
    """Tokens of a batch in an order in which those of one row and label follow each other.

    Args:
        order: int64 (batch * tokens,), their places.
        edges: int32 (runs + 1,), where runs begin and end in that order.
        longest: tokens of the longest run.
    """

    order: torch.Tensor
    edges: torch.Tensor
    longest: int

    @classmethod
    def of(cls, labels: torch.Tensor, repeats: int, device: torch.device) -> Runs:
        """Of labels (rows, tokens) that a batch repeats."""
        labels = labels.cpu().repeat(repeats, 1)
        own = labels + torch.arange(len(labels))[:, None] * (int(labels.max()) + 1)
        ordered, order = own.flatten().sort(stable=True)
        lengths = ordered.unique_consecutive(return_counts=True)[1]
        edges = F.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
        return cls(order.to(device), edges.to(device), int(lengths.max()))


@dataclass(frozen=True)
class Group:
    """Queries of one label in one row.

    Args:
        row: which.
        queries: int64, their places.
        keys: int64, the places of what they see.
        bias: float (1, 1, 1, keys) where some of it is seen less than the rest, else None.
    """

    row: int
    queries: torch.Tensor
    keys: torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def of(cls, row: int, labels: torch.Tensor, label: torch.Tensor, scores: torch.Tensor) -> Group:
        """The queries with ``label`` among ``labels``, to whose scores ``scores`` (keys,) are added."""
        keys = (scores > HIDDEN).nonzero().flatten()
        bias = scores[keys]
        return cls(
            row,
            (labels == label).nonzero().flatten(),
            keys,
            bias[None, None, None] if bool(bias.any()) else None,
        )


@dataclass(frozen=True)
class Push:
    """Guidance inside attention: away from what a query would read under another rule.

    Normalized attention guidance (arXiv 2505.21179): Z + scale * (Z - Z') where Z' is read under ``rule``,
    held to ``MOST`` times the size of Z and blended with it. It needs no unconditional half of guidance.

    Args:
        rule: of what is pushed away from, of the same shape.
        scale: how far.
    """

    rule: Rule
    scale: float

    MOST: ClassVar[float] = 2.5
    BLEND: ClassVar[float] = 0.25

    def __call__(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Push ``own`` away from ``other``: (batch, heads, query tokens, channels)."""
        pushed = own + self.scale * (own - other)
        size, most = (part.abs().sum(dim=(1, 3), keepdim=True) for part in (pushed, own))
        pushed = pushed * (self.MOST * most / size.clamp_min(1e-6)).clamp_max(1)
        return self.BLEND * pushed + (1 - self.BLEND) * own


def masked_attention(query, key, value, rule: Rule, attn_mask=None, scale=None) -> torch.Tensor:
    """Attention under ``rule``; what a query may not see has exactly no influence on it.

    Args:
        query: (batch, heads, query tokens, channels).
        key, value: (batch, heads, key tokens, channels).
        rule: who sees whom; ``batch`` is a multiple of its rows.
        attn_mask: the model's own mask, as in PyTorch (padding of the text, say), which holds besides unless
            the rule is whole.
        scale: as in PyTorch, default 1 / sqrt(channels).

    Returns:
        (batch, heads, query tokens, channels).
    """
    if rule.whole:
        attn_mask = None
    if attn_mask is not None:
        attn_mask = _additive(attn_mask, query, key)
    own = _attend(query, key, value, rule, attn_mask, scale)
    if rule.push is None:
        return own
    return rule.push(own, _attend(query, key, value, rule.push.rule, attn_mask, scale))


def _attend(query, key, value, rule: Rule, attn_mask, scale):
    pairs = query.shape[2] * key.shape[2]
    if pairs >= RUNS_FROM and attn_mask is None and scale is None and can_run(query, rule):
        return _in_runs(query, key, value, rule)
    if pairs >= GATHER_FROM.get(query.device.type, GATHER_ELSEWHERE):
        return _gathered(query, key, value, rule, attn_mask, scale)
    return _masked(query, key, value, rule, attn_mask, scale)


def can_run(query: torch.Tensor, rule: Rule) -> bool:
    """Whether attention within runs is there for such a query under such a rule."""
    return (
        varlen_attn is not None
        and rule.partition
        and len(rule.queries) > 1
        and query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
    )


def _in_runs(query, key, value, rule: Rule):
    """Attention of tokens to those of their own row and label, all of them in one call."""
    runs = rule.runs(query.shape[0] // len(rule.queries), query.device)
    heads, channels = query.shape[1], query.shape[3]
    ordered = [
        part.transpose(1, 2).reshape(-1, heads, channels).index_select(0, runs.order)
        for part in (query, key, value)
    ]
    assert varlen_attn is not None  # can_run has looked
    own = varlen_attn(*ordered, runs.edges, runs.edges, runs.longest, runs.longest)
    out = torch.empty_like(own).index_copy_(0, runs.order, own)
    return out.unflatten(0, (query.shape[0], -1)).transpose(1, 2)


def _additive(attn_mask: torch.Tensor, query, key) -> torch.Tensor:
    """A mask of PyTorch's as something to add, with all four axes and as many keys as there are."""
    if attn_mask.dtype == torch.bool:
        zeros = torch.zeros(attn_mask.shape, device=query.device, dtype=query.dtype)
        attn_mask = zeros.masked_fill_(~attn_mask, HIDDEN)
    attn_mask = attn_mask[(None,) * (4 - attn_mask.ndim)]
    return attn_mask.expand(query.shape[0], *attn_mask.shape[1:3], key.shape[2])


def _masked(query, key, value, rule: Rule, attn_mask, scale):
    """Masked calls of a bounded number of pairs; the repeats of a row share its mask."""
    rows, queries, keys = rule.shape
    repeats = query.shape[0] // rows
    size = repeats * queries * keys
    if rows * size <= min(KEEP_BUDGET, MASK_BUDGET):
        mask = rule.kept_mask(repeats, query.device, query.dtype)
        mask = mask if attn_mask is None else mask + attn_mask
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    out = torch.empty_like(query)
    batch = torch.arange(query.shape[0], device=query.device).view(repeats, rows)
    some_rows = max(1, MASK_BUDGET // size)
    some_queries = max(1, min(queries, MASK_BUDGET // (repeats * keys)))
    for row in range(0, rows, some_rows):
        items = batch[:, row : row + some_rows].flatten()
        for first in range(0, queries, some_queries):
            some = slice(first, first + some_queries)
            mask = rule.mask(slice(row, row + some_rows), some, query.device, query.dtype)
            mask = mask[:, None].repeat(repeats, 1, 1, 1)
            if attn_mask is not None:
                own = attn_mask[items]
                mask = mask + (own if own.shape[2] == 1 else own[:, :, some])
            out[items, :, some] = scaled_dot_product_attention(
                query[items][:, :, some], key[items], value[items], attn_mask=mask, scale=scale
            )
    return out


def _gathered(query, key, value, rule: Rule, attn_mask, scale):
    """Each label's queries with the keys that they see, mostly in unmasked calls: the same with less work."""
    rows = len(rule.queries)
    out = torch.empty_like(query)
    for group in rule.groups(query.device):
        items = slice(group.row, None, rows)  # the repeats of this row
        mask = None if group.bias is None else group.bias.to(query.dtype)
        if attn_mask is not None:
            own = attn_mask[items][..., group.keys]
            own = own if own.shape[2] == 1 else own[:, :, group.queries]
            mask = own if mask is None else own + mask
        out[items, :, group.queries] = scaled_dot_product_attention(
            query[items][:, :, group.queries],
            key[items][:, :, group.keys],
            value[items][:, :, group.keys],
            attn_mask=mask,
            scale=scale,
        )
    return out
