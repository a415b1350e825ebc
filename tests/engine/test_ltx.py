# SPDX-License-Identifier: GPL-3.0-or-later
"""What LTX models have that others have not: text that is masked, packed latents, sound, registers."""

import json

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES
from tiny import ltx, ltx2
from tiny.ltx import FRAMES, HEIGHT, PROMPT, TEXT_LENGTH, WIDTH

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.settings import preset
from peekaboo_engine.control.spans import NOBODY, PADDING, SHARED, label_tokens
from peekaboo_engine.control.steps import Steps
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import Grid
from peekaboo_engine.families.ltx import LTX, LTX2
from peekaboo_engine.loading import load_model
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement

PHRASES = ["a red ball", "a blue cube"]


@pytest.fixture(scope="module")
def pipe():
    return ltx.pipeline()


@pytest.fixture(scope="module")
def sounding():
    return ltx2.pipeline()


@pytest.fixture
def labels():
    """Subject 1 on the left, subject 2 on the right: uint8 (frames, height, width)."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    labels[:, :64, :64] = 1
    labels[:, 64:, 128:] = 2
    return labels


def difference(one, other):
    return (one - other).abs().max().item()


def run(module, pipe, labels, masked_steps=3, steering=None, **options):
    with peekaboo(pipe, labels, PHRASES, masked_steps=masked_steps, **(steering or {})):
        return module.latents(pipe, **options)


def denoised(pipe, text, labels, **options):
    """One call of the denoiser in the first masked step, with both halves of guidance."""
    with torch.no_grad(), peekaboo(pipe, labels, PHRASES, masked_steps=1, **options):
        prompt, negative = ltx.texts(pipe)
        both = {name: torch.cat([negative[name], prompt[name]]) for name in prompt}
        text(both)
        pipe.scheduler.set_timesteps(3, mu=1.0)
        return ltx.denoise(pipe, ltx.noise().repeat(2, 1, 1), pipe.scheduler.timesteps[0], both)


def test_padding_stays_hidden_under_masks(pipe, labels):
    """Also from subjects, whose words in the negative prompt's place would be nothing but padding."""

    def other_padding(text):
        hidden = ~text["encoder_attention_mask"].bool()
        assert hidden.any()
        text["encoder_hidden_states"][hidden] += 100

    plain = denoised(pipe, lambda text: None, labels)
    assert torch.equal(denoised(pipe, other_padding, labels), plain)


def test_every_pixel_reads_all_of_the_negative_prompt(pipe, labels):
    def other_end(text):  # the empty prompt is one token, its end
        text["encoder_hidden_states"][0, 0] += 1

    plain, other = (denoised(pipe, change, labels) for change in (lambda text: None, other_end))
    assert ((plain - other).abs().amax(-1)[0] > 1e-6).all() and torch.equal(plain[1], other[1])


def test_contrast_stands_behind_text_that_is_masked(pipe, labels):
    read = []

    def note(denoiser, args, kwargs):
        read.append((kwargs["encoder_hidden_states"].shape[1], kwargs["encoder_attention_mask"].shape[1]))

    with peekaboo(pipe, labels, PHRASES, masked_steps=1, contrast=True):
        handle = pipe.transformer.register_forward_pre_hook(note, with_kwargs=True)
        try:
            contrasted = ltx.latents(pipe)
        finally:
            handle.remove()
    longer = TEXT_LENGTH + 3 + 6  # the ground "and on grass" with its end is four, each phrase three words
    assert read == [(longer + 1, longer + 1), *[(TEXT_LENGTH, TEXT_LENGTH)] * 2]
    assert torch.isfinite(contrasted).all()
    assert difference(contrasted, run(ltx, pipe, labels, masked_steps=1)) > 1e-5


def test_latents_are_unpacked_as_the_pipeline_does(pipe):
    packed = torch.randn(1, 3 * 4 * 6, 8)
    expected = pipe._unpack_latents(packed, 3, 4, 6)
    assert torch.equal(LTX.unpacked(packed, Grid(3, 4, 6)), expected)
    assert LTX.picture(pipe, expected).shape == (3, 32 * 4, 32 * 6)


@pytest.mark.parametrize(("frames", "nearest"), [(16, "9 or 17"), (24, "17 or 25")])
def test_frames_are_one_and_eight_at_a_time(pipe, frames, nearest):
    labels = np.ones((frames, HEIGHT, WIDTH), np.uint8)
    with pytest.raises(EngineError, match=nearest), peekaboo(pipe, labels, PHRASES[:1]):
        pass


def test_sound_is_made_as_ever_and_by_a_scheduler_of_its_own(sounding, labels):
    pictures, sound = ltx2.both(sounding)
    with peekaboo(sounding, labels, PHRASES, masked_steps=0):
        for free, one in zip((pictures, sound), ltx2.both(sounding), strict=True):
            assert torch.equal(free, one)
    with peekaboo(sounding, labels, PHRASES, masked_steps=3) as guidance:
        sites = guidance.sites(sounding.transformer)
        masked, _ = ltx2.both(sounding)
        assert guidance.step == 2
    assert {site.path.rpartition(".")[2] for site in sites} == {"attn1", "attn2"}
    assert difference(masked, pictures) > 1e-4


