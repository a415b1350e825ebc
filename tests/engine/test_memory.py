# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clip takes of memory besides the weights, foreseen from networks without numbers."""

import json
import re

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, UNet3DConditionModel, WanTransformer3DModel
from tiny import animatediff, hunyuan15, ltx, ltx2, stable_diffusion, stable_diffusion_xl, unet3d, wan
from torch import nn

from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import Grid
from peekaboo_engine.families.unet3d import UNET3D
from peekaboo_engine.families.wan import WAN
from peekaboo_engine.loading import load_model, needs_of, out_of_memory
from peekaboo_engine.memory import foresee, most_alive
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import ClipSize, Needs, Placement, Tiers, check_room, taken_gb
from peekaboo_engine.weights import tiers_of_weights


def network(make, dtype):
    with torch.device("meta"):
        return make().eval().to(dtype)


ZEROSCOPE = (
    UNET3D,
    UNet3DConditionModel,
    lambda: AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    ),
    torch.float16,
)
WAN_1_3B = (
    WAN,
    lambda: WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=2, cross_attn_norm=True),
    AutoencoderKLWan,
    torch.bfloat16,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "grid", "measured"),
    [
        (ZEROSCOPE, Grid(24, 40, 72), {"denoising": 2.97}),
        (WAN_1_3B, Grid(21, 30, 52), {"denoising": 1.69, "decoding": 9.5, "decoding_tiled": 2.1}),
    ],
    ids=["zeroscope", "wan"],
)
def test_what_full_size_networks_take_is_foreseen(tmp_path, model, grid, measured):
    """Against peaks on an H200 above the weights, in GB (docs/reference/engine.md); blocks are alike, so two
    of Wan's thirty say the same."""
    family, denoiser, vae, dtype = model
    folder = saved(tmp_path, family, network(denoiser, dtype), network(vae, dtype))
    needs = foresee(family, folder, grid, True, dtype)
    for name, size in measured.items():
        assert 0.85 * size < getattr(needs, name) < 1.02 * size, name


