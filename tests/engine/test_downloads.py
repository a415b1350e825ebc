# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads from a hub of the test's own, with what goes wrong on the way."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from huggingface_hub import constants, hf_hub_download
from hypothesis import given
from hypothesis import strategies as st
from local_hub import COMMIT, LocalHub, serving
from pydantic import ValidationError

from peekaboo_engine import downloads
from peekaboo_engine.errors import EngineError
from peekaboo_engine.loading import load_model
from peekaboo_engine.loras import Lora
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.repositories import RECORD, File, Repository, needed

ROOT = Path(__file__).resolve().parents[2]
UNET = "unet/diffusion_pytorch_model.safetensors"
DECOYS = (
    "README.md",
    "evil.py",
    "whole_model.safetensors",
    "unet/evil.py",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/model.onnx",
    "text_encoder/flax_model.msgpack",
    "text_encoder/pytorch_model.bin.index.json",
    "unused/diffusion_pytorch_model.safetensors",
)
"""Files of a repository that no model is loaded from, or not this one."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model_folder) -> Path:
    """A tiny model as its repository has it, beside much else."""
    folder = tmp_path_factory.mktemp("hub") / "whole"
    shutil.copytree(model_folder, folder)
    for name in DECOYS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"decoy")
    return folder


@pytest.fixture(scope="module")
def repository_folder(whole) -> Path:
    """The same with smaller weights, which nothing could be loaded from."""
    folder = whole.with_name("small")
    shutil.copytree(whole, folder)
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(random.Random(path.parent.name).randbytes(20_000))
    return folder


@pytest.fixture
def hub(repository_folder, tmp_path, monkeypatch):
    """A hub that this process downloads from into an empty cache, and the waiting in between left out."""
    with serving(LocalHub(repository_folder)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield hub


@pytest.fixture
def tiny() -> Repository:
    return Repository("someone/tiny", None, None, ("unet", "vae", "text_encoder"))


def download(repository: Repository, progress: downloads.Progress | None = None) -> Path:
    return downloads.fetch(repository, downloads.plan(repository), progress or downloads.Progress())


def refused(repository: Repository, progress: downloads.Progress | None = None) -> EngineError:
    with pytest.raises(EngineError) as caught:
        download(repository, progress)
    assert "\n" not in caught.value.message
    return caught.value


def entry_of(model_folder, repository: Repository):
    changes = {"source": repository.name, "parameters": dict.fromkeys(repository.parts, 0.001)}
    return find_model(str(model_folder)).model_copy(update=changes)


def test_what_is_needed_arrives_and_nothing_else(hub, tiny, model_folder, whole, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10**6)
    hub.folder = whole
    assert tiny.state() == "missing"
    folder = download(tiny)
    arrived = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    saved = {path.relative_to(model_folder).as_posix() for path in model_folder.rglob("*") if path.is_file()}
    assert arrived == saved
    assert tiny.state() == "downloaded" and list(tiny.faults(tiny.record())) == []
    assert load_model(entry_of(model_folder, tiny), Placement(device="cpu")).weights == {
        "repository": "someone/tiny",
        "commit": COMMIT,
    }
    hub.asked.clear()
    download(tiny)
    assert hub.sent() == [], "what is here came again"


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_variant_is_what_is_loaded(tmp_path, hub, tiny, pipe, monkeypatch, variant):
    pipe.save_pretrained(tmp_path / "both")
    pipe.save_pretrained(tmp_path / "both", variant="fp16")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10**6)
    hub.folder = tmp_path / "both"
    repository = Repository(tiny.name, None, variant, tiny.parts)
    folder = download(repository)
    assert (folder / UNET).exists() == (variant is None)
    entry = entry_of(tmp_path / "both", repository).model_copy(update={"variant": variant})
    assert load_model(entry, Placement(device="cpu")).weights["commit"] == COMMIT


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(hub, tiny):
    hub.cuts[UNET] = [5000, 9000]
    download(tiny)
    assert {begin for path, begin in hub.sent() if path == UNET} == {"", "bytes=5000-", "bytes=9000-"}
    assert list(tiny.faults(tiny.record())) == []


def test_a_download_that_ended_goes_on_the_next_time(hub, tiny, model_folder):
    hub.cuts[UNET] = [5000] * 50
    error = refused(tiny)
    assert error.code == "no_connection" and "download again to go on" in error.message
    assert tiny.state() == "half"
    with pytest.raises(EngineError, match=r"only in part; to get the rest run python -m") as caught:
        load_model(entry_of(model_folder, tiny), Placement(device="cpu"))
    assert caught.value.code == "half_downloaded"

    hub.cuts.clear()
    hub.asked.clear()
    planned = downloads.plan(tiny)
    after = [file.path for file in planned.record.files].index(UNET)
    assert planned.missing == sum(file.size for file in planned.record.files[after:]) - 5000
    download(tiny)
    assert ("bytes=5000-", tiny.state()) == (dict(hub.sent())[UNET], "downloaded")


class Counting(downloads.Progress):
    """What a download tells; ends it after so many bytes."""

    def __init__(self, most: float = float("inf")):
        self.most = most
        self.phases: list[tuple[str, int]] = []
        self.bytes = 0

    def phase(self, name: str, total: int) -> None:
        self.phases.append((name, total))
        self.bytes = 0

    def advance(self, count: int) -> None:
        self.bytes += count
        if self.bytes > self.most:
            raise EngineError("cancelled", "It was cancelled.")


def test_progress_comes_to_its_end_and_can_end_it(hub, tiny):
    progress = Counting()
    assert refused(tiny, Counting(most=1000)).code == "cancelled"
    assert tiny.state() == "half"
    download(tiny, progress)
    assert progress.phases[-1][0] == "download" and progress.bytes == progress.phases[-1][1]
    again = Counting()
    download(tiny, again)
    whole = sum(file.size for file in tiny.record().files)
    assert again.phases == [("verify", whole), ("download", 0)]


def test_a_file_that_is_not_what_the_hub_has_is_never_kept(hub, tiny):
    size = (hub.folder / UNET).stat().st_size
    hub.lies[UNET] = b"x" * size
    error = refused(tiny)
    assert error.code == "corrupt" and UNET in error.message
    assert tiny.state() == "half" and not (tiny.snapshot(COMMIT) / UNET).exists()
    hub.lies.clear()
    download(tiny)
    assert list(tiny.faults(tiny.record())) == []


def test_what_is_corrupt_or_missing_is_named_and_comes_anew(hub, tiny):
    folder = download(tiny)
    weights, index = (folder / UNET).resolve(), folder / "model_index.json"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    index.unlink()
    (folder / "vae/config.json").resolve().write_text("{}")
    faults = {fault.file.path: fault.what for fault in tiny.faults(tiny.record())}
    assert faults[UNET] == "is corrupt: its hash differs"
    assert faults["model_index.json"] == "is missing"
    assert faults["vae/config.json"].startswith("has 2 bytes and not ")
    assert len(faults) == 3 and tiny.state() == "half"
    hub.asked.clear()
    download(tiny)
    assert {path for path, _ in hub.sent()} <= set(faults)
    assert list(tiny.faults(tiny.record())) == []


@pytest.mark.parametrize(
    ("where", "status", "error_code", "code"),
    [
        ("api", 401, "RepoNotFound", "not_on_hub"),
        ("api", 401, "", "gated"),
        ("api", 404, "", "not_on_hub"),
        ("api", 429, "", "hub_failed"),
        ("api", 500, "", "hub_failed"),
        ("model_index.json", 401, "GatedRepo", "gated"),
        ("model_index.json", 403, "GatedRepo", "gated"),
        ("model_index.json", 403, "", "gated"),
        ("model_index.json", 404, "EntryNotFound", "not_on_hub"),
        (UNET, 403, "", "gated"),
        (UNET, 404, "EntryNotFound", "not_on_hub"),
        (UNET, 429, "", "hub_failed"),
        (UNET, 500, "", "hub_failed"),
        (UNET, 503, "", "hub_failed"),
    ],
)
def test_a_hub_that_refuses_is_one_sentence(hub, tiny, where, status, error_code, code):
    hub.status[where], hub.error_code = status, error_code
    error = refused(tiny)
    assert error.code == code, error.message
    hub.status.clear()
    download(tiny)


def test_the_token_is_for_the_hub_alone(hub, tiny, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download(tiny)
    with_token = dict.fromkeys(("hub", "cdn"), 0)
    for server, _, _, headers in hub.asked:
        with_token[server] += "authorization" in {name.lower() for name in headers}
    assert with_token["hub"] > 0 and with_token["cdn"] == 0
    assert any(server == "cdn" for server, *_ in hub.asked)


def test_offline_nobody_is_asked(hub, tiny, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = refused(tiny)
    assert error.code == "not_online" and "Allow" not in error.message and "--online-mode" in error.message
    assert hub.asked == []


def test_no_network_is_one_sentence(hub, tiny, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refused(tiny).code == "no_connection"


def test_room_on_the_disk_is_looked_for_first(hub, tiny, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage._replace(free=10))
    error = refused(tiny)
    assert error.code == "no_space" and "HF_HUB_CACHE" in error.message
    assert {path for path, _ in hub.sent()} <= {"model_index.json"}


def test_two_downloads_do_not_mix(hub, tiny):
    folder = Path(constants.HF_HUB_CACHE) / ".locks" / tiny.cache.name
    folder.mkdir(parents=True)
    with FileLock(folder / "peekaboo.lock"):
        assert refused(tiny).code == "busy"
    download(tiny)


def test_a_repository_without_readable_weights_is_refused(hub, tiny, tmp_path, model_folder):
    shutil.copytree(model_folder, tmp_path / "pickled")
    weights = tmp_path / "pickled" / UNET
    weights.rename(weights.with_suffix(".ckpt"))
    hub.folder = tmp_path / "pickled"
    error = refused(tiny)
    assert error.code == "bad_repository" and "unet has no weights in the format safetensors" in error.message


@pytest.mark.parametrize("name", ["../../x.json", "unet/../../x.json", "unet\\..\\x.json", "unet/a/b.json"])
def test_a_hub_cannot_name_a_place_outside(hub, tiny, monkeypatch, name):
    listing = hub.listing()
    for each in listing["siblings"]:
        if each["rfilename"] == "unet/config.json":
            each["rfilename"] = f"unet/{name}"
    monkeypatch.setattr(hub, "listing", lambda: listing)
    monkeypatch.setattr(hub, "etag", lambda path: "0" * 40)
    assert refused(tiny).code == "bad_repository"


@given(st.text())
def test_a_path_of_a_record_stays_inside(path):
    try:
        File(path=path, size=1)
    except ValidationError:
        return
    assert Path("/a/b", path).resolve().is_relative_to("/a/b") and "\\" not in path


def test_a_record_from_elsewhere_is_no_way_out(hub, tiny):
    download(tiny)
    record = json.loads((tiny.cache / RECORD).read_text())
    record["files"][0]["path"] = "../../../stolen"
    (tiny.cache / RECORD).write_text(json.dumps(record))
    assert tiny.record() is None


def test_a_model_that_another_program_downloaded_is_known_by_its_lists(hub, tiny):
    folder = download(tiny)
    (tiny.cache / RECORD).unlink()
    (tiny.cache / "refs").mkdir(exist_ok=True)
    (tiny.cache / "refs" / "main").write_text(COMMIT)
    assert tiny.state() == "downloaded"
    part = "diffusion_pytorch_model-00001-of-00002.safetensors"
    (folder / UNET).rename(folder / "unet" / part)
    parts = {"weight_map": {"a": part, "b": part.replace("00001-of", "00002-of")}}
    (folder / f"{UNET}.index.json").write_text(json.dumps(parts))
    assert tiny.state() == "half"
    (folder / "unet" / part.replace("00001-of", "00002-of")).write_bytes(b"")
    assert tiny.state() == "downloaded"


def test_files_of_the_same_content_come_once(hub, tiny, repository_folder, tmp_path):
    hub.folder = tmp_path / "same"
    shutil.copytree(repository_folder, hub.folder)
    shutil.copy(hub.folder / UNET, hub.folder / UNET.replace("unet", "vae"))
    progress = Counting()
    download(tiny, progress)
    assert progress.bytes == progress.phases[-1][1]
    assert list(tiny.faults(tiny.record())) == []


def test_removing_frees_the_cache(hub, tiny):
    download(tiny)
    needs = sum(file.size for file in tiny.record().files)
    assert tiny.remove() >= needs
    assert tiny.state() == "missing" and not tiny.cache.exists()
    with pytest.raises(EngineError, match="nothing was removed"):
        tiny.remove()


def test_of_a_lora_or_an_adapter_its_files_come_alone(hub):
    first = Repository("someone/tiny", only=("unet/config.json", UNET))
    other = Repository("someone/tiny", only=(UNET.replace("unet", "vae"),))
    folder = download(first)
    assert (first.state(), other.state()) == ("downloaded", "half")
    assert not (folder / "model_index.json").exists()
    download(other)
    assert {first.state(), other.state()} == {"downloaded"}
    assert {file.path for file in first.record().files} == {*first.only, *other.only}
    assert hf_hub_download("someone/tiny", UNET, local_files_only=True) == str(folder / UNET)
    gone = Repository("someone/tiny", only=("nothing.safetensors",))
    assert "it has no nothing.safetensors" in refused(gone).message


def test_a_model_that_takes_more_than_one_repository_is_here_with_all(hub, model_folder, tiny):
    entry = entry_of(model_folder, tiny)
    assert entry.state() == "missing"
    download(tiny)
    assert entry.state() == "downloaded"
    more = {"motion_adapter": "someone/adapter", "loras": (Lora(source="someone/loras/a.safetensors"),)}
    entry = entry.model_copy(update=more)
    assert [each.name for each in entry.repositories] == ["someone/tiny", "someone/adapter", "someone/loras"]
    assert entry.state() == "half"


INDEX = {
    "_class_name": "X",
    "unet": ["diffusers", "U"],
    "tokenizer": ["transformers", "T"],
    "image_encoder": [None, None],
    "boundary_ratio": 0.875,
}


@pytest.mark.parametrize(
    ("variant", "ending"),
    [(None, ".safetensors"), ("fp16", ".fp16.safetensors"), ("bf16", ".safetensors")],
)
def test_parts_of_weights_come_with_their_list(variant, ending):
    stem = "unet/diffusion_pytorch_model"
    there = ["model_index.json", "tokenizer/spiece.model", "unet/config.json", "image_encoder/config.json"]
    for middle in ("", ".fp16"):
        there += [f"{stem}{middle}-0000{n}-of-00002.safetensors" for n in (1, 2)]
        there += [f"{stem}{middle}-0000{n}-of-00002.bin" for n in (1, 2)]
    there += [f"{stem}.safetensors.index.json", f"{stem}.safetensors.index.fp16.json"]
    middle = ending.removesuffix(".safetensors")
    assert set(needed(there, INDEX, variant)) == {
        "model_index.json",
        "tokenizer/spiece.model",
        "unet/config.json",
        f"{stem}{middle}-00001-of-00002.safetensors",
        f"{stem}{middle}-00002-of-00002.safetensors",
        f"{stem}.safetensors.index{middle}.json",
    }


def test_a_missing_component_is_said():
    with pytest.raises(ValueError, match="it has no tokenizer"):
        needed(["unet/config.json"], INDEX)


@pytest.fixture
def command(repository_folder, tmp_path):
    """Run the command line against a hub that has a tiny model by the name of a large one."""
    with serving(LocalHub(repository_folder, "cerspense/zeroscope_v2_576w")) as hub:
        variables = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        variables |= {"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "cache"), "COLUMNS": "400"}
        # One has a limit on the size of files, which would cut the bytecode that Python caches.
        variables["PYTHONDONTWRITEBYTECODE"] = "1"

        def run(*arguments: str, **options) -> subprocess.Popen:
            command = [sys.executable, "-m", "peekaboo_engine", "models", *arguments]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            return subprocess.Popen(command, env=variables, cwd=ROOT, text=True, **pipes, **options)

        run.hub = hub
        yield run


def test_the_command_shows_the_licence_first_and_then_does_it_all(command):
    _, said = command("download", "zeroscope").communicate()
    assert "CC-BY-NC-4.0" in said and "Not for commercial use." in said and "--accept-licence" in said
    assert command.hub.asked == []

    done = command("download", "zeroscope", "--accept-licence", "--events")
    events = [json.loads(line) for line in done.stdout.read().splitlines()]
    done.communicate()
    assert done.returncode == 0, events
    assert [event["event"] for event in events][:2] == ["start", "hello"]
    assert [event["phase"] for event in events if event["event"] == "phase"][-1] == "download"
    assert [(event["step"], event["total"]) for event in events if event["event"] == "progress"][-1] == (1, 1)
    assert events[-1] == {
        "event": "model",
        "name": "zeroscope",
        "state": "downloaded",
        "message": events[-1]["message"],
    }
    told = json.loads(command("list", "--json").communicate()[0])
    assert {told[name]["state"] for name in ("shapes", "zeroscope")} == {"downloaded"}
    assert told["modelscope"]["state"] == "missing" and told["ltx-2"]["limits"]
    assert "files of ZeroScope v2 576w are right" in command("verify", "zeroscope").communicate()[0]
    assert "which frees" in command("remove", "zeroscope").communicate()[0]
    done = command("verify", "zeroscope")
    assert "not on this machine" in done.communicate()[1] and done.returncode == 1


def test_a_lora_is_downloaded_once_its_licence_was_shown(command):
    source = f"{command.hub.name}/{UNET}"
    _, said = command("download", source).communicate()
    assert "has no licence that is stated on its page, https://huggingface.co/cerspense" in said
    command.hub.tags = ["video", "license:apache-2.0"]
    _, said = command("download", source).communicate()
    assert "is under apache-2.0 by its page" in said and "--accept-licence" in said
    assert command.hub.sent() == []
    done = command("download", source, "--accept-licence")
    said, _ = done.communicate()
    assert done.returncode == 0 and "The LoRA unet/diffusion_pytorch_model.safetensors is in" in said
    assert {path for path, _ in command.hub.sent()} == {UNET}


def test_a_download_ends_when_it_is_told_to_also_while_nothing_comes(command):
    stuck, go_on = threading.Event(), threading.Event()

    def wait(path: str) -> None:
        if path == UNET:
            stuck.set()
            go_on.wait(30)

    command.hub.before = wait
    asked = command("download", "zeroscope", "--accept-licence", "--events")
    assert stuck.wait(30)
    began = time.monotonic()
    asked.stdin.write('{"request": "cancel"}\n')
    asked.stdin.flush()
    last = json.loads(asked.stdout.read().splitlines()[-1])
    assert (last["event"], last["code"]) == ("error", "cancelled") and "is kept" in last["message"]
    assert asked.wait() == 1 and time.monotonic() - began < 25, "it waited for the hub"
    go_on.set()
    asked.communicate()
    command.hub.before = lambda path: None
    done = command("download", "zeroscope", "--accept-licence")
    assert "is in" in done.communicate()[0] and done.returncode == 0


def test_a_disk_that_fills_up_is_one_sentence(command):
    """By the system's own limit on the size of a file, which is what a full quota looks like."""
    half = (command.hub.folder / UNET).stat().st_size // 2
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (half, half))}
    done = command("download", "zeroscope", "--accept-licence", **limit)
    _, said = done.communicate()
    assert done.returncode == 1 and "is full; what has arrived" in said and "Traceback" not in said
    assert command("download", "zeroscope", "--accept-licence").wait() == 0