def test_words_stand_in_front_of_registers(sounding):
    """The tokenizer pads on the left, the connectors put what was read in front."""
    layout, tokens = LTX2.text.layout(sounding), sounding.tokenizer
    said = LTX2.text.clean(sounding, f"  {PROMPT} ")
    labels = label_tokens(tokens, said, PHRASES, "shared", TEXT_LENGTH, layout)
    read = tokens(said)["input_ids"]
    assert 0 < len(read) < TEXT_LENGTH and len(labels) == TEXT_LENGTH
    names = [tokens.convert_ids_to_tokens(i) for i in read]
    assert [names[i] for i in np.flatnonzero(labels == 1)][-1] == "ball"
    assert [names[i] for i in np.flatnonzero(labels == 2)][-1] == "cube"
    assert (labels[len(read) :] == SHARED).all()
    assert NOBODY not in labels and PADDING not in labels


def test_without_registers_padding_is_masked(labels):
    pipe = ltx2.pipeline(registers=None)
    layout = LTX2.text.layout(pipe)
    tokens = label_tokens(pipe.tokenizer, PROMPT, PHRASES, "background", TEXT_LENGTH, layout)
    assert tokens[0] == PADDING and tokens[-1] != PADDING  # on the left
    assert (tokens == PADDING).sum() == TEXT_LENGTH - len(pipe.tokenizer(PROMPT)["input_ids"])
    free = ltx2.latents(pipe)
    masked = run(ltx2, pipe, labels)
    assert torch.isfinite(masked).all() and difference(masked, free) > 1e-4
    assert torch.equal(run(ltx2, pipe, labels, masked_steps=0), free)


@pytest.mark.parametrize("option", [{"contrast": True}, {"push": 5.0}])
def test_what_cannot_stand_behind_the_text_is_refused(sounding, labels, option):
    with pytest.raises(EngineError, match=next(iter(option))) as caught:
        run(ltx2, sounding, labels, steering=option)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize(("newer", "calls"), [(False, 2), (True, 3)])
def test_every_kind_of_guidance_is_masked_where_it_attends(labels, newer, calls):
    """Also where a layer passes on values, which nothing has to mask."""
    pipe, batches = ltx2.pipeline(newer=newer), []
    call = LTX2.arguments(pipe, {"guidance_scale": 3.0})
    assert call.pop("use_cross_timestep") is False  # of LTX-2.0
    free = ltx2.latents(pipe, spatio_temporal_guidance_blocks=[1], **call)
    with peekaboo(pipe, labels, PHRASES, masked_steps=3):
        handle = pipe.transformer.register_forward_pre_hook(
            lambda module, args, kwargs: batches.append(len(kwargs["hidden_states"])), with_kwargs=True
        )
        try:
            masked = ltx2.latents(pipe, spatio_temporal_guidance_blocks=[1], **call)
        finally:
            handle.remove()
    assert batches == [2, 1, 1][:calls] * 3
    assert torch.isfinite(masked).all() and difference(masked, free) > 1e-4


def test_a_job_without_guidance_has_none_of_any_kind(sounding):
    batches = []
    handle = sounding.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    try:
        ltx2.latents(sounding, **LTX2.arguments(sounding, {"guidance_scale": 1.0}))
    finally:
        handle.remove()
    assert batches == [1, 1, 1]


def test_a_folder_of_the_class_with_conditions_is_loaded_as_the_one_for_text(pipe, tmp_path):
    """As the repositories of 0.9.5 and later say; the parts are the same."""
    pipe.save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "LTXConditionPipeline"}))
    entry = find_model(str(tmp_path))
    assert (entry.pipeline, entry.family, entry.first_frame) == ("LTXPipeline", LTX, "taken")
    loaded = load_model(entry, Placement(device="cpu", dtype="float32"))
    assert torch.equal(ltx.latents(loaded.pipe), ltx.latents(pipe))


SCHEDULES = {
    "LTX-Video": (21 * 16 * 22, np.linspace(1, 1 / 50, 50), (35, 47)),
    "LTX-2": (16 * 16 * 24, np.linspace(1, 1 / 30, 30), (18, 28)),
    "LTX-2, distilled": (None, DISTILLED_SIGMA_VALUES, (6, 7)),
}
"""Tokens of the usual clip, by which released schedulers shift; noise levels; how many are above a window."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_step_of_the_usual_schedule_falls_on_a_window(name):
    """And most are at high noise, since the schedule of so many tokens is shifted far."""
    tokens, sigmas, above = SCHEDULES[name]
    shifted = {"use_dynamic_shifting": True, "shift_terminal": 0.1}
    scheduler = FlowMatchEulerDiscreteScheduler(**(shifted if tokens else {}))
    mu = calculate_shift(tokens, 1024, 4096, 0.95, 2.05) if tokens else None
    scheduler.set_timesteps(sigmas=list(sigmas), mu=mu)
    steps, strong = Steps(scheduler), preset("strong", LTX)
    levels = np.array([steps.level(turn) for turn in range(len(sigmas))])
    for until, more in zip((strong.until, strong.bound_until), above, strict=True):
        assert np.abs(levels - until).min() > 1e-5 and (levels > until).sum() == more


@pytest.mark.parametrize("module", [ltx, ltx2])
def test_a_first_frame_is_given_and_seen_by_all(module, labels):
    """Its labels say nothing: what is in it is known."""
    pipe = module.started()
    masked = run(module, pipe, labels)
    other = labels.copy()
    other[0] = 1
    assert torch.equal(run(module, pipe, other), masked)
    other[1:] = labels[::-1][:-1, ::-1]
    assert difference(run(module, pipe, other), masked) > 1e-5


def test_several_clips_a_call_are_refused_where_halves_read_differently(pipe, labels):
    """Two of one prompt are not the two halves of guidance, of which the first would go unmasked."""
    for guidance_scale in (1.0, 3.0):
        with pytest.raises(EngineError, match="one clip") as caught:
            run(ltx, pipe, labels, guidance_scale=guidance_scale, num_videos_per_prompt=2)
        assert caught.value.code == "one_prompt"
