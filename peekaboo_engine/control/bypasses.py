# SPDX-License-Identifier: GPL-3.0-or-later
"""What other tools do to a denoiser that masks would not reach: refused, or kept out of the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..errors import EngineError

_HARMLESS = {
    "group_offloading",
    "lazy_prefetch_group_offloading",
    "layer_execution_tracker",
    "layerwise_casting",
    "peft_autocast_disable",
}
"""Hooks of diffusers that change where and in which precision weights wait, not what is computed."""
_SHARING = ("cp_input---", "cp_output---")
"""How the names of hooks begin that share tokens among processes, where rules follow."""


def check_denoiser(denoiser: nn.Module) -> None:
    """Refuse a denoiser that would run past the masks.

    Raises:
        EngineError: ``compiled``, ``cached``.
    """
    if hasattr(denoiser, "_orig_mod") or denoiser._compiled_call_impl is not None:
        raise EngineError(
            "compiled",
            "The denoiser is compiled as a whole, so its attention cannot be masked; compile its blocks "
            "with compile_repeated_blocks() where it has them, or leave it as it is.",
        )
    if getattr(denoiser, "is_cache_enabled", False):
        raise EngineError(
            "cached",
            "The denoiser takes over what earlier steps have computed, where masks do not reach; call "
            "disable_cache() on it first.",
        )
    for module in denoiser.modules():
        registry: Any = getattr(module, "_diffusers_hook", None)
        hooks = set() if registry is None else set(registry.hooks) - _HARMLESS
        if others := sorted(name for name in hooks if not name.startswith(_SHARING)):
            raise EngineError(
                "cached",
                f"A hook of diffusers ({', '.join(others)}) takes the place of what the denoiser computes, "
                "where masks do not reach; leave caches and skipped layers out.",
            )


def share_of(attention: nn.Module) -> tuple[int, int] | None:
    """Which of how many processes has a share of an attention layer's tokens here; None of one that has all.

    Raises:
        EngineError: ``not_split`` for tokens that are shared so that a process never has all of them.
    """
    config = getattr(getattr(attention, "processor", None), "_parallel_config", None)
    shares = config and config.context_parallel_config
    if not shares:
        return None
    if shares.ring_degree > 1 or shares.ulysses_anything:
        raise EngineError(
            "not_split",
            "Masks act where each process has all tokens or an equal share: split the denoiser by "
            "ulysses_degree alone.",
        )
    return shares._ulysses_local_rank, shares.ulysses_degree


def uncompiled(denoiser: nn.Module, wrap: Callable[[Callable], Callable]) -> Callable[[Callable], Callable]:
    """What wraps attention layers, so that compiled blocks call them as they are.

    The compiler would take the rule of one step for a constant, and compile anew at each of the others.
    """
    if all(module._compiled_call_impl is None for module in denoiser.modules()):
        return wrap
    from torch import compiler

    return lambda forward: compiler.disable(wrap(forward))
