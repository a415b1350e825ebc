# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRAs on a tiny Wan: that they act, to the bit what they say, and that what does not act is refused."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tiny import hunyuan15, unet3d, wan

from peekaboo_engine.errors import EngineError
from peekaboo_engine.existing import existing_clip
from peekaboo_engine.families import HUNYUAN15, WAN, family_of
from peekaboo_engine.loading import load_model, wears, with_loras
from peekaboo_engine.loras import Lora, check_source, find, put_on, take_off
from peekaboo_engine.models import catalogue, find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

RANK = 2
PARTS = ("attn1.to_q", "attn1.to_out.0", "attn2.to_k", "ffn.net.2")
CPU = Placement(device="cpu")


def matrices(pipe, seed=0, parts=PARTS) -> dict[str, torch.Tensor]:
    """A LoRA of random numbers for a tiny Wan, as diffusers names it."""
    noise = torch.Generator().manual_seed(seed)
    weights = {}
    for index, block in enumerate(pipe.transformer.blocks):
        for part in parts:
            rows, columns = block.get_submodule(part).weight.shape
            name = f"transformer.blocks.{index}.{part}"
            weights[f"{name}.lora_A.weight"] = torch.randn(RANK, columns, generator=noise)
            weights[f"{name}.lora_B.weight"] = torch.randn(rows, RANK, generator=noise)
    return weights


