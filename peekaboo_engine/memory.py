# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clip takes of a GPU's memory besides the weights, foreseen by running its networks without numbers.

On torch's ``meta`` device every operation of a network's own code says which tensors it makes, of which shape
and type, and computes nothing. One call of the denoiser and one of the decoder are run so, at the size of the
clip, and what lives at a time is counted. Of attention only the result counts, and copies of what it reads,
as masks make them (:mod:`.control.attention`): no kernel that is used on a GPU keeps all pairs.

A convolution counts a copy of what it is given, which its kernels lay out anew. What libraries take for
themselves besides (CUDA's own memory, gaps between blocks) is not counted.
"""

from __future__ import annotations

import json
import logging
import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .families import Family, Grid
from .placement import Needs

if TYPE_CHECKING:
    from torch import nn

_log = logging.getLogger(__name__)


class _Living(TorchDispatchMode):
    """Counts bytes of the tensors that are made while it is on, and the most that lived at a time."""

    def __init__(self, network: nn.Module):
        super().__init__()
        weights = (*network.parameters(), *network.buffers())
        self._known = {part.untyped_storage()._cdata for part in weights}
        self._now = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for part in tree_leaves(made):
            if isinstance(part, torch.Tensor):
                self._count(part.untyped_storage())
        if function is torch.ops.aten.convolution.default:  # works in another copy of what it is given
            self.most = max(self.most, self._now + args[0].nbytes)
        return made

    def _count(self, storage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self._known:
            return
        self._known.add(name)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._forget, name, size)

    def _forget(self, name: int, size: int) -> None:
        self._known.discard(name)
        self._now -= size


class _NoPairs(TorchFunctionMode):
    """Attention that makes its result, beside copies of what it reads."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.nn.functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        named = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        copies = [torch.empty_like(named[part]) for part in ("query", "key", "value")]
        return copies[0].new_empty(*copies[0].shape[:-1], copies[2].shape[-1])


def most_alive(network: nn.Module, run) -> int:
    """Most bytes that live at a time, weights aside, while a network on the ``meta`` device runs."""
    living = _Living(network)
    with torch.no_grad(), torch.device("meta"), _NoPairs(), living:
        run()
    return living.most


@dataclass(frozen=True)
class _Networks:
    """The networks of a model's folder without their numbers, and what its index states."""

    denoiser: Any
    vae: Any
    index: Mapping[str, Any]


def _networks(family: Family, folder: Path, adapter: Path | None, dtype: torch.dtype) -> _Networks:
    import diffusers

    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))

    def made(part: str, place: Path, dtype: torch.dtype, of: str | None = None):
        cls = getattr(diffusers, of or index[part][1])
        return cls.from_config(cls.load_config(place)).eval().to(dtype)

    with torch.device("meta"):
        name = next(part for part in family.denoisers if index.get(part, [None])[0])
        denoiser = made(name, folder / name, dtype)
        if adapter is None and index.get("motion_adapter", [None])[0]:
            adapter = folder / "motion_adapter"
        if adapter is not None and isinstance(denoiser, diffusers.UNet2DConditionModel):
            motion = made("motion_adapter", adapter, dtype, "MotionAdapter")
            denoiser = diffusers.UNetMotionModel.from_unet2d(denoiser, motion, load_weights=False).to(dtype)
        vae = made("vae", folder / "vae", torch.float32 if "vae" in family.single else dtype)
    return _Networks(denoiser, vae, index)


def foresee(
    family: Family, folder: Path, grid: Grid, guided: bool, dtype: torch.dtype, adapter: Path | None = None
) -> Needs | None:
    """What a clip of some size takes besides the weights of its model.

    Args:
        family: of the model.
        folder: where it lies; configurations alone are read.
        grid: size of the clip in tokens.
        guided: whether each step has two halves.
        dtype: that denoisers run in.
        adapter: the folder of a motion adapter that is not within.

    Returns:
        None where it cannot be foreseen: nobody has written for the family how, or its networks do not run
        without numbers, which the log says.
    """
    if family.trial is None:
        return None
    try:
        return _foreseen(family, _networks(family, folder, adapter, dtype), grid, guided)
    except Exception as error:  # of diffusers and torch, whatever they do with what is in the folder
        _log.warning("what a clip takes of memory could not be foreseen: %s: %s", type(error).__name__, error)
        return None


def _foreseen(family: Family, networks: _Networks, grid: Grid, guided: bool) -> Needs:
    assert family.trial is not None
    denoiser, vae = networks.denoiser, networks.vae
    halves = 2 if guided and family.halves == "one batch" else 1
    with torch.device("meta"):
        trial = family.trial(denoiser, vae, networks.index, grid, halves)
    vae = vae.to(trial.latents.dtype)
    decoded: list[torch.Tensor] = []

    def decoding(latents: torch.Tensor) -> int:
        def run() -> None:
            decoded.append(vae.decode(latents, return_dict=False, **trial.decode)[0])

        return most_alive(vae, run)

    at_once = decoding(trial.latents)
    picture = decoded.pop()
    frames = math.prod(picture.shape) // math.prod(picture.shape[-2:]) // 3
    clip = picture.nbytes // frames * (trial.frames or frames)
    waiting = clip - picture.nbytes
    # In the end there are pieces, all of them in a row, and that in single precision.
    together = clip * (2 + 4 / picture.element_size())
    whole = max(at_once + waiting, together)
    tile, share = _tile(vae, trial.latents)
    tiled = None
    if share:  # tiles overlap, and wait for one another and for what is made of them
        tiled = min(whole, max(decoding(tile) + share * clip, share * clip + together))
    return Needs(
        denoising=most_alive(denoiser, lambda: denoiser(**trial.call, return_dict=False)) / 1e9,
        decoding=whole / 1e9,
        decoding_tiled=tiled and tiled / 1e9,
        decoder=sum(part.nbytes for part in vae.parameters()) / 1e9,
    )


def _tile(vae, latents: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The first tile of latents, and how much larger all tiles are than what they cover; 0 without tiles."""
    if not hasattr(vae, "enable_tiling"):
        return latents, 0
    if hasattr(vae, "tile_latent_min_size"):  # that of Stable Diffusion
        sides = 2 * [vae.tile_latent_min_size]
        shares = 2 * [1 / (1 - vae.tile_overlap_factor)]
    else:
        tile = vae.tile_sample_min_height, vae.tile_sample_min_width
        stride = vae.tile_sample_stride_height, vae.tile_sample_stride_width
        sides = [side // vae.spatial_compression_ratio for side in tile]
        shares = [one / step for one, step in zip(tile, stride, strict=True)]
    return latents[..., : sides[0], : sides[1]], math.prod(shares)
