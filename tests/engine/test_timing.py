# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases that some frames alone read: their table, what is refused, and what a job says of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from steered import difference, run
from tiny.unet3d import FRAMES, PROMPT, latents

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.attention import HIDDEN
from peekaboo_engine.control.timing import TimedClasses, check_timed, present
from peekaboo_engine.control.words import Classes, Reading, foreign, table, with_free
from peekaboo_engine.errors import EngineError
from peekaboo_engine.job import TimedPhrase

LATE = (np.arange(FRAMES) >= FRAMES // 2).astype(float)
PHRASES = ["a red ball", "a blue cube"]


@given(st.data())
def test_every_pixel_reads_something_and_hidden_words_nowhere(data):
    subjects, frames, phrases = (data.draw(st.integers(1, 3)) for _ in range(3))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    prompt = np.concatenate([[0], draw.integers(0, subjects + 1, 6), np.arange(1, subjects + 1)])
    times = np.concatenate([[0], draw.integers(0, phrases + 1, len(prompt) - 1)])
    weights = draw.choice([0.0, 0.3, 1.0], (phrases, frames))
    there = present(prompt, subjects, times, weights)
    masked, bound = (draw.random((2, subjects, frames)) < 0.5) & there
    reading = Reading(masked, bound)
    classes = Classes(subjects)
    tokens, timed = TimedClasses.of(classes.of_tokens(prompt, [], 0), len(classes), times, weights)
    scores = timed.behind(with_free(table(reading)))[:, :, tokens]
    assert not scores.isnan().any()
    held = np.concatenate([np.ones((1, frames), bool), reading.held, np.ones((1, frames), bool)]).T
    assert (scores > HIDDEN).any(dim=-1).numpy()[held].all()
    hidden = (times > 0) & ~np.concatenate([np.ones((1, frames)), weights])[times].T.astype(bool)
    assert (scores.permute(0, 2, 1)[torch.from_numpy(hidden)] == HIDDEN).all()
    assert not timed.behind(foreign(reading)).isnan().any()


def test_words_that_every_frame_reads_change_nothing(pipe, two_boxes):
    for steps in (0, 1):
        told = run(pipe, two_boxes, masked_steps=steps, timed={"grass": np.ones(FRAMES)})
        assert difference(told, run(pipe, two_boxes, masked_steps=steps)) < 1e-4


def test_words_over_time_act_after_the_masks_and_without_subjects(pipe, two_boxes):
    free = latents(pipe)
    with peekaboo(pipe, 0 * two_boxes, [], masked_steps=0, timed={"grass": LATE}) as guidance:
        assert difference(latents(pipe), free) > 1e-4 and guidance.active
    assert torch.equal(latents(pipe), free)


def test_the_negative_prompt_is_read_in_every_frame(pipe, two_boxes):
    """Its words stand where other words of the prompt do, which is no reason to hide them."""
    told = []
    sample = torch.randn(1, 4, FRAMES, 8, 12, generator=torch.Generator().manual_seed(1))
    for times in (LATE, 1 - LATE):
        with torch.no_grad(), peekaboo(pipe, 0 * two_boxes, [], masked_steps=0, timed={PROMPT: times}):
            prompt, negative = pipe.encode_prompt(PROMPT, "cpu", 1, True, negative_prompt="the panda")
            pipe.scheduler.set_timesteps(3)
            text = torch.cat([negative, prompt])
            told.append(pipe.unet(sample.repeat(2, 1, 1, 1, 1), 900, encoder_hidden_states=text).sample)
    one, other = told
    assert difference(one[0], other[0]) < 1e-5 and difference(one[1], other[1]) > 1e-4


def test_contrast_and_push_take_words_over_time_along(pipe, two_boxes):
    timed = {"blue": LATE, "grass": LATE}
    for options in ({"contrast": True}, {"push": 2.0}):
        plain = run(pipe, two_boxes, **options)
        assert difference(run(pipe, two_boxes, timed=timed, **options), plain) > 1e-4


@pytest.mark.parametrize(
    ("timed", "code", "problem"),
    [
        ({"snow": LATE}, "phrase_not_in_prompt", "does not occur"),
        ({"grass": LATE[1:]}, "bad_option", "numbers from 0 to 1"),
        ({"grass": LATE, "GRASS": LATE}, "phrases_overlap", "twice"),
        ({"ball and": LATE}, "phrases_overlap", "of a subject and others"),
        ({"on grass": LATE, "grass": LATE}, "phrases_overlap", "share words"),
    ],
)
def test_what_cannot_be_is_one_sentence(pipe, two_boxes, timed, code, problem):
    with pytest.raises(EngineError, match=problem) as caught:
        run(pipe, two_boxes, timed=timed)
    assert caught.value.code == code
    with pytest.raises(EngineError, match=problem):
        check_timed(PROMPT, PHRASES, timed, FRAMES)


def test_words_that_no_frame_reads_are_told_of_and_have_no_influence(pipe, two_boxes):
    """Of a subject, too, which is none then: its frame is in another shot."""
    told = []
    timed = {"a blue cube": 0 * LATE}
    without = np.where(two_boxes == 2, 0, two_boxes)
    one = run(pipe, two_boxes, timed=timed, notice=told.append)
    other = run(pipe, without, ["a red ball"], timed=timed)
    assert difference(one, other) < 1e-5 and told == ['No frame of this clip reads "a blue cube".']


@pytest.mark.parametrize("options", [{"blocks": "mid_up"}, {"kinds": ("spatial", "temporal")}])
def test_some_layers_are_not_enough(pipe, two_boxes, options):
    with pytest.raises(EngineError, match="need all layers of cross-attention"):
        run(pipe, two_boxes, timed={"grass": LATE}, **options)


def test_a_job_counts_in_frames_of_the_scene():
    frames = [0.5, 1.5, 2.5, 3.5, 9.0]
    hard = TimedPhrase(phrase="rain", frame_start=2, frame_end=3)
    assert hard.weights(frames).tolist() == [0, 0, 1, 1, 0]
    assert hard.weights([2.0, 3.999, 4.0]).tolist() == [1, 1, 0]
    soft = hard.model_copy(update={"fade": 3.0}).weights(frames)
    assert soft[2:4].tolist() == [1, 1] and soft[4] == 0 and 0 < soft[0] < soft[1] < 1
