# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures by Stable Diffusion: its two text encoders, and what people put onto its attention."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from tiny import animatediff, stable_diffusion, stable_diffusion_xl
from tiny.stable_diffusion import HEIGHT, PROMPT, WIDTH, latents

from peekaboo_engine.control import peekaboo
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.unets import decoded

PHRASES = ["a red ball", "a blue cube"]


@pytest.fixture
def labels():
    labels = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    labels[:, 8:32, 4:36] = 1
    labels[:, 40:60, 60:90] = 2
    return labels


def difference(one, other):
    return (one - other).abs().max().item()


def test_the_tokenizers_of_xl_pad_otherwise_and_agree_all_the_same(labels):
    pipe = stable_diffusion_xl.pipeline()
    free = latents(pipe)
    assert (
        pipe.tokenizer("a ball", padding="max_length").input_ids[-1]
        != (pipe.tokenizer_2("a ball", padding="max_length").input_ids[-1])
    )
    for special_tokens in ("background", "released", "shared"):
        with peekaboo(pipe, labels, PHRASES, special_tokens=special_tokens):
            assert difference(latents(pipe), free) > 1e-4


def test_tokenizers_that_disagree_are_refused(labels):
    pipe = stable_diffusion_xl.pipeline()
    pipe.tokenizer_2 = type(pipe.tokenizer)(vocab=pipe.tokenizer.get_vocab(), merges=[], model_max_length=77)
    with pytest.raises(EngineError) as caught, peekaboo(pipe, labels, PHRASES):
        latents(pipe)
    assert caught.value.code == "tokenizers_differ"


def test_another_text_for_the_second_encoder_is_refused(labels):
    pipe = stable_diffusion_xl.pipeline()
    with peekaboo(pipe, labels, PHRASES):
        same = latents(pipe, prompt_2=PROMPT)
        assert torch.equal(latents(pipe), same)
        with pytest.raises(EngineError, match="without prompt_2") as caught:
            latents(pipe, prompt_2="a panda in the grass")
    assert caught.value.code == "one_prompt"


@pytest.mark.parametrize("tiny", [stable_diffusion, stable_diffusion_xl, animatediff])
def test_a_phrase_beyond_what_the_encoder_reads_is_refused(labels, tiny):
    pipe = tiny.pipeline()
    labels = np.repeat(labels, tiny.FRAMES, axis=0)
    with pytest.raises(EngineError, match="77 tokens") as caught, peekaboo(pipe, labels, PHRASES):
        tiny.latents(pipe, "a red ball " + "in the grass " * 30 + "and a blue cube")
    assert caught.value.code == "phrase_truncated"


@pytest.mark.parametrize("tiny", [stable_diffusion_xl, animatediff])
def test_contrast_reads_the_phrases_by_themselves(tiny, labels):
    pipe = tiny.pipeline()
    labels = np.repeat(labels, tiny.FRAMES, axis=0)
    made = []
    for options in ({}, {"contrast": True}, {"push": 2.0}):
        with peekaboo(pipe, labels, PHRASES, **options):
            made.append(tiny.latents(pipe))
    assert difference(made[0], made[1]) > 1e-4 and difference(made[0], made[2]) > 1e-4


def test_two_frames_without_guidance_are_not_the_two_halves_of_guidance(labels):
    pipe = animatediff.pipeline()
    with peekaboo(pipe, np.repeat(labels, 2, axis=0), PHRASES, push=2.0):
        short = animatediff.latents(pipe, num_frames=2, guidance_scale=1.0)
    assert torch.isfinite(short).all()


def test_several_frames_are_none_of_a_picture(labels):
    pipe = stable_diffusion.pipeline()
    with (
        pytest.raises(EngineError, match="makes pictures, of one frame, not 4; take 1"),
        peekaboo(pipe, np.repeat(labels, 4, axis=0), PHRASES),
    ):
        pass


def test_a_clip_that_is_longer_than_the_adapter_knows_is_refused(labels):
    pipe = animatediff.pipeline()
    with (
        pytest.raises(EngineError, match="at most 32 frames, not 40; take 32"),
        peekaboo(pipe, np.repeat(labels, 40, axis=0), PHRASES),
    ):
        pass


def with_picture(pipe):
    """An IP-Adapter with random weights, and what it is told."""
    projection = {
        "proj.weight": torch.randn(4 * 32, 32),
        "proj.bias": torch.zeros(4 * 32),
        "norm.weight": torch.ones(32),
        "norm.bias": torch.zeros(32),
    }
    layers, number = {}, 1  # as such files count them
    for name in pipe.unet.attn_processors:
        if "motion_modules" not in name and "attn2" in name:
            width = pipe.unet.get_submodule(name.removesuffix(".processor")).to_q.in_features
            layers |= {f"{number}.to_{which}_ip.weight": torch.randn(width, 32) for which in "kv"}
            number += 2
    pipe.unet._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": layers}])
    return {"ip_adapter_image_embeds": [torch.randn(2, 1, 32, generator=torch.Generator().manual_seed(0))]}


@pytest.mark.parametrize("tiny", [stable_diffusion, animatediff])
@pytest.mark.parametrize("feature", ["freeu", "fused", "ip_adapter"])
def test_what_goes_with_masks_does(tiny, labels, feature):
    pipe, options = tiny.pipeline(), {}
    if feature == "freeu":
        pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    elif feature == "fused":
        pipe.unet.fuse_qkv_projections()
    else:
        options = with_picture(pipe)
    labels, free = np.repeat(labels, tiny.FRAMES, axis=0), tiny.latents(pipe, **options)
    with peekaboo(pipe, labels, PHRASES, masked_steps=0):
        assert torch.equal(tiny.latents(pipe, **options), free)
    with peekaboo(pipe, labels, PHRASES):
        assert difference(tiny.latents(pipe, **options), free) > 1e-4


def test_sliced_attention_is_refused(labels):
    pipe = stable_diffusion.pipeline()
    pipe.enable_attention_slicing()
    with (
        pytest.raises(EngineError, match="turn off attention slicing") as caught,
        peekaboo(pipe, labels, PHRASES),
    ):
        latents(pipe)
    assert caught.value.code == "not_masked"


def test_free_noise_is_refused(labels):
    pipe = animatediff.pipeline()
    pipe.enable_free_noise(context_length=4, context_stride=2)
    with (
        pytest.raises(EngineError, match="and FreeNoise"),
        peekaboo(pipe, np.repeat(labels, 5, axis=0), PHRASES),
    ):
        animatediff.latents(pipe)


def test_a_preview_in_half_precision_leaves_the_autoencoder_as_it_was():
    class Holder:
        vae: AutoencoderKL

    pipe = Holder()
    pipe.vae = stable_diffusion.autoencoder().half()
    before = {name: value.clone() for name, value in pipe.vae.state_dict().items()}
    with torch.no_grad():
        assert decoded(pipe, torch.randn(1, 4, 8, 12).half()).shape == (3, 64, 96)
    assert pipe.vae.dtype == torch.float16
    assert all(torch.equal(before[name], value) for name, value in pipe.vae.state_dict().items())
