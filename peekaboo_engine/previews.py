# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a clip that is being denoised, at a small share of the time that denoising takes."""

from __future__ import annotations

import functools
import math
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .control.interception import wrapped_method
from .control.levels import counts_flow
from .events import Events
from .families import Grid
from .pictures import shrink, write_png

if TYPE_CHECKING:
    from .loading import LoadedModel

SECONDS = 1.0
"""At least so long from one preview to the next."""
SHARE = 0.05
"""Of the time of a job that previews may take at most."""


class Previews:
    """A context in which a pipeline's scheduler is watched for the clean latents that it predicts.

    One frame of them is decoded. What the pipeline computes is the same with and without.

    Args:
        model: that denoises.
        grid: size of the clip in tokens.
        path: of the PNG, which is replaced by each preview and removed in the end; None for no previews.
        events: told of each preview.
    """

    def __init__(self, model: LoadedModel, grid: Grid, path: Path | None, events: Events):
        self._pipe, self._family, self._events = model.pipe, model.entry.family, events
        self._grid = grid
        # An offloaded decoder would push the denoiser out of the GPU, back and forth.
        self._wanted = path is not None and not getattr(self._pipe, "_all_hooks", None)
        self._path = path or Path("preview.png")
        self._draft = self._path.with_name(f".{self._path.name}")
        self._clean: torch.Tensor | None = None
        self._watching = ExitStack()
        self._next = time.perf_counter() + SECONDS

    def __enter__(self) -> Previews:
        if self._wanted:
            self._watching.enter_context(wrapped_method(self._pipe.scheduler, "step", self._watched))
        return self

    def __exit__(self, *_error) -> None:
        self._watching.close()
        if self._wanted:
            for path in (self._path, self._draft):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _watched(self, step):
        """The scheduler's step, from which the clean latents that it predicts are taken."""
        scheduler = self._pipe.scheduler

        @functools.wraps(step)  # the pipeline looks at its signature
        def watched(model_output, timestep, sample, *arguments, return_dict=True, **options):
            output = step(model_output, timestep, sample, *arguments, return_dict=True, **options)
            self._clean = clean_latents(scheduler, output, timestep, model_output, sample)
            return output if return_dict else output.to_tuple()

        return watched

    def offer(self) -> None:
        """Make a preview if it is time for one; called between two steps.

        A disk that does not take it ends the previews, not the job.
        """
        begun = time.perf_counter()
        if not self._wanted or self._clean is None or begun < self._next:
            return
        try:
            write_png(self._draft, self._picture(self._clean))
            self._draft.replace(self._path)
        except OSError as error:
            print(f"no more previews: {error}", file=sys.stderr)
            self._next = math.inf
            return
        self._events.preview(self._path)
        now = time.perf_counter()
        self._next = now + max(SECONDS, (now - begun) / SHARE)

    @torch.no_grad()
    def _picture(self, clean: torch.Tensor) -> np.ndarray:
        """One frame: uint8 (height, width, 3)."""
        latents = self._family.unpacked(clean, self._grid)
        decoded = torch.nan_to_num(self._family.picture(self._pipe, latents).float())
        pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return shrink(pixels.permute(1, 2, 0).cpu().numpy())


def clean_latents(
    scheduler, output, timestep, model_output: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor | None:
    """The clean latents that a scheduler predicted in its last step, shaped as ``sample``.

    None where it does not tell.

    Args:
        scheduler: after the step.
        output: what the step returned.
        timestep, model_output, sample: what it was given.
    """
    if (clean := getattr(output, "pred_original_sample", None)) is not None:
        return clean
    config = scheduler.config
    if config.get("algorithm_type") == "dpmsolver++" or config.get("predict_x0"):
        return scheduler.model_outputs[-1]  # converted to it
    if counts_flow(scheduler) and scheduler.step_index:
        sigma = scheduler.sigmas[scheduler.step_index - 1]
        return sample - sigma * model_output  # the sample is clean + sigma * flow
    if hasattr(scheduler, "alphas_cumprod") and not hasattr(scheduler, "sigmas"):  # PNDM
        alpha = scheduler.alphas_cumprod[int(timestep)]
        if config.prediction_type == "epsilon":
            return (sample - (1 - alpha).sqrt() * model_output) / alpha.sqrt()
        if config.prediction_type == "v_prediction":
            return alpha.sqrt() * sample - (1 - alpha).sqrt() * model_output
    return None
