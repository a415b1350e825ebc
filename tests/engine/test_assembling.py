# SPDX-License-Identifier: GPL-3.0-or-later
"""A single file becomes a model's folder, or is refused."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from tiny import ltx, stable_diffusion, wan

from peekaboo_engine.assembling import assemble
from peekaboo_engine.errors import EngineError
from peekaboo_engine.loading import load_model
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement

WAN = (
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("proj_out", "head.head"),
    (".to_out.0.", ".o."), (".to_q.", ".q."), (".to_k.", ".k."), (".to_v.", ".v."),
    ("ffn.net.0.proj", "ffn.0"), ("ffn.net.2", "ffn.2"),
    (".norm2.", ".norm9."), (".norm3.", ".norm2."), (".norm9.", ".norm3."),
    ("attn2", "cross_attn"), ("attn1", "self_attn"),
)  # fmt: skip
"""Names of a Wan transformer in diffusers, and as its makers have them."""
LTX = (
    ("proj_in", "patchify_proj"),
    ("time_embed", "adaln_single"),
    ("norm_q", "q_norm"),
    ("norm_k", "k_norm"),
)


def makers(network, names, prefix="model.diffusion_model."):
    """The weights of a network under the names of its makers."""
    renamed = {}
    for key, weights in network.state_dict().items():
        for ours, theirs in names:
            key = key.replace(ours, theirs)
        if names is WAN and key.endswith("scale_shift_table"):
            key = key.replace("scale_shift_table", "head.modulation" if "." not in key else "modulation")
        renamed[prefix + key] = weights.to(torch.bfloat16).contiguous()
    return renamed


LAYERS = 1
"""Of a block of the tiny Stable Diffusion."""
OF_RESNETS = (
    (".norm1.", ".in_layers.0."), (".conv1.", ".in_layers.2."), (".norm2.", ".out_layers.0."),
    (".conv2.", ".out_layers.3."), ("time_emb_proj", "emb_layers.1"), ("conv_shortcut", "skip_connection"),
)  # fmt: skip


def place(found, begin=0):
    """A layer of a block in a row of all: resnets before the attention that follows them."""
    row = int(found[1]) * (LAYERS + 1) + int(found[3]) + begin
    return f"{row}.{0 if found[2] == 'resnets' else 1}"


OF_UNET = (
    (r"time_embedding\.linear_(\d)", lambda found: f"time_embed.{2 * int(found[1]) - 2}"),
    (r"^conv_in", "input_blocks.0.0"), (r"^conv_norm_out", "out.0"), (r"^conv_out", "out.2"),
    (
        r"down_blocks\.(\d)\.(resnets|attentions)\.(\d)",
        lambda found: f"input_blocks.{place(found, begin=1)}",
    ),
    (
        r"down_blocks\.(\d)\.downsamplers\.0\.conv",
        lambda found: f"input_blocks.{(int(found[1]) + 1) * (LAYERS + 1)}.0.op",
    ),
    (r"mid_block\.resnets\.(\d)", lambda found: f"middle_block.{2 * int(found[1])}"),
    (r"mid_block\.attentions\.0", "middle_block.1"),
    (r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)", lambda found: f"output_blocks.{place(found)}"),
    (
        r"up_blocks\.(\d)\.upsamplers\.0",
        lambda found: f"output_blocks.{int(found[1]) * (LAYERS + 1) + LAYERS}.1",
    ),
)  # fmt: skip
OF_AUTOENCODER = (
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", lambda found: f"up.{3 - int(found[1])}.block.{found[2]}"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample"),
    (r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}"),
    (r"mid_block\.attentions\.0", "mid.attn_1"), ("group_norm", "norm"), (r"to_([qkv])", r"\1"),
    (r"to_out\.0", "proj_out"), ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"),
)  # fmt: skip
"""Names of a Stable Diffusion in diffusers, and as its makers have them."""


def in_one_file(pipe):
    """The weights of a Stable Diffusion as people have them in one file."""
    held = {"alphas_cumprod": torch.ones(1000)}
    for key, weights in pipe.unet.state_dict().items():
        if "resnets" in key:
            for ours, theirs in OF_RESNETS:
                key = key.replace(ours, theirs)
        for ours, theirs in OF_UNET:
            key = re.sub(ours, theirs, key)
        held[f"model.diffusion_model.{key}"] = weights
    for key, weights in pipe.vae.state_dict().items():
        of_attention = "attentions" in key and weights.ndim == 2
        for ours, theirs in OF_AUTOENCODER:
            key = re.sub(ours, theirs, key)
        held[f"first_stage_model.{key}"] = weights[:, :, None, None] if of_attention else weights
    for key, weights in pipe.text_encoder.state_dict().items():
        held[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = weights
    held = {key: weights.to(torch.float16).contiguous() for key, weights in held.items()}
    return held | {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "wan"
    wan.pipeline().save_pretrained(folder)
    (folder / "peekaboo.json").write_text('{"max_sequence_length": 24, "num_frames": 9}')
    return folder


@pytest.fixture
def other():
    """A transformer of the same size with other weights."""
    return wan.pipeline(seed=5).transformer


@pytest.mark.parametrize("family", ["wan", "ltx"])
def test_a_single_file_is_the_denoiser_of_a_new_folder(tmp_path, base, other, family):
    names = WAN
    if family == "ltx":
        base, names, other = tmp_path / "ltx", LTX, ltx.pipeline(seed=5).transformer
        ltx.pipeline().save_pretrained(base)
    file = tmp_path / "mine.safetensors"
    save_file(makers(other, names) | {"vae.encoder.weight": torch.zeros(3)}, file)
    assemble(file, str(base), None, tmp_path / "made")
    entry = find_model(str(tmp_path / "made"))
    assert (entry.title, entry.num_frames) == ("mine", find_model(str(base)).num_frames)
    pipe = load_model(entry, Placement(device="cpu")).pipe
    for name, weights in pipe.transformer.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name].to(torch.bfloat16).float()), name
    old = load_model(find_model(str(base)), Placement(device="cpu")).pipe
    assert torch.equal(next(iter(pipe.text_encoder.parameters())), next(iter(old.text_encoder.parameters())))


@pytest.fixture
def diffusion(tmp_path):
    """A Stable Diffusion as the catalogue has it: of half precision, by the names of that."""
    folder = tmp_path / "diffusion"
    stable_diffusion.pipeline().to(torch.float16).save_pretrained(folder, variant="fp16")
    stated = {"variant": "fp16", "width": stable_diffusion.WIDTH, "height": stable_diffusion.HEIGHT}
    (folder / "peekaboo.json").write_text(json.dumps(stated))
    return folder


def test_a_stable_diffusion_in_one_file_is_taken_whole(tmp_path, diffusion):
    """Its autoencoder and text encoder are its own as well."""
    mine = stable_diffusion.pipeline(seed=5)
    save_file(in_one_file(mine), tmp_path / "mine.safetensors")
    assemble(tmp_path / "mine.safetensors", str(diffusion), None, tmp_path / "made")
    pipe = load_model(find_model(str(tmp_path / "made")), Placement(device="cpu")).pipe
    for part in ("unet", "vae", "text_encoder"):
        own = getattr(mine, part).state_dict()
        for name, weights in getattr(pipe, part).state_dict().items():
            assert torch.equal(weights, own[name].half().float()), (part, name)
    assert torch.isfinite(stable_diffusion.latents(pipe)).all()


def test_a_stable_diffusion_without_a_text_encoder_has_its_bases(tmp_path, diffusion):
    held = in_one_file(stable_diffusion.pipeline(seed=5))
    save_file({key: held[key] for key in held if "cond_stage" not in key}, tmp_path / "mine.safetensors")
    assemble(tmp_path / "mine.safetensors", str(diffusion), None, tmp_path / "made")
    pipe = load_model(find_model(str(tmp_path / "made")), Placement(device="cpu")).pipe
    own = stable_diffusion.pipeline().text_encoder.state_dict()
    for name, weights in pipe.text_encoder.state_dict().items():
        assert torch.equal(weights, own[name].half().float()), name


@pytest.mark.parametrize("part", ["model.diffusion_model", "first_stage_model", "cond_stage_model"])
def test_a_stable_diffusion_that_is_not_all_there_is_refused(tmp_path, diffusion, part):
    held = in_one_file(stable_diffusion.pipeline(seed=5))
    left_out = next(key for key in reversed(held) if key.startswith(part) and key.endswith(".weight"))
    file = tmp_path / "mine.safetensors"
    save_file({key: weights for key, weights in held.items() if key != left_out}, file)
    assert "--base" in refused(file, diffusion, tmp_path / "made").message


def refused(file, base, out, part=None):
    with pytest.raises(EngineError) as caught:
        assemble(file, str(base), part, out)
    assert "\n" not in caught.value.message and not out.exists()
    assert list(out.parent.glob(".made*")) == []
    return caught.value


def test_a_file_of_another_model_is_refused(tmp_path, base, other):
    weights = makers(other, WAN)
    wrong = {
        "more": weights | {"model.diffusion_model.vace_blocks.0.weight": torch.zeros(3)},
        "less": {key: value for key, value in weights.items() if "blocks.1." not in key},
        "sizes": {key: torch.cat([value, value]) for key, value in weights.items()},
        "else": {"a": torch.zeros(3)},
    }
    for name, tensors in wrong.items():
        file = tmp_path / f"{name}.safetensors"
        save_file(tensors, file)
        error = refused(file, base, tmp_path / "made")
        assert error.code == "bad_checkpoint" and "--base" in error.message, name


def test_what_would_be_misread_is_refused(tmp_path, base, other):
    file = tmp_path / "mine.safetensors"
    weights = makers(other, WAN)
    first = next(iter(weights))
    save_file(weights | {first: weights[first].to(torch.float8_e4m3fn)}, file)
    assert "F8_E4M3" in refused(file, base, tmp_path / "made").message
    file.write_bytes(file.read_bytes()[:500])
    assert refused(file, base, tmp_path / "made").code == "bad_checkpoint"
    assert "no .safetensors or .gguf file" in refused(tmp_path / "a.ckpt", base, tmp_path / "made").message
    assert "has no transformer_2" in refused(file, base, tmp_path / "made", "transformer_2").message
    assert refused(file, "wan2.1-t2v-1.3b", tmp_path / "made").code == "not_downloaded"


def test_a_single_file_in_the_place_of_a_model_leads_to_the_command():
    with pytest.raises(EngineError, match=r"models assemble /a/b\.safetensors --base NAME") as caught:
        find_model("/a/b.safetensors")
    assert caught.value.code == "single_file"


def test_an_expert_of_two_is_replaced(tmp_path, other):
    base = tmp_path / "two"
    wan.pipeline(experts=2).save_pretrained(base)
    save_file(makers(other, WAN, prefix=""), tmp_path / "mine.safetensors")
    assemble(tmp_path / "mine.safetensors", str(base), "transformer_2", tmp_path / "made")
    index = json.loads((tmp_path / "made" / "model_index.json").read_text())
    assert index["transformer_2"] == ["diffusers", "WanTransformer3DModel"]
    for part in ("transformer", "transformer_2"):
        assert (tmp_path / "made" / part / "diffusion_pytorch_model.safetensors").is_file()
