# SPDX-License-Identifier: GPL-3.0-or-later
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peekaboo_engine.control import attention
from peekaboo_engine.control.attention import GATHER_FROM, Rule, masked_attention


def dense(query, key, value, rule):
    """The definition, in double precision: softmax over scores and what the labels add."""
    query, key, value = query.double(), key.double(), value.double()
    added = []
    for item in range(len(query)):
        row = item % len(rule.queries)
        keys, table = (part[row % len(part)] for part in (rule.keys, rule.table))
        added.append([[float(table[label, of]) for of in keys] for label in rule.queries[row]])
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return (scores + torch.tensor(added)[:, None]).softmax(-1) @ value


def draw(rows, repeats, queries, keys, subjects, seed, self_attention, one_text=False):
    make = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, subjects + 1, (rows, queries), generator=make)
    if self_attention:
        rule = Rule.within(labels)
    else:
        classes = subjects + 2
        sees = torch.rand(rows, subjects + 1, classes, generator=make) < 0.5
        sees[:, :, 0] = True  # nobody is without a word
        text = torch.randint(0, classes, (1 if one_text else rows, keys), generator=make)
        text[:, 0] = 0
        rule = Rule.seeing(labels, text, sees)
    shape = (rows * repeats, 2)
    q, k, v = (
        torch.randn(*shape, n, 8, generator=make) for n in (queries, rule.keys.shape[1], rule.keys.shape[1])
    )
    return q, k, v, rule


KINDS = {
    "self": {"self_attention": True},
    "cross": {"self_attention": False},
    "cross, one text for all rows": {"self_attention": False, "one_text": True},
}


@pytest.mark.parametrize("kind", KINDS)
@given(
    rows=st.integers(1, 4), repeats=st.integers(1, 2), queries=st.integers(1, 30), subjects=st.integers(0, 3)
)
def test_agrees_with_the_dense_definition(kind, rows, repeats, queries, subjects):
    q, k, v, rule = draw(rows, repeats, queries, 9, subjects, seed=queries, **KINDS[kind])
    torch.testing.assert_close(
        masked_attention(q, k, v, rule).double(), dense(q, k, v, rule), atol=1e-5, rtol=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gathering_agrees_with_the_dense_definition(kind, monkeypatch):
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1})
    q, k, v, rule = draw(3, 2, 400, 20, 2, seed=1, **KINDS[kind])
    torch.testing.assert_close(
        masked_attention(q, k, v, rule).double(), dense(q, k, v, rule), atol=1e-5, rtol=0
    )


def test_rows_beyond_the_mask_budget_agree(monkeypatch):
    q, k, v, rule = draw(5, 2, 12, 9, 2, seed=2, self_attention=True)
    whole = masked_attention(q, k, v, rule)
    monkeypatch.setattr(attention, "MASK_BUDGET", 2 * 2 * 12 * 12)  # two rows a call
    torch.testing.assert_close(masked_attention(q, k, v, rule), whole)


@given(
    tokens=st.sampled_from([7, math.isqrt(GATHER_FROM["cpu"]) + 1]), seed=st.integers(0, 3), data=st.data()
)
def test_changing_a_token_moves_only_tokens_with_its_label(tokens, seed, data):
    q, k, v, rule = draw(2, 2, tokens, tokens, 2, seed, self_attention=True)
    before = masked_attention(q, k, v, rule)
    item = data.draw(st.integers(0, 3))
    changed = data.draw(st.integers(0, tokens - 1))
    k[item, :, changed] += 5
    v[item, :, changed] -= 3
    after = masked_attention(q, k, v, rule)
    labels = rule.queries[item % 2]
    moved = (before[item] != after[item]).any(-1).any(0)
    assert not moved[labels != labels[changed]].any()  # a leak of exactly nothing
    assert moved[labels == labels[changed]].any()
    others = [other for other in range(4) if other != item]
    assert torch.equal(before[others], after[others])


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 1, 1), (6, 2, 12)], ids=str)
@pytest.mark.parametrize("kind", [bool, float])
def test_a_mask_of_the_models_own_holds_besides(monkeypatch, gathered, shape, kind):
    """Padding of the text, say: for the whole batch, an item, or each head and query."""
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1 if gathered else 10**9})
    q, k, v, rule = draw(3, 2, 12, 9, 2, seed=3, self_attention=False)
    make = torch.Generator().manual_seed(4)
    own = torch.rand(*shape, 9, generator=make) < 0.7
    own[..., 0] = True
    if kind is float:
        own = torch.where(own, torch.rand(own.shape, generator=make), -math.inf)
    both = masked_attention(q, k, v, rule, attn_mask=own)
    added = torch.where(own, 0.0, -math.inf) if kind is bool else own
    every = slice(None)
    mask = rule.mask(every, every, q.device, q.dtype).repeat(2, 1, 1)[:, None] + added
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(both, expected, atol=1e-5, rtol=0)
    monkeypatch.setattr(attention, "MASK_BUDGET", 30)  # three queries of one row at a time
    torch.testing.assert_close(masked_attention(q, k, v, rule, attn_mask=own), expected, atol=1e-5, rtol=0)


def attention_of_runs(query, key, value, edges, _edges, longest, _longest):
    """What PyTorch's varlen_attn computes on a GPU: (tokens, heads, channels), run by run."""
    runs = list(itertools.pairwise(edges.tolist()))
    assert longest == max(end - start for start, end in runs)
    parts = [[part[start:end].transpose(0, 1) for part in (query, key, value)] for start, end in runs]
    return torch.cat([attention.scaled_dot_product_attention(*own).transpose(0, 1) for own in parts])


@given(
    rows=st.integers(2, 4), repeats=st.integers(1, 2), tokens=st.integers(1, 30), subjects=st.integers(0, 3)
)
def test_attention_within_runs_agrees_with_the_dense_definition(rows, repeats, tokens, subjects):
    q, k, v, rule = draw(rows, repeats, tokens, tokens, subjects, seed=tokens, self_attention=True)
    with pytest.MonkeyPatch.context() as patch:  # the kernel runs on GPUs alone; the order is ours
        patch.setattr(attention, "varlen_attn", attention_of_runs)
        found = attention._in_runs(q, k, v, rule)
    torch.testing.assert_close(found.double(), dense(q, k, v, rule), atol=1e-5, rtol=0)


def test_only_rules_that_divide_the_tokens_are_run():
    labels = torch.tensor([[0, 1, 1], [1, 0, 0]])
    assert Rule.within(labels).partition
    assert not Rule.within(labels, others=-3.0).partition
    assert not Rule.within(labels, free=1).partition
