# SPDX-License-Identifier: GPL-3.0-or-later
"""Wan 2.1 and 2.2, from text and from a picture: ``WanTransformer3DModel`` with a causal video autoencoder.

Layout (diffusers, models/transformers/transformer_wan.py; F x h x w tokens, patches of the latents):

=====  ==================  ======================  ===============================
kind   module path         queries (rows, tokens)  keys
=====  ==================  ======================  ===============================
full   ``blocks.i.attn1``  (batch, F*h*w)          the same
cross  ``blocks.i.attn2``  (batch, F*h*w)          text tokens, padded with zeros
=====  ==================  ======================  ===============================

Wan 2.2 A14B has two denoisers, one for each half of the noise levels; in TI2V-5B a token covers 32 pixels,
and every token has a timestep of its own. The text is padded with zeros that nothing masks: they are read as
any other token, and belong to whom ``special_tokens`` says.

A first frame comes in by four ways (pipeline_wan_i2v.py, pipeline_wan_vace.py). In each the tokens of the
first latent frame hold it, and no others do, so these are the ones that belong to no group:

- TI2V-5B: its latents are pasted in as they are, at timestep 0.
- I2V-A14B: as channels beside the noise, empty where nothing is given.
- I2V 2.1: so, too, and ``attn2`` attends by itself, in a call of its own, to 257 tokens that CLIP makes of
  the whole picture. They are no words and stand for no place in it, every one having seen all others; and
  what they say, how things look, is asked for everywhere. So every token sees them, as without masks.
- VACE: as latents and a mask into a second, shallower stream of blocks, ``vace_blocks``, which has the same
  tokens as ``blocks`` and puts its results into them. Masks act in both: what one stream keeps apart, the
  other would mix.

A last frame shares its latent frame with three that are to be made: that one stays in its groups.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import EngineError
from .family import Cells, Codec, Configs, Family, Grid, Layers, Text, Trial, first_and_last
from .transformers import STRONG

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    sizes = call["hidden_states"].shape[2:]  # (batch, channels, frames, h, w)
    return Grid(*(size // patch for size, patch in zip(sizes, denoiser.config.patch_size, strict=True)))


def _cells(configs: Configs) -> Cells:
    vae, denoiser = configs["vae"], configs.get("transformer") or configs["transformer_2"]
    frames, height, _ = denoiser["patch_size"]
    return Cells(
        pixels=height * (vae.get("scale_factor_spatial") or 8),
        frames=frames * (vae.get("scale_factor_temporal") or 4),
    )


def _clean(pipe, text: str) -> str:
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    return prompt_clean(text)


def _prepare(pipe) -> None:
    """Give the classes that take pictures the cleaning of text that ``WanPipeline`` has.

    It is the same, but for asking whether ftfy is there before it calls it (diffusers 0.42.1).
    """
    from diffusers.pipelines.wan import pipeline_wan

    for cls in type(pipe).__mro__:
        if cls.__name__ in WAN.pipelines:
            sys.modules[cls.__module__].basic_clean = pipeline_wan.basic_clean  # type: ignore[attr-defined]


PROMPT_LENGTH = 512
"""Tokens that I2V 2.1 takes for its prompt, whatever it is given: those before are the picture's
(``WanAttnProcessor``, transformer_wan.py)."""


def _reads_clip(config: Mapping[str, Any]) -> bool:
    return config.get("image_dim") is not None


def _length(pipe, call: Mapping[str, Any]) -> int:
    length = call["max_sequence_length"]
    denoiser = pipe.transformer or pipe.transformer_2  # neither where tokenizers alone are loaded
    if length != PROMPT_LENGTH and denoiser is not None and _reads_clip(denoiser.config):
        raise EngineError(
            "bad_option",
            f"max_sequence_length is {length}; this model reads prompts of {PROMPT_LENGTH} tokens only.",
        )
    return length


CLIP_TOKENS = 257
"""Tokens that CLIP makes of a picture, for I2V 2.1."""


CAUSAL_FRAMES = 3
"""Latent frames after which the autoencoder's memory of earlier ones is full."""


