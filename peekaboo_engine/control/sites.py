# SPDX-License-Identifier: GPL-3.0-or-later
"""The attention layers of a denoiser, found by what its family says of their paths."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from torch import nn

from ..errors import EngineError
from ..families import Family, Layers
from ..names import Blocks, Kind


@dataclass(frozen=True)
class Site:
    """One attention layer.

    Args:
        path: module path inside the denoiser.
        layers: what the family says of it.
        attention: the layer.
        block: the module that holds it.
        level: the module around it whose input tells rows and columns of its grid; None where the whole
            denoiser has one grid.
        depth: how far down the denoiser it stands among the layers of its kind and stream, 0 the first,
            below 1.
    """

    path: str
    layers: Layers
    attention: nn.Module
    block: nn.Module
    level: nn.Module | None
    depth: float

    @property
    def kind(self) -> Kind:
        """What it attends over."""
        return self.layers.kind


def attention_sites(denoiser: nn.Module, family: Family, blocks: Blocks = "all") -> list[Site]:
    """Every attention layer of a denoiser that is masked in the chosen blocks, in module order.

    Raises:
        EngineError: ``unknown_layer`` for an attention layer of which the family says nothing.
    """
    found: list[tuple[str, Layers, re.Match]] = []
    for path, module in denoiser.named_modules():
        if not hasattr(module, "to_q") or any(re.match(pattern, path) for pattern in family.left_alone):
            continue
        claims = ((layers, re.fullmatch(layers.pattern, path)) for layers in family.layers)
        layers, match = next(((layers, match) for layers, match in claims if match), (None, None))
        if layers is None or match is None:
            raise EngineError(
                "unknown_layer",
                f"The attention layer {path} is none that {family.name} models have, so nobody knows whether "
                "to mask it; take off what was added to the model.",
            )
        found.append((path, layers, match))
    numbers: Counter[tuple[Kind, str]] = Counter()
    totals = Counter((layers.kind, layers.stream) for _, layers, _ in found)
    sites = []
    for path, layers, match in found:
        level = match.groupdict().get("level")
        among = (layers.kind, layers.stream)
        site = Site(
            path=path,
            layers=layers,
            attention=denoiser.get_submodule(path),
            block=denoiser.get_submodule(path.rpartition(".")[0]),
            level=None if level is None else denoiser.get_submodule(level),
            depth=numbers[among] / totals[among],
        )
        numbers[among] += 1
        if re.match(family.blocks[blocks], path):
            sites.append(site)
    return sites
