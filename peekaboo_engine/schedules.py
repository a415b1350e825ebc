# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules of few steps: the noise levels that a distilled model was trained at, and what belongs to them.

A distilled model knows the few noise levels of its training and no others, and which ones a number of steps
means depends on the scheduler: with shift 5, four steps of Euler as diffusers sets it up begin at 1, .910,
.717 and .024, those of UniPC at 1, .9375, .833 and .625, of which lightx2v's LoRAs know the latter. So a
schedule states them itself. The schedules are ``schedules.json``: data that Blender's side reads too.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from .control.interception import wrapped_forwards, wrapped_method
from .errors import EngineError
from .families import Family
from .loras import LoraFile, activate

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler

NO_SCHEDULE = "none"
"""Asks for the pipeline's own scheduler, where a model has a schedule of its own."""


class Schedule(BaseModel):
    """A schedule of few steps.

    Args:
        title, description: for people.
        families: of models that it is for, by name.
        sigmas: noise level at the beginning of each step, from 1 down; the last step ends at 0.
        guidance_scale: of all steps, or of those that are guided; 1 is without.
        guided_steps: so many first steps are guided, without the LoRA that distils; the others are not
            guided. 0: there is no such head.
        renoised: each step predicts the clean clip and adds new noise to it, as models that are distilled by
            matching distributions are sampled (DMD, arXiv 2311.18828); otherwise steps are Euler's.
        distils: what makes so few steps possible: a LoRA, or the model itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    description: str
    families: tuple[str, ...]
    sigmas: tuple[float, ...]
    guidance_scale: float
    guided_steps: int = 0
    renoised: bool = False
    distils: Literal["lora", "model"]

    @property
    def steps(self) -> int:
        """Number of its denoising steps."""
        return len(self.sigmas)


@functools.cache
def schedules() -> dict[str, Schedule]:
    """The schedules known by name."""
    data = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {name: Schedule(**entry) for name, entry in data.items()}


def find_schedule(name: str | None, family: Family) -> Schedule | None:
    """The schedule of a name, for a family of models; None for none.

    Raises:
        EngineError: ``bad_option`` for an unknown one, or one of another family.
    """
    if name is None or name == NO_SCHEDULE:
        return None
    fitting = [each for each, schedule in schedules().items() if family.name in schedule.families]
    if name not in fitting:
        known = schedules().get(name)
        reason = f"is for models of {', '.join(known.families)}" if known else "is none that is known"
        choices = " or ".join(f'"{each}"' for each in [NO_SCHEDULE, *fitting])
        raise EngineError(
            "bad_option", f'The schedule "{name}" {reason}; for models of {family.name} take {choices}.'
        )
    return schedules()[name]


@contextmanager
def following(
    pipe: DiffusionPipeline, family: Family, schedule: Schedule | None, loras: Sequence[LoraFile], seed: int
) -> Iterator[None]:
    """Have a pipeline follow a schedule, whatever its own scheduler is; it is as before afterwards.

    Args:
        pipe: of the family; its call is to ask for the schedule's guidance scale and number of steps.
        family: it is one of the schedule's.
        schedule: None changes nothing.
        loras: that are on the pipeline.
        seed: of the noise of a schedule that adds some.

    Raises:
        EngineError: ``bad_option`` for a guided head without a LoRA that distils, or in a family whose
            pipelines run both halves of guidance in one call.
    """
    if schedule is None:
        yield
        return
    with ExitStack() as stack:
        own: Any = pipe.scheduler
        pipe.scheduler = scheduler = _scheduler(schedule)
        stack.callback(setattr, pipe, "scheduler", own)
        stack.enter_context(wrapped_method(scheduler, "set_timesteps", functools.partial(_pinned, schedule)))
        stack.enter_context(wrapped_method(scheduler, "step", functools.partial(_seeded, new_noise(seed))))
        if schedule.guided_steps:
            _enter_head(stack, pipe, family, schedule, loras)
        yield


def new_noise(seed: int) -> torch.Generator:
    """Where a schedule that adds noise takes it from.

    Of a seed made of the clip's: the seed itself would give the first step the noise that it began with once
    more, which the pipeline draws of it.
    """
    import torch

    own = np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)
    return torch.Generator("cpu").manual_seed(int(own[0]))


def follows(pipe: DiffusionPipeline, schedule: Schedule | None) -> bool:
    """Whether a pipeline follows a schedule, or there is none."""
    return schedule is None or vars(pipe.scheduler).get("schedule") is schedule


def _scheduler(schedule: Schedule) -> FlowMatchEulerDiscreteScheduler:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, stochastic_sampling=schedule.renoised)
    scheduler.schedule = schedule
    return scheduler


def _pinned(schedule: Schedule, set_timesteps: Callable) -> Callable:
    """A scheduler's ``set_timesteps``, which sets those of the schedule whatever it is asked for."""

    @functools.wraps(set_timesteps)  # pipelines look at its signature
    def pinned(*args, device=None, **kwargs):
        set_timesteps(sigmas=list(schedule.sigmas), device=device)

    return pinned


def _seeded(noise, step: Callable) -> Callable:
    """A scheduler's ``step``, whose noise comes from a generator: pipelines give it none."""

    @functools.wraps(step)
    def seeded(*args, **kwargs):
        return step(*args, **{"generator": noise, **kwargs})

    return seeded


def _enter_head(
    stack: ExitStack,
    pipe: DiffusionPipeline,
    family: Family,
    schedule: Schedule,
    loras: Sequence[LoraFile],
) -> None:
    """Have the first steps guided and undistilled, and spare the others their second call."""
    if not any(file.lora.distils for file in loras):
        raise EngineError(
            "bad_option",
            f"{schedule.title} leaves the LoRA that distils off for its first steps, and there is none; say "
            'which it is ("distils" of a LoRA, or Distils in the panel).',
        )
    if family.halves != "two calls":
        raise EngineError(
            "bad_option",
            f"{family.name} models run both halves of guidance in one call, so {schedule.title} cannot leave "
            "one out; take another schedule.",
        )
    head = _Head(pipe, schedule.guided_steps, loras)
    held = [getattr(pipe, name, None) for name in family.denoisers]
    activate(pipe, loras, distilled=False)
    stack.callback(activate, pipe, loras)
    stack.enter_context(wrapped_method(pipe.scheduler, "step", head.counting))
    stack.enter_context(wrapped_forwards({part: head.wrap for part in held if part is not None}))


class _Head:
    """A guided head: which step it is, and what the first of a step's two calls gave.

    The pipeline guides all steps: uncond + scale * (cond - uncond). Where the second call gives what the
    first gave, that is cond to the bit, as without guidance.
    """

    def __init__(self, pipe: DiffusionPipeline, steps: int, loras: Sequence[LoraFile]):
        self._pipe, self._steps, self._loras = pipe, steps, loras
        self._done = 0
        self._first: Any = None

    def counting(self, step: Callable) -> Callable:
        """The scheduler's ``step``, counted."""

        @functools.wraps(step)
        def counted(*args, **kwargs):
            out = step(*args, **kwargs)
            self._done += 1
            self._first = None
            if self._done == self._steps:
                activate(self._pipe, self._loras)
            return out

        return counted

    def wrap(self, forward: Callable) -> Callable:
        """A denoiser's ``forward``."""

        @functools.wraps(forward)
        def once(*args, **kwargs):
            if self._done < self._steps:
                return forward(*args, **kwargs)
            if self._first is None:
                self._first = forward(*args, **kwargs)
            return self._first

        return once
