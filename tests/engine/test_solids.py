# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of `solids` and of its twin, as they are in the repository."""

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from pages import ROOT
from safetensors.torch import load_file

from peekaboo_engine.benchmark.segmenter import Segmenter
from peekaboo_engine.models import find_model

ASSETS = ROOT / "peekaboo_engine" / "assets"


@pytest.fixture(scope="module")
def twin():
    """The pipeline with the LoRA added to its weights, as `load_lora_weights` of diffusers does."""
    pipe = WanPipeline.from_pretrained(ASSETS / "solids", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    lora = load_file(ASSETS / "solids_twin" / "pytorch_lora_weights.safetensors")
    names = {name.removesuffix(".lora_A.weight") for name in lora if name.endswith(".lora_A.weight")}
    assert len(lora) == 2 * len(names) == 160
    with torch.no_grad():
        for name in names:
            layer = pipe.transformer.get_submodule(name.removeprefix("transformer."))
            layer.weight += lora[f"{name}.lora_B.weight"].float() @ lora[f"{name}.lora_A.weight"].float()
    return pipe


def test_the_folder_is_a_model_and_says_what_it_was_trained_for():
    entry = find_model(str(ASSETS / "solids"))
    assert (entry.width, entry.height, entry.num_frames) == (288, 160, 17)
    assert entry.family.name == "Wan" and entry.licence == "GPL-3.0-or-later"


def test_the_weights_are_in_half_precision_and_light():
    files = list((ASSETS / "solids").rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 60e6
    assert {value.dtype for file in files for value in load_file(file).values()} == {torch.float16}


@pytest.mark.slow
def test_the_twin_draws_its_subject_in_eight_steps_without_guidance(twin):
    frames = twin(
        "A red cone on sand",
        width=288,
        height=160,
        num_frames=17,
        num_inference_steps=8,
        guidance_scale=1.0,
        max_sequence_length=64,
        generator=torch.Generator().manual_seed(0),
    ).frames[0]
    found = Segmenter.load().find((frames * 255).round().astype(np.uint8), "a red cone")
    assert sum(box is not None for box in found) >= 0.9 * len(found)
