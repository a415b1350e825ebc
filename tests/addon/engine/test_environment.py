# SPDX-License-Identifier: GPL-3.0-or-later
import ensurepip
import os
import sys
import time
from pathlib import Path

import pytest

from blender_addon.engine import environment, systems, whereabouts
from blender_addon.errors import PeekabooError


def finish(task):
    """All messages of a task, the end last."""
    messages = []
    while not messages or not isinstance(messages[-1], environment.Ended):
        messages += task.poll()
        time.sleep(0.02)
    return messages


@pytest.fixture
def packages(tmp_path):
    folder = tmp_path / "locks"
    folder.mkdir()
    for name in ("pip", "engine"):  # what is there already: nothing is downloaded
        (folder / f"{name}.txt").write_text(f"pip=={ensurepip.version()} --hash=sha256:{'0' * 64}\n")
    return folder


@pytest.mark.slow
def test_the_engines_python_is_ready():
    assert environment.check(whereabouts.find_python()).startswith("Ready: torch 2.")


def test_a_python_without_the_packages_is_told_by_what_it_lacks():
    with pytest.raises(PeekabooError, match=r"lacks torch, diffusers, .*press Set Up Engine"):
        environment.check(Path(sys.executable))


def test_what_is_no_python_is_told(tmp_path):
    with pytest.raises(PeekabooError, match="does not run as a Python: choose another one"):
        environment.check(tmp_path)


@pytest.mark.slow
def test_an_environment_is_made_apart_from_this_python(tmp_path, packages, monkeypatch):
    home = tmp_path / "profile" / "engine"
    task = environment.Task(lambda task: environment.install(task, home, packages))
    messages = finish(task)
    assert messages[0] == environment.Step("Making the environment")
    assert systems.python_of(home).is_file()
    # The environment is there, and lacks what the list did not name.
    assert messages[-1].failed and "lacks torch" in messages[-1].text
    monkeypatch.delenv("PEEKABOO_PYTHON", raising=False)
    monkeypatch.setattr(whereabouts, "PACKAGE_FOLDER", tmp_path / "checkout" / "blender_addon")
    with pytest.raises(PeekabooError, match="set-up is not complete"):
        whereabouts.find_python(extension_folder=home.parent)


def test_a_cancelled_setup_ends_its_processes(tmp_path):
    pid_file = tmp_path / "pid"
    script = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    task = environment.Task(lambda task: task.call([sys.executable, "-c", script]) or "done")
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.02)
    task.cancel()
    assert finish(task) == [environment.Ended(environment.CANCELLED, failed=True)]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.slow
def test_what_pip_cannot_find_is_told_in_a_sentence(tmp_path, packages, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (packages / "engine.txt").write_text(f"peekaboo-of-nowhere==1 --hash=sha256:{'0' * 64}\n")
    task = environment.Task(lambda task: environment.install(task, tmp_path / "engine", packages))
    ended = finish(task)[-1]
    assert ended.failed
    assert ended.text.startswith("The engine cannot be set up (No matching distribution found for")


def test_the_locks_are_found():
    assert "diffusers==" in (environment.locks() / "engine.txt").read_text()
