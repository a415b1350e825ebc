# SPDX-License-Identifier: GPL-3.0-or-later
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from house import models_page
from tiny.unet3d import latents

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, SYNONYMS
from peekaboo_engine.control import peekaboo
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import FAMILIES, family_of
from peekaboo_engine.job import load_job
from peekaboo_engine.loading import load_model, load_reader
from peekaboo_engine.models import catalogue, find_model, known_model, tiers_of
from peekaboo_engine.placement import Placement
from peekaboo_engine.weights import hash_weights

ROOT = Path(__file__).resolve().parents[2]


def test_the_catalogue_names_the_papers_models():
    models = catalogue()
    assert models["zeroscope"].source == "cerspense/zeroscope_v2_576w"
    assert (models["zeroscope"].width, models["zeroscope"].height) == (576, 320)
    assert models["modelscope"].source == "damo-vilab/text-to-video-ms-1.7b"
    assert models["shapes"].embedded


@pytest.mark.parametrize("name", list(catalogue()))
def test_an_entry_of_the_catalogue_is_whole(name):
    entry = catalogue()[name]
    assert entry.masked_steps <= entry.num_inference_steps
    assert entry.licence_url.startswith("https://")
    assert all(sentence.endswith(".") for sentence in (*entry.limits, entry.tried))
    assert entry.weights_gb == tiers_of(entry.parameters)
    bytes_each = 0 if entry.embedded else 2 if entry.variant else 4
    each = {part: 4 if part == "motion_adapter" else bytes_each for part in entry.parameters}
    size = sum(each[part] * count for part, count in entry.parameters.items())
    assert entry.download_gb == pytest.approx(size, abs=0.06)
    entry.cells.check(entry.num_frames, entry.height, entry.width)
    usual = json.loads((ROOT / "peekaboo_engine" / "model_folders.json").read_text()).get(entry.pipeline)
    for key, value in (usual or {"entry": {}})["entry"].items():
        if key in {"first_frame", "last_frame", "most_frames", "size_multiple", "temporal_compression"}:
            assert isinstance(value, dict) or value == getattr(entry, key), key
    if entry.measured:
        assert (ROOT / entry.measured).is_file()
    if entry.embedded:
        told = find_model(str(entry.folder))
        assert (entry.cells, entry.pipeline, entry.width) == (told.cells, told.pipeline, told.width)


def test_the_page_of_models_says_what_the_catalogue_says():
    assert models_page.PAGE.read_text(encoding="utf-8") == models_page.text(), (
        "run python scripts/house/models_page.py"
    )


def test_limits_of_territory_and_revenue_are_told():
    models = catalogue()
    territory = models["hunyuan1.5-t2v-480p"].limits[0]
    assert models["hunyuan1.5-t2v-480p"].excluded == ("EU", "UK", "South Korea")
    assert "European Union" in territory and "United Kingdom" in territory and "South Korea" in territory
    assert "US$ 10 million" in models["ltx-2"].limits[0]
    assert models["wan2.1-t2v-1.3b"].licence == "Apache-2.0" and not models["wan2.1-t2v-1.3b"].limits


def test_masked_steps_keep_their_share_of_any_number_of_steps():
    shapes, zeroscope = find_model("shapes"), find_model("zeroscope")
    assert [shapes.masked_steps_of(steps) for steps in (25, 50, 12, 3, 1)] == [6, 12, 3, 1, 1]
    assert [zeroscope.masked_steps_of(steps) for steps in (40, 20, 10)] == [2, 1, 1]


def test_a_folder_is_a_model_of_the_size_that_it_says(model_folder):
    entry = find_model(str(model_folder))
    assert (entry.width, entry.height) == (64, 64)  # sample_size 8, f=8
    assert entry.folder == model_folder


def test_a_folder_may_state_its_defaults(tmp_path, model_folder):
    folder = tmp_path / "stated"
    shutil.copytree(model_folder, folder)
    (folder / "peekaboo.json").write_text(
        json.dumps({"num_frames": 8, "guidance_scale": 3, "licence": "MIT"})
    )
    entry = find_model(str(folder))
    assert (entry.num_frames, entry.guidance_scale, entry.licence, entry.width) == (8, 3.0, "MIT", 64)
    (folder / "peekaboo.json").write_text(json.dumps({"frames": 8}))
    with pytest.raises(EngineError, match=r"peekaboo\.json is wrong \(frames"):
        find_model(str(folder))


