# SPDX-License-Identifier: GPL-3.0-or-later
"""What Wan models have that other families have not, on tiny pipelines of the real classes."""

import hashlib
import json

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler
from tiny import wan
from tiny.wan import FRAMES, HEIGHT, PROMPT, TEXT_LENGTH, VARIANTS, WIDTH, latents, picture, pipeline

from peekaboo_engine import previews
from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.prompts import read_of
from peekaboo_engine.control.settings import preset
from peekaboo_engine.control.sites import attention_sites
from peekaboo_engine.control.spans import label_tokens
from peekaboo_engine.control.steps import Steps
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families.wan import WAN
from peekaboo_engine.loading import LoadedModel
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.sampling import Sampling, Shot, sample
from peekaboo_engine.worker import Worker

PHRASES = ["a red ball", "a blue cube"]


@pytest.fixture(scope="module")
def pipe():
    return pipeline()


@pytest.fixture
def labels():
    """Subject 1 moves to the right, subject 2 stands still: uint8 (frames, height, width)."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    labels[:, 40:60, 60:90] = 2
    for frame in range(FRAMES):
        labels[frame, 8:32, 4 * frame : 4 * frame + 32] = 1
    return labels


def run(pipe, labels, phrases=PHRASES, **options):
    settings = {"masked_steps": 3, **options}
    with peekaboo(pipe, labels, phrases, **settings):
        return latents(pipe)


def difference(one, other):
    return (one - other).abs().max().item()


def test_words_are_found_in_the_text_that_is_tokenised(pipe):
    prompt = "  A red   ball &amp; a blue cube\non grass"
    cleaned = WAN.text.clean(pipe, prompt)
    assert cleaned == "A red ball & a blue cube on grass"
    tokens = label_tokens(pipe.tokenizer, cleaned.lower(), PHRASES, "background", TEXT_LENGTH)
    assert len(tokens) == TEXT_LENGTH and {1, 2} < set(tokens)
    assert (tokens == 1).sum() == (tokens == 2).sum() == 3
    assert tokens[-1] == 0  # zeros that pad the text belong to the background


def test_both_experts_are_steered(labels):
    pipe = pipeline(experts=2)
    called = []
    for name in ("transformer", "transformer_2"):
        getattr(pipe, name).register_forward_pre_hook(lambda *_, name=name: called.append(name))
    free = latents(pipe)
    assert set(called) == {"transformer", "transformer_2"}
    first, every = run(pipe, labels, masked_steps=1), run(pipe, labels)
    assert difference(first, free) > 1e-4
    assert difference(every, first) > 1e-4  # what the second one does changes, too


def test_a_timestep_for_every_token(labels):
    pipe = pipeline(expand_timesteps=True)
    free = latents(pipe)
    assert torch.equal(run(pipe, labels, masked_steps=0), free)
    assert difference(run(pipe, labels), free) > 1e-4


@pytest.mark.parametrize("words", [None, PROMPT])
def test_contrast_is_read_by_the_unconditional_call_alone(pipe, labels, words):
    """Also where both halves read the same words, which only their order tells apart."""
    read = []

    def note(denoiser, args, kwargs):
        read.append(kwargs["encoder_hidden_states"].shape[1])

    with peekaboo(pipe, labels, PHRASES, masked_steps=2, contrast=True):
        handle = pipe.transformer.register_forward_pre_hook(note, with_kwargs=True)
        try:
            contrasted = latents(pipe, negative_prompt=words)
        finally:
            handle.remove()
    longer = TEXT_LENGTH + TEXT_LENGTH + 6  # the prompt, the ground, three words of each phrase
    assert read == [TEXT_LENGTH, longer, TEXT_LENGTH, longer, TEXT_LENGTH, TEXT_LENGTH]
    with peekaboo(pipe, labels, PHRASES, masked_steps=2):
        assert difference(latents(pipe, negative_prompt=words), contrasted) > 1e-5


@pytest.mark.parametrize("variant", ["pasted in", "beside noise", "seen by CLIP", "VACE"])
def test_a_first_frame_is_given_and_acts(labels, variant):
    """A subject's tokens see all of it, so what the picture shows elsewhere reaches them; without, it does
    not."""
    pipe = VARIANTS[variant]()
    pictures = [WAN.pictures(pipe, picture(seed), None, FRAMES) for seed in (1, 2)]
    one, other = (latents(pipe, **given) for given in pictures)
    assert difference(one, other) > 1e-3
    given = {"given": (0,)} if variant == "VACE" else {}  # which is not always given a picture

    def steered(**options):
        with peekaboo(pipe, labels, PHRASES, masked_steps=3, **options):
            return latents(pipe, **pictures[0])

    assert difference(steered(**given), steered(given=())) > 1e-5
    assert torch.equal(steered(**given), steered(given=(0,)))


@pytest.mark.parametrize("variant", ["beside noise", "ends seen by CLIP"])
def test_a_last_frame_shares_its_token_with_frames_that_are_made(labels, variant):
    pipe = VARIANTS[variant]()
    ends = WAN.pictures(pipe, picture(1), picture(2), FRAMES)

    def steered(given):
        with peekaboo(pipe, labels, PHRASES, masked_steps=3, given=given):
            return latents(pipe, **ends)

    assert torch.equal(steered((0, -1)), steered((0,)))
    assert difference(steered((0, *range(5, FRAMES))), steered((0,))) > 1e-5


def test_a_given_frame_that_is_not_there_is_refused(pipe, labels):
    with (
        pytest.raises(EngineError, match="given") as caught,
        peekaboo(pipe, labels, PHRASES, given=(FRAMES,)),
    ):
        pass
    assert caught.value.code == "bad_option"


def test_a_model_that_reads_its_prompt_alone_has_no_contrast(labels):
    pipe = VARIANTS["seen by CLIP"]()
    for option in ({"contrast": True}, {"push": 2.0}):
        with pytest.raises(EngineError, match="prompt alone"), peekaboo(pipe, labels, PHRASES, **option):
            pass
    with pytest.raises(EngineError, match="512"), peekaboo(pipe, labels, PHRASES):
        latents(pipe, max_sequence_length=TEXT_LENGTH)


def test_masks_are_in_the_same_depth_of_both_streams():
    pipe = VARIANTS["VACE"]()
    sites = attention_sites(pipe.transformer, WAN)
    depths = {site.path: site.depth for site in sites if site.kind == "full"}
    assert depths["blocks.1.attn1"] == depths["vace_blocks.1.attn1"] == 0.5


def test_contrast_without_guidance_is_said_not_lost(pipe, labels):
    said = []
    with peekaboo(pipe, labels, PHRASES, contrast=True, notice=said.append):
        latents(pipe, guidance_scale=1.0)
    assert len(said) == 1 and "no contrast" in said[0]


def test_a_prompt_that_is_cut_is_said_with_where_it_ends(pipe, labels):
    said = []
    with peekaboo(pipe, labels, PHRASES, notice=said.append):
        latents(pipe)
        assert not said
        latents(pipe, prompt=f"{PROMPT}, {'grass and ' * 80} a late word")
    assert len(said) == 1 and "prompt is cut" in said[0] and "late" not in said[0]
    assert "grass and" in said[0] or "grass" in said[0]


def test_a_half_that_cannot_be_told_is_refused(pipe, labels):
    prompt, negative = wan.texts(pipe)
    with (
        pytest.raises(EngineError, match="two calls") as caught,
        torch.no_grad(),
        peekaboo(pipe, labels, PHRASES, contrast=True),
    ):
        wan.texts(pipe)
        pipe.scheduler.set_timesteps(3)
        wan.denoise(pipe, wan.noise(), pipe.scheduler.timesteps[0], prompt + negative)
    assert caught.value.code == "unknown_half"


def test_contrast_inside_attention_needs_no_guidance(pipe, labels):
    def steered(**options):
        with peekaboo(pipe, labels, PHRASES, masked_steps=3, **options):
            return latents(pipe, guidance_scale=1.0)

    plain, pushed = steered(), steered(push=5.0)
    assert torch.isfinite(pushed).all()
    assert difference(pushed, plain) > 1e-5
    assert difference(steered(push=10.0), pushed) > 1e-5
    assert torch.equal(steered(push=5.0), pushed)  # nothing is left of a run


def test_softer_bindings_and_masks_lie_between_hard_ones_and_none(pipe, labels):
    for name, others in (("bound_penalty", {"masked_steps": 0, "bound_until": 0.0}), ("self_penalty", {})):
        none, soft, hard = (run(pipe, labels, **others, **{name: value}) for value in (0.0, 2.0, np.inf))
        assert 1e-6 < difference(soft, none) < difference(hard, none)
        assert difference(run(pipe, labels, **others, **{name: 60.0}), hard) < 1e-4


def test_full_attention_is_masked_in_a_share_of_the_layers(pipe, labels):
    none, half, all_ = (run(pipe, labels, self_share=share) for share in (0.0, 0.5, 1.0))
    assert torch.equal(none, run(pipe, labels, kinds=("cross",)))
    assert difference(none, half) > 1e-5 and difference(half, all_) > 1e-5


def test_labels_follow_the_compression_of_time(pipe, labels):
    """What changes within the four frames of a token, but not what they cover on the whole, changes
    nothing."""
    shuffled = labels.copy()
    shuffled[1:5] = labels[[4, 2, 3, 1]]
    assert torch.equal(run(pipe, shuffled), run(pipe, labels))
    shuffled[[0, 1]] = shuffled[[1, 0]]
    assert difference(run(pipe, shuffled), run(pipe, labels)) > 1e-5


def test_a_subject_that_is_let_go_frame_by_frame(pipe, labels):
    strengths = np.ones((2, FRAMES))
    strengths[1, 5:] = 0
    released = run(pipe, labels, strengths=strengths)
    assert torch.isfinite(released).all() and difference(released, run(pipe, labels)) > 1e-5


def test_frames_that_are_no_whole_number_of_tokens_are_refused(pipe, labels):
    with pytest.raises(EngineError, match="5 or 9") as caught, peekaboo(pipe, labels[:8], PHRASES):
        pass
    assert caught.value.code == "bad_size"


@pytest.mark.parametrize(
    "option", [{"blocks": "mid_up"}, {"gate_second_temporal": True}, {"kinds": ("spatial",)}]
)
def test_options_of_another_family_are_refused(pipe, labels, option):
    with pytest.raises(EngineError, match=next(iter(option))) as caught:
        run(pipe, labels, **option)
    assert caught.value.code == "bad_option"


SCHEDULERS = {
    "UniPC": lambda shift: UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    ),
    "Euler": lambda shift: FlowMatchEulerDiscreteScheduler(shift=shift),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_no_step_of_a_usual_schedule_falls_on_a_window(name):
    """So that rounding never decides how many steps are masked."""
    strong = preset("strong", WAN)
    for shift in (3.0, 5.0, 8.0, 12.0):
        for count in range(3, 51):
            scheduler = SCHEDULERS[name](shift)
            scheduler.set_timesteps(count)
            steps = Steps(scheduler)
            for until in (strong.until, strong.bound_until, WAN.silhouettes["redraw_until"]):
                nearest = min(abs(steps.level(turn) - until) for turn in range(count))
                assert nearest > 1e-5, (shift, count, until)  # single precision rounds at 1e-7


@pytest.fixture
def made_of(request, pipe):
    """The model of a job: the tiny one, or the variant that a test asks for."""
    variant = getattr(request, "param", "")
    return VARIANTS[variant]() if variant else pipe


@pytest.fixture
def job(tmp_path, labels, made_of):
    model = tmp_path / "model"
    made_of.save_pretrained(model)
    stated = {"width": WIDTH, "height": HEIGHT, "num_frames": FRAMES, "max_sequence_length": TEXT_LENGTH}
    if made_of.transformer.config.image_dim:
        del stated["max_sequence_length"]
    (model / "peekaboo.json").write_text(json.dumps(stated))

    def make(**changes):
        folder = tmp_path / "job"
        folder.mkdir()
        data = {
            "schema_version": 1,
            "prompt": PROMPT,
            "subjects": [{"name": phrase, "phrase": phrase} for phrase in PHRASES],
            "model": str(model),
            "width": WIDTH,
            "height": HEIGHT,
            "num_frames": FRAMES,
            "timing": {
                "frame_start": 1,
                "frame_count": FRAMES,
                "fps": 16,
                "fps_base": 1.0,
                "scene_frames": [float(frame) for frame in range(FRAMES)],
            },
            "seed": 1,
            "num_inference_steps": 4,
            "guidance_scale": 5.0,
        }
        (folder / "job.json").write_text(json.dumps(data | changes))
        np.savez_compressed(folder / "masks.npz", labels=labels)
        return folder

    return make


class Listener:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, kind):
        return lambda *args, **fields: self.told.append((kind, args))


@pytest.mark.parametrize("scheduler", ["Euler", "UniPC"])
def test_a_job_becomes_a_clip_with_previews(job, tmp_path, monkeypatch, scheduler):
    monkeypatch.setattr(previews, "SECONDS", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)
    folder = job()
    made = SCHEDULERS[scheduler](3.0)
    made.save_pretrained(tmp_path / "model" / "scheduler")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(
        json.dumps(json.loads(index.read_text()) | {"scheduler": ["diffusers", type(made).__name__]})
    )
    events = Listener()
    assert Worker(Placement(device="cpu"), previews=True).run(folder, tmp_path / "out", events, lambda: False)
    assert (tmp_path / "out" / "clip.mp4").is_file()
    kinds = [kind for kind, _ in events.told]
    assert kinds.count("progress") == 4 and kinds.count("preview") == 3
    record = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert record["settings"]["method"] == "strong"


@pytest.mark.parametrize("made_of", ["pasted in", "beside noise", "seen by CLIP", "VACE"], indirect=True)
def test_a_job_with_a_first_frame_becomes_a_clip(job, tmp_path, made_of):
    folder = job(first_frame="first_frame.png", start_from="picture")
    picture(3).save(folder / "first_frame.png")
    events = Listener()
    assert Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False), events.told
    record = json.loads((tmp_path / "out" / "clip.json").read_text())
    digest = hashlib.sha256((folder / "first_frame.png").read_bytes()).hexdigest()
    assert record["first_frame"] == {"name": "first_frame.png", "sha256": digest}
    assert record["job"]["start_from"] == "picture"


@pytest.mark.parametrize("made_of", ["ends seen by CLIP"], indirect=True)
def test_a_job_with_both_ends_becomes_a_clip(job, tmp_path):
    ends = {"first_frame": "first.png", "last_frame": "last.png"}
    folder = job(**ends, start_from="picture", end_with="picture")
    assert find_model(str(tmp_path / "model")).last_frame == "needed"
    for number, name in enumerate(ends.values()):
        picture(number).save(folder / name)
    events = Listener()
    assert Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False), events.told
    record = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert {end: record[end]["name"] for end in ends} == ends


@pytest.mark.parametrize("offload", [False, True])
def test_one_loaded_model_makes_clips_from_text_and_from_a_picture(job, tmp_path, offload):
    """As TI2V-5B, whose folder is of the class that makes clips from text."""
    index = tmp_path / "model" / "model_index.json"
    folder = job()
    index.write_text(json.dumps(json.loads(index.read_text()) | {"expand_timesteps": True}))
    assert find_model(str(tmp_path / "model")).first_frame == "taken"
    worker, events, loads = Worker(Placement(device="cpu", offload=offload)), Listener(), []
    picture(3).save(folder / "first_frame.jpg")
    stated = json.loads((folder / "job.json").read_text())
    for number, changes in enumerate(({}, {"first_frame": "first_frame.jpg"}, {})):
        (folder / "job.json").write_text(json.dumps(stated | changes))
        assert worker.run(folder, tmp_path / f"out{number}", events, lambda: False), events.told
        loads.append(sum(told == ("phase", ("load",)) for told in events.told))
    assert loads == [1, 1, 1]
    clips = [(tmp_path / f"out{number}" / "clip.mp4").read_bytes() for number in range(3)]
    assert clips[0] == clips[2] != clips[1]


@pytest.mark.parametrize(
    ("made_of", "pictures", "code", "part"),
    [
        ("", ["first_frame"], "no_picture_taken", "takes no first frame"),
        ("beside noise", [], "picture_needed", "needs a first frame"),
        ("pasted in", ["first_frame", "last_frame"], "no_picture_taken", "takes no last frame"),
        ("VACE", ["last_frame"], "picture_needed", "needs a first frame, too"),
        ("ends seen by CLIP", ["first_frame"], "picture_needed", "needs a last frame"),
    ],
    indirect=["made_of"],
)
def test_a_picture_too_many_or_too_few_is_a_sentence_before_loading(
    job, tmp_path, made_of, pictures, code, part
):
    events = Listener()
    folder = job(**{name: f"{name}.png" for name in pictures})
    assert not Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False)
    [(kind, (found, message))] = events.told
    assert (kind, found) == ("error", code) and part in message


@pytest.mark.parametrize("made_of", ["pasted in"], indirect=True)
def test_one_frame_from_a_picture_leaves_masks_nothing_to_hold(job, tmp_path):
    events = Listener()
    times = {"frame_start": 1, "frame_count": 1, "fps": 16, "fps_base": 1.0, "scene_frames": [1.0]}
    folder = job(first_frame="first.png", num_frames=1, timing=times)
    np.savez_compressed(folder / "masks.npz", labels=np.ones((1, HEIGHT, WIDTH), np.uint8))
    assert not Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False)
    [(kind, (found, message))] = events.told
    assert (kind, found) == ("error", "bad_size") and "take 5 frames or more" in message


@pytest.mark.parametrize("made_of", ["VACE"], indirect=True)
def test_a_file_that_is_no_picture_ends_the_job_with_a_sentence(job, tmp_path, made_of):
    folder = job(first_frame="first.png")
    for data, part in ((None, "is missing"), (b"a text", "no PNG or JPEG")):
        if data:
            (folder / "first.png").write_bytes(data)
        events = Listener()
        assert not Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False)
        [(_, (code, message))] = events.told
        assert code == "bad_picture" and part in message and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../first.png", "/first.png", "a/b.png", "first.gif", ".png", ""])
def test_a_picture_is_a_plain_name_in_the_folder(job, tmp_path, name):
    events = Listener()
    folder = job(first_frame=name)
    assert not Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False)
    [(_, (code, message))] = events.told
    assert code == "bad_job" and "first_frame" in message


def test_a_size_that_no_token_divides_is_refused_before_loading(job, tmp_path):
    events = Listener()
    folder = job(width=104)
    np.savez_compressed(folder / "masks.npz", labels=np.ones((FRAMES, HEIGHT, 104), np.uint8))
    assert not Worker(Placement(device="cpu")).run(folder, tmp_path / "out", events, lambda: False)
    kind, (code, message) = events.told[-1]
    assert (kind, code) == ("error", "bad_size") and message.endswith("a multiple of 16, not 104; take 96.")


def test_progress_counts_the_steps_of_a_second_order_scheduler(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    other = pipeline()
    other.scheduler = FlowMatchHeunDiscreteScheduler(shift=3.0)
    told = []
    model = LoadedModel(find_model(str(tmp_path)), other, {}, "cpu", "float32")
    sample(model, Shot(PROMPT, FRAMES, HEIGHT, WIDTH, 0), Sampling(3, 5.0), told.append)
    assert told == [0, 1, 2]


def test_how_much_is_read_is_what_the_model_is_called_with(pipe):
    long = "a red ball on grass " * 30
    assert read_of(pipe, long).end is None
    read = read_of(pipe, long, 64)
    assert read.most == 64 and read.tokens > 64 and 0 < read.end < len(long)
