# SPDX-License-Identifier: GPL-3.0-or-later
"""AnimateDiff, clips by a Stable Diffusion 1.5 with a motion adapter: ``UNetMotionModel``.

Layout (diffusers, models/unets/unet_motion_model.py; F frames, h x w cells):

========  ===============================  =======================  ===========
kind      module path                      queries (rows, tokens)   keys
========  ===============================  =======================  ===========
spatial   ``*.attentions.j.*.attn1``       (batch*F, h*w)           the same
cross     ``*.attentions.j.*.attn2``       (batch*F, h*w)           text tokens
temporal  ``*.motion_modules.j.*.attn*``   (batch*h*w, F)           the same
========  ===============================  =======================  ===========

In motion modules ``attn2`` is a second *self*-attention along time. The pipeline itself repeats the text for
each frame (pipelines/animatediff/pipeline_animatediff.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .family import Cells, Configs, Family, Grid, Layers, Trial
from .unets import OF_FRAMES, clip_text, decode_frame_by_frame, decoded, pixels_of, trial_of_frames

if TYPE_CHECKING:
    import torch

_MOTION = r"(?P<level>.*\.motion_modules\.\d+)\.transformer_blocks\.\d+"


def _grid(denoiser, call: Mapping[str, Any]) -> Grid:
    return Grid(*call["sample"].shape[2:])  # (batch, channels, frames, h, w)


def _cells(configs: Configs) -> Cells:
    # The adapter knows no place in time beyond its last.
    return Cells(pixels=pixels_of(configs), most=configs["motion_adapter"]["motion_max_seq_length"])


def _picture(pipe, latents: torch.Tensor) -> torch.Tensor:
    """The middle frame of the latents, (batch, channels, frames, h, w)."""
    return decoded(pipe, latents[:1, :, latents.shape[2] // 2])


def _trial(denoiser, vae, index: Mapping[str, Any], grid: Grid, halves: int) -> Trial:
    of_frames = trial_of_frames(denoiser, vae, index, grid, halves)
    text = of_frames.call["encoder_hidden_states"].repeat_interleave(grid.frames, dim=0)
    return of_frames._replace(call={**of_frames.call, "encoder_hidden_states": text})


def _adapted(folder: Path, adapter: Path, dtype: torch.dtype) -> dict[str, Any]:
    """A motion adapter for a Stable Diffusion, and the noise schedule that such adapters were trained on.

    As diffusers' documentation of AnimateDiff sets it, since the schedule of the folder is that of pictures.
    """
    from diffusers import DDIMScheduler, MotionAdapter

    return {
        "motion_adapter": MotionAdapter.from_pretrained(adapter, torch_dtype=dtype, local_files_only=True),
        "scheduler": DDIMScheduler.from_pretrained(
            folder,
            subfolder="scheduler",
            beta_schedule="linear",
            clip_sample=False,
            steps_offset=1,
            timestep_spacing="linspace",
        ),
    }


ANIMATEDIFF = Family(
    name="AnimateDiff",
    pipelines=("AnimateDiffPipeline",),
    denoisers=("unet",),
    layers=(Layers(rf"{_MOTION}\.attn[12]", "temporal", "pixels"), *OF_FRAMES),
    grid=_grid,
    cells=_cells,
    text=clip_text(per_frame=True),
    halves="one batch",
    picture=_picture,
    adapted=_adapted,
    trial=_trial,
    prepare=decode_frame_by_frame,
    blocks={"all": "", "mid_up": r"(mid_block|up_blocks)\."},
)
