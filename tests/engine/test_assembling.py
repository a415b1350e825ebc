# SPDX-License-Identifier: GPL-3.0-or-later
"""A single file becomes a model's folder, or is refused."""

import json

import pytest
import torch
from safetensors.torch import save_file
from tiny import ltx, wan

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
