# SPDX-License-Identifier: GPL-3.0-or-later
"""The method on a real pipeline with random weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny.unet3d import FRAMES, HEIGHT, PROMPT, WIDTH, latents, pipeline

from peekaboo_engine.control import STRONG, attention, peekaboo
from peekaboo_engine.control.labels import pool_labels
from peekaboo_engine.control.sites import attention_sites
from peekaboo_engine.control.spans import label_tokens
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.unet3d import UNET3D

PHRASES = ["a red ball", "a blue cube"]


@pytest.fixture(scope="module")
def free(pipe):
    """The unmodified pipeline's latents."""
    return latents(pipe)


def difference(one, other):
    return (one - other).abs().max().item()


def sites_of(pipe, blocks="all"):
    return attention_sites(pipe.unet, UNET3D, blocks)


def begin(pipe, prompt=PROMPT, batch=2, frames=FRAMES):
    """Tell that the denoiser is about to be called for the first time in a run."""
    text, _ = pipe.encode_prompt(prompt, "cpu", 1, False)
    pipe.scheduler.set_timesteps(3)
    call = {"encoder_hidden_states": text.expand(batch, -1, -1)}
    for hook in pipe.unet._forward_pre_hooks.values():
        hook(pipe.unet, (torch.zeros(batch, 4, frames, 8, 12), 900), call)


def enter(site, shape):
    """Tell that a level of the denoiser is about to be called with an input of that shape."""
    for hook in site.level._forward_pre_hooks.values():
        hook(site.level, (torch.zeros(shape),), {})


def test_zero_masked_steps_are_the_unmodified_pipeline_to_the_bit(pipe, free, two_boxes):
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=0):
        assert torch.equal(latents(pipe), free)


def test_one_label_for_everything_masks_nothing(pipe, free):
    """All pixels and all words in one group: the masks allow everything, to rounding."""
    everything = np.ones((FRAMES, HEIGHT, WIDTH), np.uint8)
    with peekaboo(pipe, everything, [PROMPT], masked_steps=3, special_tokens="shared"):
        assert difference(latents(pipe), free) < 1e-4
    with peekaboo(pipe, 0 * everything, [], masked_steps=3):
        assert difference(latents(pipe), free) < 1e-4


def test_masks_change_the_clip_and_more_steps_change_it_more(pipe, free, two_boxes):
    changes = []
    for steps in (1, 3):
        with peekaboo(pipe, two_boxes, PHRASES, masked_steps=steps) as guidance:
            changes.append(difference(latents(pipe), free))
        assert guidance.step == 2
    assert 1e-3 < changes[0] < changes[1]


def test_steps_after_the_masked_ones_are_the_unmodified_pipeline(pipe, two_boxes):
    """Going on by hand from the latents of the masked steps, without any mask, arrives at the same place."""
    kept = {}

    def keep(step, timestep, now):
        kept[step] = now.clone()

    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=1):
        end = latents(pipe, callback=keep)
    prompt, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True)
    text = torch.cat([negative, prompt])
    pipe.scheduler.set_timesteps(3)
    now = kept[0]
    with torch.no_grad():
        for timestep in pipe.scheduler.timesteps[1:]:
            noise = pipe.unet(torch.cat([now] * 2), timestep, encoder_hidden_states=text).sample
            free, towards = noise.chunk(2)
            now = pipe.scheduler.step(free + 5.0 * (towards - free), timestep, now).prev_sample
    assert torch.equal(now, end)


