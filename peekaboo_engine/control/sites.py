# SPDX-License-Identifier: GPL-3.0-or-later
"""The attention layers of a text-to-video UNet, and what each attends over.

Layout of ``UNet3DConditionModel`` (diffusers, models/unets/unet_3d_condition.py; F frames, h x w cells):

========  ===============================================  =======================  ==================
kind      module path                                      queries (rows, tokens)   keys
========  ===============================================  =======================  ==================
spatial   ``*.attentions.j.*.attn1``                       (batch*F, h*w)           the same
cross     ``*.attentions.j.*.attn2``                       (batch*F, h*w)           text tokens
temporal  ``transformer_in.*``, ``*.temp_attentions.j.*``  (batch*h*w, F)           the same
========  ===============================================  =======================  ==================

In temporal blocks ``attn2`` is a second *self*-attention along time (``double_self_attention=True``,
models/transformers/transformer_temporal.py), not a cross-attention.
"""

import re
from dataclasses import dataclass
from typing import Literal

from torch import nn

Kind = Literal["spatial", "cross", "temporal"]
Blocks = Literal["all", "mid_up"]
"""Which blocks are masked: ``all`` (the paper names no exception), or ``mid_up`` as in the released code,
which sets the masks of ``transformer_in`` and the down blocks to None
(src/models/unet_3d_condition.py:569-601)."""

_TEMPORAL = re.compile(r"(^|\.)(transformer_in|temp_attentions)\.")
_MID_UP = re.compile(r"^(mid_block|up_blocks)\.")
_ATTENTION = re.compile(r"\.transformer_blocks\.\d+\.(?P<leaf>attn[12])$")


@dataclass(frozen=True)
class Site:
    """One attention layer.

    Args:
        path: module path inside the denoiser.
        kind: what it attends over.
        attention: the layer.
        transformer: the module around it, whose input (batch*F, channels, h, w) gives the grid.
        norm: the layer norm in front of it.
        is_second: whether it is the second attention of its block.
    """

    path: str
    kind: Kind
    attention: nn.Module
    transformer: nn.Module
    norm: nn.Module
    is_second: bool


def attention_sites(unet: nn.Module, blocks: Blocks = "all") -> list[Site]:
    """Every attention layer of a ``UNet3DConditionModel`` in the chosen blocks, in module order."""
    sites = []
    for path, module in unet.named_modules():
        match = _ATTENTION.search(path)
        if not match or not hasattr(module, "to_q") or (blocks == "mid_up" and not _MID_UP.match(path)):
            continue
        is_second = match["leaf"] == "attn2"
        kind: Kind = "temporal" if _TEMPORAL.search(path) else "cross" if is_second else "spatial"
        block = path.rpartition(".")[0]
        sites.append(
            Site(
                path=path,
                kind=kind,
                attention=module,
                transformer=unet.get_submodule(path[: match.start()]),
                norm=unet.get_submodule(f"{block}.norm2" if is_second else f"{block}.norm1"),
                is_second=is_second,
            )
        )
    return sites
