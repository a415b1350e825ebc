# SPDX-License-Identifier: GPL-3.0-or-later
"""What every family of models has to keep, on tiny models of its real classes.

Each module of ``tiny`` has one; a family without any fails.
"""

import copy
import importlib
import pkgutil

import numpy as np
import pytest
import tiny
import torch

from peekaboo_engine.control import attention, peekaboo
from peekaboo_engine.control.labels import pool_labels
from peekaboo_engine.control.sites import attention_sites
from peekaboo_engine.control.spans import label_tokens
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import FAMILIES, family_of
from peekaboo_engine.models import Placement, find_model, load_model

PHRASES = ["a red ball", "a blue cube"]
EVERY_STEP = {"masked_steps": 3}


class Case:
    """A tiny model with its family."""

    def __init__(self, name):
        self.tiny = importlib.import_module(f"tiny.{name}")
        self.pipe = self.tiny.pipeline()
        self.family = family_of(type(self.pipe).__name__)
        configs = {
            name: part.config for name, part in self.pipe.components.items() if hasattr(part, "config")
        }
        self.cells = self.family.cells(configs)

    @property
    def denoisers(self):
        """Those that the pipeline has."""
        held = [getattr(self.pipe, name, None) for name in self.family.denoisers]
        return [denoiser for denoiser in held if denoiser is not None]

    @property
    def labels(self):
        """Subject 1 moves to the right, subject 2 stands still: uint8 (frames, height, width)."""
        tiny = self.tiny
        labels = np.zeros((tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH), np.uint8)
        labels[:, 40:60, 60:90] = 2
        for frame in range(tiny.FRAMES):
            left = 4 * frame
            labels[frame, 8:32, left : left + 32] = 1
        return labels

    def tokens(self):
        """Labels of the prompt's tokens."""
        length = self.tiny.texts(self.pipe)[0].shape[1]
        return label_tokens(self.pipe.tokenizer, self.tiny.PROMPT, PHRASES, "background", length)


MODELS = [module.name for module in pkgutil.iter_modules(tiny.__path__)]


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    return Case(request.param)


def run(case, **options):
    with peekaboo(case.pipe, case.labels, PHRASES, **{**EVERY_STEP, **options}):
        return case.tiny.latents(case.pipe)


def difference(one, other):
    return (one - other).abs().max().item()


def test_every_family_has_a_tiny_model():
    models = [importlib.import_module(f"tiny.{name}").pipeline() for name in MODELS]
    assert {family_of(type(pipe).__name__).name for pipe in models} == {family.name for family in FAMILIES}


def test_a_model_has_a_denoiser(case):
    assert case.denoisers


def test_every_attention_layer_is_masked_or_left_alone_on_purpose(case):
    for denoiser in case.denoisers:
        layers = [name for name, module in denoiser.named_modules() if hasattr(module, "to_q")]
        masked = [site.path for site in attention_sites(denoiser, case.family)]
        assert set(masked) <= set(layers) and layers
        if not case.family.left_alone:
            assert masked == layers
        assert {site.kind for site in attention_sites(denoiser, case.family)} == case.family.kinds


def test_an_attention_layer_that_nobody_knows_is_refused(case):
    denoiser = case.denoisers[0]
    layer = attention_sites(denoiser, case.family)[0].attention
    denoiser.add_module("stranger", copy.deepcopy(layer))
    try:
        with (
            pytest.raises(EngineError, match="stranger") as caught,
            peekaboo(case.pipe, case.labels, PHRASES),
        ):
            pass
    finally:
        del denoiser.stranger
    assert caught.value.code == "unknown_layer"


def test_no_masked_step_is_the_unmodified_pipeline_to_the_bit(case):
    free = case.tiny.latents(case.pipe)
    assert torch.equal(run(case, masked_steps=0), free)
    assert difference(run(case), free) > 1e-4


