# SPDX-License-Identifier: GPL-3.0-or-later
"""Each switch of Steering on a real pipeline with random weights: it does what it says, and nothing else."""

import inspect

import numpy as np
import pytest
import torch
from steered import PHRASES, difference, run
from tiny.unet3d import FRAMES, HEIGHT, PROMPT, WIDTH, latents, pipeline

from peekaboo_engine.control import PRESETS, STRONG, Steering, attention, peekaboo
from peekaboo_engine.control.labels import widen
from peekaboo_engine.control.levels import NoiseLevels
from peekaboo_engine.control.sites import attention_sites
from peekaboo_engine.control.words import without_phrases
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.unet3d import UNET3D

SWITCHES = {
    "until": {"until": 0.5},
    "contrast": {"contrast": True},
    "binding": {"bound_until": 0.0},
    "binding_half": {"bound_until": 0.5},
    "both": {"contrast": True, "bound_until": 0.0},
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

    with peekaboo(pipe, two_boxes, PHRASES, steering=STRONG, bound_until=0.9) as guidance:
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


# what is read


def called(module, *args, **kwargs):
    """What a module gets by name when it is called so: its hooks are told, and it is not run."""
    for hook in module._forward_pre_hooks.values():
        args, kwargs = hook(module, args, kwargs) or (args, kwargs)
    return inspect.signature(module.forward).bind(*args, **kwargs).arguments


class Reader:
    """One cross-attention layer under a steering, at a given step of a run of three."""

    def __init__(self, pipe, labels, phrases, prompt=PROMPT, step=0, guided=True, **options):
        self.pipe, self.labels, self.step = pipe, labels, step
        self.site = next(s for s in attention_sites(pipe.unet, UNET3D) if s.kind == "cross")
        self.batch = 2 if guided else 1  # halves of guidance
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
        with torch.no_grad(), peekaboo(pipe, self.labels, self.phrases, **self.options):
            prompt, negative = pipe.encode_prompt(self.prompt, "cpu", 1, True)
            text = torch.cat([negative, prompt])[-self.batch :]
            sample = torch.zeros(self.batch, 4, frames, 8, 12)
            for timestep in pipe.scheduler.timesteps[: self.step + 1]:
                got = called(pipe.unet, sample, timestep, encoder_hidden_states=text)
            text = got["encoder_hidden_states"]
            text = text.clone()
            if change:
                change(text)
            called(self.site.level, torch.zeros(1, 1, 8, 12))
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
    read = Reader(pipe, PIXELS, PHRASES, step=1, bound_until=0.0)
    assert torch.equal(read.moved_by(*BALL)[1], FLAT == 1)
    assert torch.equal(read.moved_by(*CUBE)[1], FLAT == 2)
    for token in (START, AND, END):
        assert read.moved_by(token)[1].all()
    assert not read.moved_by(*BALL)[0].any()  # the other half of guidance has its own text
    assert torch.equal(Reader(pipe, PIXELS, PHRASES, step=0).moved_by(AND)[1], FLAT == 0)


GROUND = 77  # with contrast the text is the prompt, then the ground, then the words of each phrase
OF_BALL, OF_CUBE, ALL = range(154, 157), range(157, 160), 160


def test_contrast_shows_the_unconditional_half_what_does_not_belong(pipe):
    read = Reader(pipe, PIXELS, PHRASES, contrast=True)
    background, nobody = FLAT == 0, FLAT < 0
    for token in (*OF_BALL, *OF_CUBE):
        assert torch.equal(read.moved_by(token, half=0)[0], background)
        assert torch.equal(read.moved_by(token)[1], nobody)
    for token in (GROUND, OF_BALL[0] - 1):  # start and padding
        assert torch.equal(read.moved_by(token, half=0)[0], FLAT > 0)
        assert torch.equal(read.moved_by(token)[1], nobody)
    assert torch.equal(read.moved_by(START, half=0)[0], background)
    torch.testing.assert_close(read()[1], Reader(pipe, PIXELS, PHRASES)()[1], atol=1e-5, rtol=1e-5)


def test_contrast_ends_with_the_masks(pipe):
    after = Reader(pipe, PIXELS, PHRASES, step=1, contrast=True, bound_until=0.0)
    assert torch.equal(after(), Reader(pipe, PIXELS, PHRASES, step=1, bound_until=0.0)())


def test_where_a_subject_is_let_go_its_words_are_the_backgrounds(pipe):
    strengths = np.array([[1.0, 1.0], [1.0, 0.0]])
    read = Reader(pipe, PIXELS, PHRASES, contrast=True, strengths=strengths)
    assert torch.equal(read.moved_by(*CUBE)[1][0], FLAT[0] == 2)
    assert torch.equal(read.moved_by(*CUBE)[1][1], FLAT[1] != 1)
    assert torch.equal(read.moved_by(OF_CUBE[0], half=0)[0][0], FLAT[0] == 0)
    assert not read.moved_by(OF_CUBE[0], half=0)[0][1].any()


def test_a_subject_that_is_masked_beside_one_that_is_only_bound(pipe):
    """The masks of the second end earlier than the binding: strength scales each window by itself."""
    strengths = np.array([[1.0, 1.0], [0.5, 0.5]])
    read = Reader(pipe, PIXELS, PHRASES, step=1, masked_steps=2, bound_until=0.0, strengths=strengths)
    assert torch.equal(read.moved_by(*BALL)[1], FLAT == 1)
    assert torch.equal(read.moved_by(*CUBE)[1], FLAT == 2)
    assert torch.equal(read.moved_by(AND)[1], FLAT != 1)


def test_without_guidance_there_is_nothing_to_contrast(pipe):
    alone = Reader(pipe, PIXELS, PHRASES, guided=False, contrast=True)
    assert torch.equal(alone(), Reader(pipe, PIXELS, PHRASES, guided=False)())


def test_contrast_holds_for_every_run_of_a_block(pipe, two_boxes):
    first = run(pipe, two_boxes, contrast=True)
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=1, contrast=True):
        latents(pipe, prompt="a blue cube and a red ball in snow")
        latents(pipe, guidance_scale=1.0)
        assert torch.equal(latents(pipe), first)


