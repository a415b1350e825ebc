# SPDX-License-Identifier: GPL-3.0-or-later
"""What every family of models has to keep, on tiny models of its real classes.

Each module of ``tiny`` has one; a family without any fails.
"""

import copy
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import tiny
import torch

from peekaboo_engine.benchmark.controls import controls_of
from peekaboo_engine.control import Steering, attention, peekaboo
from peekaboo_engine.control.labels import pool_frames, pool_labels
from peekaboo_engine.control.prompts import read_of
from peekaboo_engine.control.settings import check_for_family
from peekaboo_engine.control.sites import attention_sites
from peekaboo_engine.control.spans import PADDING, SHARED, label_tokens
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import FAMILIES, family_of
from peekaboo_engine.loading import load_model, load_reader
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement

PHRASES = ["a red ball", "a blue cube"]
EVERY_STEP = {"masked_steps": 3}


class Case:
    """A tiny model with its family."""

    def __init__(self, name, variant):
        self.tiny = importlib.import_module(f"tiny.{name}")
        self.pipe = variants_of(self.tiny)[variant]()
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

    @property
    def layout(self):
        """How the tokens of a text lie."""
        return self.family.text.layout(self.pipe)

    @property
    def given(self):
        """Which frames of tokens the pipeline is given as a picture: bool (frames of tokens,)."""
        given = np.zeros(1 + (self.tiny.FRAMES - 1) // self.cells.frames, bool)
        given[0] = type(self.pipe).__name__ in self.family.given_picture
        return given

    def tokens(self):
        """Labels of the prompt's tokens."""
        text, pipe = self.family.text, self.pipe
        asked = getattr(self.tiny, "text_length", lambda _: getattr(self.tiny, "TEXT_LENGTH", None))(pipe)
        length = text.length(pipe, {"max_sequence_length": asked})
        prompt, *phrases = (text.clean(pipe, words) for words in (self.tiny.PROMPT, *PHRASES))
        return label_tokens(pipe.tokenizer, prompt, phrases, "background", length, self.layout)


MODELS = [module.name for module in pkgutil.iter_modules(tiny.__path__)]


def variants_of(module):
    """Its tiny models by name; one where all of the family are built alike."""
    return getattr(module, "VARIANTS", {"": module.pipeline})


CASES = [
    (name, variant) for name in MODELS for variant in variants_of(importlib.import_module(f"tiny.{name}"))
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(case).strip())
def case(request):
    return Case(*request.param)


def run(case, **options):
    with peekaboo(case.pipe, case.labels, PHRASES, **{**EVERY_STEP, **options}):
        return case.tiny.latents(case.pipe)


def joined(*texts):
    """What halves of guidance read, in one batch."""
    if isinstance(texts[0], torch.Tensor):
        return torch.cat(texts)
    return {name: torch.cat([text[name] for text in texts]) for name in texts[0]}


def begin(pipe):
    """Set the scheduler to three steps, as the pipeline would."""
    shifted = pipe.scheduler.config.get("use_dynamic_shifting")
    pipe.scheduler.set_timesteps(3, **({"mu": 1.0} if shifted else {}))


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
        begin(pipe)
        timestep, sample = pipe.scheduler.timesteps[0], tiny.noise()
        each = [tiny.denoise(pipe, sample, timestep, text) for text in (prompt, negative)]
        if case.family.beside is None:  # else the text of each half lies otherwise in its row
            twice = sample.repeat(2, *[1] * (sample.ndim - 1))
            both = tiny.denoise(pipe, twice, timestep, joined(negative, prompt))
            torch.testing.assert_close(both[1:], each[0], atol=1e-5, rtol=1e-5)
            if case.layout.pads == "read":  # else one call alone is taken for the prompt's
                torch.testing.assert_close(both[:1], each[1], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        assert difference(tiny.denoise(pipe, sample, timestep, prompt), each[0]) > 1e-4


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


def caught_call(case, site, halves=2):
    """The arguments of a layer by name, in a call of the denoiser with both halves of guidance if it can."""
    caught, signature = {}, inspect.signature(type(site.attention).forward)

    def catch(module, args, kwargs):
        call = dict(signature.bind(module, *args, **kwargs).arguments)
        more = [name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD]
        caught.setdefault("call", {**call, **{k: v for name in more for k, v in call.get(name, {}).items()}})
        for name in ("self", *more):
            caught["call"].pop(name, None)

    handle = site.attention.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        prompt, negative = case.tiny.texts(case.pipe)
        begin(case.pipe)
        halves = halves if case.family.beside is None else 1
        text = joined(negative, prompt) if halves == 2 else prompt
        case.tiny.denoise(case.pipe, case.tiny.noise(halves), case.pipe.scheduler.timesteps[0], text)
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
    """Which tokens of a layer's outputs change with one of its input: bool (batch of rows, tokens) each."""

    def outputs(call):
        told = site.attention(**call)
        return told if isinstance(told, tuple) else (told,)

    changed = call[argument].clone()
    changed[spot] += 1
    each = zip(outputs(call), outputs({**call, argument: changed}), strict=True)
    return [(before != after).any(-1) for before, after in each]


def grid_of(site, call, frames):
    """Rows and columns of a layer's grid; the tiny pictures are three wide to two high at every level."""
    rows, tokens = call["hidden_states"].shape[:2]
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
            if site.kind == "joint":
                check_joint(case, site, call, labels, tokens)
                continue
            if site.kind == "cross":
                of_prompt = slice(-(call["hidden_states"].shape[0] // 2), None)
                before = call["encoder_hidden_states"].shape[1] - len(tokens)  # tokens of a picture
                if before:
                    moved = moved_by(site, call, (of_prompt, 0), "encoder_hidden_states")[0]
                    assert not moved[0].any() and moved[1].all()
                for label in (0, 1, 2):
                    token = before + int(np.flatnonzero(tokens == label)[0])
                    moved = moved_by(site, call, (of_prompt, token), "encoder_hidden_states")[0]
                    moved = as_pictures(moved, site.layers.rows, *size)
                    assert not moved[0].any()
                    seen = (labels == label) | case.given[:, None, None]
                    np.testing.assert_array_equal(moved[1].numpy(), seen)
                continue
            for item, frame, y, x in (
                (0, 0, 0, 0),
                (1, frames - 1, height - 1, width - 1),
                (0, min(1, frames - 1), 0, 1),
            ):
                spot = place(site.layers.rows, item, frame, y, x, *size)
                moved = as_pictures(moved_by(site, call, spot, "hidden_states")[0], site.layers.rows, *size)
                expected = np.zeros(moved.shape, bool)
                free = np.broadcast_to(case.given[:, None, None], labels.shape)
                same = (labels == labels[frame, y, x]) | free | free[frame, y, x]
                if site.kind == "spatial":
                    expected[item, frame] = same[frame]
                elif site.kind == "temporal":
                    expected[item, :, y, x] = same[:, y, x]
                else:
                    expected[item] = same
                np.testing.assert_array_equal(moved.numpy(), expected, err_msg=site.path)


def test_words_over_time_reach_exactly_the_frames_that_read_them(case):
    """While masks act, and after them."""
    tiny, tokens = case.tiny, case.tokens()
    frames = 1 + (tiny.FRAMES - 1) // case.cells.frames
    late = np.arange(tiny.FRAMES) > tiny.FRAMES // 2
    timed = {"A blue cube": late.astype(float), "on grass": 1.0 - late}
    if not case.family.times_phrases:
        with (
            pytest.raises(EngineError, match="Phrases over time are not for"),
            peekaboo(case.pipe, case.labels, PHRASES, timed=timed),
        ):
            pass
        return
    read = pool_frames(late.astype(float), case.cells.frames, 0) if case.cells.frames > 1 else late
    text, rest = case.family.text.clean(case.pipe, tiny.PROMPT), ["on grass"]
    words = label_tokens(case.pipe.tokenizer, text, rest, "background", len(tokens), case.layout)
    for site in (site for site in first_of_each_layout(case) if site.kind == "cross"):
        for steps in (3, 0):
            with (
                torch.no_grad(),
                peekaboo(case.pipe, case.labels, PHRASES, masked_steps=steps, timed=timed),
            ):
                call = caught_call(case, site, halves=1)
                cells = call["hidden_states"].shape[:2].numel() // frames
                height = next(h for h in range(1, cells + 1) if cells % h == 0 and h / (cells // h) >= 0.5)
                labels = pool_labels(case.labels, height, cells // height, case.cells.frames)
                labels = np.where((labels == 2) & (read == 0)[:, None, None], 0, labels)
                before = call["encoder_hidden_states"].shape[1] - len(tokens)
                for where, label, seen in (
                    (tokens == 1, 1, np.ones(frames, bool)),
                    (tokens == 2, 2, read > 0),
                    (words == 1, 0, read < 1),
                ):
                    spot = (slice(None), before + int(np.flatnonzero(where)[0]))
                    moved = moved_by(site, call, spot, "encoder_hidden_states")[0]
                    moved = as_pictures(moved, site.layers.rows, *labels.shape)[0].numpy()
                    own = (labels == label) | case.given[:, None, None] if steps else labels >= 0
                    np.testing.assert_array_equal(moved, own & seen[:, None, None])


def check_joint(case, site, call, labels, tokens):
    """In one row, pixels and words of a label see each other, and words see all words that are read.

    Tokens of a picture stand in front of the words, and are seen by all as given frames are.
    """
    clip, free = labels.flatten(), np.broadcast_to(case.given[:, None, None], labels.shape).flatten()
    shown = case.tiny.PICTURE if case.given.any() else 0
    text = np.full(call["encoder_hidden_states"].shape[1], PADDING)
    text[: shown + (tokens != PADDING).sum()] = [*[SHARED] * shown, *tokens[tokens != PADDING]]
    read = text != PADDING

    def reached(where, spot):
        return [moved[0].numpy() for moved in moved_by(site, call, (0, int(spot)), where)]

    for label in (0, 1, 2):
        pixels, words = reached("hidden_states", np.flatnonzero((clip == label) & ~free)[0])
        np.testing.assert_array_equal(pixels, (clip == label) | free)
        np.testing.assert_array_equal(words, (text == label) | (text == SHARED))
        pixels, words = reached("encoder_hidden_states", np.flatnonzero(text == label)[0])
        np.testing.assert_array_equal(pixels, (clip == label) | free)
        np.testing.assert_array_equal(words, read)
    if shown:
        for where, spot in (("hidden_states", 0), ("encoder_hidden_states", 0)):
            pixels, words = reached(where, spot)
            assert pixels.all()
            np.testing.assert_array_equal(words, read)


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
    reader = load_reader(entry)
    for pipe in (model.pipe, reader):
        getattr(case.tiny, "shorten", lambda pipe: None)(pipe)  # what its files do not hold
    with peekaboo(model.pipe, case.labels, PHRASES, **EVERY_STEP):
        torch.testing.assert_close(case.tiny.latents(model.pipe), run(case), atol=1e-4, rtol=1e-4)
    modules = [part for part in reader.components.values() if isinstance(part, torch.nn.Module)]
    assert all(weight.is_meta for part in modules for weight in part.parameters())
    for prompt in ("a red ball", "a red ball on grass " * 200):
        assert read_of(reader, prompt) == read_of(model.pipe, prompt)


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


def test_every_control_of_the_benchmark_is_one_that_it_has_and_masks_something(case):
    for control in controls_of(case.family)[1:]:
        steering = Steering(**control.options)
        check_for_family(steering, case.family)
        assert set(steering.kinds) & case.family.kinds, control.name
