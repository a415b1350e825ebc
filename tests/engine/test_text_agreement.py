# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement of clips with their prompts, by a tiny random CLIP of the real class."""

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from peekaboo_engine.benchmark.text_agreement import TextAgreement
from peekaboo_engine.errors import EngineError


@pytest.fixture(scope="module")
def agreement(clip_folder):
    return TextAgreement.load(clip_folder, "cpu")


def clip_of(seed, frames=3):
    return np.random.default_rng(seed).integers(0, 256, (frames, 40, 64, 3), np.uint8)


def test_it_is_the_cosine_that_clip_itself_tells(agreement, clip_folder):
    frames, prompt = clip_of(1), "a red ball on grass"
    model = CLIPModel.from_pretrained(clip_folder).eval()
    inputs = agreement.processor(text=[prompt], images=list(frames), return_tensors="pt", padding=True)
    with torch.no_grad():
        told = model(**inputs)
    expected = 100 * (told.logits_per_image / model.logit_scale.exp()).mean().item()
    assert agreement.score(frames, prompt) == pytest.approx(expected, abs=1e-3)


def test_frames_count_alike_however_many_there_are(agreement):
    frames = clip_of(2, 40)  # more than are looked at at once
    alone = [agreement.score(frames[index : index + 1], "a blue cube") for index in range(len(frames))]
    assert agreement.score(frames, "a blue cube") == pytest.approx(np.mean(alone), abs=1e-3)
    assert agreement.score(frames, "a red ball") != pytest.approx(np.mean(alone), abs=1e-3)


def test_a_long_prompt_is_cut(agreement):
    assert np.isfinite(agreement.score(clip_of(3), "a red ball on grass " * 60))


def test_what_is_no_clip_is_one_sentence(tmp_path, model_folder):
    for other in (tmp_path, tmp_path / "none", model_folder / "text_encoder"):
        with pytest.raises(EngineError, match="is no CLIP that can be loaded") as caught:
            TextAgreement.load(other, "cpu")
        assert caught.value.code == "clip_not_loaded"
