# SPDX-License-Identifier: GPL-3.0-or-later
"""A model brought here by the real engine, from a hub of the test's own."""

import json
import threading
import time

import bpy
import pytest
from local_hub import LocalHub, lay_out, serving

from blender_addon.command import cli
from blender_addon.engine import catalogue
from blender_addon.errors import PeekabooError
from blender_addon.making import downloading, engine_choice
from blender_addon.shot import loras

NAME = "zeroscope"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that has small files by the name of a large model, and an empty cache."""
    folder = lay_out(tmp_path / "repository")
    with serving(LocalHub(folder, catalogue.catalogue()[NAME]["source"])) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(engine_choice, "may_go_online", lambda: True)
        yield hub
        downloading.unregister()
        downloading.register()


def until(done, patience=60):
    """Do what Blender's timer does, until something is so."""
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline
        downloading._tick()
        time.sleep(0.05)


def test_a_model_is_downloaded_with_progress(hub):
    assert catalogue.state(NAME) == "missing"
    bpy.ops.peekaboo.download_model(model=NAME, accept_licence=True)
    assert not bpy.ops.peekaboo.download_model.poll(), "two at a time"
    seen = []
    until(lambda: seen.append(downloading.current()) or seen[-1] is None)
    assert catalogue.is_downloaded(NAME) and "downloaded" in catalogue.describe(NAME)
    ended = downloading.outcome(NAME)
    assert not ended.failed and ended.text.startswith("ZeroScope v2 576w is in ")
    assert downloading.outcome("modelscope") is None


def test_a_lora_is_downloaded_before_it_is_used(hub, scene):
    source = f"{hub.name}/{UNET}"
    assert catalogue.lora_state(source) == "missing" and catalogue.lora_state("/a/b.safetensors") != "missing"
    scene.peekaboo.loras = source
    with pytest.raises(PeekabooError, match="is not here: press Download"):
        loras.check_here(scene)
    with pytest.raises(RuntimeError, match="unless you accept"):
        bpy.ops.peekaboo.download_lora(source=source)
    with pytest.raises(RuntimeError, match="no file of a repository"):
        bpy.ops.peekaboo.download_lora(source="/a/b.safetensors", accept_licence=True)
    assert hub.asked == []
    bpy.ops.peekaboo.download_lora(source=source, accept_licence=True)
    until(lambda: downloading.current() is None)
    assert catalogue.lora_state(source) == "downloaded" and not downloading.outcome(source).failed
    loras.check_here(scene)


def test_a_cancelled_download_is_taken_up(hub):
    stuck, go_on = threading.Event(), threading.Event()

    def wait(path):
        if path == UNET:
            stuck.set()
            go_on.wait(30)

    hub.before = wait
    downloading.begin(NAME)
    until(stuck.is_set)
    until(lambda: downloading.current().text.endswith("of 10 MB"))
    bpy.ops.peekaboo.cancel_download()
    assert downloading.current() is None and downloading.outcome(NAME).text == downloading.CANCELLED
    go_on.set()
    until(lambda: not downloading._leaving)
    assert catalogue.state(NAME) == "half"
    assert any(fact.startswith("downloaded in part (up to ") for fact in catalogue.describe(NAME))
    downloading.begin(NAME)
    until(lambda: downloading.current() is None)
    assert catalogue.is_downloaded(NAME)


def test_nothing_comes_before_the_licence_is_accepted(hub):
    with pytest.raises(RuntimeError, match="unless you accept the licence"):
        bpy.ops.peekaboo.download_model(model=NAME)
    assert hub.asked == [] and downloading.current() is None


def test_nothing_comes_while_blender_is_offline(hub, monkeypatch):
    monkeypatch.setattr(engine_choice, "may_go_online", lambda: False)
    assert not bpy.ops.peekaboo.download_model.poll()
    assert cli.run(["download", NAME, "--accept-licence"]) == 1
    assert hub.asked == []


def test_a_hub_that_refuses_is_told_in_the_panel(hub):
    hub.status["api"] = 500
    downloading.begin(NAME)
    until(lambda: downloading.current() is None)
    ended = downloading.outcome(NAME)
    assert ended.failed and ended.text.startswith("The hub failed (500)")


def test_the_command_downloads_what_is_accepted(hub, capsys):
    assert cli.run(["download", NAME]) == 1
    said = capsys.readouterr()
    assert "CC-BY-NC-4.0" in said.err and "Not for commercial use." in said.err
    assert cli.run(["download", "shapes", "--accept-licence"]) == 1
    assert hub.asked == []
    assert cli.run(["download", NAME, "--accept-licence", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["model"] == NAME and catalogue.is_downloaded(NAME)


def test_a_model_is_chosen_from_the_list(scene):
    bpy.ops.peekaboo.choose_model(model="wan2.1-t2v-1.3b")
    assert scene.peekaboo.model == "wan2.1-t2v-1.3b"