def as_comfy(weights: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The same by the names that Wan's own code and ComfyUI use, with a scale beside each pair."""
    names = {
        "attn1.to_q": "self_attn.q",
        "attn1.to_out.0": "self_attn.o",
        "attn2.to_k": "cross_attn.k",
        "ffn.net.2": "ffn.2",
    }
    renamed = {}
    for key, value in weights.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        key = key.replace("transformer.", "diffusion_model.")
        renamed[key.replace("lora_A", "lora_down").replace("lora_B", "lora_up")] = value
        renamed[key.partition(".lora")[0] + ".alpha"] = torch.tensor(alpha)
    return renamed


@pytest.fixture(scope="module")
def experts():
    return wan.pipeline(experts=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "wan"
    wan.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def lora(tmp_path, experts):
    """Write a LoRA; returns it as a job asks for it."""

    def make(weights=None, name="style", **asked) -> Lora:
        path = tmp_path / f"{name}.safetensors"
        save_file(matrices(experts) if weights is None else weights, path)
        return Lora(source=str(path), **asked)

    return make


@pytest.fixture
def worn(experts):
    """Put LoRAs on the pipeline for the time of a test."""
    before = {name: value.clone() for name, value in experts.transformer.state_dict().items()}
    yield lambda *loras: put_on(experts, WAN, [find(each) for each in loras], torch.float32)
    take_off(experts)
    assert before.keys() == experts.transformer.state_dict().keys()
    assert all(torch.equal(experts.transformer.state_dict()[name], value) for name, value in before.items())


def denoised(pipe, expert="transformer"):
    with torch.no_grad():
        return getattr(pipe, expert)(
            hidden_states=wan.noise(),
            timestep=torch.tensor([500.0]),
            encoder_hidden_states=wan.texts(pipe)[0],
        ).sample


def merged(pipe, *loras):
    """What a denoiser does with matrices added to its weights by hand."""
    denoiser = wan.pipeline(experts=2).transformer
    with torch.no_grad():
        for weights, weight in loras:
            for key in weights:
                if key.endswith("lora_A.weight"):
                    name = key.removesuffix(".lora_A.weight")
                    product = weights[f"{name}.lora_B.weight"] @ weights[key]
                    denoiser.get_submodule(name.removeprefix("transformer.")).weight += weight * product
        return denoiser(
            hidden_states=wan.noise(),
            timestep=torch.tensor([500.0]),
            encoder_hidden_states=wan.texts(pipe)[0],
        ).sample


def refused(call, *words):
    with pytest.raises(EngineError) as caught:
        call()
    assert caught.value.code == "bad_lora"
    for word in words:
        assert word in caught.value.message
    return caught.value.message


def test_loras_add_up_each_with_its_weight(experts, lora, worn):
    plain = denoised(experts)
    one, other = matrices(experts, 1), matrices(experts, 2, PARTS[:1])
    worn(lora(one, "one", weight=0.5), lora(other, "other", weight=-2))
    torch.testing.assert_close(denoised(experts), merged(experts, (one, 0.5), (other, -2)))
    assert not torch.allclose(denoised(experts), plain, atol=1e-3)


def test_one_of_another_programs_names_and_scale_is_the_same(experts, lora, worn):
    weights = matrices(experts)
    worn(lora(as_comfy(weights, alpha=1.0)))
    torch.testing.assert_close(denoised(experts), merged(experts, (weights, 1 / RANK)))


@pytest.mark.parametrize("expert", ["both", "high", "low"])
def test_an_expert_alone_wears_it(experts, lora, worn, expert):
    plain = {name: denoised(experts, name) for name in ("transformer", "transformer_2")}
    worn(lora(expert=expert))
    changed = [not torch.equal(denoised(experts, name), before) for name, before in plain.items()]
    assert changed == [expert in ("both", "high"), expert in ("both", "low")]


def test_each_expert_may_wear_its_own(experts, lora, worn):
    high, low = matrices(experts, 1), matrices(experts, 2)
    worn(lora(high, "high", expert="high"), lora(low, "low", expert="low"))
    torch.testing.assert_close(denoised(experts), merged(experts, (high, 1)))


def test_a_weight_of_nothing_is_not_loaded(experts, lora, worn):
    plain = denoised(experts)
    worn(lora(weight=0))
    assert torch.equal(denoised(experts), plain)


def test_one_of_another_model_is_refused(experts, lora, worn):
    larger = {
        key: torch.cat([value, value], 1 if "lora_A" in key else 0)
        for key, value in matrices(experts).items()
    }
    refused(lambda: worn(lora(larger)), "does not fit this model", "take one made for it")
    other = {key.replace("blocks", "layers"): value for key, value in matrices(experts).items()}
    refused(lambda: worn(lora(other)), "take one made for it")
    foreign = {key.replace("transformer.", "unet."): value for key, value in matrices(experts).items()}
    refused(lambda: worn(lora(foreign)), "nothing in it is of this model")


def test_one_of_which_a_part_has_no_place_is_refused(experts, lora, worn):
    weights = matrices(experts)
    more = {
        key.replace("blocks.1.", "blocks.7."): value.clone()
        for key, value in weights.items()
        if "blocks.1." in key
    }
    refused(lambda: worn(lora(weights | more)), "8 of its 24 weights have no place")


def test_a_weight_that_diffusers_leaves_out_is_refused_unless_it_is_nothing(experts, lora, worn):
    weights = as_comfy(matrices(experts), alpha=2.0)
    norms = {"diffusion_model.blocks.0.self_attn.norm_q.diff": torch.ones(24)}
    nothing = {key: torch.zeros_like(value) for key, value in norms.items()}
    refused(lambda: worn(lora(weights | norms, "norms")), "1 of its 25 weights have no place")
    take_off(experts)
    worn(lora(weights | nothing, "nothing"))
    torch.testing.assert_close(denoised(experts), merged(experts, (matrices(experts), 1)))


def test_one_that_changes_nothing_is_refused(experts, lora, worn):
    zeros = {
        key: torch.zeros_like(value) if "lora_B" in key else value for key, value in matrices(experts).items()
    }
    refused(lambda: worn(lora(zeros)), "all that it adds is zero")


def test_one_with_numbers_that_are_none_is_refused(experts, lora, worn):
    weights = matrices(experts)
    next(iter(weights.values()))[0, 0] = torch.nan
    refused(lambda: worn(lora(weights)), "not finite")


def test_a_model_of_one_denoiser_has_no_expert(lora):
    single = wan.pipeline()
    asked = lora(expert="low")
    refused(lambda: put_on(single, WAN, [find(asked)], torch.float32), "one denoiser", 'take "both"')


def test_a_family_that_diffusers_loads_none_into_says_so(lora):
    pipe = unet3d.pipeline()
    family = family_of("TextToVideoSDPipeline")
    refused(lambda: put_on(pipe, family, [find(lora())], torch.float32))


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a file ran code",))


def test_what_is_no_safetensors_file_is_never_opened_as_another(tmp_path, lora):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    refused(lambda: check_source(Lora(source=str(path))), "evil.safetensors", "no .safetensors file")
    torch.save({"a": torch.ones(1)}, path)
    refused(lambda: check_source(Lora(source=str(path))), "no .safetensors file")
    whole = tmp_path / "style.safetensors"
    lora()
    path.write_bytes(whole.read_bytes()[:-10])
    check_source(Lora(source=str(path)))  # its header is whole


def test_what_is_not_there_is_refused_before_a_model_is_loaded(tmp_path):
    refused(lambda: check_source(Lora(source=str(tmp_path / "none.safetensors"))), "there is no such file")
    refused(lambda: check_source(Lora(source="owner/name")), "owner/name/file.safetensors")
    refused(lambda: check_source(Lora(source=str(tmp_path))), "0 .safetensors files", "give the file itself")
    check_source(Lora(source="owner/name/some folder/file.safetensors"))  # of a repository: asked for later


def test_a_repositorys_file_is_taken_from_the_hubs_cache(tmp_path, monkeypatch, lora):
    from huggingface_hub import constants

    cached = tmp_path / "hub" / "models--owner--name"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots" / commit / "4 steps").mkdir(parents=True)
    lora()
    (tmp_path / "style.safetensors").rename(cached / "snapshots" / commit / "4 steps" / "high.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found = find(Lora(source="owner/name/4 steps/high.safetensors"))
    assert found.origin == {"repository": "owner/name", "file": "4 steps/high.safetensors", "commit": commit}
    refused(lambda: find(Lora(source="owner/name/low.safetensors")), "not on this machine", "models download")


def test_a_truncated_file_ends_in_a_sentence(tmp_path, lora, worn):
    asked = lora()
    path = tmp_path / "style.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused(lambda: worn(asked))


def test_a_kept_model_changes_its_loras_and_is_itself_again(folder, lora):
    plain = load_model(find_model(str(folder)), CPU)
    before = wan.latents(plain.pipe)
    asked = lora(matrices(plain.pipe), weight=0.5)
    dressed = with_loras(plain, [asked])
    assert dressed.pipe is plain.pipe and not torch.equal(wan.latents(dressed.pipe), before)
    fresh = load_model(find_model(str(folder)), CPU, [asked])
    assert torch.equal(wan.latents(fresh.pipe), wan.latents(dressed.pipe))
    assert wears(dressed, [asked]) and not wears(dressed, [])
    other = with_loras(dressed, [asked.model_copy(update={"weight": 1.0})])
    assert not torch.equal(wan.latents(other.pipe), wan.latents(fresh.pipe))
    assert torch.equal(wan.latents(with_loras(other, []).pipe), before)


@pytest.mark.parametrize("placement", [Placement("cpu", offload=True), Placement("cpu", dtype="bfloat16")])
def test_one_acts_offloaded_and_in_half_precision(folder, lora, placement):
    plain = load_model(find_model(str(folder)), placement)
    before = wan.latents(plain.pipe)
    asked = lora(matrices(plain.pipe))
    changed = wan.latents(with_loras(plain, [asked]).pipe)
    assert torch.equal(wan.latents(load_model(find_model(str(folder)), placement, [asked]).pipe), changed)
    assert (changed - before).abs().mean() > 0.01


def test_a_file_that_changed_under_its_name_is_another_lora(folder, lora):
    model = load_model(find_model(str(folder)), CPU, [lora(matrices(wan.pipeline(), 1))])
    first = model.identity["loras"][0]
    second = with_loras(model, [lora(matrices(wan.pipeline(), 2))]).identity["loras"][0]
    assert first["file"] == second["file"] == "style.safetensors" and first["sha256"] != second["sha256"]


def test_a_folder_may_state_its_own_loras(folder, lora, tmp_path):
    lora(matrices(wan.pipeline()))
    stated = (tmp_path / "style.safetensors").rename(folder / "stated.safetensors")
    entry = folder / "peekaboo.json"
    try:
        entry.write_text(json.dumps({"loras": [{"source": stated.name}]}))
        model = load_model(find_model(str(folder)), CPU)
        assert [each["file"] for each in model.identity["loras"]] == ["stated.safetensors"]
        entry.write_text(json.dumps({"loras": [{"source": f"../wan/{stated.name}"}]}))
        with pytest.raises(EngineError, match="leads up or to another machine"):
            find_model(str(folder))
    finally:
        entry.unlink()
        stated.unlink()


def test_the_twin_is_a_model_by_name_and_all_of_its_lora_is_used():
    entry = catalogue()["solids_twin"]
    assert (entry.num_inference_steps, entry.guidance_scale) == (8, 1.0)
    model = load_model(entry, CPU)
    [described] = model.identity["loras"]
    assert described["file"] == "pytorch_lora_weights.safetensors" and described["weight"] == 1.0
    weights = load_file(model.loras[0].path)
    layer = model.pipe.transformer.blocks[3].ffn.net[2]
    name = "transformer.blocks.3.ffn.net.2"
    product = weights[f"{name}.lora_B.weight"].float() @ weights[f"{name}.lora_A.weight"].float()
    torch.testing.assert_close(layer.get_delta_weight("lora_0"), product)


@pytest.fixture
def run(tmp_path, folder, make_job):
    """Run jobs on one worker; returns the record of the clip, or the error's sentence."""
    worker = Worker(CPU)
    labels = np.zeros((wan.FRAMES, wan.HEIGHT, wan.WIDTH), np.uint8)
    labels[:, 16:48, 16:48] = 1
    make_job(
        labels,
        schema_version=2,
        model=str(folder),
        subjects=[{"name": "Ball", "phrase": "a red ball"}],
        num_frames=wan.FRAMES,
        timing={
            "frame_start": 1,
            "frame_count": wan.FRAMES,
            "fps": 24,
            "fps_base": 1.0,
            "scene_frames": list(range(1, wan.FRAMES + 1)),
        },
        num_inference_steps=2,
        control={},
    )
    job = tmp_path / "shot" / "job"
    told: list = []

    class Listener:
        def __getattr__(self, kind):
            return lambda *args, **fields: told.append((kind, *args, fields))

    def go(**changes) -> dict | str:
        told.clear()
        data = json.loads((job / "job.json").read_text()) | changes
        (job / "job.json").write_text(json.dumps(data))
        out = tmp_path / "out"
        done = worker.run(job, out, Listener(), lambda: False)
        record = json.loads((out / "clip.json").read_text()) if done else None
        return record or next(event[2] for event in told if event[0] == "error")

    return go


def test_a_warm_engine_changes_loras_between_jobs_and_says_which(run, lora):
    asked = lora(weight=0.5)
    plain, dressed, undressed = run(), run(loras=[asked.model_dump()]), run(loras=[])
    [told] = dressed["loras"]
    assert (told["file"], told["weight"], told["expert"]) == ("style.safetensors", 0.5, "both")
    assert told["sha256"] == find(asked).sha256
    assert plain["loras"] == undressed["loras"] == []
    assert plain["clip_sha256"] == undressed["clip_sha256"] != dressed["clip_sha256"]


def test_a_lora_that_cannot_act_ends_the_job_and_the_next_one_is_as_ever(run, lora):
    plain = run()
    wrong = lora({key.replace("blocks", "layers"): value for key, value in matrices(wan.pipeline()).items()})
    assert "cannot be used" in run(loras=[wrong.model_dump()])
    assert "there is no such file" in run(loras=[{"source": "/nowhere/none.safetensors"}])
    assert run(loras=[])["clip_sha256"] == plain["clip_sha256"]


def test_a_relative_name_is_of_the_jobs_folder_whatever_the_engines_is(run, lora, tmp_path, monkeypatch):
    asked, job = lora(weight=0.5), tmp_path / "shot" / "job"
    elsewhere = tmp_path / "elsewhere" / "owner" / "name"
    elsewhere.mkdir(parents=True)
    (elsewhere / "style.safetensors").write_bytes(b"another")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("style.safetensors", "owner/name/style.safetensors"):
        there = job / name
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(asked.source, there)
        record = run(loras=[{"source": name, "weight": 0.5}])
        assert record["loras"][0]["sha256"] == find(asked).sha256
        assert record["job"]["loras"][0]["source"] == name  # the folder may lie elsewhere tomorrow
        assert existing_clip(job, tmp_path / "out") is not None
        there.unlink()
    assert str(job / "style.safetensors") in run(loras=[{"source": "style.safetensors"}])


def test_a_name_in_a_repository_is_no_file_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "style.safetensors").write_bytes(b"no LoRA")
    monkeypatch.chdir(tmp_path)
    check_source(Lora(source="owner/name/style.safetensors"))


def test_a_pipeline_that_loads_none_by_itself_has_them_in_its_denoiser(lora):
    pipe = hunyuan15.pipeline()
    before = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
    noise = torch.Generator().manual_seed(0)
    weights = {}
    for name, layer in pipe.transformer.named_modules():
        if name.startswith("transformer_blocks") and name.endswith("to_q"):
            rows, columns = layer.weight.shape
            weights[f"transformer.{name}.lora_A.weight"] = torch.randn(RANK, columns, generator=noise)
            weights[f"transformer.{name}.lora_B.weight"] = torch.randn(rows, RANK, generator=noise)

    def denoised():
        with torch.no_grad():
            return hunyuan15.denoise(pipe, hunyuan15.noise(), 500.0, hunyuan15.texts(pipe)[0])

    plain = denoised()
    put_on(pipe, HUNYUAN15, [find(lora(weights, weight=0.5))], torch.float32)
    worn = denoised()
    take_off(pipe)
    assert torch.equal(denoised(), plain) and not torch.allclose(worn, plain)
    assert all(torch.equal(pipe.transformer.state_dict()[name], value) for name, value in before.items())
    merged = hunyuan15.pipeline()
    with torch.no_grad():
        for key in [key for key in weights if key.endswith("lora_A.weight")]:
            name = key.removesuffix(".lora_A.weight")
            product = weights[f"{name}.lora_B.weight"] @ weights[key]
            merged.transformer.get_submodule(name.removeprefix("transformer.")).weight += 0.5 * product
        expected = hunyuan15.denoise(merged, hunyuan15.noise(), 500.0, hunyuan15.texts(merged)[0])
    torch.testing.assert_close(worn, expected, rtol=1e-4, atol=1e-5)
    first = next(iter(weights))
    wrong = {
        "scales": weights | {first.replace("lora_A.weight", "alpha"): torch.tensor(4.0)},
        "names": {f"diffusion_model.{key}": value for key, value in weights.items()},
        "some": weights | {"transformer.nowhere.lora_A.weight": torch.ones(2, 2)},
    }
    for name, other in wrong.items():
        found = [find(lora(other, name))]
        refused(lambda found=found: put_on(pipe, HUNYUAN15, found, torch.float32))
        take_off(pipe)


@pytest.mark.parametrize(
    "source", ["../a.safetensors", "a/b/../../c.safetensors", r"\\server\share\a", "//server/a"]
)
def test_a_path_that_leads_up_or_to_another_machine_is_refused_unasked(source):
    with pytest.raises(ValidationError, match="leads up or to another machine"):
        Lora(source=source)
