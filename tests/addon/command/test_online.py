# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing reaches the network unless Blender says that it may: a hub of the test's counts who comes."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import bpy
import pytest
from scenes import small_shot

from blender_addon import saving
from blender_addon.command import program
from blender_addon.errors import PeekabooError
from blender_addon.making import engine_choice, set_up

BATCH = Path(program.__file__).resolve().parents[2] / "scripts" / "batch_render.py"


@pytest.fixture
def hub():
    """The address of a server that hangs up on everybody, and who came."""
    server, came = socket.create_server(("127.0.0.1", 0)), []

    def count():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            came.append(connection.recv(200))
            connection.close()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", came
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.slow
def test_a_script_downloads_nothing_by_the_way(scene, tmp_path, hub):
    small_shot(scene, frames=4)
    saving.save_blend(tmp_path / "shot.blend")
    address, came = hub
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"), address)
    variables = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | proxies
    variables |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": ""}
    shot, out = tmp_path / "shot.blend", tmp_path / "out"
    command = [sys.executable, BATCH, shot, "--out", out, "--model", "zeroscope"]
    for options in ([], ["--online-mode"]):
        done = subprocess.run([*command, *options], env=variables, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "Traceback" not in said
        assert "--command peekaboo download zeroscope" in said
        assert came == []


def test_one_function_decides(scene, monkeypatch):
    assert engine_choice.may_go_online() == bpy.app.online_access
    monkeypatch.setattr(engine_choice, "may_go_online", lambda: False)
    assert not engine_choice.engine_settings().online
    with pytest.raises(PeekabooError, match="may not go online"):
        set_up.installation("cpu")
    with pytest.raises(PeekabooError, match="may not go online"):
        set_up.set_up()


def test_nothing_else_asks_blender():
    package = Path(program.__file__).resolve().parents[1]
    asking = [path.name for path in package.rglob("*.py") if "app.online_access" in path.read_text("utf-8")]
    assert asking == ["engine_choice.py"]