@pytest.mark.parametrize("gathered", [False, True])
def test_agrees_with_dense_masks_on_every_layer(pipe, two_boxes, monkeypatch, gathered):
    """One denoiser call against the same call with dense masks given to the attention processors by hand."""
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1 if gathered else 10**9})
    prompt, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True)
    text = torch.cat([negative, prompt])
    noise = torch.randn(2, 4, FRAMES, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), peekaboo(pipe, two_boxes, PHRASES, masked_steps=1):
        pipe.encode_prompt(PROMPT, "cpu", 1, True)
        ours = pipe.unet(noise, 900, encoder_hidden_states=text).sample
    tokens = torch.from_numpy(label_tokens(pipe.tokenizer, PROMPT, PHRASES, "background", 77))
    grids = {}
    handles = []
    for site in sites_of(pipe):

        def note(module, args, kwargs, site=site):
            grids[site.path] = (kwargs.get("hidden_states", args[0] if args else None)).shape[-2:]

        def give_mask(module, args, kwargs, site=site):
            pixels = torch.from_numpy(pool_labels(two_boxes, *grids[site.path])).long().flatten(1)
            if site.kind == "temporal":
                pixels = pixels.T
            keys = tokens.expand(len(pixels), -1) if site.kind == "cross" else pixels
            mask = (pixels[:, :, None] == keys[:, None, :]).repeat(2, 1, 1)
            bias = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
            return args, {**kwargs, "attention_mask": bias.repeat_interleave(module.heads, 0)}

        handles.append(site.level.register_forward_pre_hook(note, with_kwargs=True))
        handles.append(site.attention.register_forward_pre_hook(give_mask, with_kwargs=True))
    try:
        with torch.no_grad():
            theirs = pipe.unet(noise, 900, encoder_hidden_states=text).sample
    finally:
        for handle in handles:
            handle.remove()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_every_attention_layer_is_a_site_of_its_kind(pipe):
    sites = sites_of(pipe)
    layers = [name for name, module in pipe.unet.named_modules() if hasattr(module, "to_q")]
    assert [site.path for site in sites] == layers
    for site in sites:
        assert (site.kind == "cross") == site.attention.is_cross_attention
        assert (site.kind == "temporal") == (type(site.level).__name__ == "TransformerTemporalModel")
    released = sites_of(pipe, "mid_up")
    assert {site.path.split(".")[0] for site in released} == {"mid_block", "up_blocks"}


def test_options_change_what_is_masked(pipe, two_boxes):
    results = []
    for options in (
        {},
        {"blocks": "mid_up"},
        {"special_tokens": "shared"},
        {"special_tokens": "released"},
        {"gate_second_temporal": True},
    ):
        with peekaboo(pipe, two_boxes, PHRASES, masked_steps=3, **options):
            results.append(latents(pipe))
    for index, one in enumerate(results):
        for other in results[index + 1 :]:
            assert difference(one, other) > 1e-4


def test_the_released_gate_zeroes_the_background(pipe, two_boxes):
    """h + M * Attn2(LN(M * h)): the layer sees LN(0) from the background and gives it nothing."""
    site = next(s for s in sites_of(pipe) if s.layers.gated)
    hidden = torch.randn(2 * 8 * 12, FRAMES, site.attention.to_q.in_features)
    zero = site.block.norm2(torch.zeros(hidden.shape[-1]))
    foreground = torch.from_numpy(pool_labels(two_boxes, 8, 12) > 0).flatten(1).T.repeat(2, 1)[..., None]
    with torch.no_grad():
        expected = site.attention(torch.where(foreground, hidden, zero)) * foreground
        with peekaboo(pipe, two_boxes, PHRASES, masked_steps=1, gate_second_temporal=True):
            begin(pipe)
            enter(site, (2 * FRAMES, 4, 8, 12))
            torch.testing.assert_close(site.attention(hidden), expected)


