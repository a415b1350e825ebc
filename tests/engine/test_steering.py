# SPDX-License-Identifier: GPL-3.0-or-later
"""Each switch of Steering on a real pipeline with random weights: it does what it says, and nothing else."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from steered import PHRASES, difference, run
from tiny_models import FRAMES, HEIGHT, PROMPT, WIDTH, latents, pipeline

from peekaboo_engine.control import PRESETS, STRONG, Steering, peekaboo
from peekaboo_engine.control.attention import Bias, masked_attention
from peekaboo_engine.control.labels import off_centre
from peekaboo_engine.control.levels import NoiseLevels
from peekaboo_engine.control.sites import attention_sites
from peekaboo_engine.control.words import without_phrases
from peekaboo_engine.errors import EngineError

SWITCHES = {
    "cross_until": {"cross_until": 0.5},
    "spatial_until": {"spatial_until": 0.5},
    "temporal_until": {"temporal_until": 0.5},
    "words_outside": {"words_outside": 0.0},
    "words_until": {"words_outside": 0.0, "words_until": 0.3},
    "amplify": {"amplify": 4.0},
    "conditional_only": {"conditional_only": ("cross", "spatial", "temporal")},
    "cond_cross": {"conditional_only": ("cross",)},
    "leak": {"leak": 0.1},
    "soft_edges": {"soft_edges": True},
    "centred": {"centred": 1.0},
    "phrase": {"subject_text": "phrase"},
    "words": {"subject_text": "words"},
    "ground": {"background_text": "ground"},
    "contrast": {"contrast": 0.5},
    "follow_path": {"follow_path": True},
    "follow_noise": {"follow_noise": 0.5},
}


@pytest.fixture(scope="module")
def free(pipe):
    """The unmodified pipeline's latents."""
    return latents(pipe)


def test_every_switch_changes_the_clip_in_a_way_of_its_own(pipe, free, two_boxes):
    results = {"free": free, "peekaboo": run(pipe, two_boxes)}
    results |= {name: run(pipe, two_boxes, **options) for name, options in SWITCHES.items()}
    for one in results:
        assert torch.isfinite(results[one]).all()
        for other in results:
            assert one == other or difference(results[one], results[other]) > 1e-4, (one, other)


@pytest.mark.parametrize("options", [*SWITCHES.values(), {"steering": STRONG}])
def test_no_strength_is_the_unmodified_pipeline_to_the_bit(pipe, free, two_boxes, options):
    assert torch.equal(run(pipe, two_boxes, strengths=np.zeros((2, FRAMES)), **options), free)


@pytest.mark.parametrize("options", [*SWITCHES.values(), {"steering": STRONG}])
def test_no_subject_is_the_unmodified_pipeline_to_the_bit(pipe, free, options):
    nothing = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    assert torch.equal(run(pipe, nothing, [], **options), free)


def test_steps_after_every_window_are_the_unmodified_pipeline(pipe, two_boxes):
    """Going on by hand from the latents of the steered steps, unsteered, arrives at the same place."""
    kept = {}

    def keep(step, timestep, now):
        kept[step] = now.clone()

    ends = {"words_until": 0.9, "amplify_until": 0.9, "contrast_until": 0.9}
    assert not set(ends) - {field.name for field in fields(Steering)}
    with peekaboo(pipe, two_boxes, PHRASES, steering=STRONG, contrast=0.5, **ends) as guidance:
        end = latents(pipe, callback=keep)
    assert guidance.level < 0.9
    prompt, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True)
    text = torch.cat([negative, prompt])
    pipe.scheduler.set_timesteps(3)
    levels = NoiseLevels(pipe.scheduler)
    steered = sum(levels.at(float(timestep)) > 0.9 for timestep in pipe.scheduler.timesteps)
    assert 0 < steered < 3
    now = kept[steered - 1]
    with torch.no_grad():
        for timestep in pipe.scheduler.timesteps[steered:]:
            noise = pipe.unet(torch.cat([now] * 2), timestep, encoder_hidden_states=text).sample
            one, other = noise.chunk(2)
            now = pipe.scheduler.step(one + 5.0 * (other - one), timestep, now).prev_sample
    assert torch.equal(now, end)


# a, c, d, f: what is read