def test_one_label_for_everything_masks_nothing(case):
    free, everything = case.tiny.latents(case.pipe), np.ones_like(case.labels)
    for labels, phrases in ((everything, [case.tiny.PROMPT]), (0 * everything, [])):
        with peekaboo(case.pipe, labels, phrases, special_tokens="shared", **EVERY_STEP):
            assert difference(case.tiny.latents(case.pipe), free) < 1e-4


def test_gathered_and_masked_are_the_same(case, monkeypatch):
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 1})
    gathered = run(case)
    monkeypatch.setattr(attention, "GATHER_FROM", {"cpu": 10**9})
    assert difference(run(case), gathered) < 1e-4
    monkeypatch.setattr(attention, "MASK_BUDGET", 40)  # a query or a few at a time
    assert difference(run(case), gathered) < 1e-4


def test_halves_of_guidance_in_one_batch_or_in_two_calls_are_the_same(case):
    tiny, pipe = case.tiny, case.pipe
    with torch.no_grad(), peekaboo(pipe, case.labels, PHRASES, **EVERY_STEP):
        prompt, negative = tiny.texts(pipe)
        pipe.scheduler.set_timesteps(3)
        timestep, sample = pipe.scheduler.timesteps[0], tiny.noise()
        both = tiny.denoise(pipe, torch.cat([sample, sample]), timestep, torch.cat([negative, prompt]))
        each = [tiny.denoise(pipe, sample, timestep, text) for text in (negative, prompt)]
        free = both + 0
    torch.testing.assert_close(both, torch.cat(each), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        free = tiny.denoise(pipe, sample, timestep, prompt)
    assert difference(free, each[1]) > 1e-4


def as_pictures(values, rows, frames, height, width):
    """From how a layer lays out its tokens, (batch of rows, tokens), to (batch, frames, height, width)."""
    if rows == "frames":
        return values.reshape(-1, frames, height, width)
    if rows == "pixels":
        return values.reshape(-1, height, width, frames).permute(0, 3, 1, 2)
    return values.reshape(-1, frames, height, width)


def place(rows, item, frame, y, x, frames, height, width):
    """Row and token of a place, as :func:`as_pictures` has them."""
    if rows == "frames":
        return item * frames + frame, y * width + x
    if rows == "pixels":
        return item * height * width + y * width + x, frame
    return item, (frame * height + y) * width + x


def caught_call(case, site):
    """The arguments of a layer in a call of the denoiser with both halves of guidance."""
    caught = {}

    def catch(module, args, kwargs):
        caught.setdefault("call", (args, kwargs))

    handle = site.attention.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        prompt, negative = case.tiny.texts(case.pipe)
        case.pipe.scheduler.set_timesteps(3)
        text = torch.cat([negative, prompt])
        case.tiny.denoise(case.pipe, case.tiny.noise(2), case.pipe.scheduler.timesteps[0], text)
    finally:
        handle.remove()
    return caught["call"]


def first_of_each_layout(case):
    """A layer of each kind and layout, with the rows and columns of its grid."""
    sites = {}
    for site in attention_sites(case.denoisers[0], case.family):
        sites.setdefault((site.layers.pattern, site.kind), site)
    return sites.values()


def moved_by(site, call, spot, argument):
    """Which tokens of a layer's output change with one of its input: bool (batch of rows, tokens)."""
    args, kwargs = call
    before = site.attention(*args, **kwargs)
    if argument == "hidden_states":
        changed = args[0].clone()
        changed[spot] += 1
        after = site.attention(changed, *args[1:], **kwargs)
    elif "encoder_hidden_states" in kwargs:
        text = kwargs["encoder_hidden_states"].clone()
        text[spot] += 1
        after = site.attention(*args, **{**kwargs, "encoder_hidden_states": text})
    else:
        text = args[1].clone()
        text[spot] += 1
        after = site.attention(args[0], text, *args[2:], **kwargs)
    return (before != after).any(-1)


def grid_of(site, call, frames):
    """Rows and columns of a layer's grid; the tiny pictures are three wide to two high at every level."""
    rows, tokens = call[0][0].shape[:2]
    cells = {"frames": tokens, "pixels": rows // 2, "clip": tokens // frames}[site.layers.rows]
    height = next(h for h in range(1, cells + 1) if cells % h == 0 and h / (cells // h) >= 0.5)
    return height, cells // height


def test_a_change_reaches_exactly_what_may_see_it(case):
    frames = 1 + (case.tiny.FRAMES - 1) // case.cells.frames
    tokens = case.tokens()
    for site in first_of_each_layout(case):
        with torch.no_grad(), peekaboo(case.pipe, case.labels, PHRASES, **EVERY_STEP):
            call = caught_call(case, site)
            height, width = grid_of(site, call, frames)
            labels = pool_labels(case.labels, height, width, case.cells.frames)
            assert labels.shape == (frames, height, width)
            size = (frames, height, width)
            if site.kind == "cross":
                for label in (0, 1, 2):
                    token = int(np.flatnonzero(tokens == label)[0])
                    spot = (slice(-(call[0][0].shape[0] // 2), None), token)  # of the prompted half
                    moved = as_pictures(
                        moved_by(site, call, spot, "encoder_hidden_states"), site.layers.rows, *size
                    )
                    assert not moved[0].any()
                    np.testing.assert_array_equal(moved[1].numpy(), labels == label)
                continue
            for item, frame, y, x in (
                (0, 0, 0, 0),
                (1, frames - 1, height - 1, width - 1),
                (0, min(1, frames - 1), 0, 1),
            ):
                spot = place(site.layers.rows, item, frame, y, x, *size)
                moved = as_pictures(moved_by(site, call, spot, "hidden_states"), site.layers.rows, *size)
                expected = np.zeros(moved.shape, bool)
                same = labels == labels[frame, y, x]
                if site.kind == "spatial":
                    expected[item, frame] = same[frame]
                elif site.kind == "temporal":
                    expected[item, :, y, x] = same[:, y, x]
                else:
                    expected[item] = same
                np.testing.assert_array_equal(moved.numpy(), expected, err_msg=site.path)


def test_a_layer_that_was_not_masked_raises(case):
    layer = attention_sites(case.denoisers[0], case.family)[0].attention
    before = layer.processor
    layer.processor = lambda attn, hidden_states, *args, **kwargs: hidden_states
    try:
        with pytest.raises(EngineError) as caught:
            run(case)
    finally:
        layer.processor = before
    assert caught.value.code == "not_masked"


def test_a_saved_model_is_described_and_loads(case, tmp_path):
    case.pipe.save_pretrained(tmp_path / "model")
    entry = find_model(str(tmp_path / "model"))
    assert entry.family is case.family and entry.cells == case.cells
    assert entry.width % entry.size_multiple == entry.height % entry.size_multiple == 0
    entry.cells.check(entry.num_frames, entry.height, entry.width)
    model = load_model(entry, Placement(device="cpu", dtype="float32"))
    with peekaboo(model.pipe, case.labels, PHRASES, **EVERY_STEP):
        torch.testing.assert_close(case.tiny.latents(model.pipe), run(case), atol=1e-4, rtol=1e-4)


def test_nothing_is_left_on_the_pipeline(case):
    def state():
        hooks = [
            len(m._forward_pre_hooks) + len(m._forward_hooks) for d in case.denoisers for m in d.modules()
        ]
        wrapped = [name for d in case.denoisers for name, m in d.named_modules() if "forward" in vars(m)]
        return hooks, wrapped, "encode_prompt" in vars(case.pipe), "step" in vars(case.pipe.scheduler)

    before = state()
    with peekaboo(case.pipe, case.labels, PHRASES):
        assert state() != before
    assert state() == before