def test_a_truncated_weight_file_is_one_sentence(tmp_path, model_folder):
    folder = tmp_path / "half"
    shutil.copytree(model_folder, folder)
    weights = folder / "text_encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(EngineError) as caught:
        load_model(find_model(str(folder)), Placement(device="cpu"))
    assert caught.value.code == "model_not_loaded"


@pytest.mark.parametrize("kept", [None, "tokenizer_config.json"])
def test_a_model_without_words_is_refused(tmp_path, model_folder, kept):
    """transformers would make a tokenizer that knows none, and the clip would show anything."""
    folder = tmp_path / "half"
    shutil.copytree(model_folder, folder)
    shutil.rmtree(folder / "tokenizer")
    if kept:
        (folder / "tokenizer").mkdir()
        shutil.copy(model_folder / "tokenizer" / kept, folder / "tokenizer")
    for load in (lambda entry: load_model(entry, Placement(device="cpu")), load_reader):
        with pytest.raises(EngineError, match="no words in it") as caught:
            load(find_model(str(folder)))
        assert caught.value.code == "bad_model"


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(EngineError, match="shapes, solids, solids_twin, modelscope, zeroscope") as caught:
        find_model("sora")
    assert caught.value.code == "unknown_model"


def test_loading_gives_the_pipeline_that_was_saved(model_folder, pipe):
    model = load_model(find_model(str(model_folder)), Placement(device="cpu"))
    assert torch.equal(latents(model.pipe), latents(pipe))
    assert model.pipe.vae.use_slicing
    configuration = model.weights["configuration_sha256"]
    assert len(configuration) == 64
    assert model.weights == {
        "folder": "tiny",
        "sha256": hash_weights(model_folder),
        "configuration_sha256": configuration,
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_close_to_single_masked_or_not(model_folder, pipe, two_boxes, dtype):
    model = load_model(find_model(str(model_folder)), Placement(device="cpu", dtype=dtype))
    assert model.pipe.unet.dtype == getattr(torch, dtype)
    for guided in (False, True):
        runs = []
        for each in (pipe, model.pipe):
            with peekaboo(each, two_boxes, ["a red ball", "a blue cube"], masked_steps=2 * guided):
                runs.append(latents(each).float())
        single, half = runs
        assert (single - half).abs().mean() < 0.1 * single.abs().mean()


def test_offloading_changes_nothing_but_where_weights_wait(model_folder, pipe):
    model = load_model(find_model(str(model_folder)), Placement(device="cpu", offload=True))
    assert model.pipe.unet._hf_hook is not None
    torch.testing.assert_close(latents(model.pipe), latents(pipe))


def test_older_bin_weights_are_read_without_running_their_code(tmp_path, model_folder, pipe):
    folder = tmp_path / "older"
    shutil.copytree(model_folder, folder)
    pipe.unet.save_pretrained(folder / "unet", safe_serialization=False)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    model = load_model(find_model(str(folder)), Placement(device="cpu"))
    assert torch.equal(latents(model.pipe), latents(pipe))


class Evil:
    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return (Path.touch, (self.witness,))


def test_a_malicious_bin_file_is_refused(tmp_path, model_folder):
    folder = tmp_path / "evil"
    shutil.copytree(model_folder, folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(
        {"w": Evil(tmp_path / "witness")},
        folder / "unet" / "diffusion_pytorch_model.bin",
        pickle_module=pickle,
    )
    with pytest.raises(EngineError) as caught:
        load_model(find_model(str(folder)), Placement(device="cpu"))
    assert caught.value.code == "model_not_loaded"
    assert "hold code" in caught.value.message and "weights_only" not in caught.value.message
    assert not (tmp_path / "witness").exists()


def test_what_a_library_lists_does_not_fill_the_sentence(tmp_path, model_folder):
    folder = shutil.copytree(model_folder, tmp_path / "odd")
    index = json.loads((folder / "model_index.json").read_text()) | {"unet": ["os", "system"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(EngineError, match=r"could not be loaded .*; check files") as caught:
        load_model(find_model(str(folder)), Placement(device="cpu"))
    assert len(caught.value.message) < 400 + len(str(folder))


def test_a_repository_is_loaded_from_the_local_cache_with_its_commit(
    tmp_path, model_folder, monkeypatch, pipe
):
    """The hub's cache as huggingface_hub lays it out, filled by hand, since the network is not there."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(model_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("diffusers.pipelines.pipeline_utils.HF_HUB_CACHE", str(tmp_path), raising=False)
    entry = find_model(str(model_folder)).model_copy(update={"source": "someone/tiny"})
    model = load_model(entry, Placement(device="cpu"))
    assert model.weights == {"repository": "someone/tiny", "commit": commit}
    assert torch.equal(latents(model.pipe), latents(pipe))


def test_a_repository_that_is_not_there_leads_to_its_download(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineError) as caught:
        load_model(catalogue()["zeroscope"], Placement(device="cpu"))
    assert caught.value.code == "not_downloaded"
    assert caught.value.message.startswith("ZeroScope v2 576w is not on this machine; to download it run ")
    assert "models download zeroscope --accept-licence" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_model_without_masks_is_described_and_makes_no_clip(monkeypatch):
    other = catalogue()["sd1.5"].model_copy(update={"pipeline": "CogVideoXPipeline", "title": "Cog"})
    models = catalogue() | {"cog": other}
    monkeypatch.setattr("peekaboo_engine.models.catalogue", lambda: models)
    assert known_model("cog").described()["family"] is None
    with pytest.raises(EngineError, match="with which this version makes no clips yet; take one of shapes"):
        find_model("cog")


def test_every_model_of_the_catalogue_can_be_asked_for():
    for name, entry in catalogue().items():
        assert find_model(name) == entry and entry.described()["family"]


@pytest.mark.slow
def test_a_model_of_full_size_can_be_tried_without_weights(tmp_path):
    script = ROOT / "scripts" / "measure" / "full_size_model.py"
    run = [sys.executable, script, tmp_path, "--small", "--steps", "1"]
    subprocess.run(run, check=True, capture_output=True)
    job, labels = load_job(tmp_path / "job")
    assert labels.shape == (24, 320, 576) and job.num_inference_steps == 1
    pipe = load_model(find_model(job.model), Placement()).pipe
    assert type(pipe.unet) is UNet3DConditionModel and find_model(job.model).num_frames == 24


def test_a_device_that_is_not_there_is_one_sentence():
    with pytest.raises(EngineError, match=r'"cuda:99" here: choose another one \(--device') as caught:
        Placement(device="cuda:99").resolve()
    assert caught.value.code == "no_device"


@pytest.mark.parametrize(
    ("pipeline", "code"),
    [
        ("WanPipeline", "bad_model"),  # without its parts
        ("WanVideoToVideoPipeline", "bad_model"),  # makes no clip from text alone
        ("SomePipeline", "unsupported_pipeline"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path, pipeline, code):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(EngineError) as caught:
        find_model(str(tmp_path))
    assert caught.value.code == code


def test_every_family_has_a_usual_folder():
    usual = json.loads((ROOT / "peekaboo_engine" / "model_folders.json").read_text())
    loaded = [known["entry"].get("pipeline", pipeline) for pipeline, known in usual.items()]
    assert {family_of(pipeline).name for pipeline in loaded} == {family.name for family in FAMILIES}
    for pipeline, known in zip(loaded, usual.values(), strict=True):
        assert known.get("times_phrases", True) is family_of(pipeline).times_phrases, pipeline


def test_a_folder_is_described_for_programs_without_torch(model_folder):
    code = (
        "import sys, peekaboo_engine.__main__ as main\n"
        "main.app(['models', 'describe', '--json', sys.argv[1]], standalone_mode=False)\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, model_folder], capture_output=True, text=True, cwd=ROOT, check=True
    )
    described = json.loads(done.stdout)
    assert described["family"] == "UNet3D" and described["width"] == 64
    assert described == find_model(str(model_folder)).described() | {"state": "downloaded"}


@pytest.mark.parametrize("name", [name for name, entry in catalogue().items() if entry.embedded])
def test_what_an_embedded_model_draws_is_what_it_has_learnt(name):
    entry = catalogue()[name]
    shapes = [word for shape in SHAPES for word in (shape, *SYNONYMS[shape])]
    assert entry.strange_words([f"a {colour} {shape}" for colour in COLOURS for shape in shapes]) == []
    assert entry.strange_words(["a small red ball", "a little cube", "a large cone", "a big ring"]) == []
    assert all(ground in entry.draws for ground in GROUNDS)
    assert entry.strange_words(["the red ball", "a striped dog", "a dog"]) == ["striped", "dog"]


def test_of_other_models_no_word_is_strange():
    assert catalogue()["zeroscope"].strange_words(["a striped dog"]) == []
