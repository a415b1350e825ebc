# SPDX-License-Identifier: GPL-3.0-or-later
"""What a denoiser expects is shaped where outlines pass, and nowhere else."""

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wan import PHRASES
from tiny import unet3d
from tiny.wan import FRAMES, HEIGHT, WIDTH, latents, pasted_in, pipeline

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.labels import Pools
from peekaboo_engine.control.outlines import WHOLE, shaped
from peekaboo_engine.control.redrawing import painted_anew
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.wan import WAN
from peekaboo_engine.placement import Placement, place


def shares_of(*boxes):
    """Of latent pixels, by each subject, in one frame of 12 x 16: (rows, columns, share of the rim)."""
    shares = torch.zeros(len(boxes), 1, 12, 16)
    for own, (rows, columns, rim) in zip(shares, boxes, strict=True):
        own[0, rows, columns] = rim
        own[0, rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = 1
    return shares


BOX = (slice(3, 8), slice(4, 10), 0.2)


def test_an_outline_becomes_a_mixture_of_inside_and_ground():
    shares = shares_of(BOX)
    clean = torch.where(shares[None] == 1, 3.0, -1.0)  # the model missed the rim
    made = shaped(clean, shares, 1.0)
    rim = shares[0] == 0.2
    assert torch.allclose(made[0, 0][rim], torch.tensor(-1 + 4 * 0.2 / WHOLE))
    assert torch.equal(made[0, 0][~rim], clean[0, 0][~rim])
    half = shaped(clean, shares, 0.5)
    assert torch.allclose(half, (clean + made) / 2)
    assert torch.equal(shaped(clean, shares, 0.0), clean)


def test_each_of_two_that_touch_keeps_its_own():
    shares = shares_of((slice(2, 9), slice(1, 8), 0.5), (slice(2, 9), slice(7, 14), 0.5))
    clean = torch.zeros(1, 1, 1, 12, 16)
    clean[..., 2:9, 1:8], clean[..., 2:9, 8:14] = 1.0, 2.0
    made = shaped(clean, shares, 1.0)[0, 0, 0]
    assert made[5, 7] == pytest.approx(1.5)  # half of either
    assert made[5, 1] == 1 and made[5, 13] == 2 and made[5, 0] == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.floats(0, 1))
def test_nothing_is_made_that_is_not_between_what_was_there(seed, subjects, firmness):
    noise = torch.Generator().manual_seed(seed)
    clean = torch.randn(1, 3, 2, 6, 5, generator=noise)
    shares = torch.rand(subjects, 2, 6, 5, generator=noise).sub(0.5).clamp(min=0)
    shares[:, :1] *= shares[:, :1].amax(dim=(2, 3), keepdim=True) > 0.4  # some are in one frame only
    made = shaped(clean, shares / max(1, subjects), firmness)
    low, high = clean.amin(dim=(3, 4), keepdim=True), clean.amax(dim=(3, 4), keepdim=True)
    assert bool(((made >= low - 1e-5) & (made <= high + 1e-5)).all())


def test_shares_are_of_subjects_alone():
    labels = np.zeros((5, 8, 8), np.uint8)
    labels[:, :2, :2], labels[3:, 4:, 4:] = 1, 2
    shares = Pools(labels).shares(2, 2, frames=4)
    assert shares.shape == (2, 2, 2, 2)
    assert shares[0, :, 0, 0].tolist() == [0.25, 0.25] and shares[1, :, 1, 1].tolist() == [0, 0.5]


@pytest.fixture(scope="module")
def pipe():
    return pipeline()


@pytest.fixture(scope="module")
def labels():
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 30) ** 2 + (columns - 44) ** 2 < 20**2
    return np.broadcast_to(disc, (FRAMES, HEIGHT, WIDTH)).astype(np.uint8)


def made(pipe, labels, **options):
    called = []
    steps = {} if {"until", "masked_steps"} & set(options) else {"masked_steps": 2}
    with peekaboo(pipe, labels, PHRASES[:1], **steps, **options):
        handle = pipe.transformer.register_forward_pre_hook(lambda *_: called.append(1))
        try:
            return latents(pipe), len(called)
        finally:
            handle.remove()