def test_each_subject_sees_only_its_own_words(pipe):
    """What the other subject is called has no influence on this subject's pixels in cross-attention."""
    prompts = ["a red ball and a blue cube", "a red ball and a panda grass"]
    seen = []
    site = next(s for s in sites_of(pipe) if s.kind == "cross" and s.path.startswith("down_blocks.0"))
    labels = np.zeros((1, 8, 12), np.uint8)
    labels[0, :4, :6], labels[0, 5:, 8:] = 1, 2
    for prompt in prompts:
        tokens = torch.from_numpy(
            label_tokens(pipe.tokenizer, prompt, ["a red ball", prompt[15:]], "background", 77)
        )
        pixels = torch.from_numpy(labels).long().flatten(1)
        text, _ = pipe.encode_prompt(prompt, "cpu", 1, False)
        hidden = torch.randn(1, 96, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad(), peekaboo(pipe, labels, ["a red ball", prompt[15:]], masked_steps=1):
            begin(pipe, prompt, batch=1, frames=1)
            enter(site, (1, 32, 8, 12))
            seen.append(site.attention(hidden, encoder_hidden_states=text)[0])
        assert (tokens[1:4] == 1).all() and not (tokens[4:] == 1).any()
    same = (seen[0] == seen[1]).all(-1)
    assert same[pixels[0] == 1].all()  # the first words of a causal text encoder do not change either
    assert not same[pixels[0] != 1].any()


@pytest.mark.parametrize("kind", ["spatial", "temporal"])
@pytest.mark.parametrize("cell", [(0, 0, 0, 0), (0, 2, 2, 3), (1, 4, 4, 6), (1, 1, 4, 5)])
def test_a_change_reaches_exactly_the_pixels_that_may_see_it(pipe, kind, cell):
    """In the geometry of pictures, batch x frame x row x column, through a transformer of the network."""
    frames, height, width = FRAMES, 5, 7
    labels = np.zeros((frames, height, width), np.uint8)
    labels[:, 1:4, 2:5] = 1
    labels[1:, 4, 5:] = 2
    site = next(s for s in sites_of(pipe) if s.kind == kind and not s.layers.gated)
    channels = site.level.norm.num_channels
    hidden = torch.randn(2 * frames, channels, height, width, generator=torch.Generator().manual_seed(0))
    item, frame, row, column = cell

    def bump(norm, args, out):
        out = out.clone()
        spot = (item * frames + frame, slice(None), row, column)
        out[spot if out.ndim == 4 else (item, slice(None), frame, row, column)] += 1
        return out

    def run():
        text = torch.zeros(2 * frames, 77, 32)
        given = {"encoder_hidden_states": text} if kind == "spatial" else {"num_frames": frames}
        return site.level(hidden, **given).sample.unflatten(0, (2, frames))

    with torch.no_grad(), peekaboo(pipe, labels, PHRASES, masked_steps=1):
        begin(pipe, frames=frames)
        before = run()
        handle = site.level.norm.register_forward_hook(bump)
        try:
            after = run()
        finally:
            handle.remove()
    moved = (before != after).any(2).numpy()  # (2, frames, height, width)
    mine = labels[frame, row, column]
    expected = np.zeros(moved.shape, bool)
    if kind == "spatial":
        expected[item, frame] = labels[frame] == mine
    else:
        expected[item, :, row, column] = labels[:, row, column] == mine
    np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize(("height", "width"), [(40, 56), (72, 88)])
def test_sizes_that_no_level_divides(pipe, two_boxes, height, width):
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=3):
        masked = latents(pipe, height=height, width=width)
    assert torch.isfinite(masked).all()
    assert difference(masked, latents(pipe, height=height, width=width)) > 1e-3


def test_without_classifier_free_guidance(pipe, two_boxes):
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=3):
        masked = latents(pipe, guidance_scale=1.0)
    assert difference(masked, latents(pipe, guidance_scale=1.0)) > 1e-3


def test_a_second_run_in_the_same_block_is_masked_again(pipe, two_boxes):
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=1):
        assert torch.equal(latents(pipe), latents(pipe))
        other = latents(pipe, prompt="grass in a blue cube and a red ball")
    assert torch.isfinite(other).all()


def run(pipe, labels, phrases=PHRASES, **options):
    with peekaboo(pipe, labels, phrases, **options):
        return latents(pipe)


def test_full_strength_is_the_default_and_none_is_no_control(pipe, free, two_boxes):
    everywhere = np.ones((2, FRAMES))
    full = run(pipe, two_boxes, masked_steps=2)
    assert torch.equal(run(pipe, two_boxes, masked_steps=2, strengths=everywhere), full)
    assert torch.equal(run(pipe, two_boxes, masked_steps=2, strengths=0 * everywhere), free)
    # A share of the masked steps: half of two is one.
    half = run(pipe, two_boxes, masked_steps=2, strengths=0.5 * everywhere)
    assert torch.equal(half, run(pipe, two_boxes, masked_steps=1))


def test_a_subject_without_strength_is_background_with_its_words(pipe, two_boxes):
    alone = np.where(two_boxes == 1, two_boxes, 0)
    strengths = np.stack([np.ones(FRAMES), np.zeros(FRAMES)])
    only_first = run(pipe, two_boxes, masked_steps=2, strengths=strengths)
    assert torch.equal(only_first, run(pipe, alone, PHRASES[:1], masked_steps=2))


def test_strength_counts_frame_by_frame(pipe, two_boxes):
    """Where a subject is let go, its pixels are background, in the other frames they are its own."""
    strengths = np.ones((2, FRAMES))
    strengths[:, -1] = 0
    cleared = two_boxes.copy()
    cleared[-1] = 0
    some = run(pipe, two_boxes, masked_steps=2, strengths=strengths)
    assert difference(some, run(pipe, two_boxes, masked_steps=2)) > 1e-3
    # Clearing the map alone would keep the words from that frame's pixels: strength gives them back.
    assert difference(some, run(pipe, cleared, masked_steps=2)) > 1e-4


