# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a rule onto the attention layers of a model without replacing their processors.

The default attention processors of diffusers end in ``torch.nn.functional.scaled_dot_product_attention``,
after their own projections, norms, LoRA and fused weights. So a layer's ``forward`` is wrapped to publish the
rule of that layer for its duration, and a stand-in for the PyTorch function applies the rule that it finds.
This survives what replaces processors silently (``fuse_qkv_projections``, IP-Adapter); what never reaches the
function (sliced attention, xformers) is noticed and refused instead of running unmasked.
"""

import contextlib
import functools
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import nn

from ..errors import EngineError
from .attention import Rule, masked_attention, scaled_dot_product_attention

_current = threading.local()
_lock = threading.Lock()
_users = 0
_steered: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def _stand_in(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    rule: Rule | None = getattr(_current, "rule", None)
    if rule is not None and _current.share and not rule.fits(query, key):
        rule = rule.share(*_current.share)  # the queries of this process alone, as cross-attention has them
    plain = not (dropout_p or is_causal or enable_gqa)
    if rule is None or not plain or not rule.fits(query, key):  # e.g. the image keys of an IP-Adapter
        return scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_p=dropout_p,
            is_causal=is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
        )
    _current.applied = True
    return masked_attention(query, key, value, rule, attn_mask=attn_mask, scale=scale)


@contextlib.contextmanager
def stand_in_for_attention() -> Iterator[None]:
    """Stand in for PyTorch's attention; other threads, and layers without a rule, get PyTorch's own."""
    global _users
    with _lock:
        _users += 1
        F.scaled_dot_product_attention = _stand_in
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                F.scaled_dot_product_attention = scaled_dot_product_attention


def call_under_rule(
    rule: Rule, path: str, forward: Callable, *args, share: tuple[int, int] | None = None, **kwargs
):
    """Call an attention layer's ``forward`` with ``rule`` in force.

    Args:
        rule: of all of the layer's tokens.
        path: of the layer.
        forward: of the layer, and what it is called with.
        share: which of how many processes this is, where tokens are shared among several; a layer may attend
            with all of them and some heads, or with its own and all heads (:mod:`..splitting`).

    Raises:
        EngineError: ``not_masked`` if the layer computed its attention some other way.
    """
    _current.rule, _current.share, _current.applied = rule, share, False
    try:
        out = forward(*args, **kwargs)
        applied = _current.applied
    finally:
        _current.rule = None
    if not applied:
        raise EngineError(
            "not_masked",
            f"The attention layer {path} did not use PyTorch's scaled_dot_product_attention on the expected "
            f"{rule.shape} rows, queries and keys, so it cannot be masked; turn off attention "
            "slicing, xformers, backends of attention other than native, and split inference.",
        )
    return out


@contextlib.contextmanager
def wrapped_forwards(wrappers: dict[nn.Module, Callable[[Callable], Callable]]) -> Iterator[None]:
    """Replace the ``forward`` of each module by ``wrapper(forward)``, and put back what was there."""
    before = {module: module.__dict__.get("forward") for module in wrappers}
    for module, wrapper in wrappers.items():
        module.forward = wrapper(module.forward)
    try:
        yield
    finally:
        for module, own in before.items():
            if own is None:
                del module.forward  # the class's forward shows again
            else:
                module.forward = own  # a wrapper of another tool, e.g. accelerate's offloading


class _Wrapped:
    """A method of one object in another's stead. A copy of the object has its own method again.

    Pipelines that denoise sound beside pictures copy their scheduler for it; as a plain attribute the
    stand-in would go with it, and step the scheduler that was copied.
    """

    def __init__(self, owner: object, name: str, wrapper: Callable[[Callable], Callable]):
        self._owner, self._name, method = owner, name, getattr(owner, name)
        self._call = wrapper(method)
        functools.update_wrapper(self, method, updated=())  # pipelines look at its signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return types.MethodType(getattr(type(self._owner), self._name), memo[id(self._owner)])


@contextlib.contextmanager
def wrapped_method(owner: object, name: str, wrapper: Callable[[Callable], Callable]) -> Iterator[None]:
    """Replace a method of one object by ``wrapper(method)``, and put back what was there."""
    before = vars(owner).get(name)
    setattr(owner, name, _Wrapped(owner, name, wrapper))
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextlib.contextmanager
def only_once(denoisers: list[nn.Module]) -> Iterator[None]:
    """Keep denoisers from being steered by two at once.

    Raises:
        EngineError: ``steered_already``.
    """
    with _lock:
        if any(denoiser in _steered for denoiser in denoisers):
            raise EngineError(
                "steered_already",
                "This pipeline's denoiser is steered already; leave the other peekaboo block first, or put "
                "all subjects into one.",
            )
        _steered.update(denoisers)
    try:
        yield
    finally:
        with _lock:
            for denoiser in denoisers:
                _steered.discard(denoiser)