def test_outlines_change_the_clip_and_add_no_call(pipe, labels):
    (plain, calls), (own, same) = made(pipe, labels), made(pipe, labels, outline=2.0)
    assert calls == same and (plain - own).abs().max() > 1e-4
    free = latents(pipe)
    assert torch.equal(made(pipe, labels, outline=2.0, until=1.0)[0], free)
    assert torch.equal(latents(pipe), free)  # nothing stays behind


def test_they_are_shared_out_among_the_masked_steps(pipe, labels):
    """Twice in two steps is all the way in each: more changes nothing, less does."""
    full, more, less = (made(pipe, labels, outline=outline)[0] for outline in (2.0, 5.0, 1.0))
    assert torch.equal(full, more) and not torch.equal(full, less)


def test_a_widened_subject_has_none(pipe, labels):
    widened = made(pipe, labels, least_area=0.9)[0]
    assert torch.equal(made(pipe, labels, least_area=0.9, outline=2.0)[0], widened)


def test_a_strip_along_the_outline_is_painted_anew():
    """The model's subject lies a little beside its mask; inside and far away all stays as it is."""
    own = torch.zeros(1, 80, 96)
    own[:, 24:56, 32:64] = 1
    picture = torch.full((1, 3, 80, 96), -0.5)
    picture[..., 26:58, 36:68] = 0.5
    picture[..., 40, 48], picture[..., 2, 2] = 0.9, -0.9
    painted, (strip,) = painted_anew(picture, own, torch.zeros(80, 96), 8)
    middle = painted[0, 0, 40]
    assert middle[33] > 0.4 and middle[65] < -0.4  # was ground, and the subject
    assert torch.equal(painted[..., ~strip], picture[..., ~strip])
    assert not strip[40, 48] and not strip[2, 2] and strip[24, 32] and strip[57, 40]


def test_nothing_is_painted_over_others_nor_where_no_ground_is():
    own, others = torch.zeros(1, 40, 40), torch.zeros(40, 40)
    own[:, :, :20], others[:, 20:] = 1, 1
    picture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    painted, strip = painted_anew(picture, own, others, 8)
    assert torch.equal(painted, picture) and not strip.any()
    whole = torch.ones(1, 40, 40)
    assert torch.equal(painted_anew(picture, whole, torch.zeros(40, 40), 8)[0], picture)


def test_each_of_two_has_a_strip_of_its_own():
    shares = torch.zeros(2, 80, 160)
    shares[0, 24:56, 16:48], shares[1, 24:56, 112:144] = 1, 1
    picture = torch.rand(1, 3, 80, 160, generator=torch.Generator().manual_seed(0))
    left, right = painted_anew(picture, shares, torch.zeros(80, 160), 8)[1]
    assert left[40, 16] and right[40, 112]
    assert not left[:, 80:].any() and not right[:, :80].any()


def test_redrawing_calls_the_autoencoder_and_not_the_denoiser_more_often(pipe, labels):
    decoded = []
    decode = pipe.vae.decode
    pipe.vae.decode = lambda *args, **kwargs: decoded.append(1) or decode(*args, **kwargs)
    try:
        plain, calls = made(pipe, labels, masked_steps=1)
        for redraws in (2, 1):  # in two steps
            decoded.clear()
            own, same = made(pipe, labels, masked_steps=1, redraws=redraws, redraw_until=0.0)
            assert calls == same and len(decoded) == redraws
            assert (plain - own).abs().max() > 1e-4 and bool(torch.isfinite(own).all())
        decoded.clear()
        assert torch.equal(made(pipe, labels, masked_steps=1, redraws=2, redraw_until=1.0)[0], plain)
        free = made(pipe, labels, redraws=2, redraw_until=0.0, until=1.0)[0]
        assert torch.equal(free, latents(pipe))  # no masks, no outlines
        made(pipe, labels, masked_steps=1, redraws=2, redraw_until=0.0, least_area=0.9)
        assert not decoded  # nor of a widened subject
    finally:
        del pipe.vae.decode


ONCE = {"masked_steps": 1, "redraws": 1, "redraw_until": 0.0}


