# SPDX-License-Identifier: GPL-3.0-or-later
"""What diffusers can do to a denoiser besides: each works under masks, or is one sentence."""

import numpy as np
import pytest
import torch
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    LayerSkipConfig,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    SeaCacheConfig,
    TaylorSeerCacheConfig,
    TextKVCacheConfig,
    hooks,
)
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from tiny import wan

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.settings import preset
from peekaboo_engine.errors import EngineError
from peekaboo_engine.events import Terminal
from peekaboo_engine.families import WAN
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

CPU = torch.device("cpu")
LABELS = np.zeros((wan.FRAMES, wan.HEIGHT, wan.WIDTH), np.uint8)
LABELS[:, :, :48] = 1


def steered(pipe, **options):
    with peekaboo(pipe, LABELS, ["a red ball"], steering=preset("strong", WAN), **options):
        return wan.latents(pipe, steps=4)


@pytest.fixture(scope="module")
def expected():
    return steered(wan.pipeline())


@pytest.fixture(autouse=True)
def own_backend():
    """diffusers keeps the backend of one model as everybody's."""
    yield
    _AttentionBackendRegistry.set_active_backend(AttentionBackendName.NATIVE)


def grouped(pipe, **options):
    pipe.transformer.enable_group_offload(onload_device=CPU, offload_device=CPU, **options)


EXACT = {
    "fused projections": lambda pipe: pipe.transformer.fuse_qkv_projections(),
    "blocks offloaded": lambda pipe: grouped(pipe, offload_type="block_level", num_blocks_per_group=1),
    "layers offloaded": lambda pipe: grouped(pipe, offload_type="leaf_level"),
    "tiled decoder": lambda pipe: pipe.vae.enable_tiling(),
    "native backend": lambda pipe: pipe.transformer.set_attention_backend("native"),
    "compiled blocks": lambda pipe: pipe.transformer.compile_repeated_blocks(backend="eager"),
}


@pytest.mark.parametrize("name", EXACT)
def test_it_changes_nothing_under_masks(expected, name):
    pipe = wan.pipeline()
    EXACT[name](pipe)
    assert torch.equal(steered(pipe), expected)


def test_weights_that_wait_in_eight_bits_are_close(expected):
    pipe = wan.pipeline()
    pipe.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert (steered(pipe) - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_compiled_blocks_are_compiled_once_for_all_steps():
    pipe = wan.pipeline()
    pipe.transformer.compile_repeated_blocks(backend="eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    steered(pipe)
    frames = torch._dynamo.utils.counters["frames"]
    with peekaboo(pipe, LABELS, ["a red ball"], steering=preset("strong", WAN)):
        wan.latents(pipe, steps=12)
    assert torch._dynamo.utils.counters["frames"]["total"] == frames["total"]


CACHES = {
    "FasterCache": lambda pipe: FasterCacheConfig(current_timestep_callback=lambda: pipe._current_timestep),
    "PyramidAttentionBroadcast": lambda pipe: PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: pipe._current_timestep
    ),
    "FirstBlockCache": lambda _: FirstBlockCacheConfig(threshold=10.0),
    "MagCache": lambda _: MagCacheConfig(num_inference_steps=4, mag_ratios=[1.0] * 4),
    "TaylorSeer": lambda _: TaylorSeerCacheConfig(),
    "SeaCache": lambda _: SeaCacheConfig(),
    "TextKVCache": lambda _: TextKVCacheConfig(),
}


@pytest.mark.parametrize("name", CACHES)
def test_what_takes_over_earlier_steps_is_refused(name):
    pipe = wan.pipeline()
    pipe.transformer.enable_cache(CACHES[name](pipe))
    with pytest.raises(EngineError, match=r"disable_cache\(\)") as caught:
        steered(pipe)
    assert caught.value.code == "cached"
    pipe.transformer.disable_cache()
    steered(pipe)


HOOKED = {
    "FirstBlockCache": lambda pipe: hooks.apply_first_block_cache(
        pipe.transformer, FirstBlockCacheConfig(threshold=10.0)
    ),
    "MagCache": lambda pipe: hooks.apply_mag_cache(
        pipe.transformer, MagCacheConfig(num_inference_steps=4, mag_ratios=[1.0] * 4)
    ),
    "PyramidAttentionBroadcast": lambda pipe: hooks.apply_pyramid_attention_broadcast(
        pipe.transformer, CACHES["PyramidAttentionBroadcast"](pipe)
    ),
    "skipped layer": lambda pipe: hooks.apply_layer_skip(
        pipe.transformer, LayerSkipConfig(indices=[0], fqn="blocks")
    ),
}


@pytest.mark.parametrize("name", HOOKED)
def test_the_same_put_on_by_hand_is_refused(name):
    pipe = wan.pipeline()
    HOOKED[name](pipe)
    with pytest.raises(EngineError, match="leave caches and skipped layers out") as caught:
        steered(pipe)
    assert caught.value.code == "cached"


def test_another_backend_of_attention_is_refused():
    pipe = wan.pipeline()
    pipe.transformer.set_attention_backend("flex")
    with pytest.raises(EngineError, match="backends of attention other than native") as caught:
        steered(pipe)
    assert caught.value.code == "not_masked"


@pytest.mark.parametrize("named", ["flash", "sage", "no such backend"])
def test_another_backend_that_the_environment_names_is_refused_before_a_model_loads(monkeypatch, named):
    monkeypatch.setenv("DIFFUSERS_ATTN_BACKEND", named)
    with pytest.raises(EngineError, match=f'backend "{named}".*unset it'):
        Worker(Placement(device="cpu")).hello(Terminal())


def test_a_denoiser_that_was_compiled_in_place_is_one_sentence():
    pipe = wan.pipeline()
    pipe.transformer.compile(backend="eager")
    with pytest.raises(EngineError, match="compile_repeated_blocks"):
        steered(pipe)