def test_kinds_of_attention_can_be_left_out_one_by_one(pipe, free, two_boxes):
    kinds = ("cross", "spatial", "temporal")
    everything = run(pipe, two_boxes, masked_steps=2)
    assert torch.equal(run(pipe, two_boxes, masked_steps=2, kinds=kinds), everything)
    assert torch.equal(run(pipe, two_boxes, masked_steps=2, kinds=()), free)
    for left_out in kinds:
        rest = run(pipe, two_boxes, masked_steps=2, kinds=[kind for kind in kinds if kind != left_out])
        assert difference(rest, everything) > 1e-4 and difference(rest, free) > 1e-4


def state_of(pipe):
    hooks = [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in pipe.unet.modules()]
    wrapped = [name for name, module in pipe.unet.named_modules() if "forward" in vars(module)]
    return hooks, wrapped, "encode_prompt" in vars(pipe), F.scaled_dot_product_attention


def test_nothing_is_left_on_the_pipeline(two_boxes):
    pipe = pipeline()
    before = state_of(pipe)
    with peekaboo(pipe, two_boxes, PHRASES):
        assert state_of(pipe) != before
        latents(pipe)
    assert state_of(pipe) == before

    def stop(step, timestep, now):
        raise InterruptedError

    with pytest.raises(InterruptedError), peekaboo(pipe, two_boxes, PHRASES):
        latents(pipe, callback=stop)
    assert state_of(pipe) == before


def test_another_tools_wrapper_comes_back(two_boxes):
    pipe = pipeline()
    layer = sites_of(pipe)[5].attention
    original = layer.forward
    layer.forward = lambda *args, **kwargs: original(*args, **kwargs)  # as accelerate's offloading does
    theirs = layer.forward
    with peekaboo(pipe, two_boxes, PHRASES):
        latents(pipe)
    assert layer.forward is theirs


def test_fused_projections_are_masked_too(two_boxes):
    pipe = pipeline()
    with peekaboo(pipe, two_boxes, PHRASES):
        expected = latents(pipe)
    for site in sites_of(pipe):
        site.attention.fuse_projections()
    with peekaboo(pipe, two_boxes, PHRASES):
        torch.testing.assert_close(latents(pipe), expected, atol=1e-4, rtol=1e-4)


def test_a_layer_that_escapes_is_refused_not_left_unmasked(two_boxes):
    pipe = pipeline()
    pipe.enable_attention_slicing()
    with pytest.raises(EngineError, match="attention slicing") as caught, peekaboo(pipe, two_boxes, PHRASES):
        latents(pipe)
    assert caught.value.code == "not_masked"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda labels: {"labels": labels[:3]}, "frame_mismatch"),
        (lambda labels: {"phrases": ["a red ball", "a green cube"]}, "phrase_not_in_prompt"),
        (lambda labels: {"phrases": ["a red ball"]}, "bad_labels"),
        (lambda labels: {"prompt": [PROMPT, PROMPT]}, "one_prompt"),
    ],
)
def test_what_does_not_fit_is_refused(pipe, two_boxes, change, code):
    request = {"labels": two_boxes, "phrases": PHRASES, "prompt": PROMPT, **change(two_boxes)}
    with pytest.raises(EngineError) as caught, peekaboo(pipe, request["labels"], request["phrases"]):
        latents(pipe, prompt=request["prompt"])
    assert caught.value.code == code


@pytest.mark.parametrize(
    "option",
    [
        {"blocks": "midup"},
        {"special_tokens": "release"},
        {"masked_steps": -1},
        {"masked_steps": 1.5},
        {"masked_steps": 2, "steering": STRONG},  # whose masks end at a noise level
        {"masked_steps": 2, "until": 0.5},
        {"kinds": ["spatial", "crossed"]},
        {"strengths": np.ones((1, FRAMES))},
        {"strengths": np.full((2, FRAMES), np.nan)},
    ],
)
def test_a_misspelt_option_is_refused(pipe, two_boxes, option):
    with (
        pytest.raises(EngineError, match=next(iter(option))) as caught,
        peekaboo(pipe, two_boxes, PHRASES, **option),
    ):
        pass
    assert caught.value.code == "bad_option"


def test_a_single_text_is_no_list_of_phrases(pipe, two_boxes):
    with pytest.raises(EngineError, match="a list") as caught, peekaboo(pipe, two_boxes, PHRASES[0]):
        pass
    assert caught.value.code == "bad_option"


def test_a_pipeline_of_another_family_is_refused(pipe, two_boxes):
    class Other:
        unet = None

    with pytest.raises(EngineError, match="TextToVideoSDPipeline"), peekaboo(Other(), two_boxes, PHRASES):
        pass