def saved(folder, family, denoiser, vae):
    """The configurations of a model's folder: all that is read."""
    name = family.denoisers[0]
    denoiser.save_config(folder / name)
    vae.save_config(folder / "vae")
    networks = {name: denoiser, "vae": vae}
    index = {part: ["diffusers", type(network).__name__] for part, network in networks.items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


TINY = [unet3d, animatediff, stable_diffusion, stable_diffusion_xl, wan, ltx, ltx2]


@pytest.mark.parametrize("module", TINY, ids=lambda module: module.__name__)
def test_each_family_is_foreseen_from_the_configurations_of_a_folder(tmp_path, module):
    module.pipeline().save_pretrained(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    entry = find_model(str(tmp_path))
    frames = getattr(module, "FRAMES", 1)
    sizes = (ClipSize(frames, times * module.HEIGHT, times * module.WIDTH, True) for times in (1, 2))
    needs, larger = (needs_of(entry, tmp_path, size, torch.float32) for size in sizes)
    assert 0 < needs.denoising < larger.denoising and 0 < needs.decoding < larger.decoding
    assert needs.decoder > 0 and needs.decoding_tiled <= needs.decoding


def test_what_cannot_be_foreseen_is_not_claimed(tmp_path):
    hunyuan15.pipeline().save_pretrained(tmp_path)
    size = ClipSize(5, hunyuan15.HEIGHT, hunyuan15.WIDTH, True)
    assert needs_of(find_model(str(tmp_path)), tmp_path, size, torch.float32) is None


def test_a_folder_whose_networks_do_not_run_without_numbers_is_logged(tmp_path, caplog):
    saved(tmp_path, WAN, network(WAN_1_3B[1], torch.bfloat16), network(AutoencoderKLWan, torch.float32))
    (tmp_path / "vae" / "config.json").write_text("{}")
    assert foresee(WAN, tmp_path, Grid(1, 0, 0), True, torch.bfloat16) is None
    assert "could not be foreseen" in caplog.text


def test_what_is_dropped_counts_no_more():
    layers = nn.Sequential(*[nn.Linear(256, 256, bias=False, device="meta") for _ in range(4)])
    given = torch.empty(1000, 256, device="meta")
    assert most_alive(layers, lambda: layers(given)) == 2 * given.nbytes


NEEDS = Needs(denoising=3, decoding=9, decoding_tiled=2, decoder=0.5)
WEIGHTS = Tiers(bf16=14, fp8=13, offload=11)


@pytest.mark.parametrize(
    ("free", "options", "way"),
    [
        (23.5, {}, None),
        (20, {}, "generate with --memory tiles (about 17 GB)"),
        (16.5, {}, "generate with --memory tiles --memory fp8 (about 16 GB)"),
        (15, {}, "generate with --offload (about 11 GB)"),
        (15, {"savings": ("tiles",)}, "generate with --offload (about 11 GB)"),
        (10, {}, "generate with --memory groups (about 9 GB)"),
        (5, {}, "generate with --memory tiles --memory groups (about 3 GB)"),
        (5, {"offload": True}, "--memory tiles --memory groups in the place of --offload (about 3 GB)"),
        (5, {"savings": ("groups",)}, "generate with --memory tiles (about 3 GB)"),
        (2, {}, "take fewer frames, a smaller picture, or a smaller model"),
        (2, {"savings": ("groups", "tiles")}, "take fewer frames, a smaller picture, or a smaller model"),
        (21, {"device": "cuda:0+cuda:1"}, "--memory tiles on one device (about 17 GB)"),
    ],
)
def test_a_clip_that_does_not_fit_is_told_what_would(free, options, way):
    placement = Placement(**{"device": "cuda", **options})
    if way is None:
        check_room("Wan", WEIGHTS, placement, "bfloat16", free, NEEDS)
        return
    with pytest.raises(EngineError, match=re.escape(way)) as raised:
        check_room("Wan", WEIGHTS, placement, "bfloat16", free, NEEDS)
    assert raised.value.code == "out_of_memory"


@pytest.mark.parametrize(
    ("weights", "taken"),
    [
        (WEIGHTS, 11),  # its text encoder's, as of Wan 2.1 1.3B, whose denoiser is a fourth of that
        (Tiers(bf16=14, fp8=8.5, offload=11), 14),  # its denoiser's, and a step
        (Tiers(bf16=68.8, fp8=40.2, offload=28.6), 31.6),  # one of two experts, and a step
    ],
)
def test_a_text_encoder_that_is_offloaded_is_not_there_in_a_step(weights, taken):
    assert taken_gb(weights, Placement(device="cuda", offload=True), 2, NEEDS) == pytest.approx(taken)


def test_nothing_is_refused_that_the_error_of_the_estimate_may_let_fit():
    taken = taken_gb(WEIGHTS, Placement(device="cuda"), 2, NEEDS)
    check_room("Wan", WEIGHTS, Placement(device="cuda"), "bfloat16", 0.97 * taken, NEEDS)
    with pytest.raises(EngineError):
        check_room("Wan", WEIGHTS, Placement(device="cuda"), "bfloat16", 0.9 * taken, NEEDS)


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, "generate again with --offload, or --memory groups."),
        ({"offload": True}, "--memory groups in the place of --offload."),
        ({"savings": ("groups",)}, "take fewer frames or a smaller picture"),
        ({"device": "cuda:0+cuda:1"}, "with --offload, or --memory groups, on one of them alone."),
    ],
)
def test_what_ran_out_of_memory_is_told_what_has_not_been_tried(options, way):
    entry = find_model("zeroscope")
    assert way in out_of_memory(entry, "cuda:0", Placement(**{"device": "cuda", **options})).message


def test_a_motion_adapter_beside_a_folder_is_weighed(tmp_path):
    stable_diffusion.pipeline().save_pretrained(tmp_path / "model")
    animatediff.adapter().save_pretrained(tmp_path / "adapter")
    stated = '{"pipeline": "AnimateDiffPipeline", "motion_adapter": "../adapter"}'
    (tmp_path / "model" / "peekaboo.json").write_text(stated)
    entry = find_model(str(tmp_path / "model"))
    size = sum(part.numel() for part in animatediff.adapter().parameters()) / 1e9
    with_it = tiers_of_weights(entry, tmp_path / "model")
    alone = tiers_of_weights(entry.model_copy(update={"motion_adapter": None}), tmp_path / "model")
    assert with_it.bf16 >= alone.bf16 and size > 0
    needs = needs_of(entry, tmp_path / "model", ClipSize(5, 64, 96, True), torch.float32)
    assert needs.denoising > 0


def test_a_clip_that_a_gpu_cannot_hold_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    wan.pipeline().save_pretrained(tmp_path)
    monkeypatch.setattr(Placement, "resolve", lambda self, half: (torch.device("cuda"), torch.bfloat16))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**6, 10**9))
    size = ClipSize(wan.FRAMES, wan.HEIGHT, wan.WIDTH, True)
    with pytest.raises(EngineError, match=r"a clip of this size take about .* the GPU has 0\.001 GB"):
        load_model(find_model(str(tmp_path)), Placement(device="cuda"), clip=size)
