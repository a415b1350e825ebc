# SPDX-License-Identifier: GPL-3.0-or-later
"""HunyuanVideo 1.5, from text or a picture: ``HunyuanVideo15Transformer3DModel``.

Layout (diffusers, models/transformers/transformer_hunyuan_video15.py; F x h x w tokens of 4 frames and
16 x 16 pixels):

==========  =============================  ================================================================
kind        module path                    one row, where all attend to all
==========  =============================  ================================================================
joint       ``transformer_blocks.i.attn``  (batch, F*h*w + text): the clip, then what is read of the picture,
                                           of the letters and of the prompt, then what is not read of them
left alone  ``context_embedder.*``         the prompt among itself
==========  =============================  ================================================================

The prompt is told to Qwen2.5-VL in a chat whose beginning is cut off again. What stands in quotes is read
letter by letter by ByT5 besides; those tokens belong to nobody and are seen by all. From text alone the
tokens of a picture are not read.

A picture to start from comes in twice: as channels beside the noise of the first latent frame, and as tokens
of SigLIP, none of which stands for a place, and which are seen by all. The size of the clip follows from its
shape. Other weights are made for it than for text alone.

The pipelines have no callback, and their guidance is an object of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EngineError
from ..names import PADDING, SHARED
from .family import Cells, Configs, Family, Grid, Layers, Layout, Text
from .transformers import STRONG

if TYPE_CHECKING:
    import torch

MARK = "\ue000"
"""Of private use: stands for a prompt, to find what is written around it."""


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    frames, rows, columns = call["hidden_states"].shape[2:]  # (batch, channels, frames, h, w)
    across, along = denoiser.config.patch_size, denoiser.config.patch_size_t
    return Grid(frames // along, rows // across, columns // across)


def _cells(configs: Configs) -> Cells:
    vae, denoiser = configs["vae"], configs["transformer"]
    return Cells(
        pixels=vae.get("spatial_compression_ratio", 16) * denoiser.get("patch_size", 1),
        frames=vae.get("temporal_compression_ratio", 4) * denoiser.get("patch_size_t", 1),
    )


def _told(pipe, text: str) -> str:
    """The chat that Qwen2.5-VL reads, as ``_get_mllm_prompt_embeds`` of the pipeline has it."""
    chat = [{"role": "system", "content": pipe.system_message}, {"role": "user", "content": text or " "}]
    return pipe.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)


def _around(pipe) -> tuple[str, str]:
    before, _, behind = _told(pipe, MARK).partition(MARK)
    return before, behind


def _clean(pipe, text: str) -> str:
    before, behind = _around(pipe)
    return _told(pipe, text).removeprefix(before).removesuffix(behind)


def _layout(pipe) -> Layout:
    before, behind = _around(pipe)
    return Layout(before, behind, skipped=pipe.prompt_template_encode_start_idx, pads="masked")


def _beside(call: Mapping[str, Any], labels: np.ndarray) -> np.ndarray:
    """What is read first, and in which order: as the denoiser's ``forward`` puts it together."""
    read, letters = (
        call[name][0].bool().cpu().numpy() for name in ("encoder_attention_mask", "encoder_attention_mask_2")
    )
    picture = call["image_embeds"]
    shown = picture.shape[1] if bool((picture != 0).any()) else 0
    prompt = labels[read]
    unread = picture.shape[1] + len(letters) + len(read) - shown - letters.sum() - len(prompt)
    return np.concatenate([np.full(shown + letters.sum(), SHARED), prompt, np.full(unread, PADDING)])


def _arguments(pipe, usual: dict[str, Any]) -> dict[str, Any]:
    pipe.guider = pipe.guider.new(guidance_scale=usual["guidance_scale"])
    told = {"guidance_scale"}
    if "image" in usual:
        asked = (usual["height"], usual["width"])
        height, width = pipe.video_processor.calculate_default_height_width(*asked, pipe.target_size)
        if (height, width) != asked:
            raise EngineError(
                "bad_size",
                f"Of a picture of this shape this model makes clips of {width} x {height}, not {asked[1]} x "
                f"{asked[0]}; take that size.",
            )
        told |= {"height", "width"}
    return {name: value for name, value in usual.items() if name not in told}


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The middle frame of the latents, (batch, channels, frames, h, w), as if it were the first of a clip."""
    vae, middle = pipe.vae, latents.shape[2] // 2
    of_frame = latents[:1, :, middle : middle + 1].to(vae.dtype) / vae.config.scaling_factor
    return vae.decode(of_frame, return_dict=False)[0][0, :, 0]


def _prepare(pipe) -> None:
    pipe.vae.enable_tiling()  # all at once would take the most memory of the run


HUNYUAN15 = Family(
    name="Hunyuan15",
    pipelines=("HunyuanVideo15Pipeline", "HunyuanVideo15ImageToVideoPipeline"),
    given_picture=frozenset({"HunyuanVideo15ImageToVideoPipeline"}),
    denoisers=("transformer",),
    layers=(Layers(r"transformer_blocks\.\d+\.attn", "joint", "clip"),),
    left_alone=(r"context_embedder\.",),
    grid=_grid,
    cells=_cells,
    text=Text(
        clean=_clean,
        length=lambda pipe, call: pipe.tokenizer_max_length,
        layout=_layout,
        halves=lambda encoded: (encoded[0], None),
        apart=True,
    ),
    halves="two calls",
    picture=_picture,
    arguments=_arguments,
    prepare=_prepare,
    half="bfloat16",
    # Here one layer masks words and pixels. As in the other transformers it is words alone: in no layer do
    # pixels see only their own.
    presets={"strong": {**STRONG, "kinds": ("joint",), "self_share": 0.0}},
    contrast=False,  # what stands behind the text would be mixed into it
    beside=_beside,
)
