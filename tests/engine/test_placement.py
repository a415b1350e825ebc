# SPDX-License-Identifier: GPL-3.0-or-later
"""What saves memory, under masks and LoRAs, on a tiny Wan and a tiny UNet."""

import json

import pytest
import torch
from safetensors.torch import save_file
from test_bypasses import steered
from test_loras import matrices
from tiny import unet3d, wan

from peekaboo_engine.errors import EngineError
from peekaboo_engine.generator import megabytes
from peekaboo_engine.loading import load_model, with_loras
from peekaboo_engine.loras import Lora
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement, Tiers, check_room


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "wan"
    wan.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lora(folder):
    path = folder.parent / "style.safetensors"
    save_file(matrices(wan.pipeline()), path)
    return Lora(source=str(path), weight=0.5)


def loaded(folder, loras=(), **options):
    return load_model(find_model(str(folder)), Placement("cpu", **options), loras)


@pytest.mark.parametrize(
    "options", [{"savings": ("groups",)}, {"savings": ("tiles",)}, {"compiler": "eager"}], ids=str
)
def test_a_clip_is_the_same_with_and_without_a_lora(folder, lora, options):
    plain, saving = loaded(folder), loaded(folder, **options)
    before = steered(plain.pipe)
    assert torch.equal(steered(saving.pipe), before)
    dressed = with_loras(saving, [lora])
    assert torch.equal(steered(dressed.pipe), steered(loaded(folder, [lora]).pipe))
    assert torch.equal(steered(with_loras(dressed, []).pipe), before)


def test_weights_in_eight_bits_take_less_and_loras_stay_exact(folder, lora):
    model = loaded(folder, [lora], savings=("fp8",))
    layer = model.pipe.transformer.blocks[0].attn1.to_q
    assert layer.base_layer.weight.dtype == torch.float8_e4m3fn
    assert layer.lora_A["lora_0"].weight.dtype == torch.float32
    exact = steered(loaded(folder, [lora]).pipe)
    assert (steered(model.pipe) - exact).abs().mean() < 0.1 * exact.abs().mean()
    assert not model.placement.changes_loras


def test_two_kinds_of_offloading_are_one_too_many():
    with pytest.raises(EngineError, match="not both"):
        Placement("cpu", offload=True, savings=("groups",))


def test_what_a_model_has_not_is_a_sentence(tmp_path):
    unet3d.pipeline().save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="no such thing for a UNet3DConditionModel; leave compile out"):
        loaded(tmp_path, compiler="eager")


def test_a_model_that_was_quantised_by_a_package_that_is_not_here_is_a_sentence(tmp_path):
    wan.pipeline().save_pretrained(tmp_path)
    config = tmp_path / "transformer" / "config.json"
    told = json.loads(config.read_text()) | {
        "quantization_config": {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
        }
    }
    config.unlink()
    config.write_text(json.dumps(told))
    with pytest.raises(EngineError, match="bitsandbytes") as caught:
        loaded(tmp_path)
    assert caught.value.code == "model_not_loaded"


@pytest.mark.parametrize(
    ("free", "options", "way"),
    [
        (100, {}, None),
        (60, {}, "--memory fp8"),
        (60, {"dtype": "float32"}, "--offload"),
        (35, {}, "--offload"),
        (20, {}, "--memory groups"),
        (20, {"offload": True}, "--memory groups"),
        (20, {"savings": ("groups",)}, None),
        (35, {"offload": True}, None),
        (45, {"savings": ("fp8",)}, None),
    ],
)
def test_what_a_gpu_cannot_hold_is_said_before_loading_with_what_would(free, options, way):
    weights = Tiers(bf16=80, fp8=42, offload=28)
    options = dict(options)
    dtype = options.pop("dtype", "bfloat16")
    placement = Placement(device="cuda", **options)
    if way is None:
        check_room("Wan", weights, placement, dtype, free)
        return
    with pytest.raises(EngineError, match=way) as raised:
        check_room("Wan", weights, placement, dtype, free)
    assert raised.value.code == "out_of_memory"


def test_a_model_of_unknown_size_is_tried():
    check_room("Own", None, Placement(device="cuda"), "float32", 0.1)


def test_the_peak_of_memory_is_in_megabytes_on_each_system():
    assert megabytes(3 << 20, "linux") == megabytes(3 << 30, "darwin") == 3072.0
