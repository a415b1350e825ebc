# SPDX-License-Identifier: GPL-3.0-or-later
"""The one call of a pipeline, for jobs and for the benchmark alike: what is asked of it, and its frames."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .control.interception import wrapped_method
from .control.steps import Steps
from .errors import EngineError
from .loading import LoadedModel, out_of_memory
from .schedules import Schedule, follows

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Sampling:
    """How a clip is denoised; a ``schedule`` has so many steps, and the caller has the pipeline follow it."""

    num_inference_steps: int
    guidance_scale: float
    schedule: Schedule | None = None

    def described(self) -> dict[str, Any]:
        """All of it, as plain data."""
        plain: dict[str, Any] = {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
        }
        return plain | ({"schedule": self.schedule.model_dump(mode="json")} if self.schedule else {})


@dataclass(frozen=True)
class Shot:
    """What a clip shows, and from which noise it is made.

    Args:
        prompt, negative_prompt: its text.
        num_frames, height, width: its size, in frames and pixels.
        seed: of the noise.
        first_frame, last_frame: pictures of that size to start from and to end with.
        source: frames of that size, as many, of a clip to make anew.
        source_strength: share of the sampling that is done to it.
        rate: frames a second at which all of them are played; None as the model was trained.
    """

    prompt: str
    num_frames: int
    height: int
    width: int
    seed: int
    negative_prompt: str | None = None
    first_frame: Image | None = None
    last_frame: Image | None = None
    source: tuple[Image, ...] = ()
    source_strength: float = 1.0
    rate: float | None = None

    @property
    def given(self) -> tuple[int, ...]:
        """The frames that are pictures from the start."""
        return (0,) * (self.first_frame is not None) + (-1,) * (self.last_frame is not None)


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
        EngineError: ``out_of_memory``, ``not_finite``, ``held_back``, and what
            :meth:`.ModelEntry.check_pictures` and the pipeline's call raise.
    """
    assert follows(model.pipe, sampling.schedule)
    pipe, entry = model.pipe, model.entry
    entry.check_pictures(shot.first_frame is not None, shot.last_frame is not None)
    call = _call_of(model, shot, sampling)
    told = StepsTold(pipe.scheduler, after_step)
    try:
        with wrapped_method(pipe.scheduler, "step", told.telling):
            made = pipe(**call)
    except torch.OutOfMemoryError as error:
        raise out_of_memory(entry, model.device, model.placement) from error
    finally:
        pipe.maybe_free_model_hooks()  # an exception leaves an offloaded component on the GPU
    frames = _frames_of(made)
    if not np.isfinite(frames).all():
        other = "get the model anew" if model.dtype == "float32" else "take --dtype float32"
        raise EngineError(
            "not_finite",
            f"{entry.title} gave invalid pixels in {model.dtype}; lower the guidance scale, or {other}.",
        )
    return (frames * 255).round().astype(np.uint8)


def _call_of(model: LoadedModel, shot: Shot, sampling: Sampling) -> dict[str, Any]:
    """What a pipeline is called with, by name."""
    pipe, entry = model.pipe, model.entry
    length = entry.max_sequence_length
    own: dict[str, Any] = {} if length is None else {"max_sequence_length": length}
    if shot.first_frame is not None:
        own |= entry.family.pictures(pipe, shot.first_frame, shot.last_frame, shot.num_frames)
    if shot.source:
        own |= {"video": list(shot.source), "strength": shot.source_strength}
    call = entry.family.arguments(
        pipe,
        dict(
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
        ),
    )
    if sampling.schedule and "sigmas" in inspect.signature(type(pipe).__call__).parameters:
        call["sigmas"] = list(sampling.schedule.sigmas)  # for copies of its scheduler, such as that of sound
    if rate := _rate_of(shot, model):
        call["frame_rate"] = rate
    return call


_RATES = 0.5, 2.0
"""A model is told no other rates than these times the one that it was trained at."""


def _rate_of(shot: Shot, model: LoadedModel) -> float | None:
    """What a pipeline is told of its clip's frames a second, None where it does not ask.

    Models whose positions in time are seconds (LTX's rotary embedding: pipeline_ltx.py,
    ``rope_interpolation_scale``) draw as much motion between two frames as there is in that time.
    """
    asked = inspect.signature(type(model.pipe).__call__).parameters.get("frame_rate")
    if asked is None:
        return None
    trained = model.entry.fps or asked.default
    least, most = (share * trained for share in _RATES)
    return min(max(shot.rate or trained, least), most)


def _frames_of(made) -> np.ndarray:
    """What a pipeline made: float (frames, height, width, 3) in 0..1.

    Raises:
        EngineError: ``held_back`` for a picture that the model's safety checker has painted black.
    """
    if any(getattr(made, "nsfw_content_detected", None) or ()):
        raise EngineError(
            "held_back",
            "The model's safety checker holds the picture back; take another seed or prompt, or a model "
            "without a checker.",
        )
    return made.frames[0] if hasattr(made, "frames") else made.images


class StepsTold:
    """Tells of each step of a pipeline that is done, whether or not it has a callback for that.

    Every turn of a pipeline's loop calls the scheduler once, and :class:`.Steps` says which turns end a step.

    Args:
        scheduler: of the pipeline.
        after_step: told the index of each step.
    """

    def __init__(self, scheduler, after_step: Callable[[int], None]):
        self._scheduler, self._after_step = scheduler, after_step
        self._turn: int | None = None
        self._first = self._told = 0

    def telling(self, step: Callable) -> Callable:
        """The scheduler's ``step``, which tells."""

        def stepping(model_output, timestep, *args, **kwargs):
            output = step(model_output, timestep, *args, **kwargs)
            self._count(float(timestep))
            return output

        return stepping

    def _count(self, timestep: float) -> None:
        steps = Steps(self._scheduler)
        if self._turn is None:  # what starts from a clip starts further down
            self._turn = steps.turn(timestep, likely=0)
            self._first = self._told = steps.step(self._turn)
        done = steps.done(self._turn)
        self._turn += 1
        if done > self._told:
            self._after_step(self._told - self._first)
            self._told = done
