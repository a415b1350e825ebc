# SPDX-License-Identifier: GPL-3.0-or-later
import random
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from shapes_training.captions import (
    GRAMMAR,
    MAX_TOKENS,
    CaptionEncoder,
    build_tokenizer,
    caption_text,
    draw_caption,
    phrase_local_mask,
)
from shapes_training.drawing import draw
from shapes_training.networks import build_scheduler, build_text_encoder
from shapes_training.scenes import HEIGHT, NUM_FRAMES, WIDTH, sample_scenes

from peekaboo_engine.benchmark.detectors import detect_subject
from peekaboo_engine.benchmark.metrics import iou
from peekaboo_engine.benchmark.shapes_world import COLOURS, SHAPES


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_captions_are_encoded_as_the_pipeline_encodes_their_text(tokenizer):
    rng = random.Random(0)
    subjects = ["a red ball", "an orange star"]
    captions = [draw_caption(rng, subjects[:count], "grass") for count in GRAMMAR for _ in range(30)]
    ids, _ = CaptionEncoder(tokenizer)(captions)
    texts = [caption_text(caption) for caption in captions]
    wanted = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True)["input_ids"]
    assert ids.tolist() == wanted


def test_every_word_of_ours_is_one_token_and_others_are_spelt(tokenizer):
    assert tokenizer.tokenize("a red ball on grass") == [
        "a</w>",
        "red</w>",
        "ball</w>",
        "on</w>",
        "grass</w>",
    ]
    assert tokenizer.tokenize("dog") == ["d", "o", "g</w>"]


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


def test_a_seed_gives_the_same_scenes():
    first, again = (sample_scenes(torch.Generator().manual_seed(3), 8) for _ in range(2))
    assert torch.equal(first.boxes, again.boxes)
    assert first.captions == again.captions


def test_a_drawn_subject_fills_its_box_and_is_found_by_the_detector():
    generator = torch.Generator().manual_seed(5)
    scenes = sample_scenes(generator, 24).at_frames(torch.tensor([0]))
    clips, _ = draw(scenes, generator)
    assert clips.shape == (24, 1, 3, HEIGHT, WIDTH)
    assert clips.min() >= -1 and clips.max() <= 1
    lone = scenes.present.sum(1) == 1
    for row in lone.nonzero().flatten().tolist():
        frame = ((clips[row, 0].permute(1, 2, 0) + 1) / 2).numpy()
        colour, shape = list(COLOURS)[scenes.colour[row, 0]], SHAPES[scenes.shape[row, 0]]
        x, y, width, height = (scenes.boxes[row, 0, 0] / torch.tensor([WIDTH, HEIGHT] * 2)).tolist()
        if x - width / 2 < 0 or y - height / 2 < 0 or x + width / 2 > 1 or y + height / 2 > 1:
            continue  # cut by the frame's edge
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        found = detect_subject(frame, colour, shape)
        assert found is not None, (colour, shape)
        assert iou(found, box) > 0.88


def test_the_nearer_subject_hides_the_other():
    generator = torch.Generator().manual_seed(0)
    scenes = sample_scenes(generator, 2).at_frames(torch.arange(1))
    scenes.present[:] = True
    scenes.boxes[:, 1] = scenes.boxes[:, 0]
    scenes.shape[:] = SHAPES.index("cube")
    _, visible = draw(scenes, generator)
    assert visible[:, 0].max() < 0.51  # what is left are soft edges
    assert visible[:, 1].max() == 1


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
