# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to know of a model before choosing it."""

import json
import subprocess
from pathlib import Path

import pytest

from blender_addon.engine import catalogue
from blender_addon.engine.whereabouts import find_python
from blender_addon.errors import PeekabooError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of Hugging Face's."""
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def download(cache, *files):
    """Lay a model out as the hub's library does: links to blobs, and a name for the newest revision."""
    folder = cache / "models--cerspense--zeroscope_v2_576w"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "blobs").mkdir()
    for number, name in enumerate(files):
        path = folder / "snapshots" / "abc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / "blobs" / str(number)).touch()
        path.symlink_to(folder / "blobs" / str(number))
    return folder


FILES = (
    "model_index.json",
    "unet/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)


def test_a_model_is_downloaded_once_all_its_weights_are_there(cache):
    assert not catalogue.is_downloaded("zeroscope")
    assert catalogue.describe("zeroscope")[-1] == "not downloaded yet (up to 7.3 GB)"
    folder = download(cache, *FILES)
    assert catalogue.is_downloaded("zeroscope") and "downloaded" in catalogue.describe("zeroscope")
    assert not catalogue.is_downloaded("modelscope")
    (folder / "blobs" / "1").unlink()  # was cut short
    assert not catalogue.is_downloaded("zeroscope")


def test_the_embedded_model_needs_no_download(cache):
    assert catalogue.is_downloaded("shapes")
    *facts, draws = catalogue.describe("shapes")
    assert facts == ["288 × 160", "16 frames", "0.9 GB of memory", "GPL-3.0-or-later"]
    assert draws.startswith("draws balls, ") and draws in catalogue.describe("solids")
    assert draws in catalogue.describe("solids_twin")
    assert catalogue.describe("modelscope")[2] == "weights of 3.7 GB, 2.8 offloaded"


def test_the_territory_is_said_with_the_licence(cache):
    assert "not in EU, UK, South Korea" in catalogue.describe("hunyuan1.5-t2v-480p")[3]
    assert catalogue.describe("zeroscope")[3] == "CC-BY-NC-4.0 with limits"
    assert catalogue.describe("wan2.1-t2v-1.3b")[3] == "Apache-2.0"


def test_models_without_masks_or_weights_are_not_offered():
    offered = catalogue.choosable()
    assert {"shapes", "solids", "zeroscope", "wan2.1-t2v-1.3b"} <= set(offered)
    classes = json.loads((ROOT / "peekaboo_engine" / "model_folders.json").read_text())
    assert {entry["pipeline"] for entry in offered.values()} <= set(classes)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, variables, folder):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert catalogue.hub_cache() == Path(folder).expanduser()


CONFIGURED = {
    "unet with one size": ("TextToVideoSDPipeline", {"unet": {"sample_size": 32}}, {}),
    "unet with two sizes": ("TextToVideoSDPipeline", {"unet": {"sample_size": [40, 72]}}, {"num_frames": 24}),
    "unet without a size": ("TextToVideoSDPipeline", {"unet": {"sample_size": None}}, {}),
    "wan": ("WanPipeline", {"vae": {}}, {}),
    "wan that compresses more": (
        "WanPipeline",
        {"vae": {"scale_factor_spatial": 16, "scale_factor_temporal": 8}},
        {"width": 1280, "height": 704},
    ),
}


@pytest.mark.parametrize("kind", CONFIGURED)
def test_a_folder_is_described_as_the_engine_describes_it(tmp_path, kind):
    pipeline, configs, stated = CONFIGURED[kind]
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    for part, config in configs.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    if stated:
        (tmp_path / "peekaboo.json").write_text(json.dumps(stated))
    command = [find_python(), "-m", "peekaboo_engine", "models", "describe", "--json", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    engine = json.loads(done.stdout)
    assert catalogue.model_size(str(tmp_path)) == (engine["width"], engine["height"], engine["num_frames"])
    assert catalogue.temporal_compression(str(tmp_path)) == engine["temporal_compression"]


def test_a_folder_of_a_class_that_nobody_knows_is_one_sentence(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "SomePipeline"}))
    with pytest.raises(PeekabooError, match="of no class that can be used"):
        catalogue.model_size(str(tmp_path))


@pytest.mark.parametrize("pipeline", [[], {}, None, ""])
def test_a_folder_whose_own_file_names_no_pipeline_is_of_the_class_of_its_index(tmp_path, pipeline):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "TextToVideoSDPipeline"}))
    stated = {"pipeline": pipeline, "width": 96, "height": 64, "num_frames": 5}
    (tmp_path / "peekaboo.json").write_text(json.dumps(stated))
    assert catalogue.makes_anew(str(tmp_path)) and catalogue.family(str(tmp_path))