class Reader:
    """One cross-attention layer under a steering, at a given step of a run of three."""

    def __init__(self, pipe, labels, phrases, prompt=PROMPT, step=0, guided=True, **options):
        self.pipe, self.labels, self.step = pipe, labels, step
        self.site = next(s for s in attention_sites(pipe.unet) if s.kind == "cross")
        self.batch = 2 if guided else 1
        self.options = {"masked_steps": 1, **options}
        self.phrases, self.prompt = phrases, prompt

    def __call__(self, change=None):
        """Output of the layer (halves, frames, pixels, channels); `change` alters its text in place."""
        pipe, frames = self.pipe, len(self.labels)
        hidden = torch.randn(
            self.batch * frames,
            96,
            self.site.attention.to_q.in_features,
            generator=torch.Generator().manual_seed(0),
        )
        pipe.scheduler.set_timesteps(3)
        with torch.no_grad(), peekaboo(pipe, self.labels, self.phrases, **self.options) as guidance:
            prompt, negative = pipe.encode_prompt(self.prompt, "cpu", 1, True)
            text = torch.cat([negative, prompt])[-self.batch :]
            sample = torch.zeros(self.batch, 4, frames, 8, 12)
            for timestep in pipe.scheduler.timesteps[: self.step + 1]:
                got = guidance.before_denoiser(pipe.unet, (sample, timestep), {"encoder_hidden_states": text})
            text = got[1]["encoder_hidden_states"] if got else text
            text = text.clone()
            if change:
                change(text)
            guidance.before_transformer(self.site.transformer, (torch.zeros(1, 1, 8, 12),), {})
            out = self.site.attention(hidden, encoder_hidden_states=text.repeat_interleave(frames, 0))
        return out.unflatten(0, (self.batch, frames))

    def moved_by(self, *tokens, half=-1):
        """Which pixels a change of tokens of one half reaches: bool (halves, frames, pixels)."""

        def change(text):
            text[half, list(tokens)] += 1

        return (self() != self(change)).any(-1)


PIXELS = np.zeros((2, 8, 12), np.uint8)
PIXELS[0, :4, :6], PIXELS[0, 5:, 8:] = 1, 2
PIXELS[1, 1:5, 1:7], PIXELS[1, 5:, 8:] = 1, 2
FLAT = torch.from_numpy(PIXELS).flatten(1)
START, BALL, AND, CUBE, END = 0, (1, 2, 3), 4, (5, 6, 7), 10  # "a red ball and a blue cube on grass"


def test_after_the_masks_words_stay_hidden_outside_and_the_rest_is_free(pipe):
    read = Reader(pipe, PIXELS, PHRASES, step=1, words_outside=0.0)
    assert torch.equal(read.moved_by(*BALL)[1], FLAT == 1)
    assert torch.equal(read.moved_by(*CUBE)[1], FLAT == 2)
    for token in (START, AND, END):
        assert read.moved_by(token)[1].all()
    assert not read.moved_by(*BALL)[0].any()  # the other half of guidance has its own text
    assert torch.equal(Reader(pipe, PIXELS, PHRASES, step=0).moved_by(AND)[1], FLAT == 0)


def dense(pipe, site, hidden, text, bias):
    """The layer with an additive bias (batch, pixels, tokens) given to its own processor."""
    heads = site.attention.heads
    with torch.no_grad():
        return site.attention(
            hidden, encoder_hidden_states=text, attention_mask=bias.repeat_interleave(heads, 0)
        )


def test_soft_words_and_amplification_equal_a_dense_bias(pipe):
    outside, strength = 0.2, 3.0
    read = Reader(pipe, PIXELS, PHRASES, step=1, words_outside=outside, amplify=strength)
    pipe.scheduler.set_timesteps(3)
    levels = NoiseLevels(pipe.scheduler)
    first, second = (levels.at(float(t)) for t in pipe.scheduler.timesteps[:2])
    bias = torch.zeros(2, 2, 96, 77)  # halves, frames, pixels, tokens
    for label, tokens in ((1, BALL), (2, CUBE)):
        for token in tokens:
            inside = label == FLAT
            bias[..., token] = torch.where(inside, 0.0, math.log(outside))
            area = inside.float().mean(1, keepdim=True)
            boost = strength * second / first * (1 - area) * inside
            bias[1, ..., token] += boost
    hidden = torch.randn(
        4, 96, read.site.attention.to_q.in_features, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        prompt, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True)
        text = torch.cat([negative, prompt]).repeat_interleave(2, 0)
    expected = dense(pipe, read.site, hidden, text, bias.flatten(0, 1)).unflatten(0, (2, 2))
    torch.testing.assert_close(read(), expected, atol=1e-5, rtol=1e-5)