def _trial(denoiser, vae, index: Mapping[str, Any], grid: Grid, halves: int) -> Trial:
    import torch

    config, own = denoiser.config, {"dtype": denoiser.dtype}
    sizes = [size * patch for size, patch in zip(grid, config.patch_size, strict=True)]
    # TI2V-5B has a timestep, and all that is made of it, for each token.
    times = (1, math.prod(grid)) if index.get("expand_timesteps") else (1,)
    call = {
        "hidden_states": torch.empty(1, config.in_channels, *sizes, **own),
        "timestep": torch.empty(times, dtype=torch.int64),
        "encoder_hidden_states": torch.empty(1, PROMPT_LENGTH, config.text_dim, **own),
    }
    if _reads_clip(config):
        call["encoder_hidden_states_image"] = torch.empty(1, CLIP_TOKENS, config.image_dim, **own)
    if vace := config.get("vace_layers"):
        call["control_hidden_states"] = torch.empty(1, config.vace_in_channels, *sizes, **own)
        call["control_hidden_states_scale"] = torch.empty(len(vace), **own)
    # It decodes one latent frame after the other, and remembers the last two.
    some = min(sizes[0], CAUSAL_FRAMES), *sizes[1:]
    latents = torch.empty(1, vae.config.z_dim, *some, dtype=vae.dtype)
    return Trial(call, latents, frames=1 + (sizes[0] - 1) * vae.config.scale_factor_temporal)


def _pictures(pipe, first: Image, last: Image | None, frames: int) -> dict[str, Any]:
    """Keywords for pictures; VACE is given a clip, grey where it is to be made, and a mask, white there."""
    if type(pipe).__name__ != "WanVACEPipeline":
        return first_and_last(pipe, first, last, frames)
    from PIL import Image

    video = [first, *[Image.new("RGB", first.size, (128, 128, 128))] * (frames - 1)]
    mask = [Image.new("L", first.size, 0), *[Image.new("L", first.size, 255)] * (frames - 1)]
    if last is not None:
        video[-1], mask[-1] = last, mask[0]
    return {"video": video, "mask": mask}


def _scale(vae, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of an autoencoder's latents, each (1, channels, 1, 1, 1)."""
    stated = (vae.config.latents_mean, vae.config.latents_std)
    mean, deviation = (latents.new_tensor(values).view(1, -1, 1, 1, 1) for values in stated)
    return mean, deviation


def _decoded(pipe, latents: torch.Tensor) -> torch.Tensor:
    latents = latents.to(pipe.vae.dtype)
    mean, deviation = _scale(pipe.vae, latents)
    return pipe.vae.decode(latents * deviation + mean, return_dict=False)[0]


def _encoded(pipe, pictures: torch.Tensor) -> torch.Tensor:
    latents = pipe.vae.encode(pictures.to(pipe.vae.dtype)).latent_dist.mode()
    mean, deviation = _scale(pipe.vae, latents)
    return (latents - mean) / deviation


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The middle frame of the latents, (batch, channels, frames, h, w), as if it were the first of a clip."""
    middle = latents.shape[2] // 2
    return _decoded(pipe, latents[:1, :, middle : middle + 1])[0, :, 0]


WAN = Family(
    name="Wan",
    pipelines=("WanPipeline", "WanImageToVideoPipeline", "WanVACEPipeline", "WanVideoToVideoPipeline"),
    given_picture=frozenset({"WanImageToVideoPipeline"}),
    from_picture={"WanPipeline": "WanImageToVideoPipeline"},
    pictures=_pictures,
    denoisers=("transformer", "transformer_2"),
    layers=(
        Layers(r"blocks\.\d+\.attn1", "full", "clip"),
        Layers(r"blocks\.\d+\.attn2", "cross", "clip"),
        Layers(r"vace_blocks\.\d+\.attn1", "full", "clip", stream="vace"),
        Layers(r"vace_blocks\.\d+\.attn2", "cross", "clip", stream="vace"),
    ),
    grid=_grid,
    cells=_cells,
    text=Text(clean=_clean, length=_length),
    halves="two calls",
    reads_contexts=lambda configs: not _reads_clip(configs.get("transformer") or configs["transformer_2"]),
    picture=_picture,
    prepare=_prepare,
    trial=_trial,
    half="bfloat16",
    single=("vae",),
    presets={"strong": STRONG},
    # By the tables of the same page: a token that a subject but touches reads its words, and where it ends is
    # told finer than tokens, and then frame by frame.
    silhouettes={"cell_share": 0.1, "outline": 3.5, "redraws": 1, "redraw_until": 0.7},
    outlines=True,
    codec=Codec(_decoded, _encoded),
)
