# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the engine's own Python environment, and say whether one can run the engine; imports no bpy.

Blender's Python is used for one thing: to make a virtual environment that is nothing to it. All that follows
happens in the new environment's own Python, in a subprocess. What is installed is what the locks name, by
its SHA-256 (``scripts/house/lock.py``), as wheels: a package that comes as its source would run code. An
interrupted set-up goes on where it was: pip keeps what it has downloaded.
"""

from __future__ import annotations

import collections
import hashlib
import json
import logging
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .. import faults
from ..errors import PeekabooError
from . import isolation, systems, torch_builds
from .whereabouts import COMPLETE, PACKAGE_FOLDER

_log = logging.getLogger(__name__)

CHECK_SECONDS = 120
OLDEST_PYTHON = (3, 11)
BUILD_RECORD = "peekaboo-torch.txt"
"""File in an environment that says which build of torch it has."""

CANCELLED = "The set-up was cancelled; what was downloaded is kept."
PIP_OPTIONS = (
    "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--only-binary", ":all:",
)  # fmt: skip
PIP_LINES = 200
"""How much of what pip prints is kept, to tell why it failed."""

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
    devices = {"cuda": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    devices |= {"mps": "MPS"} if torch.backends.mps.is_available() else {}
    report |= {"torch": torch.__version__, "devices": devices | {"cpu": "the CPU"}}
print(json.dumps(report))
"""


def locks() -> Path:
    """Find the folder of the locks of the engine's packages: in the built extension, or in a checkout."""
    inside = PACKAGE_FOLDER / "requirements" / "locked"
    return inside if inside.is_dir() else PACKAGE_FOLDER.parent / "requirements" / "locked"


def _digest(locks: Path) -> str:
    """What the environment's mark says: which packages it was completed with."""
    return hashlib.sha256((locks / "engine.txt").read_bytes()).hexdigest()


def _is_of_another_version(python: Path, locks: Path) -> bool:
    """Whether the set-up made this interpreter's environment of other packages than it would now."""
    mark = python.parents[1] / COMPLETE
    return mark.is_file() and mark.read_text(encoding="utf-8") != _digest(locks)


