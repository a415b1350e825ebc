# SPDX-License-Identifier: GPL-3.0-or-later
"""What saves memory, under masks and LoRAs, on a tiny Wan and a tiny UNet."""

import json
import re

import pytest
import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLWan,
    HunyuanVideo15Transformer3DModel,
    LTX2VideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    MotionAdapter,
    UNet2DConditionModel,
    UNet3DConditionModel,
    WanTransformer3DModel,
)
from safetensors.torch import save_file
from test_bypasses import steered
from test_loras import matrices
from tiny import unet3d, wan
from transformers import UMT5Config, UMT5EncoderModel

from peekaboo_engine.errors import EngineError
from peekaboo_engine.generator import megabytes
from peekaboo_engine.loading import load_model, with_loras
from peekaboo_engine.loras import Lora
from peekaboo_engine.models import catalogue, find_model, tiers_of
from peekaboo_engine.placement import Placement, Tiers, check_room, half_on
from peekaboo_engine.weights import parameters_of, tiers_of_weights


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
        (60, {"dtype": "float32"}, "--memory fp8 (weights of at most 46 GB, and what the clip itself takes)"),
        (57, {"dtype": "float32", "savings": ("fp8",)}, None),
        (35, {}, "--offload (weights of at most 28 GB, and what the clip itself takes)"),
        (20, {}, "--memory groups, or"),
        (20, {"offload": True}, "--memory groups in the place of --offload"),
        (20, {"savings": ("groups",)}, None),
        (35, {"offload": True}, None),
        (20, {"offload": True, "savings": ("fp8",)}, None),
        (12, {"offload": True, "savings": ("fp8",)}, "--memory groups in the place of --offload"),
        (45, {"savings": ("fp8",)}, None),
        (45, {"device": "cuda:0+cuda:1"}, "--memory fp8 on one device"),
        (10, {"device": "cuda:0+cuda:1"}, "--memory groups on one device"),
    ],
)
def test_what_a_gpu_cannot_hold_is_said_before_loading_with_what_would(free, options, way):
    weights = Tiers(bf16=80, fp8=42, offload=28)
    options = dict(options)
    dtype = options.pop("dtype", "bfloat16")
    placement = Placement(**{"device": "cuda", **options})
    if way is None:
        check_room("Wan", weights, placement, dtype, free)
        return
    with pytest.raises(EngineError, match=re.escape(way)) as raised:
        check_room("Wan", weights, placement, dtype, free)
    assert raised.value.code == "out_of_memory"


def test_a_model_of_unknown_size_is_tried():
    check_room("Own", None, Placement(device="cuda"), "float32", 0.1)


def test_the_peak_of_memory_is_in_megabytes_on_each_system():
    assert megabytes(3 << 20, "linux") == megabytes(3 << 30, "darwin") == 3072.0


def wan_denoiser(**shape):
    return WanTransformer3DModel(cross_attn_norm=True, qk_norm="rms_norm_across_heads", **shape)


def unet(**shape):
    return UNet2DConditionModel(**{"attention_head_dim": 8, **shape})


XL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
T5_XXL = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24}
FULL_SIZE = [
    ("zeroscope", "unet", UNet3DConditionModel),
    (
        "wan2.1-t2v-1.3b",
        "transformer",
        lambda: wan_denoiser(num_attention_heads=12, ffn_dim=8960, num_layers=30),
    ),
    ("wan2.1-t2v-14b", "transformer", wan_denoiser),
    ("wan2.1-t2v-14b", "vae", AutoencoderKLWan),
    ("wan2.1-t2v-14b", "text_encoder", lambda: UMT5EncoderModel(UMT5Config(vocab_size=256384, **T5_XXL))),
    (
        "wan2.1-i2v-14b-480p",
        "transformer",
        lambda: wan_denoiser(in_channels=36, image_dim=1280, added_kv_proj_dim=5120),
    ),
    (
        "wan2.1-flf2v-14b-720p",
        "transformer",
        lambda: wan_denoiser(
            in_channels=36, image_dim=1280, added_kv_proj_dim=5120, pos_embed_seq_len=2 * 257
        ),
    ),
    ("wan2.2-t2v-a14b", "transformer_2", wan_denoiser),
    (
        "wan2.2-ti2v-5b",
        "transformer",
        lambda: wan_denoiser(
            num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48
        ),
    ),
    ("ltx-video-2b", "transformer", LTXVideoTransformer3DModel),
    (
        "ltx-video-13b",
        "transformer",
        lambda: LTXVideoTransformer3DModel(attention_head_dim=128, num_layers=48, cross_attention_dim=4096),
    ),
    ("ltx-2", "transformer", LTX2VideoTransformer3DModel),
    ("hunyuan1.5-t2v-480p", "transformer", HunyuanVideo15Transformer3DModel),
    ("hunyuan1.5-t2v-480p", "vae", AutoencoderKLHunyuanVideo15),
    ("sd1.5", "unet", lambda: unet(cross_attention_dim=768)),
    ("animatediff", "motion_adapter", lambda: MotionAdapter(use_motion_mid_block=False)),
    ("sd2.1", "unet", lambda: unet(cross_attention_dim=1024, use_linear_projection=True)),
    ("sdxl", "unet", lambda: unet(**XL)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part", "make"), FULL_SIZE, ids=[f"{each[0]} {each[1]}" for each in FULL_SIZE]
)
def test_the_catalogue_counts_what_full_size_networks_have(name, part, make):
    """Networks of the real sizes, without memory for their numbers."""
    with torch.device("meta"):
        network = make()
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e9
    assert catalogue()[name].parameters[part] == pytest.approx(count, abs=0.006)


@pytest.mark.parametrize(
    ("free", "way"), [(70, None), (60, "--memory fp8"), (35, "--offload"), (25, "--memory groups")]
)
def test_two_experts_are_on_a_card_together_only_where_both_fit(free, way):
    """``--offload`` has one of them there at a time: the largest component by itself."""
    entry = catalogue()["wan2.2-t2v-a14b"]
    assert entry.weights_gb.offload < 2 * 2 * entry.parameters["transformer"] < entry.weights_gb.bf16
    if way is None:
        check_room(entry.title, entry.weights_gb, Placement(device="cuda"), "bfloat16", free)
        return
    with pytest.raises(EngineError, match=way):
        check_room(entry.title, entry.weights_gb, Placement(device="cuda"), "bfloat16", free)


def test_a_folder_that_says_no_size_is_weighed_by_its_files(tmp_path):
    pipe = wan.pipeline(experts=2)
    pipe.save_pretrained(tmp_path / "model")
    pipe.transformer.save_pretrained(tmp_path / "model" / "transformer", variant="fp16")  # the same again
    entry = find_model(str(tmp_path / "model"))
    assert entry.weights_gb is None
    counted = {
        name: sum(parameter.numel() for parameter in getattr(pipe, name).parameters())
        for name in ("text_encoder", "transformer", "transformer_2", "vae")
    }
    assert parameters_of(tmp_path / "model") == counted
    assert tiers_of_weights(entry, tmp_path / "model") == tiers_of(
        {name: count / 1e9 for name, count in counted.items()}
    )


@pytest.mark.parametrize(
    ("capability", "taken"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_a_gpu_without_bfloat16_takes_float16(monkeypatch, capability, taken):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert half_on("cuda:0", "bfloat16") == taken
    assert half_on("cuda:0", "float16") == "float16" and half_on("mps", "bfloat16") == "bfloat16"