def test_the_unconditional_half_can_be_left_alone(pipe):
    hidden = Reader(pipe, PIXELS, PHRASES, conditional_only=("cross",))()
    masked = Reader(pipe, PIXELS, PHRASES)()
    free = Reader(pipe, PIXELS, PHRASES, masked_steps=0)()
    torch.testing.assert_close(hidden[0], free[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(hidden[1], masked[1], atol=1e-5, rtol=1e-5)
    assert difference(masked[0], free[0]) > 1e-3


SEGMENT = 77  # the prompt, then the ground, then each phrase; those that are read


@pytest.mark.parametrize("subject_text", ["prompt", "phrase", "words"])
@pytest.mark.parametrize("background_text", ["prompt", "ground"])
def test_while_masked_pixels_read_texts_of_their_own(pipe, subject_text, background_text):
    read = Reader(pipe, PIXELS, PHRASES, subject_text=subject_text, background_text=background_text)
    background, nobody = FLAT == 0, FLAT < 0
    first = 1
    if background_text == "ground":
        assert torch.equal(read.moved_by(SEGMENT, 2 * SEGMENT - 1)[1], background)
        first = 2
    for label in (1, 2) if subject_text != "prompt" else ():
        start = (first + label - 1) * SEGMENT
        own = FLAT.eq(label)
        assert torch.equal(read.moved_by(*(start + token for token in BALL))[1], own)
        specials = read.moved_by(start, start + SEGMENT - 1)[1]
        assert torch.equal(specials, own if subject_text == "phrase" else nobody)
    prompt = read.moved_by(START, AND, END)[1]
    assert torch.equal(prompt, background if background_text == "prompt" else nobody)
    assert torch.equal(read.moved_by(*BALL)[1], FLAT == 1 if subject_text == "prompt" else nobody)


@pytest.mark.parametrize("options", [{"subject_text": "phrase"}, {"background_text": "ground"}])
@pytest.mark.parametrize("conditional_only", [(), ("cross",)])
def test_texts_of_their_own_leave_the_unconditional_half_alone(pipe, options, conditional_only):
    ours = Reader(pipe, PIXELS, PHRASES, conditional_only=conditional_only, **options)
    plain = Reader(pipe, PIXELS, PHRASES, conditional_only=conditional_only)
    torch.testing.assert_close(ours()[0], plain()[0], atol=1e-5, rtol=1e-5)
    assert difference(ours()[1], plain()[1]) > 1e-3


def test_after_the_masks_a_subject_reads_the_prompt_too(pipe):
    texts = {"subject_text": "phrase", "background_text": "ground"}
    read = Reader(pipe, PIXELS, PHRASES, step=1, words_outside=0.0, **texts)
    assert torch.equal(read.moved_by(2 * SEGMENT)[1], FLAT == 1)
    assert torch.equal(read.moved_by(*BALL)[1], FLAT == 1)
    assert torch.equal(read.moved_by(AND, END)[1], FLAT > 0)
    assert torch.equal(read.moved_by(SEGMENT)[1], FLAT == 0)


def test_where_a_subject_is_let_go_the_background_reads_the_whole_prompt(pipe):
    strengths = np.array([[1.0, 1.0], [1.0, 0.0]])
    read = Reader(pipe, PIXELS, PHRASES, background_text="ground", strengths=strengths)
    assert torch.equal(read.moved_by(SEGMENT)[1][0], FLAT[0] == 0)
    assert not read.moved_by(SEGMENT)[1][1].any()
    assert torch.equal(read.moved_by(*CUBE)[1][1], FLAT[1] != 1)


@pytest.mark.parametrize("subject_text", ["phrase", "words"])
def test_contrast_shows_the_unconditional_half_what_does_not_belong(pipe, subject_text):
    read = Reader(pipe, PIXELS, PHRASES, contrast=0.5, subject_text=subject_text)
    assert torch.equal(read.moved_by(2 * SEGMENT + 1, half=0)[0], FLAT == 0)
    assert torch.equal(read.moved_by(2 * SEGMENT, half=0)[0], (FLAT == 0) & (subject_text == "phrase"))
    assert torch.equal(read.moved_by(SEGMENT, half=0)[0], FLAT > 0)
    assert torch.equal(read.moved_by(START, half=0)[0], FLAT == 0)


def test_contexts_are_the_texts_encoded_by_themselves(pipe):
    with peekaboo(pipe, PIXELS, PHRASES, subject_text="phrase", background_text="ground") as guidance:
        pipe.encode_prompt(PROMPT, "cpu", 1, True, negative_prompt="grass")
        _, got = guidance.before_denoiser(
            pipe.unet,
            (torch.zeros(2, 4, 2, 8, 12), 900),
            {"encoder_hidden_states": torch.zeros(2, SEGMENT, 32)},
        )
    segments = got["encoder_hidden_states"].unflatten(1, (4, SEGMENT))
    for number, text in enumerate(["and on grass", *PHRASES], start=1):
        expected, _ = pipe.encode_prompt(text, "cpu", 1, False)
        torch.testing.assert_close(segments[1, number], expected[0], atol=1e-5, rtol=1e-5)


def test_phrases_are_cut_out_as_they_stand():
    assert without_phrases("A  red ball, and a red ball\non grass", ["a red ball"]) == ", and on grass"
    assert without_phrases("a red ball", ["a red ball"]) == ""


# e: soft masks


def test_a_bias_agrees_with_its_definition():
    make = torch.Generator().manual_seed(0)
    weights = torch.rand(3, 7, 3, generator=make)
    weights /= weights.sum(-1, keepdim=True)
    weights[:, 0] = torch.tensor([1.0, 0.0, 0.0])
    shares = torch.tensor([[[1.0, 0.0, 0.3, 2.0], [0.2, 1.0, 0.0, 1.0], [0.0, 0.5, 1.0, 1.0]]])
    keys = torch.nn.functional.one_hot(torch.arange(9) % 4, 4).float()[None]
    query = torch.randn(6, 2, 7, 8, generator=make)
    key, value = torch.randn(2, 6, 2, 9, 8, generator=make)
    got = masked_attention(query, key, value, Bias(weights, shares, keys))
    attention = ((query @ key.transpose(-1, -2)).double() / 8**0.5).exp()
    attention *= (weights.double() @ shares.double() @ keys.double().transpose(1, 2)).repeat(2, 1, 1)[:, None]
    expected = attention / attention.sum(-1, keepdim=True) @ value.double()
    torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=0)
    assert not attention[:, :, 0, 1].any()


def test_hardly_any_leak_is_a_hard_mask_and_a_full_one_is_none(pipe, free, two_boxes):
    selves = ("spatial", "temporal")
    hard = run(pipe, two_boxes, kinds=selves)
    assert difference(run(pipe, two_boxes, kinds=selves, leak=1e-20), hard) < 1e-4
    assert difference(run(pipe, two_boxes, kinds=selves, leak=1.0), free) < 1e-4


def test_soft_edges_of_whole_cells_are_hard(pipe):
    """A subject that fills whole frames: every cell of every level belongs to one side."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    labels[2:] = 1
    hard = run(pipe, labels, PHRASES[:1])
    assert difference(run(pipe, labels, PHRASES[:1], soft_edges=True), hard) < 1e-4


# i: the words' weight in the box


def test_words_weigh_less_off_the_centre_of_the_box():
    labels = np.zeros((2, 8, 12), np.uint8)
    labels[0, 2:6, 3:9] = 1
    away = off_centre(labels, 1, 8, 12)
    corner = (1.5 / 2) ** 2 + (2.5 / 3) ** 2
    assert away[0, 2, 3] == away[0, 5, 8] == pytest.approx(corner)
    assert away[0, 3, 5] == pytest.approx(0.25**2 + (0.5 / 3) ** 2)
    assert not away[1].any()
    assert off_centre(labels, 1, 4, 6)[0, 0, 0] == pytest.approx((3 / 2) ** 2 + (5 / 3) ** 2)


def test_a_cell_off_the_centre_reads_both_sides(pipe):
    read = Reader(pipe, PIXELS, PHRASES, centred=1.0)
    assert torch.equal(read.moved_by(*BALL)[1], FLAT == 1)
    assert read.moved_by(AND)[1].all()
    assert torch.equal(Reader(pipe, PIXELS, PHRASES).moved_by(AND)[1], FLAT == 0)


# as a whole


def test_presets_run_in_half_precision(two_boxes):
    pipe = pipeline().to(dtype=torch.bfloat16)
    for steering in PRESETS.values():
        assert torch.isfinite(run(pipe, two_boxes, steering=steering)).all()


def test_presets_run_without_guidance_and_on_other_sizes(pipe, two_boxes):
    with peekaboo(pipe, two_boxes, PHRASES, steering=replace(STRONG, follow_path=True, follow_noise=0.3)):
        one = latents(pipe, guidance_scale=1.0)
        other = latents(pipe, height=40, width=56)
    assert torch.isfinite(one).all() and torch.isfinite(other).all()
    assert difference(one, latents(pipe, guidance_scale=1.0)) > 1e-3


@pytest.mark.parametrize(
    "option",
    [
        {"words_outside": 1.5},
        {"cross_until": -0.1},
        {"amplify": -1.0},
        {"subject_text": "both"},
        {"background_text": "ground", "blocks": "mid_up"},
        {"subject_text": "phrase", "kinds": ("spatial",)},
        {"contrast": 0.5, "blocks": "mid_up"},
        {"conditional_only": ("crossed",)},
    ],
)
def test_settings_that_cannot_be_are_refused(option):
    with pytest.raises(EngineError, match=next(iter(option))) as caught:
        Steering(**option)
    assert caught.value.code == "bad_option"