def check(python: Path, choice: str = torch_builds.AUTO, locked: Path | None = None) -> str:
    """Say in a line what an engine would run on, and whether the set-up would renew its packages.

    Args:
        python: the interpreter that it would run in.
        choice: what it is to compute on; a key of :data:`torch_builds.TITLES`.
        locked: the locks of the set-up, by default :func:`locks`.

    Raises:
        PeekabooError: what is missing, in one sentence.
    """
    try:
        run = subprocess.run(
            isolation.command(python, "-c", _PROBE),
            cwd=isolation.FOLDER,
            env=isolation.environment(online=False),
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
    devices = report["devices"]
    device = next(iter(devices)) if choice == torch_builds.AUTO else torch_builds.torch_device(choice)
    if device not in devices:
        raise PeekabooError(
            f"torch {report['torch']} finds nothing to compute on with {torch_builds.TITLES[choice]}: choose "
            "another device, or press Set Up Engine to get the build for it."
        )
    ready = f"Ready: torch {report['torch']} on {devices[device]}."
    if _is_of_another_version(python, locked or locks()):
        ready += " Its packages are those of another version of Peekaboo: press Set Up Engine to renew them."
    return ready


@dataclass(frozen=True)
class Step:
    """Something that a task is doing, in words for the user."""

    text: str


@dataclass(frozen=True)
class Ended:
    """A task is over: a sentence, and whether that is a failure."""

    text: str
    failed: bool


class _CommandFailed(PeekabooError):
    """A command that sets up ended with an error.

    Attributes:
        reason: what it printed last.
    """

    def __init__(self, reason: str):
        """Say so in a sentence."""
        super().__init__(
            f"The engine cannot be set up ({reason}): check the network, or choose an existing Python."
        )
        self.reason = reason


class _Poisoned(PeekabooError):
    """A file is not the one that a lock names."""


_POISONED = re.compile(r"DO NOT MATCH THE HASHES.*\n {4}(\S[^\n]*?)(?: from \S+)?(?: \(from [^\n]*\))?:\n")
"""The package that pip names first among those whose files are not what the lock names."""
_CUT_OFF = re.compile(r"IncompleteRead|Connection (?:broken|reset|aborted)|not enough bytes were received")


def _why(printed: str, code: int) -> PeekabooError:
    """Tell from what pip printed why it failed."""
    if poisoned := _POISONED.search(printed):
        return _Poisoned(
            f"{poisoned[1]} did not arrive as the file that this version of Peekaboo names (its SHA-256 "
            "differs) and was not installed: try again, and if it stays so check which index pip is "
            "configured with."
        )
    if _CUT_OFF.search(printed):
        return _CommandFailed("the connection broke off")
    last = printed.strip().rpartition("\n")[2].strip()
    return _CommandFailed(last.removeprefix("ERROR: ").rstrip(".") or f"exit code {code}")


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
            systems.end(process, politely=True)

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
        printed: collections.deque[str] = collections.deque(maxlen=PIP_LINES)
        self._process = subprocess.Popen(
            command,
            cwd=isolation.FOLDER,
            env=isolation.environment(online=True),
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
            printed.append(line)
            on_line(line)
        code = self._process.wait()
        if self._cancelled:
            raise PeekabooError(CANCELLED)
        if code:
            raise _why("".join(printed), code)

    def _run(self) -> None:
        try:
            self._messages.put(Ended(self._work(self), failed=False))
        except PeekabooError as error:
            self._messages.put(Ended(str(error), failed=True))
        except OSError as error:
            text = f"The engine cannot be set up ({error.strerror}): make room on the disk, and try again."
            self._messages.put(Ended(text, failed=True))
        except Exception as error:  # a fault of ours: whoever waits must learn of the end
            self._messages.put(Ended(faults.kept(_log, error), failed=True))


def _has_pip(python: Path) -> bool:
    try:
        asked = subprocess.run(
            isolation.command(python, "-m", "pip", "--version"),
            cwd=isolation.FOLDER,
            env=isolation.environment(online=False),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except OSError:
        return False
    return asked.returncode == 0


def install(task: Task, folder: Path, locks: Path, choice: str = torch_builds.AUTO) -> str:
    """Make or complete an environment.

    Args:
        task: that this is the work of.
        folder: of the environment.
        locks: what is installed; see :func:`locks`.
        choice: what the engine is to compute on; a key of :data:`torch_builds.TITLES`.

    Returns:
        What the engine would run on, in a sentence.

    Raises:
        PeekabooError: there is no usable environment; what pip has downloaded is kept for the next time.
    """
    build = torch_builds.build_for(choice, locks)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, complete = systems.python_of(folder), folder / COMPLETE
    complete.unlink(missing_ok=True)
    if not _has_pip(python):  # none yet, or one that was cut short
        _check_room(folder.parent, build)
        task.step("Making the environment")
        task.call(isolation.command(sys.executable, "-m", "venv", "--clear", folder))

    def pip(*arguments: str) -> None:
        _pip(task, python, arguments)

    with suppress(_CommandFailed):  # the old one works too, but begins a broken download again
        pip(*_locked(locks / "pip.txt"))
    if build is not None:
        _install_torch(pip, build, folder / BUILD_RECORD)
    pip(*_locked(locks / "engine.txt"))
    if build is not None and build.lock is None:  # what this torch needs that no lock names
        pip("--index-url", build.indexes[0], build.pin)
    task.step("Checking")
    ready = check(python, choice)
    complete.write_text(_digest(locks), encoding="utf-8")
    return ready


def _pip(task: Task, python: Path, arguments: tuple[str, ...]) -> None:
    """Run ``pip install``; where a file is wrong, once more past pip's cache, which would keep it for ever.

    Raises:
        PeekabooError: it failed; nothing was installed unless the disk is full.
    """
    command = isolation.command(python, "-m", "pip", "install", *PIP_OPTIONS)

    def tell(line: str) -> None:
        if match := re.match(r"\s*(Collecting|Downloading) (\S+)|(Installing) collected", line):
            task.step(f"{match[1]} {match[2]}" if match[1] else "Installing packages")

    try:
        task.call([*command, *arguments], tell)
    except _Poisoned:
        task.step("Downloading again")
        task.call([*command, "--no-cache-dir", *arguments], tell)


def _locked(lock: Path) -> list[str]:
    """pip's arguments that install what a lock names and nothing else.

    A lock without a hash is that of a build of torch whose hashes PyTorch's index does not give.
    """
    hashed = "--hash=" in lock.read_text(encoding="utf-8")
    return ["--no-deps", *(["--require-hashes"] if hashed else []), "-r", str(lock)]


def _check_room(folder: Path, build: torch_builds.Build | None) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    wanted = torch_builds.GIGABYTES[build.device if build else "cpu"]
    if free < wanted:
        raise PeekabooError(
            f"The engine takes {wanted:.0f} GB and {free:.1f} GB are free: make room on the disk."
        )


def _install_torch(pip: Callable[..., None], build: torch_builds.Build, record: Path) -> None:
    """Install torch by itself, so that its build is chosen; to pip one build is as good as another.

    Raises:
        PeekabooError: no source has it; the environment is as it was.
    """
    wanted = f"{build.pin} {build.device} {' '.join(build.indexes)}"
    if record.is_file() and record.read_text(encoding="utf-8") == wanted:
        return
    record.unlink(missing_ok=True)
    what = _locked(build.lock) if build.lock else ["--no-deps", build.pin]
    for index in build.indexes:
        source = ["--index-url", index] if index else []
        try:
            pip("--force-reinstall", *source, *what)
        except _CommandFailed as error:
            reason = error.reason
        else:
            record.write_text(wanted, encoding="utf-8")
            return
    raise PeekabooError(
        f"torch's build for {torch_builds.TITLES[build.device]} cannot be fetched ({reason}): check the "
        "network, choose another device, or an existing Python."
    )
