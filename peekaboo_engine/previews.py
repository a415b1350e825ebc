# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a clip that is being denoised, at a small share of the time that denoising takes."""

from __future__ import annotations

import functools
import math
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .events import Events
from .pictures import shrink, write_png

if TYPE_CHECKING:
    from diffusers import TextToVideoSDPipeline

SECONDS = 1.0
"""At least so long from one preview to the next."""
SHARE = 0.05
"""Of the time of a job that previews may take at most."""


class Previews:
    """A context in which a pipeline's scheduler is watched for the clean latents that it predicts.

    Their middle frame is decoded. What the pipeline computes is the same with and without.

    Args:
        pipe: that denoises.
        path: of the PNG, which is replaced by each preview and removed in the end; None for no previews.
        events: told of each preview.
    """

    def __init__(self, pipe: TextToVideoSDPipeline, path: Path | None, events: Events):
        self._pipe, self._events = pipe, events
        # An offloaded decoder would push the denoiser out of the GPU, back and forth.
        self._wanted = path is not None and not getattr(pipe, "_all_hooks", None)
        self._path = path or Path("preview.png")
        self._draft = self._path.with_name(f".{self._path.name}")
        self._clean: torch.Tensor | None = None
        self._next = time.perf_counter() + SECONDS

    def __enter__(self) -> Previews:
        if self._wanted:
            scheduler = self._pipe.scheduler
            step = scheduler.step

            @functools.wraps(step)  # the pipeline looks at its signature
            def watched(*arguments, **options):
                output = step(*arguments, **options)
                self._clean = _clean_latents(scheduler, output)
                return output

            scheduler.step = watched
        return self

    def __exit__(self, *_error) -> None:
        if self._wanted:
            del self._pipe.scheduler.step  # the instance's own, over that of its class
            for path in (self._path, self._draft):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

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
        """The middle frame: uint8 (height, width, 3)."""
        vae, middle = self._pipe.vae, len(clean) // 2
        latents = clean[middle : middle + 1].to(vae.dtype) / vae.config.scaling_factor
        decoded = torch.nan_to_num(vae.decode(latents).sample[0].float())
        pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return shrink(pixels.permute(1, 2, 0).cpu().numpy())


def _clean_latents(scheduler, output) -> torch.Tensor | None:
    """The clean latents that a scheduler predicted in its last step: (frames, channels, height, width).

    None where it does not tell.
    """
    if (clean := getattr(output, "pred_original_sample", None)) is not None:
        return clean
    if getattr(scheduler.config, "algorithm_type", None) == "dpmsolver++":
        return scheduler.model_outputs[-1]
    return None
