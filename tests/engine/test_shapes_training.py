# SPDX-License-Identifier: GPL-3.0-or-later
import random

import pytest
import torch
from shapes_training.captions import (
    GRAMMAR,
    LARGE,
    MAX_TOKENS,
    SMALL,
    CaptionEncoder,
    build_tokenizer,
    caption_text,
    draw_caption,
    phrase_local_mask,
)
from shapes_training.latent_buffer import LatentBuffer
from shapes_training.networks import build_scheduler, build_text_encoder, build_vae
from shapes_training.processes import join
from shapes_training.scenes import HEIGHT, NUM_FRAMES, WIDTH, sample_scenes
from shapes_training.speed import FlatGradients

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SYNONYMS


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_captions_are_encoded_as_the_pipeline_encodes_their_text(tokenizer):
    rng = random.Random(0)
    subjects = ["a red ball", "an orange cone", "a small blue torus"]
    captions = [draw_caption(rng, subjects[:count], "grass") for count in GRAMMAR for _ in range(30)]
    ids, _ = CaptionEncoder(tokenizer)(captions)
    texts = [caption_text(caption) for caption in captions]
    wanted = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True)["input_ids"]
    assert ids.tolist() == wanted


def test_words_are_read_back_and_most_are_one_token(tokenizer):
    scenes = sample_scenes(torch.Generator().manual_seed(0), 400)
    words = {word for caption in scenes.captions for word in caption_text(caption).split()}
    names = {name for shape, others in SYNONYMS.items() for name in (shape, *others)}
    assert {*COLOURS, *GROUNDS, *names, *SMALL[0], *LARGE[0], "a", "an", "and", "on"} <= words
    pieces = {word: tokenizer.tokenize(word) for word in words}
    assert all("".join(parts) == f"{word}</w>" for word, parts in pieces.items())
    # Where a shorter word's merge comes first, a word falls apart: "s" and "and".
    apart = {word for word, parts in pieces.items() if len(parts) > 1}
    assert apart <= {"sand", "orange", "torus", "cyan", "asphalt"}
    assert tokenizer.tokenize("dog") == ["d", "o", "g</w>"]


def test_no_caption_is_cut_short(tokenizer):
    subjects = ["a little orange cylinder"] * 3
    captions = [draw_caption(random.Random(k), subjects, "asphalt") for k in range(99)]
    assert max(len(tokenizer(caption_text(caption))["input_ids"]) for caption in captions) <= MAX_TOKENS
    ids, _ = CaptionEncoder(tokenizer)(captions)
    assert (ids[:, -1] == tokenizer.eos_token_id).all()


def test_a_local_phrase_is_encoded_as_if_the_others_were_not_there(tokenizer):
    encoder = build_text_encoder(tokenizer).eval()
    captions = [[(1, "a red ball"), (3, f"on {ground}")] for ground in ("grass", "snow")]
    ids, marks = CaptionEncoder(tokenizer)(captions)
    ground = slice(4, 6)
    for local in (True, False):
        mask = phrase_local_mask(marks, torch.tensor([local] * 2))
        swapped = ids.clone()
        swapped[:, 2:4] = ids[:, 2:4].flip(1)  # other subject words
        before, after = (encoder(tokens, attention_mask=mask)[0][:, ground] for tokens in (ids, swapped))
        assert torch.allclose(before, after) is local


def test_the_plain_mask_is_clips_own(tokenizer):
    encoder = build_text_encoder(tokenizer).eval()
    ids, marks = CaptionEncoder(tokenizer)([[(1, "a red ball"), (3, "on grass")]])
    masked = encoder(ids, attention_mask=phrase_local_mask(marks, torch.tensor([False])))[0]
    assert torch.allclose(masked, encoder(ids)[0], atol=1e-6)


def test_the_sampler_goes_straight_to_a_clip_that_the_network_knows():
    scheduler = build_scheduler()
    scheduler.set_timesteps(25)
    clip = torch.randn(NUM_FRAMES, 8, 4, 4)
    noisy = torch.randn_like(clip)
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        assert float(timestep) == pytest.approx(
            1000 * float(sigma), abs=1
        )  # what the trainer calls the timestep
        noisy = scheduler.step((noisy - clip) / sigma, timestep, noisy).prev_sample
    assert torch.allclose(noisy, clip, atol=1e-5)


@pytest.mark.slow
def test_the_buffer_hands_out_each_clip_with_its_own_caption_and_places(tokenizer):
    buffer = LatentBuffer(build_vae().eval(), CaptionEncoder(tokenizer), 2, seed=0, device="cpu")
    buffer.refresh(2)
    scenes = sample_scenes(torch.Generator().manual_seed(0), 2)
    tokens, _ = CaptionEncoder(tokenizer)(scenes.captions)
    batch = buffer.choose(8)
    assert batch.latents.shape == (8, 8, NUM_FRAMES, HEIGHT // 8, WIDTH // 8)
    for row in range(8):
        index = next(i for i in range(2) if torch.equal(batch.tokens[row], tokens[i]))
        for slot in scenes.present[index].nonzero().flatten().tolist():
            centres = scenes.boxes[index, slot, :, :2] / 8  # in cells
            for frame, (x, y) in enumerate(centres.floor().long().tolist()):
                inside = 0 <= x < WIDTH // 8 and 0 <= y < HEIGHT // 8
                # A ring is open in the middle, but its cells are at most some away.
                around = batch.near[row, frame, max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5]
                assert not inside or around.any()
        assert bool(batch.near[row].any()) == bool(scenes.present[index].any())


def test_flat_gradients_are_the_gradients_and_are_clipped_as_torch_does():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    again = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    again.load_state_dict(network.state_dict())
    gradients, data = FlatGradients(network), 10 * torch.randn(5, 3)
    for each in (network, again):
        each(data).square().mean().backward()
    norm = torch.nn.utils.clip_grad_norm_(again.parameters(), 1.0)
    assert norm > 1 and gradients.clip(1.0) == pytest.approx(float(norm))
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_a_process_alone_agrees_with_itself(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = join("cpu")
    gradient = torch.tensor([1.0, 2.0])
    alone.average(gradient)
    assert alone.leads and alone.agree(0.25) == 0.25 and gradient.tolist() == [1, 2]
