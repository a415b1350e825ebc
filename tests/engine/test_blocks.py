# SPDX-License-Identifier: GPL-3.0-or-later
"""The block in which a pipeline is steered, beside other blocks and what else people do to pipelines."""

import contextlib

import accelerate
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import FirstBlockCacheConfig
from tiny import wan as tiny_wan
from tiny.unet3d import latents, pipeline

from peekaboo_engine.control import STRONG, peekaboo
from peekaboo_engine.errors import EngineError

PHRASES = ["a red ball", "a blue cube"]


def test_a_pipeline_that_is_steered_already_is_refused_and_stays_as_it_is(pipe, two_boxes):
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=2):
        alone = latents(pipe)
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=2):
        with (
            pytest.raises(EngineError, match="steered already") as caught,
            peekaboo(pipe, two_boxes, PHRASES, steering=STRONG),
        ):
            pass
        assert torch.equal(latents(pipe), alone)
    assert caught.value.code == "steered_already"
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=2):  # and afterwards it may be again
        assert torch.equal(latents(pipe), alone)


def test_another_pipeline_with_the_same_denoiser_is_refused(pipe, two_boxes):
    twin = type(pipe)(**pipe.components)
    with (
        peekaboo(pipe, two_boxes, PHRASES),
        pytest.raises(EngineError, match="steered already"),
        peekaboo(twin, two_boxes, PHRASES),
    ):
        pass


def test_blocks_of_two_pipelines_may_end_in_any_order(pipe, two_boxes):
    other, before = pipeline(seed=1), F.scaled_dot_product_attention
    free = latents(pipe), latents(other)
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    first.enter_context(peekaboo(pipe, two_boxes, PHRASES))
    second.enter_context(peekaboo(other, two_boxes, PHRASES))
    first.close()
    assert torch.equal(latents(pipe), free[0])
    assert not torch.equal(latents(other), free[1])
    second.close()
    assert torch.equal(latents(other), free[1])
    assert F.scaled_dot_product_attention is before


def test_a_denoiser_that_takes_over_what_earlier_steps_computed_is_refused():
    """A block that is passed over never comes to its attention, where its mask would be missed."""
    wan = tiny_wan.pipeline()
    wan.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    labels = np.ones((tiny_wan.FRAMES, tiny_wan.HEIGHT, tiny_wan.WIDTH), np.uint8)
    with pytest.raises(EngineError, match=r"disable_cache\(\)"), peekaboo(wan, labels, ["a red ball"]):
        pass


def test_what_is_refused_leaves_nothing_behind(pipe, two_boxes):
    before = vars(pipe.scheduler).copy(), vars(pipe).copy()
    with pytest.raises(EngineError), peekaboo(pipe, two_boxes, ["a red ball"]):
        pass
    assert (vars(pipe.scheduler), vars(pipe)) == before


@pytest.mark.parametrize("gate", [False, True])
def test_weights_that_are_fetched_layer_by_layer(two_boxes, gate):
    """As sequential offloading does: a layer's parameters are on no device until it runs."""
    pipe = pipeline()
    options = {"masked_steps": 2, "gate_second_temporal": gate}
    with peekaboo(pipe, two_boxes, PHRASES, **options):
        expected = latents(pipe)
    accelerate.cpu_offload(pipe.unet, execution_device=torch.device("cpu"))
    assert next(pipe.unet.parameters()).device.type == "meta"
    with peekaboo(pipe, two_boxes, PHRASES, **options):
        torch.testing.assert_close(latents(pipe), expected)


def test_a_denoiser_that_was_compiled_as_a_whole_is_one_sentence(two_boxes):
    pipe = pipeline()
    pipe.unet = torch.compile(pipe.unet, backend="eager")
    with pytest.raises(EngineError, match="compiled") as caught, peekaboo(pipe, two_boxes, PHRASES):
        pass
    assert caught.value.code == "compiled"
