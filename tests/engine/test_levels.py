# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise levels against each scheduler's own, and the windows that end at them."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from steered import run
from tiny.unet3d import latents, pipeline

from peekaboo_engine.control.levels import NoiseLevels
from peekaboo_engine.control.windows import Moment, Window


@pytest.mark.parametrize(
    "make",
    [
        lambda: DDIMScheduler(clip_sample=False),
        lambda: EulerDiscreteScheduler(),
        lambda: FlowMatchEulerDiscreteScheduler(shift=3.0),
        lambda: DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    ],
)
@pytest.mark.parametrize("steps", [20, 40])
def test_a_level_is_the_share_of_noise_whatever_the_scheduler(make, steps):
    """Signal and noise coefficients from the scheduler's own `add_noise`, against the level we read."""
    scheduler = make()
    scheduler.set_timesteps(steps)
    levels = NoiseLevels(scheduler)
    one, none = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    add = getattr(scheduler, "add_noise", None) or (
        lambda clip, noise, t: scheduler.scale_noise(clip, t, noise)
    )
    seen = []
    for timestep in scheduler.timesteps:
        at = timestep[None]
        signal, noise = add(one, none, at).item(), add(none, one, at).item()
        assert levels.at(float(timestep)) == pytest.approx(noise / (signal + noise), abs=1e-3)
        seen.append(levels.at(float(timestep)))
    assert seen == sorted(seen, reverse=True)


def test_a_window_ends_at_its_level_with_any_number_of_steps():
    window = Window(0.6)
    for steps in (20, 25, 50):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        scheduler.set_timesteps(steps)
        levels = [NoiseLevels(scheduler).at(float(t)) for t in scheduler.timesteps]
        for step, level in enumerate(levels):
            now = Moment(step, level, levels[0])
            assert window.holds(now, np.ones((1, 1))).all() == (level > 0.6)
            assert (window.left(now) > 0) == (level > 0.6)


@pytest.mark.parametrize("scheduler", [DDIMScheduler(clip_sample=False), None])
def test_a_level_masks_the_same_steps_as_their_number(two_boxes, scheduler):
    pipe = pipeline()
    pipe.scheduler = scheduler or DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    pipe.scheduler.set_timesteps(3)
    first, second = (NoiseLevels(pipe.scheduler).at(float(t)) for t in pipe.scheduler.timesteps[:2])
    level = (first + second) / 2
    assert torch.equal(run(pipe, two_boxes, until=level), run(pipe, two_boxes, masked_steps=1))
    assert torch.equal(run(pipe, two_boxes, until=0.0), run(pipe, two_boxes, masked_steps=3))
    assert torch.equal(run(pipe, two_boxes, until=1.0), latents(pipe))
