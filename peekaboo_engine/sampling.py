# SPDX-License-Identifier: GPL-3.0-or-later
"""The one call of a pipeline, for jobs and for the benchmark alike: what is asked of it, and its frames."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .control.steps import Steps
from .errors import EngineError
from .models import LoadedModel, out_of_memory


@dataclass(frozen=True)
class Sampling:
    """How a clip is denoised."""

    num_inference_steps: int
    guidance_scale: float


@dataclass(frozen=True)
class Shot:
    """What a clip shows, and from which noise it is made.

    Args:
        prompt, negative_prompt: its text.
        num_frames, height, width: its size, in frames and pixels.
        seed: of the noise.
    """

    prompt: str
    num_frames: int
    height: int
    width: int
    seed: int
    negative_prompt: str | None = None


def sample(
    model: LoadedModel, shot: Shot, sampling: Sampling, after_step: Callable[[int], None]
) -> np.ndarray:
    """Run a model; what steers it is in force around this call.

    Args:
        model: a loaded pipeline.
        shot: what to show.
        sampling: how.
        after_step: told the index of each step that is done; raises to end the run.

    Returns:
        uint8 (num_frames, height, width, 3), sRGB.

    Raises:
        EngineError: ``out_of_memory``, ``not_finite``, and what comes out of the pipeline's call.
    """
    length = model.entry.max_sequence_length
    own = {} if length is None else {"max_sequence_length": length}
    try:
        frames = model.pipe(
            prompt=shot.prompt,
            negative_prompt=shot.negative_prompt or None,
            width=shot.width,
            height=shot.height,
            num_frames=shot.num_frames,
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(shot.seed),
            output_type="np",
            **own,
            **_callback(model.pipe, after_step),
        ).frames[0]
    except torch.OutOfMemoryError as error:
        raise out_of_memory(model.entry, model.device) from error
    finally:
        model.pipe.maybe_free_model_hooks()  # an exception leaves an offloaded component on the GPU
    if not np.isfinite(frames).all():
        raise EngineError(
            "not_finite",
            f"{model.entry.title} gave invalid pixels in {model.dtype}; lower the guidance scale, or take "
            "--dtype float32.",
        )
    return (frames * 255).round().astype(np.uint8)


def _callback(pipe, after_step: Callable[[int], None]) -> dict[str, Any]:
    """The keyword by which a pipeline tells of its steps.

    Newer pipelines tell of each turn of their loop, which are two to a step of a second-order scheduler.
    Older ones tell of steps, but their number is off where a scheduler warms up: so they are counted here.
    """
    told = 0

    def tell(steps_done: int) -> None:
        nonlocal told
        if steps_done > told:
            after_step(told)
            told = steps_done

    if "callback_on_step_end" in inspect.signature(pipe.__call__).parameters:

        def after_turn(pipe, turn: int, timestep, tensors: dict[str, Any]) -> dict[str, Any]:
            tell(Steps(pipe.scheduler).done(turn))
            return tensors

        return {"callback_on_step_end": after_turn, "callback_on_step_end_tensor_inputs": []}
    return {"callback": lambda *_: tell(told + 1)}
