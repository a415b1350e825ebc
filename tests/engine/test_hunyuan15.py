# SPDX-License-Identifier: GPL-3.0-or-later
"""What HunyuanVideo 1.5 has that other families have not: a joint row, a chat, two encoders, a guider."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from tiny import hunyuan15
from tiny.hunyuan15 import FRAMES, HEIGHT, LETTERS, PICTURE, PROMPT, TEXT_LENGTH, WIDTH, latents, texts
from torch.overrides import TorchFunctionMode

from peekaboo_engine.control import attention, guidance, peekaboo
from peekaboo_engine.control.joint import joint_rule
from peekaboo_engine.control.settings import preset
from peekaboo_engine.control.spans import PADDING, SHARED, label_tokens
from peekaboo_engine.control.steps import Steps
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.hunyuan15 import HUNYUAN15

PHRASES = ["a red ball", "a blue cube"]
TEXT = HUNYUAN15.text


@pytest.fixture(scope="module")
def pipe():
    return hunyuan15.pipeline()


@pytest.fixture
def labels():
    """Subject 1 on the left, subject 2 on the right: uint8 (frames, height, width)."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    labels[:, :32, :32] = 1
    labels[:, 32:, 64:] = 2
    return labels


def difference(one, other):
    return (one - other).abs().max().item()


def run(pipe, labels, **options):
    with peekaboo(pipe, labels, PHRASES, **{"masked_steps": 3, **options}):
        return latents(pipe)


def tokens_of(pipe, prompt, phrases, special_tokens="background"):
    return label_tokens(
        pipe.tokenizer, TEXT.clean(pipe, prompt), phrases, special_tokens, TEXT_LENGTH, TEXT.layout(pipe)
    )


def test_the_tokens_are_those_that_the_pipeline_makes(pipe):
    read = []
    handle = pipe.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"][0]), with_kwargs=True
    )
    pipe.encode_prompt(PROMPT)
    handle.remove()
    layout = TEXT.layout(pipe)
    ours = pipe.tokenizer(
        layout.before + TEXT.clean(pipe, PROMPT) + layout.behind,
        padding="max_length",
        max_length=TEXT_LENGTH + layout.skipped,
        add_special_tokens=False,
    )["input_ids"]
    assert read[0].tolist() == ours


def test_a_phrase_that_the_chat_begins_with_is_not_claimed_there(pipe):
    """The system's message of the tiny model says "a red ball", too."""
    assert PHRASES[0] in TEXT.layout(pipe).before
    labels = tokens_of(pipe, PROMPT, PHRASES, "shared")
    ids = pipe.tokenizer(TEXT.layout(pipe).before + PROMPT)["input_ids"][TEXT.layout(pipe).skipped :]
    words = pipe.tokenizer.convert_ids_to_tokens(ids)
    assert [words[i] for i in np.flatnonzero(labels == 1)] == ["a", "Ġ", "red", "Ġ", "ball"]
    assert len(labels) == TEXT_LENGTH and labels[0] == 1  # the chat's beginning is cut off
    assert labels[len(words)] == SHARED  # its end is not
    assert (labels[-1], (labels == PADDING).sum() > 0) == (PADDING, True)


def test_a_phrase_that_is_cut_off_is_refused(pipe):
    with pytest.raises(EngineError) as caught:
        tokens_of(pipe, "the " * TEXT_LENGTH + "cube", ["cube"])
    assert caught.value.code == "phrase_truncated"


def test_the_row_holds_what_is_read_first(pipe):
    prompt, _ = texts(pipe, 'a red ball "hi" and a blue cube')
    call = {**prompt, "image_embeds": torch.zeros(1, PICTURE, 12)}
    letters = int(prompt["encoder_attention_mask_2"].sum())
    assert 0 < letters <= LETTERS
    labels = tokens_of(pipe, 'a red ball "hi" and a blue cube', PHRASES)
    row = HUNYUAN15.beside(call, labels)
    assert len(row) == PICTURE + LETTERS + TEXT_LENGTH
    read = labels[labels != PADDING]
    assert (row[:letters] == SHARED).all()
    np.testing.assert_array_equal(row[letters : letters + len(read)], read)
    assert (row[letters + len(read) :] == PADDING).all()
    call["image_embeds"] = torch.ones(1, PICTURE, 12)
    assert (HUNYUAN15.beside(call, labels)[: PICTURE + letters] == SHARED).all()


def test_letters_in_quotes_are_seen_by_all(pipe, labels):
    prompt = 'a red ball "hi" and a blue cube'
    with torch.no_grad(), peekaboo(pipe, labels, PHRASES, masked_steps=3):
        text, _ = texts(pipe, prompt)
        pipe.scheduler.set_timesteps(3)

        def denoised(text):
            return hunyuan15.denoise(pipe, hunyuan15.noise(), pipe.scheduler.timesteps[0], text)

        before = denoised(text)
        letters = text["encoder_hidden_states_2"]
        after = denoised({**text, "encoder_hidden_states_2": letters + torch.randn_like(letters)})
    assert ((before - after).abs().amax(dim=1) > 1e-6).all()


