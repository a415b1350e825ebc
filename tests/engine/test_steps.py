# SPDX-License-Identifier: GPL-3.0-or-later
"""A step is what the pipeline's callback counts, in every scheduler and wherever sampling starts."""

import copy

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchHeunDiscreteScheduler, PNDMScheduler, VideoToVideoSDPipeline
from diffusers.schedulers import KarrasDiffusionSchedulers
from diffusers.utils import is_torchsde_available
from tiny.unet3d import FRAMES, HEIGHT, PROMPT, WIDTH, latents, pipeline

from peekaboo_engine.control import STRONG, peekaboo
from peekaboo_engine.control.interception import wrapped_method
from peekaboo_engine.control.steps import Steps, Turns
from peekaboo_engine.sampling import StepsTold

PHRASES = ["a red ball", "a blue cube"]
STEPS = 10
SCHEDULERS = [
    scheduler.name
    for scheduler in KarrasDiffusionSchedulers
    if scheduler.name != "DPMSolverSDEScheduler" or is_torchsde_available()  # it cannot even be made without
]


@pytest.fixture(scope="module")
def own():
    """A pipeline whose scheduler is replaced."""
    return pipeline()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_steps_are_what_the_callback_counts(own, two_boxes, name):
    own.scheduler = getattr(diffusers, name)()
    called, told = [], []
    with peekaboo(own, two_boxes, PHRASES, masked_steps=2) as guidance:

        def note(*_):
            called.append((guidance.step, len(told), guidance.active))

        handle = own.unet.register_forward_pre_hook(note)
        try:
            latents(own, steps=STEPS, callback=lambda *_: told.append(1))
        finally:
            handle.remove()
    steps, counted, active = zip(*called, strict=True)
    assert steps == counted and len(told) == STEPS
    assert active == tuple(step < 2 for step in steps)


def test_the_runge_kutta_calls_of_pndm_are_its_first_step(own, two_boxes):
    own.scheduler = PNDMScheduler(skip_prk_steps=False)
    masked = []
    with peekaboo(own, two_boxes, PHRASES, masked_steps=1) as guidance:
        handle = own.unet.register_forward_pre_hook(lambda *_: masked.append(guidance.active))
        try:
            latents(own, steps=STEPS)
        finally:
            handle.remove()
    assert (len(masked), sum(masked)) == (STEPS + 9, 10)


def test_the_last_half_step_ends_the_last_step():
    scheduler = FlowMatchHeunDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(3)
    steps = Steps(scheduler)
    assert [steps.step(turn) for turn in range(5)] == [0, 0, 1, 1, 2]
    assert [steps.done(turn) for turn in range(5)] == [0, 1, 1, 2, 3]


@pytest.fixture(scope="module")
def onward():
    """The pass that makes a finer clip of a clip, from the same parts."""
    pipe = VideoToVideoSDPipeline(**pipeline().components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def refined(pipe, strength):
    clip = np.random.default_rng(0).random((FRAMES, HEIGHT, WIDTH, 3), np.float32)
    return pipe(
        PROMPT, video=list(clip), strength=strength, num_inference_steps=5, output_type="latent"
    ).frames


def test_steps_count_from_where_sampling_starts(onward, two_boxes):
    seen = []
    with peekaboo(onward, two_boxes, PHRASES, masked_steps=2) as guidance:
        handle = onward.unet.register_forward_pre_hook(
            lambda *_: seen.append((guidance.step, guidance.active))
        )
        try:
            refined(onward, 0.6)
        finally:
            handle.remove()
    assert seen == [(0, True), (1, True), (2, False)]


@pytest.mark.parametrize(("strength", "sentences"), [(1.0, 0), (0.2, 2)])
def test_masks_that_end_before_sampling_starts_are_said(onward, two_boxes, strength, sentences):
    said = []
    with peekaboo(onward, two_boxes, PHRASES, steering=STRONG, notice=said.append):
        refined(onward, strength)
    assert len(said) == sentences
    for sentence in said:
        assert "sampling starts below" in sentence


def test_a_scheduler_that_is_replaced_between_runs_is_followed(own, two_boxes):
    with peekaboo(own, two_boxes, PHRASES, masked_steps=2) as guidance:
        for name in ("DDIMScheduler", "HeunDiscreteScheduler"):
            own.scheduler = getattr(diffusers, name)()
            latents(own, steps=3)
            assert guidance.step == 2 and not guidance.active
    assert "step" not in vars(own.scheduler)


@pytest.mark.parametrize("name", ["DDIMScheduler", "PNDMScheduler", "HeunDiscreteScheduler"])
def test_steps_are_told_without_a_callback(own, name):
    own.scheduler, told = getattr(diffusers, name)(), []
    with wrapped_method(own.scheduler, "step", StepsTold(own.scheduler, told.append).telling):
        latents(own, steps=4)
    assert told == [0, 1, 2, 3]
    assert "step" not in vars(own.scheduler)


def test_steps_are_told_from_where_sampling_starts(onward):
    told = []
    with wrapped_method(onward.scheduler, "step", StepsTold(onward.scheduler, told.append).telling):
        refined(onward, 0.6)
    assert told == [0, 1, 2]


def test_a_copy_of_a_scheduler_is_counted_no_more():
    """LTX-2 copies its scheduler for the sound."""
    scheduler, turns = DDIMScheduler(), Turns()
    scheduler.set_timesteps(3)
    with wrapped_method(scheduler, "step", turns.counting), wrapped_method(scheduler, "step", turns.counting):
        other = copy.deepcopy(scheduler)
        noise = torch.zeros(1, 4, 2, 2)
        other.step(noise, 999, noise)
        assert turns.done == 0 and other.step.__self__ is other
        scheduler.step(noise, 999, noise)
        assert turns.done == 2
