# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder from a stranger: looked through before a library reads it."""

import json
import os
import struct
import sys

import pytest

from peekaboo_engine import model_files
from peekaboo_engine.assembling import assemble
from peekaboo_engine.errors import EngineError
from peekaboo_engine.loading import load_model
from peekaboo_engine.model_files import check_fits
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")


@pytest.fixture
def folder(tmp_path, model_folder):
    """The tiny model, its weights as links, as in a hub's cache."""
    copy = tmp_path / "model"
    for path in model_folder.rglob("*"):
        target = copy / path.relative_to(model_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            target.write_bytes(path.read_bytes())
        elif path.is_file():
            target.symlink_to(path)
    return copy


def config(part, **changes):
    def spoil(folder):
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def stated(**keys):
    return lambda folder: (folder / "peekaboo.json").write_text(json.dumps(keys))


def text(name, content):
    def spoil(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(content)

    return spoil


def replaced(name, make):
    def spoil(folder):
        (folder / name).unlink()
        make(folder / name)

    return spoil


DEEP = '{"a":' * 100_000
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def test_a_models_files_may_be_links(folder):
    assert find_model(str(folder)).num_frames == 16


@posix
@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (config("vae", scaling_factor=0), "scaling_factor is 0"),
        (config("vae", block_out_channels=[0, 0]), "block_out_channels is 0"),
        (config("unet", sample_size=-4), "sample_size is -4"),
        (config("text_encoder", hidden_size=10**9), "hidden_size is 1000000000"),
        (stated(width=0), "width is 0"),
        (stated(num_frames=-4), "num_frames is -4"),
        (text("peekaboo.json", '{"num_frames": 1e999}'), "num_frames is inf"),
        (stated(num_inference_steps=10**8), "num_inference_steps"),
        (text("peekaboo.json", DEEP), "nested deeper"),
        (stated(source="/etc"), "source"),
        (stated(embedded=True), "embedded"),
        (stated(motion_adapter="../../somewhere"), "motion adapter"),
        (stated(motion_adapter=["a"]), "is not a text-to-video"),
        (text("unet/config.json", DEEP), "nested deeper"),
        (text("scheduler/scheduler_config.json", "[" * 40 + "]" * 40), "nested deeper"),
        (text("model_index.json", " " * 5_000_000), "more than"),
        (replaced(WEIGHTS, os.mkfifo), "a pipe"),
        (replaced(WEIGHTS, lambda path: path.symlink_to("/dev/zero")), "a device"),
        (replaced(WEIGHTS, lambda path: path.symlink_to(path)), "symbolic links"),
        (replaced("vae/config.json", os.mkfifo), "a pipe"),
        (replaced("model_index.json", os.mkfifo), "a pipe"),
    ],
)
def test_a_folder_that_would_hang_or_choke_is_one_sentence(folder, spoil, part):
    spoil(folder)
    with pytest.raises(EngineError) as caught:
        find_model(str(folder))
    assert caught.value.code == "bad_model"
    assert part in caught.value.message and "\n" not in caught.value.message


@posix
def test_weights_that_no_memory_holds_are_refused_unread(folder):
    path = folder / WEIGHTS
    path.unlink()
    with path.open("wb") as file:
        file.truncate(2**42)  # sparse: 4 TB that take no space
    with pytest.raises(EngineError, match="memory of this machine"):
        find_model(str(folder))


def safetensors(header, length=None, data=bytes(64)):
    """A file of weights that says of itself what it likes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def weight(start, end, shape=(2,)):
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


HEADERS = {
    "without end": safetensors({}, length=2**63),
    "longer than the file": safetensors({}, length=10**6),
    "of megabytes": safetensors(b" " * 10**6, length=99 * 10**6),
    "no JSON": safetensors(b"abcd"),
    "nested": safetensors(b'{"a":' * 50_000),
    "weights that overlap": safetensors({"a": weight(0, 8), "b": weight(4, 12)}),
    "weights beyond the file": safetensors({"a": weight(0, 2**60, (2**58,))}),
    "weights backwards": safetensors({"a": weight(8, 0)}),
    "other sizes than its bytes": safetensors({"a": weight(0, 8, (1000,))}),
    "sizes that no number holds": safetensors({"a": weight(0, 8, (2**62, 2**62))}),
    "a kind that there is not": safetensors({"a": weight(0, 8) | {"dtype": "O"}}),
}


@pytest.mark.parametrize("case", HEADERS)
def test_weights_with_an_absurd_header_are_one_sentence(folder, tmp_path, case):
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).write_bytes(HEADERS[case])
    with pytest.raises(EngineError) as caught:
        load_model(find_model(str(folder)), Placement(device="cpu"))
    assert caught.value.code == "model_not_loaded" and "\n" not in caught.value.message
    with pytest.raises(EngineError) as caught:
        assemble(folder / WEIGHTS, str(folder), None, tmp_path / "made")
    assert caught.value.code == "bad_checkpoint" and "\n" not in caught.value.message
    assert "download it anew" in caught.value.message and not (tmp_path / "made").exists()


def test_a_folder_cannot_ask_for_anything_on_the_hub(folder):
    stated(loras=[{"source": "owner/name/file.safetensors"}])(folder)
    with pytest.raises(EngineError, match="is not on this machine") as caught:
        load_model(find_model(str(folder)), Placement(device="cpu"))
    assert caught.value.code == "bad_lora"


@pytest.mark.parametrize("name", ["mine.pt", "mine.bin", "mine.ckpt", "mine.pth"])
def test_a_pickle_is_not_opened(folder, tmp_path, name):
    file = tmp_path / name
    file.write_bytes(b"\x80\x04.")
    with pytest.raises(EngineError, match=r"\.safetensors or \.gguf") as caught:
        assemble(file, str(folder), None, tmp_path / "made")
    assert caught.value.code == "bad_checkpoint"


def test_a_folder_of_very_many_files_is_refused(folder, monkeypatch):
    monkeypatch.setattr(model_files, "MAX_MODEL_FILES", 5)
    with pytest.raises(EngineError, match="more than 5 files"):
        find_model(str(folder))


@pytest.mark.parametrize("name", ["x" * 4096, "nul\0byte", "sora", "..", "", "/", "\x1b[31m"])
def test_a_name_that_is_no_model_is_one_sentence(name):
    with pytest.raises(EngineError) as caught:
        find_model(name)
    assert caught.value.code == "unknown_model"
    assert "\0" not in caught.value.message and "\x1b" not in caught.value.message


def test_a_clip_that_cannot_fit_is_said_before_a_model_is_loaded(monkeypatch):
    check_fits(16, 320, 576)
    monkeypatch.setattr(model_files, "memory_bytes", lambda: 4 * 10**9)
    with pytest.raises(EngineError, match="make a smaller or shorter clip") as caught:
        check_fits(64, 2048, 2048)
    assert caught.value.code == "too_large"
