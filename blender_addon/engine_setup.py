# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the engine's own Python environment, and say whether one can run the engine; imports no bpy.

Blender's Python is used for one thing: to make a virtual environment that is nothing to it. All that follows
happens in the new environment's own Python, in a subprocess. An interrupted set-up goes on where it was: pip
keeps what it has downloaded.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import engine_client
from .errors import PeekabooError

PACKAGE_FOLDER = Path(__file__).resolve().parent
CHECK_SECONDS = 120
OLDEST_PYTHON = (3, 11)
GIGABYTES = 3.0
"""Free space that the packages ask for, with what pip needs to unpack them."""

CANCELLED = "The set-up was cancelled; what was downloaded is kept."
PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu130"

_PROBE = """
import importlib, json, sys
missing = []
for name in ["torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "imageio",
             "imageio_ffmpeg", "pydantic", "rich", "typer"]:
    try:
        importlib.import_module(name)
    except Exception as error:
        missing.append([name, str(error).splitlines()[0] if str(error) else type(error).__name__])
report = {"python": sys.version_info[:2], "missing": missing}
if not missing:
    import torch
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    other = "MPS" if torch.backends.mps.is_available() else "the CPU"
    report |= {"torch": torch.__version__, "device": gpu or other}
print(json.dumps(report))
"""


def requirements() -> Path:
    """Find the list of the engine's packages: in the built extension, or in a checkout."""
    inside = PACKAGE_FOLDER / "requirements" / "engine.txt"
    return inside if inside.is_file() else PACKAGE_FOLDER.parent / "requirements" / "engine.txt"


def check(python: Path) -> str:
    """Say in a line what an engine would run on.

    Raises:
        PeekabooError: what is missing, in one sentence.
    """
    try:
        run = subprocess.run(
            [str(python), "-s", "-c", _PROBE],
            env=engine_client.environment(online=False),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
        )
        report = json.loads(run.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        raise PeekabooError(f'"{python}" does not run as a Python: choose another one.') from None
    if tuple(report["python"]) < OLDEST_PYTHON:
        raise PeekabooError(f'"{python}" is older than Python 3.11: choose a newer one.')
    if report["missing"]:
        names = ", ".join(name for name, _ in report["missing"])
        reason = report["missing"][0][1]
        raise PeekabooError(
            f'"{python}" lacks {names} ({reason}): press Set Up Engine, or install the packages there.'
        )
    return f"Ready: torch {report['torch']} on {report['device']}."


@dataclass(frozen=True)
class Step:
    """Something that a task is doing, in words for the user."""

    text: str


@dataclass(frozen=True)
class Ended:
    """A task is over: a sentence, and whether that is a failure."""

    text: str
    failed: bool


class Task:
    """Work in a thread that starts processes, and otherwise only puts messages on a queue."""

    def __init__(self, work: Callable[[Task], str]):
        """Begin.

        Args:
            work: what is to be done; returns a sentence, or raises PeekabooError or OSError.
        """
        self._messages: queue.SimpleQueue[Step | Ended] = queue.SimpleQueue()
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._work = work
        self._thread = threading.Thread(target=self._run, name="Peekaboo engine set-up", daemon=True)
        self._thread.start()

    def poll(self) -> list[Step | Ended]:
        """Take the messages that have come in, without waiting."""
        messages = []
        with suppress(queue.Empty):
            while True:
                messages.append(self._messages.get_nowait())
        return messages

    def cancel(self) -> None:
        """End the work without waiting for that."""
        self._cancelled = True
        process = self._process
        if process is not None and process.poll() is None:
            if os.name == "posix":
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            else:
                process.terminate()

    def join(self, seconds: float) -> None:
        """Wait for the end of the work, at most so long."""
        self._thread.join(seconds)

    def step(self, text: str) -> None:
        """Tell what is being done."""
        self._messages.put(Step(text))

    def call(self, command: list[str], on_line: Callable[[str], None] = lambda line: None) -> None:
        """Run a command.

        Args:
            command: the program and its arguments.
            on_line: called with each line that it prints.

        Raises:
            PeekabooError: it failed, or the work was cancelled.
        """
        if self._cancelled:
            raise PeekabooError(CANCELLED)
        last = ""
        self._process = subprocess.Popen(
            command,
            env=engine_client.environment(online=True),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        if self._cancelled:  # just now, before there was a process to end
            self.cancel()
        for line in self._process.stdout or ():
            last = line.strip() or last
            on_line(line)
        code = self._process.wait()
        if self._cancelled:
            raise PeekabooError(CANCELLED)
        if code:
            reason = last.removeprefix("ERROR: ").rstrip(".")
            raise PeekabooError(
                f"The engine cannot be set up ({reason}): check the network, or choose an existing Python."
            )

    def _run(self) -> None:
        try:
            self._messages.put(Ended(self._work(self), failed=False))
        except PeekabooError as error:
            self._messages.put(Ended(str(error), failed=True))
        except OSError as error:
            text = f"The engine cannot be set up ({error.strerror}): make room on the disk, and try again."
            self._messages.put(Ended(text, failed=True))


def _has_pip(python: Path) -> bool:
    try:
        return subprocess.run([python, "-I", "-m", "pip", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def install(task: Task, folder: Path, packages: Path) -> str:
    """Make or complete an environment.

    Args:
        task: that this is the work of.
        folder: of the environment.
        packages: the requirement file; see :func:`requirements`.

    Returns:
        What the engine would run on, in a sentence.

    Raises:
        PeekabooError: there is no usable environment; what pip has downloaded is kept for the next time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = engine_client.python_of(folder)
    if not _has_pip(python):  # none yet, or one that was cut short
        free = shutil.disk_usage(folder.parent).free / 1e9
        if free < GIGABYTES:
            raise PeekabooError(
                f"The engine takes {GIGABYTES:.0f} GB and {free:.1f} GB are free: make room on the disk."
            )
        task.step("Making the environment")
        task.call([sys.executable, "-I", "-m", "venv", "--clear", str(folder)])
    pip = [str(python), "-I", "-m", "pip", "install", *PIP_OPTIONS]

    def tell(line: str) -> None:
        if match := re.match(r"\s*(Collecting|Downloading) (\S+)|(Installing) collected", line):
            task.step(f"{match[1]} {match[2]}" if match[1] else "Installing packages")

    for source in torch_sources(packages.read_text(encoding="utf-8")):
        try:
            task.call([*pip, "--no-deps", *source], tell)
        except PeekabooError as error:
            if str(error) == CANCELLED:
                raise
        else:
            break
    task.call([*pip, "-r", str(packages)], tell)
    task.step("Checking")
    return check(python)


def torch_sources(packages: str) -> list[list[str]]:
    """List pip's arguments for torch by itself, the best first, so that its build is chosen.

    Without an NVIDIA card Linux takes the build for CPUs, which is a tenth of the size; with one, Windows
    takes a build for CUDA. Elsewhere what PyPI has is right.

    Args:
        packages: text of the requirement file.
    """
    match = re.search(r"^torch==[\w.]+", packages, re.M)
    if match is None:
        return []
    pin, has_nvidia = match[0], shutil.which("nvidia-smi") is not None
    if index := os.environ.get("PEEKABOO_TORCH_INDEX"):
        return [["--index-url", index, pin]]
    if sys.platform == "linux" and not has_nvidia:
        return [[f"{pin}+cpu"], ["--index-url", CPU_INDEX, f"{pin}+cpu"]]
    if sys.platform == "win32" and has_nvidia:
        return [["--index-url", CUDA_INDEX, pin]]
    return []