def test_contrast_is_the_same_gathered(pipe, two_boxes, monkeypatch):
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 10**9})
    masked = run(pipe, two_boxes, contrast=True)
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1})
    assert difference(run(pipe, two_boxes, contrast=True), masked) < 1e-4


def test_contexts_are_the_texts_encoded_by_themselves(pipe):
    with peekaboo(pipe, PIXELS, PHRASES, contrast=True):
        pipe.encode_prompt(PROMPT, "cpu", 1, True, negative_prompt="grass")
        sample, nothing = torch.zeros(2, 4, 2, 8, 12), torch.zeros(2, 77, 32)
        got = called(pipe.unet, sample, 900, encoder_hidden_states=nothing)
    text = got["encoder_hidden_states"][1]
    assert len(text) == ALL
    for place, wanted, words in (
        (range(GROUND, OF_BALL[0]), "and on grass", slice(None)),
        (OF_BALL, PHRASES[0], slice(1, 4)),
        (OF_CUBE, PHRASES[1], slice(1, 4)),
    ):
        expected, _ = pipe.encode_prompt(wanted, "cpu", 1, False)
        torch.testing.assert_close(text[list(place)], expected[0, words], atol=1e-5, rtol=1e-5)


def test_phrases_are_cut_out_as_they_stand():
    assert without_phrases("A  red ball, and a red ball\non grass", ["a red ball"]) == ", and on grass"
    assert without_phrases("a red ball", ["a red ball"]) == ""


# as a whole


def test_presets_run_in_half_precision(two_boxes):
    pipe = pipeline().to(dtype=torch.bfloat16)
    for steering in PRESETS.values():
        assert torch.isfinite(run(pipe, two_boxes, steering=steering)).all()


def test_presets_run_without_guidance_and_on_other_sizes(pipe, two_boxes):
    with peekaboo(pipe, two_boxes, PHRASES, steering=STRONG):
        one = latents(pipe, guidance_scale=1.0)
        other = latents(pipe, height=40, width=56)
    assert torch.isfinite(one).all() and torch.isfinite(other).all()
    assert difference(one, latents(pipe, guidance_scale=1.0)) > 1e-3


@pytest.mark.parametrize(
    "option",
    [
        {"until": -0.1},
        {"bound_until": 1.5},
        {"cell_share": 0.0},
        {"cell_share": 0.6},
        {"bound_until": 0.5, "kinds": ("spatial",)},
        {"contrast": True, "blocks": "mid_up"},
        {"special_tokens": "both"},
        {"kinds": ("crossed",)},
    ],
)
def test_settings_that_cannot_be_are_refused(option):
    with pytest.raises(EngineError, match=next(iter(option))) as caught:
        Steering(**option)
    assert caught.value.code == "bad_option"


def test_a_small_subject_has_room_and_is_not_bound(pipe, two_boxes):
    one = np.where(two_boxes == 1, 1, 0).astype(np.uint8)
    least = 2 * float((one == 1).mean())
    wide = widen(one, np.array([True]), least)
    with peekaboo(pipe, one, PHRASES[:1], steering=STRONG, least_area=least):
        roomy = latents(pipe)
    with peekaboo(pipe, wide, PHRASES[:1], steering=STRONG, bound_until=1.0):
        torch.testing.assert_close(roomy, latents(pipe), rtol=0, atol=0)
    with peekaboo(pipe, wide, PHRASES[:1], steering=STRONG):
        assert difference(roomy, latents(pipe)) > 1e-4
