# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of few bits: a GGUF file becomes a model that masks act on, and a hostile one is refused unread."""

import importlib.util
import json
import os
import struct

import numpy as np
import pytest
import torch
from test_assembling import LTX, WAN, makers
from test_family_jobs import Listener
from tiny import ltx, wan

from peekaboo_engine import loading, quantised
from peekaboo_engine.assembling import assemble
from peekaboo_engine.errors import EngineError
from peekaboo_engine.loading import load_model
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement, Tiers, check_room
from peekaboo_engine.worker import Worker

CPU = Placement(device="cpu")
needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None and os.environ.get("CI") != "true",
    reason="needs the package gguf: make the environment anew",
)
SIZE = {"width": ltx.WIDTH, "height": ltx.HEIGHT, "num_frames": ltx.FRAMES}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "ltx"
    ltx.pipeline().save_pretrained(folder)
    (folder / "peekaboo.json").write_text(json.dumps(SIZE | {"max_sequence_length": ltx.TEXT_LENGTH}))
    return folder


def write_gguf(path, network, kind, also=".", names=LTX):
    """A transformer as city96 and others publish it: its makers' names, matrices quantised."""
    import gguf

    writer = gguf.GGUFWriter(path, "ltxv")
    for name, weights in makers(network, names, prefix="").items():
        values = weights.float().numpy()
        matrix = name.endswith(".weight") and values.ndim == 2 and values.shape[1] % 32 == 0
        matrix |= name.endswith(also)
        own = gguf.GGMLQuantizationType[kind if matrix else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(values, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def made(base, tmp_path_factory):
    """A model's folder of a GGUF file of other weights than its base has."""
    folder = tmp_path_factory.mktemp("gguf")
    file = write_gguf(folder / "mine-Q8_0.gguf", ltx.pipeline(seed=5).transformer, "Q8_0")
    assemble(file, str(base), None, folder / "made")
    return folder / "made"


@needs_gguf
def test_a_gguf_file_becomes_a_model_of_its_own_weights(made, base):
    entry = find_model(str(made))
    assert (entry.title, entry.num_frames) == ("mine-Q8_0", ltx.FRAMES)
    assert not list((made / "transformer").glob("*.safetensors"))
    model = load_model(entry, CPU)
    assert model.weights["sha256"] != load_model(find_model(str(base)), CPU).weights["sha256"]
    wanted = ltx.pipeline(seed=5)
    assert quantised.held_numbers(model.pipe.transformer) == quantised.held_numbers(wanted.transformer)
    with torch.no_grad():
        few, whole, other = (
            ltx.denoise(pipe, ltx.noise(), 500.0, ltx.texts(wanted)[0])
            for pipe in (model.pipe, wanted, load_model(find_model(str(base)), CPU).pipe)
        )
    assert (few - whole).norm() < 0.1 * (other - whole).norm()


@needs_gguf
def test_a_gguf_file_of_wan_is_read_under_its_makers_names(tmp_path):
    """Of five sizes where the picture comes in, which no matrix has."""
    wan.pipeline().save_pretrained(tmp_path / "base")
    wanted = wan.pipeline(seed=5)
    file = write_gguf(tmp_path / "mine.gguf", wanted.transformer, "Q8_0", names=WAN)
    assemble(file, str(tmp_path / "base"), None, tmp_path / "made")
    with torch.no_grad():
        few, whole, other = (
            wan.denoise(pipe, wan.noise(), 500.0, wan.texts(wanted)[0])
            for pipe in (load_model(find_model(str(tmp_path / "made")), CPU).pipe, wanted, wan.pipeline())
        )
    assert 0 < (few - whole).norm() < 0.1 * (other - whole).norm()


@needs_gguf
def test_masks_act_on_a_gguf_model_and_the_clip_says_what_it_is(made, make_job, tmp_path):
    labels = np.zeros((ltx.FRAMES, ltx.HEIGHT, ltx.WIDTH), np.uint8)
    labels[:, : ltx.HEIGHT // 2, : ltx.WIDTH // 2] = 1
    labels[:, ltx.HEIGHT // 2 :, ltx.WIDTH // 2 :] = 2
    times = [float(frame) for frame in range(1, ltx.FRAMES + 1)]
    timing = {"frame_start": 1, "frame_count": ltx.FRAMES, "fps": 24, "fps_base": 1.0, "scene_frames": times}
    worker, clips = Worker(CPU), []
    job = make_job(labels, model=str(made), **SIZE, timing=timing, num_inference_steps=2, control={})
    for control in ({}, {"masked_steps": 0}):
        stated = json.loads((job / "job.json").read_text()) | {"control": control}
        (job / "job.json").write_text(json.dumps(stated))
        out, events = tmp_path / f"out_{len(clips)}", Listener()
        assert worker.run(job, out, events, lambda: False), events.told
        clips.append(json.loads((out / "clip.json").read_text()))
    assert clips[0]["clip_sha256"] != clips[1]["clip_sha256"]
    assert clips[0]["model"]["sha256"] == load_model(find_model(str(made)), CPU).weights["sha256"]


@needs_gguf
@pytest.mark.parametrize("savings", [("groups",), ("tiles",)])
def test_what_saves_memory_changes_nothing(made, savings):
    entry = find_model(str(made))
    usual = ltx.latents(load_model(entry, CPU).pipe)
    assert torch.equal(ltx.latents(load_model(entry, Placement(device="cpu", savings=savings)).pipe), usual)


@needs_gguf
def test_weights_of_few_bits_are_not_put_into_eight(made):
    with pytest.raises(EngineError, match="leave fp8 out") as caught:
        load_model(find_model(str(made)), Placement(device="cpu", savings=("fp8",)))
    assert caught.value.code == "bad_option"


@needs_gguf
def test_a_gguf_file_of_another_model_is_refused(base, tmp_path):
    other = ltx.pipeline().transformer
    del other.transformer_blocks[1]
    file = write_gguf(tmp_path / "other.gguf", other, "Q8_0")
    with pytest.raises(EngineError, match="--base") as caught:
        assemble(file, str(base), None, tmp_path / "made")
    assert caught.value.code == "bad_checkpoint" and not (tmp_path / "made").exists()


@needs_gguf
def test_what_only_layers_can_spread_out_is_refused_elsewhere(base, tmp_path):
    file = write_gguf(tmp_path / "table.gguf", ltx.pipeline().transformer, "Q8_0", also="scale_shift_table")
    with pytest.raises(EngineError, match="scale_shift_table") as caught:
        assemble(file, str(base), None, tmp_path / "made")
    assert caught.value.code == "bad_checkpoint" and not (tmp_path / "made").exists()


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def header(tensors=0, facts=0, version=3, magic=b"GGUF"):
    return magic + struct.pack("<IQQ", version, tensors, facts)


def weight(*sizes, kind=0, start=0):
    return text(b"a") + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, start)


HOSTILE = {
    "no file of its kind": (b"PK\3\4" + bytes(100), "no GGUF file"),
    "another version": (header(version=9), "version 2 or 3"),
    "nothing behind it": (header(tensors=1), "ends within"),
    "many weights": (header(tensors=2**63), "entries"),
    "many facts": (header(facts=2**63), "entries"),
    "a long text": (header(facts=1) + struct.pack("<Q", 2**62), "ends within"),
    "a long list": (header(facts=1) + text(b"a") + struct.pack("<IIQ", 9, 4, 2**63), "ends within"),
    "a long list of texts": (header(facts=1) + text(b"a") + struct.pack("<IIQ", 9, 8, 2**63), "ends within"),
    "lists in lists": (header(facts=1) + text(b"a") + struct.pack("<IIQ", 9, 9, 2**63), "of the kind 9"),
    "a weight without end": (header(tensors=1) + weight(2**60, 2**60), "larger than the file"),
    "a weight of nothing": (header(tensors=1) + weight(0), "larger than the file"),
    "a weight elsewhere": (header(tensors=1) + weight(1, start=2**60), "larger than the file"),
    "a weight of many sizes": (header(tensors=1) + text(b"a") + struct.pack("<I", 2**31), "sizes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_gguf_file_is_refused_before_it_is_read(base, tmp_path, case):
    data, part = HOSTILE[case]
    file = tmp_path / "mine.gguf"
    file.write_bytes(data)
    with pytest.raises(EngineError) as caught:
        assemble(file, str(base), None, tmp_path / "made")
    assert caught.value.code == "bad_checkpoint" and part in caught.value.message
    assert "\n" not in caught.value.message and not (tmp_path / "made").exists()


def test_what_is_not_here_is_said_with_the_command_that_installs_it(base, tmp_path, monkeypatch):
    monkeypatch.setattr(quantised.importlib.util, "find_spec", lambda name: None)
    file = tmp_path / "mine.gguf"
    file.write_bytes(header())
    with pytest.raises(EngineError, match=r"-m pip install gguf\.$") as caught:
        assemble(file, str(base), None, tmp_path / "made")
    assert caught.value.code == "no_gguf"
    with pytest.raises(EngineError, match=r"-m pip install bitsandbytes\.$") as caught:
        quantised.as_nf4(["transformer"], torch.bfloat16, torch.device("cuda"))
    assert caught.value.code == "no_bitsandbytes"


def test_nf4_is_refused_where_it_cannot_be(base):
    with pytest.raises(EngineError, match="needs a GPU") as caught:
        load_model(find_model(str(base)), Placement(device="cpu", savings=("nf4",)))
    assert caught.value.code == "bad_option"
    for other in ("fp8", "groups"):
        with pytest.raises(EngineError, match="nf4"):
            Placement(savings=("nf4", other))


def test_room_is_looked_for_by_the_bits_of_nf4():
    weights = Tiers(bf16=40.0, fp8=26.0, offload=28.0)
    assert weights.on_device("nf4") == pytest.approx(40 - 14 * 23 / 16)
    check_room("It", weights, Placement(savings=("nf4",)), "bfloat16", 20.0)
    with pytest.raises(EngineError, match=r"19\.9 GB.* --memory groups in the place of nf4"):
        check_room("It", weights, Placement(savings=("nf4",)), "bfloat16", 19.0)
    alone = Placement(savings=("nf4",), offload=True)  # of the denoiser, 7.9 GB; the largest else may be less
    check_room("It", weights, alone, "bfloat16", 8.0)
    with pytest.raises(EngineError, match=r"7\.88 GB.* --memory groups in the place of nf4 and --offload"):
        check_room("It", weights, alone, "bfloat16", 7.0)


def test_a_folder_that_states_another_class_for_its_gguf_file_is_refused(base, tmp_path):
    for library, name in (("diffusers", "StableDiffusionPipeline"), ("os", "system")):
        with pytest.raises(ValueError, match=f"no {name}"):
            quantised.network_class((library, name))
    assert loading.network_class(("diffusers", "LTXVideoTransformer3DModel"))


@pytest.mark.parametrize("others", [["b.gguf"], ["diffusion_pytorch_model.safetensors"]])
def test_of_several_files_of_weights_none_is_taken_silently(tmp_path, others):
    part = tmp_path / "transformer"
    part.mkdir()
    (part / "a.gguf").touch()
    assert quantised.gguf_of(tmp_path, "transformer") == part / "a.gguf"
    for name in others:
        (part / name).touch()
    with pytest.raises(
        EngineError, match=rf"several files of weights \(a\.gguf, {others[0]}\).* all but one"
    ):
        quantised.gguf_of(tmp_path, "transformer")