def test_both_calls_of_guidance_are_masked_and_the_negative_prompt_is_no_prompt(pipe, labels):
    with peekaboo(pipe, labels, PHRASES, masked_steps=1):
        first, second = (latents(pipe, negative_prompt="grass") for _ in range(2))  # none of the phrases
    assert torch.isfinite(first).all() and torch.equal(first, second)
    with torch.no_grad(), peekaboo(pipe, labels, PHRASES, masked_steps=1):
        text, negative = texts(pipe)
        pipe.scheduler.set_timesteps(3)
        changed = negative["encoder_hidden_states"].clone()
        changed[:, 0] += torch.randn(changed.shape[-1])
        timestep = pipe.scheduler.timesteps[0]
        hunyuan15.denoise(pipe, hunyuan15.noise(), timestep, text)
        before = hunyuan15.denoise(pipe, hunyuan15.noise(), timestep, negative)
        with pytest.raises(EngineError, match="two calls"):
            hunyuan15.denoise(
                pipe, hunyuan15.noise(), timestep, {**negative, "encoder_hidden_states": changed}
            )
    assert torch.isfinite(before).all()


def test_guidance_is_an_object_of_its_own(pipe):
    before = pipe.guider
    try:
        call = HUNYUAN15.arguments(pipe, {"guidance_scale": 2.5, "num_frames": FRAMES})
        assert call == {"num_frames": FRAMES} and pipe.guider.guidance_scale == 2.5
    finally:
        pipe.guider = before


def test_the_size_follows_from_the_shape_of_the_picture():
    pipe = hunyuan15.started()
    call = {"guidance_scale": 2.5, "image": None, "height": HEIGHT, "width": WIDTH}
    assert HUNYUAN15.arguments(pipe, call) == {"image": None}
    with pytest.raises(EngineError, match=r"clips of 96 x 64, not 192 x 128; take that size\.") as caught:
        HUNYUAN15.arguments(pipe, {**call, "height": 128, "width": 192})
    assert caught.value.code == "bad_size"


def test_pixels_see_all_pixels_beyond_the_share_of_layers(pipe, labels):
    none, half, all_ = (run(pipe, labels, self_share=share) for share in (0.0, 0.5, 1.0))
    assert difference(none, half) > 1e-6 and difference(half, all_) > 1e-6
    assert difference(none, latents(pipe)) > 1e-5  # words are bound all the same


@pytest.mark.parametrize(("shift", "above"), [(5.0, (20, 42)), (7.0, (24, 44))])
def test_no_step_of_the_usual_schedule_falls_on_a_window(shift, above):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1, 0, 51)[:-1])
    steps, strong = Steps(scheduler), preset("strong", HUNYUAN15)
    levels = np.array([steps.level(turn) for turn in range(50)])
    for until, more in zip((strong.until, strong.bound_until), above, strict=True):
        assert np.abs(levels - until).min() > 1e-5 and (levels > until).sum() == more


@pytest.mark.parametrize("option", [{"contrast": True}, {"push": 5.0}, {"kinds": ("cross",)}])
def test_options_of_another_family_are_refused(pipe, labels, option):
    with pytest.raises(EngineError, match=next(iter(option))) as caught:
        run(pipe, labels, **option)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize("gathered", [True, False])
def test_the_models_own_mask_of_all_pairs_is_not_asked(monkeypatch, gathered):
    """It would be as large as all that is attended to; the rule says what it says."""
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1 if gathered else 10**9})
    labels = torch.tensor([[[0, 1]], [[1, 2]]])
    text = torch.tensor([0, 1, 2, 3, 5, 5])  # of nobody, two subjects, all; two that are not read
    scores = torch.full((2, 3, 5), -torch.inf)
    scores[:, torch.arange(3), torch.arange(3)] = 0
    scores[:, :, 3] = 0
    rule = joint_rule(labels, text, scores, torch.ones(2, 2, dtype=torch.bool), -torch.inf)
    tokens = rule.shape[1]
    q, k, v = (torch.randn(1, 2, tokens, 4) for _ in range(3))
    out = attention.masked_attention(q, k, v, rule, attn_mask=object())
    clip, words = [0, 1, 1, 2], [0, 1, 2, 3]
    for place, label in enumerate(clip):
        keys = [i for i, other in enumerate(clip) if other == label] + [4 + label, 4 + 3]
        expected = attention.scaled_dot_product_attention(q[:, :, [place]], k[:, :, keys], v[:, :, keys])
        torch.testing.assert_close(out[:, :, [place]], expected)
    for place, label in enumerate(words, start=4):
        keys = [i for i, other in enumerate(clip) if label in (other, 3)] + [4, 5, 6, 7]
        expected = attention.scaled_dot_product_attention(q[:, :, [place]], k[:, :, keys], v[:, :, keys])
        torch.testing.assert_close(out[:, :, [place]], expected)
    assert torch.isfinite(out).all()


class LargestMask(TorchFunctionMode):
    """Notes the most elements that any bool tensor takes in memory."""

    most = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.bool and out.device.type != "meta":
            self.most = max(self.most, out.untyped_storage().nbytes())
        return out


@pytest.mark.parametrize("masked_steps", [0, 3])
def test_a_large_clip_has_no_mask_of_all_pairs(monkeypatch, pipe, labels, masked_steps):
    """Neither in masked steps nor in those without; and what is made is the same but for rounding."""
    pairs = (3 * 4 * 6 + TEXT_LENGTH) ** 2
    made, largest = [], []
    for dense_to in (2**26, 1):
        monkeypatch.setattr(guidance, "DENSE_TO", dense_to)
        monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1})
        with LargestMask() as mask:
            made.append(run(pipe, labels, masked_steps=masked_steps, bound_until=1.0))
        largest.append(mask.most)
    assert difference(*made) < 1e-5
    assert largest[1] < pairs and (largest[0] > pairs) == (not masked_steps)