@pytest.fixture
def noted(monkeypatch):
    """Notes what methods of an object are given and give: ``noted(owner, name)`` to that list."""

    def note(owner, name):
        method, calls = getattr(owner, name), []

        def noting(*args, **kwargs):
            out = method(*args, **kwargs)
            calls.append((args, out))
            return out

        monkeypatch.setattr(owner, name, noting, raising=False)
        return calls

    return note


def test_a_first_frame_that_is_pasted_in_is_decoded_as_it_was_given(labels, noted):
    """Wan 2.2 TI2V-5B: the scheduler has noise in its place, and frames are decoded from the one before."""
    pipe = pasted_in()
    decoded = noted(pipe.vae, "decode")
    own = made(pipe, labels, **ONCE)[0]
    ((_, (pictures,)),) = decoded
    first = WAN.codec.decode(pipe, own[:, :, :1])
    assert torch.allclose(pictures[:, :, :1], first, atol=1e-4)


def test_a_last_frame_that_is_given_is_not_painted(pipe, labels, noted):
    decoded, encoded = noted(pipe.vae, "decode"), noted(pipe.vae, "encode")
    made(pipe, labels, **ONCE, given=(-1,))
    pictures, painted = decoded[0][1][0], encoded[0][0][0]
    told = [not torch.equal(pictures[:, :, frame], painted[:, :, frame]) for frame in range(FRAMES)]
    assert told == [True] * (FRAMES - 1) + [False]


def test_a_frame_is_let_go_when_its_strength_says(pipe, labels, noted):
    strengths = np.ones((1, FRAMES))
    strengths[:, 1:5] = 0.3  # the second frame of latents, which the last of three steps leaves
    stepped, expected = noted(pipe.scheduler, "step"), []
    with peekaboo(pipe, labels, PHRASES[:1], **ONCE, strengths=strengths):
        handle = pipe.transformer.register_forward_hook(lambda *call: expected.append(call[-1][0]))
        try:
            latents(pipe, guidance_scale=1.0)
        finally:
            handle.remove()
    pairs = [(args[0], plain) for (args, _), plain in zip(stepped, expected, strict=True)]
    told = [[not torch.equal(own[:, :, f], plain[:, :, f]) for f in range(3)] for own, plain in pairs]
    assert told == [[False] * 3, [True] * 3, [True, False, True]]


def test_what_a_multistep_scheduler_remembers_is_redrawn(labels, noted):
    """Wan's own scheduler goes on from the clean latents of the steps before."""
    pipe = pipeline()
    pipe.scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    encoded = noted(pipe.vae, "encode")
    stepped = noted(pipe.scheduler, "step")
    remembered = noted(pipe.scheduler, "convert_model_output")
    made(pipe, labels, **ONCE)
    assert len(stepped) == len(remembered) == 3
    mean, deviation = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std)
    )
    target = (encoded[0][1].latent_dist.mode() - mean) / deviation
    redrawn = torch.isclose(remembered[1][1], target, atol=1e-3).all(dim=1)
    assert 0 < redrawn.float().mean() < 1


def test_an_offloaded_autoencoder_is_by_itself_and_leaves(labels, monkeypatch):
    """Diffusers moves parts in the order in which pipelines call them, with the decoding behind all."""
    pipe = pipeline(experts=2)
    place(pipe, [], Placement("cpu", offload=True), torch.device("cpu"))
    names, told = {id(part): name for name, part in pipe.components.items()}, []

    def telling(method, what):
        return lambda *args, **kwargs: told.append(what) or method(*args, **kwargs)

    for hook in pipe._all_hooks:
        monkeypatch.setattr(hook, "offload", telling(hook.offload, names[id(hook.model)]))
    for name in ("decode", "encode"):
        monkeypatch.setattr(pipe.vae, name, telling(getattr(pipe.vae, name), name))
    made(pipe, labels, **ONCE)
    assert told[:6] == ["text_encoder", "transformer", "transformer_2", "decode", "encode", "vae"]


@pytest.mark.parametrize("option", ["outline", "redraws"])
def test_other_families_refuse_them(option):
    labels = np.ones((unet3d.FRAMES, 8, 8), np.uint8)
    with (
        pytest.raises(EngineError, match=option),
        peekaboo(unet3d.pipeline(), labels, PHRASES[:1], **{option: 1}),
    ):
        pass
