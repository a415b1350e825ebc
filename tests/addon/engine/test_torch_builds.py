# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of torch is taken, and the real set-up with the real pip on tiny packages."""

import os
import signal
import subprocess
import sys

import pytest
import wheels
from test_environment import finish

from blender_addon.engine import environment, systems, torch_builds, whereabouts
from blender_addon.errors import PeekabooError

LOCKS = environment.locks()
OWN = torch_builds.OWN_SOURCES


@pytest.fixture
def packages(tmp_path, server):
    return wheels.lock(tmp_path / "wheels", tmp_path / "locks")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An index that gets stuck in the middle of torch; pip knows no other."""
    server = wheels.Server(wheels.engine(tmp_path / "wheels", megabytes=2), stuck_at="torch")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", server.index)
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")  # pip keeps nothing that others sent without TLS
    yield server
    server.close()


def set_up(tmp_path, packages, choice):
    task = environment.Task(lambda task: environment.install(task, tmp_path / "engine", packages, choice))
    return finish(task)


def modules(tmp_path, name):
    """What an environment finds of a module."""
    python = systems.python_of(tmp_path / "engine")
    code = f"import {name}; print(getattr({name}, '__version__', ''))"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True).stdout.strip()


def installed(tmp_path):
    """Names of the packages in an environment."""
    python = systems.python_of(tmp_path / "engine")
    code = "import importlib.metadata as m; print(*(d.metadata['Name'] for d in m.distributions()))"
    return set(subprocess.run([python, "-I", "-c", code], capture_output=True, text=True).stdout.split())


@pytest.mark.slow
def test_a_set_up_whose_download_is_killed_goes_on_at_the_next_press(tmp_path, packages, server):
    task = environment.Task(lambda task: environment.install(task, tmp_path / "engine", packages, "cpu"))
    assert server.stuck.wait(120)
    os.kill(task._process.pid, signal.SIGKILL)
    ended = finish(task)[-1]
    assert ended.failed and ended.text.startswith("torch's build for CPU cannot be fetched")
    assert modules(tmp_path, "torch") == ""
    assert not (tmp_path / "engine" / whereabouts.COMPLETE).exists()
    messages = set_up(tmp_path, packages, "cpu")
    assert messages[-1] == environment.Ended("Ready: torch 2.13.0+cpu on the CPU.", failed=False)
    assert (tmp_path / "engine" / whereabouts.COMPLETE).is_file()
    assert environment.Step("Making the environment") not in messages  # the one that is there was kept


@pytest.mark.slow
def test_a_cancelled_download_leaves_no_process_and_goes_on_at_the_next_press(tmp_path, packages, server):
    server.stuck_at = "typer"  # the last one: all others have come in
    task = environment.Task(lambda task: environment.install(task, tmp_path / "engine", packages, "cpu"))
    assert server.stuck.wait(120)
    pid = task._process.pid
    task.cancel()
    assert finish(task)[-1] == environment.Ended(environment.CANCELLED, failed=True)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.sent.clear()
    assert not set_up(tmp_path, packages, "cpu")[-1].failed
    assert server.sent == ["typer-1.0-py3-none-any.whl"], "what had been downloaded was not kept"


@pytest.mark.slow
def test_an_environment_that_was_cut_short_while_it_was_made_is_made_anew(tmp_path, packages, server):
    server.stuck_at = ""
    folder = tmp_path / "engine"
    making = subprocess.Popen([sys.executable, "-I", "-m", "venv", folder], start_new_session=True)
    while not systems.python_of(folder).exists():
        pass
    os.killpg(making.pid, signal.SIGKILL)
    making.wait()
    messages = set_up(tmp_path, packages, "cpu")
    assert messages[0] == environment.Step("Making the environment") and not messages[-1].failed


@pytest.mark.slow
def test_the_build_can_be_changed_and_the_check_says_when_it_does_not_suit(tmp_path, packages, server):
    server.stuck_at = ""
    assert set_up(tmp_path, packages, "cuda")[-1].text == "Ready: torch 2.13.0 on a card."
    assert set_up(tmp_path, packages, "cpu")[-1].text == "Ready: torch 2.13.0+cpu on the CPU."
    server.sent.clear()
    assert not set_up(tmp_path, packages, "cpu")[-1].failed and not server.sent
    with pytest.raises(PeekabooError, match=r"2\.13\.0\+cpu finds nothing to compute on with CUDA: choose"):
        environment.check(systems.python_of(tmp_path / "engine"), "cuda")


@pytest.mark.slow
def test_after_an_update_the_check_says_that_the_packages_are_older_until_they_are_renewed(
    tmp_path, packages, server
):
    server.stuck_at = ""
    python = systems.python_of(tmp_path / "engine")
    assert set_up(tmp_path, packages, "cpu")[-1].text == "Ready: torch 2.13.0+cpu on the CPU."
    assert environment.check(python, locked=packages) == "Ready: torch 2.13.0+cpu on the CPU."
    newer = wheels.write(tmp_path / "wheels", "typer", "2.0")
    lock = packages / "engine.txt"
    lines = lock.read_text().splitlines(keepends=True)
    lock.write_text("".join(line for line in lines if not line.startswith("typer")) + wheels.entry(newer))
    told = environment.check(python, locked=packages)
    assert told.startswith("Ready: torch 2.13.0+cpu on the CPU. Its packages are those of another version")
    server.sent.clear()
    assert set_up(tmp_path, packages, "cpu")[-1].text == "Ready: torch 2.13.0+cpu on the CPU."
    assert server.sent == ["typer-2.0-py3-none-any.whl"]
    assert environment.check(python, locked=packages) == "Ready: torch 2.13.0+cpu on the CPU."


def test_where_there_is_no_build_for_cpus_that_for_cuda_is_not_taken_instead(
    tmp_path, packages, server, monkeypatch
):
    server.stuck_at = ""
    monkeypatch.setattr(torch_builds, "CPU_INDEX", server.index)  # PyTorch's own would have it
    (tmp_path / "wheels" / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    ended = set_up(tmp_path, packages, "cpu")[-1]
    assert ended.failed and "torch's build for CPU cannot be fetched" in ended.text
    assert modules(tmp_path, "torch") == ""


@pytest.mark.parametrize(
    ("system", "choice", "lock", "pin", "indexes"),
    [
        ("linux", "cpu", "torch-cpu", "torch==2.13.0+cpu", (OWN, torch_builds.CPU_INDEX)),
        ("linux", "cuda", "torch", "torch===2.13.0", (OWN,)),
        ("linux", "rocm", "torch-rocm7.2", "torch==2.13.0+rocm7.2", (torch_builds.ROCM_INDEX,)),
        ("win32", "cpu", "torch", "torch===2.13.0", (OWN,)),
        ("win32", "cuda", "torch-cu130", "torch==2.13.0+cu130", (torch_builds.CUDA_INDEX,)),
        ("darwin", "mps", "torch", "torch===2.13.0", (OWN,)),
    ],
)
def test_each_system_has_its_builds(monkeypatch, system, choice, lock, pin, indexes):
    monkeypatch.delenv(torch_builds.INDEX_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", system)
    build = torch_builds.build_for(choice, LOCKS)
    assert (build.lock, build.pin, build.indexes) == (LOCKS / f"{lock}.txt", pin, indexes)


def test_a_named_index_comes_first_and_what_there_is_not_is_told(monkeypatch, tmp_path):
    with pytest.raises(PeekabooError, match="no build of torch for MPS on Linux: choose another device"):
        monkeypatch.setattr(sys, "platform", "linux")
        torch_builds.build_for("mps", LOCKS)
    monkeypatch.setenv(torch_builds.INDEX_VARIABLE, "https://example.org/whl")
    build = torch_builds.build_for("rocm", LOCKS)
    assert (build.lock, build.pin, build.indexes) == (None, "torch==2.13.0", ("https://example.org/whl",))
    assert torch_builds.build_for("cpu", tmp_path) is None


@pytest.mark.slow
def test_a_named_index_gives_torch_and_what_it_needs_and_nothing_else(
    tmp_path, packages, server, monkeypatch
):
    server.stuck_at = ""
    named = wheels.Server(tmp_path / "named")
    code = wheels.TORCH.format(version="2.13.0+cu999", cuda=True)
    wheels.write(tmp_path / "named", "torch", "2.13.0+cu999", code, needs="cudart")
    wheels.write(tmp_path / "named", "cudart", "1.0")
    wheels.write(tmp_path / "named", "numpy", "1.0", "raise SystemExit('of the named index')")
    monkeypatch.setenv(torch_builds.INDEX_VARIABLE, named.index)
    assert set_up(tmp_path, packages, "cuda")[-1].text == "Ready: torch 2.13.0+cu999 on a card."
    assert {name.partition("-")[0] for name in named.sent} == {"torch", "cudart"}
    named.close()


@pytest.mark.slow
@pytest.mark.parametrize("package", ["torch", "numpy"])
def test_a_file_that_is_not_what_the_lock_names_is_not_installed(tmp_path, packages, server, package):
    server.stuck_at = ""
    marker = tmp_path / "ran"
    version = "2.13.0+cpu" if package == "torch" else "1.0"
    good = (tmp_path / "wheels" / f"{package}-{version}-py3-none-any.whl").read_bytes()
    bad = wheels.write(tmp_path / "wheels", package, version, f"open({str(marker)!r}, 'w')")
    ended = set_up(tmp_path, packages, "cpu")[-1]
    assert ended.failed and ended.text.startswith(f"{package}==") and "SHA-256 differs" in ended.text
    assert "\n" not in ended.text and ended.text.endswith(".")
    assert modules(tmp_path, "typer") == "" and not marker.exists()
    assert not installed(tmp_path) & {"numpy", "typer"}, "half of a lock was installed"
    assert not (tmp_path / "engine" / whereabouts.COMPLETE).exists()
    bad.write_bytes(good)
    assert set_up(tmp_path, packages, "cpu")[-1].text == "Ready: torch 2.13.0+cpu on the CPU."


@pytest.mark.slow
def test_a_connection_that_breaks_off_is_one_sentence_and_the_next_press_goes_on(tmp_path, packages, server):
    server.stuck_at, server.hangs_up = "", True
    ended = set_up(tmp_path, packages, "cpu")[-1]
    # An old pip takes half a file for a file: it is the hash that tells.
    assert ended.failed and ("the connection broke off" in ended.text or "did not arrive" in ended.text)
    assert not installed(tmp_path) & {"torch", *wheels.OTHERS}
    server.hangs_up = False
    assert not set_up(tmp_path, packages, "cpu")[-1].failed


def test_automatic_is_what_the_machine_has(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    torch_builds.found.cache_clear()
    without = torch_builds.build_for("auto", LOCKS).device
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    torch_builds.found.cache_clear()
    assert (without, torch_builds.build_for("auto", LOCKS).device) == ("cpu", "cuda")
    torch_builds.found.cache_clear()
