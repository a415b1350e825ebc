# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the two Python environments that the project runs in.

`.venv` holds the engine (torch, diffusers), `.venv-blender` the host (Blender as a Python module). They are
apart because they are apart in real use: Blender brings its own Python, and the engine runs as its
subprocess.

Standard library only, since nothing is installed yet when this runs. Calling it again is cheap: a stamp in
each environment names the requirement files by content and the kind of interpreter it was made with.

    python scripts/house/environments.py [engine] [host] [--with test] [--with lint]
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house.missing_libraries import explain_import_failure
from house.pip_run import UNCHANGED, PipFailure, StatusLine, run_pip, status_line

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKED = REQUIREMENTS / "locked"
"""What is installed, with hashes; made by scripts/house/lock.py of what is wanted."""

STAMP = "peekaboo-setup.json"
UNFINISHED = "peekaboo-setup.unfinished"
LOG = "peekaboo-setup.log"

# The Pythons that a bpy release in requirements/host.txt is built for.
HOST_PYTHONS = ((3, 11), (3, 13))

# PyPI's wheel for Linux is the CUDA build (gigabytes). The CPU build has this index.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Names another index for torch, e.g. https://download.pytorch.org/whl/cu130 or https://pypi.org/simple.
TORCH_INDEX_VARIABLE = "PEEKABOO_TORCH_INDEX"

# A package that comes as its source runs code while it is built: there is one for every system without that.
ONLY_WHEELS = ("--only-binary", ":all:")


class CommandError(Exception):
    """A command of scripts/ cannot go on; the message is one sentence: what is wrong and what to do."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of the project: what it is called, where it lies, and what must import in it."""

    name: str
    folder: Path
    requirement: str
    module: str
    gigabytes: float

    @property
    def python(self) -> Path:
        """Path of the environment's interpreter (which may not exist yet)."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


ENGINE = Environment("engine", ROOT / ".venv", "engine", module="torch", gigabytes=2.0)
HOST = Environment("host", ROOT / ".venv-blender", "host", module="bpy", gigabytes=1.5)


def ensure(environment: Environment, *extras: str) -> Path:
    """Make `environment` with its own requirement file and those named in `extras`; return its interpreter.

    Returns at once if the stamp says that all of it is there. An interrupted install is started over.
    Raises CommandError.
    """
    check_python(environment)
    names = [environment.requirement, *extras]
    for name in names:
        _check_lock(name)
    if not _outdated(environment, names):
        return environment.python
    with _only_one_at_a_time(environment):
        # Whoever held the lock before may just have done the work.
        outdated = _outdated(environment, names)
        if outdated:
            try:
                _install(environment, outdated)
            except OSError as error:
                reason = error.strerror or error
                raise CommandError(
                    f"Cannot write {environment.folder} ({reason}): {_advice(error)}."
                ) from error
    return environment.python


def check_python(environment: Environment) -> None:
    """Raise CommandError if the running Python cannot make `environment`."""
    if environment is HOST and sys.version_info[:2] not in HOST_PYTHONS:
        raise CommandError(
            "Blender's Python module exists for Python 3.11 and 3.13 and this is "
            f"{platform.python_version()}: run the same command with one of those."
        )


def requirement_digest(path: Path) -> str:
    """SHA-256 of a requirement file, blind to comments, blank lines and line ends."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text("utf-8").splitlines())
    return hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()


def interpreter_tag() -> str:
    """Name the kind of interpreter that an environment depends on, e.g. "cpython-3.11-linux-x86_64"."""
    python = f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}"
    return f"{python}-{sys.platform}-{platform.machine()}"


def read_stamp(folder: Path) -> dict:
    """Read what an environment was made of, or {} if it has no readable stamp of this kind of interpreter."""
    try:
        stamp = json.loads((folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and stamp.get("interpreter") == interpreter_tag() else {}


def _outdated(environment: Environment, names: list[str]) -> list[str]:
    """List the requirement files of `names` that are still to be installed."""
    if not environment.python.exists() or (environment.folder / UNFINISHED).exists():
        return names
    stamp = read_stamp(environment.folder)
    wanted_index = os.environ.get(TORCH_INDEX_VARIABLE)
    if environment is ENGINE and wanted_index and wanted_index != stamp.get("torch_index"):
        return names
    installed = stamp.get("requirements", {})
    return [name for name in names if installed.get(name) != requirement_digest(_lock_file(name))]


def _lock_file(name: str) -> Path:
    return LOCKED / f"{name}.txt"


def made_from(wanted: Path) -> str:
    """The line of a lock that says which requirements it was made from."""
    return f"# from: {wanted.name} {requirement_digest(wanted)}\n"


def _check_lock(name: str) -> None:
    """Raise CommandError if a requirement file was edited since it was locked."""
    wanted = REQUIREMENTS / f"{name}.txt"
    lock = _lock_file(name)
    if not lock.is_file() or f"# from: {wanted.name} {requirement_digest(wanted)}\n" not in lock.read_text(
        "utf-8"
    ):
        raise CommandError(
            f"requirements/{wanted.name} has changed since it was locked: run python scripts/house/lock.py."
        )


def _install(environment: Environment, names: list[str]) -> None:
    """Install requirement files `names`; the stamp records each that is done."""
    folder, unfinished = environment.folder, environment.folder / UNFINISHED
    stamp = read_stamp(folder)
    status = status_line(environment.name)
    of_another_python = (folder / STAMP).exists() and not stamp
    if unfinished.exists() or not environment.python.exists() or of_another_python:
        _make_empty(environment, status)
        stamp = {}
    stamp = {"interpreter": interpreter_tag(), "requirements": {}, **stamp}
    unfinished.touch()
    try:
        for name in names:
            index = None
            if name == ENGINE.requirement:
                index = stamp["torch_index"] = _install_torch(environment, stamp.get("torch_index"), status)
            _pip(environment, locked(_lock_file(name)), status)
            if index:  # what its torch needs beyond the lock, such as the libraries of another CUDA
                _pip(environment, [*ONLY_WHEELS, "--index-url", index, _torch_pin()], status)
            stamp["requirements"][name] = requirement_digest(_lock_file(name))
    except PipFailure as failure:
        if failure.kind in UNCHANGED:
            unfinished.unlink()
        raise CommandError(_explain(failure, environment)) from failure
    unfinished.unlink()
    # Without a stamp the next run looks again, but has nothing to install once the missing library is there.
    _check_import(environment)
    write_atomically(folder / STAMP, json.dumps(stamp, indent=2) + "\n")
    status.close(f"ready: {folder.name}")


def _make_empty(environment: Environment, status: StatusLine) -> None:
    """Make a new virtual environment in the place of whatever is there."""
    folder = environment.folder
    if folder.exists():
        status.show(f"removing an unfinished or outdated {folder.name}")
        shutil.rmtree(folder)
    free = shutil.disk_usage(folder.parent).free / 1e9
    if free < environment.gigabytes:
        raise CommandError(
            f"The disk that holds {folder.parent} has {free:.1f} GB left and {folder.name} takes "
            f"{environment.gigabytes:.1f} GB: free some space and run the same command again."
        )
    status.show(f"making {folder.name} with Python {platform.python_version()}")
    made = subprocess.run([sys.executable, "-I", "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode != 0 or not environment.python.exists():
        shutil.rmtree(folder, ignore_errors=True)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise CommandError(
            f"Python {version} cannot make virtual environments here: on Debian or Ubuntu install the "
            f"package python{version}-venv, elsewhere use a Python from python.org."
        )


def _install_torch(environment: Environment, former_index: str | None, status: StatusLine) -> str | None:
    """Install the pinned torch by itself, so that its build is chosen, not left to PyPI; return its index.

    An index that the user names (now, or when the environment was made) is used as it is, and trusted: the
    lock does not know its files. Otherwise Linux takes the CPU build: from pip's own sources where they hold
    one, else from PyTorch's CPU index, and else what PyPI has. The others take that.
    """
    named = os.environ.get(TORCH_INDEX_VARIABLE)
    index = named or former_index
    if index:
        again = ["--force-reinstall"] if named and named != former_index else []
        _pip(environment, [*ONLY_WHEELS, "--no-deps", *again, "--index-url", index, _torch_pin()], status)
        return index
    if sys.platform == "linux":
        for source in ([], ["--index-url", CPU_INDEX]):
            try:
                _pip(environment, [*locked(_lock_file("torch-cpu")), "--retries", "1", *source], status)
                return None
            except PipFailure as failure:
                if failure.kind == "poisoned" or failure.kind not in UNCHANGED:
                    raise
        status.close("no CPU build of torch is in reach: taking PyPI's build, which is larger")
    _pip(environment, locked(_lock_file("torch")), status)
    return None


def locked(lock: Path) -> list[str]:
    """pip's arguments that install what a lock names: those files, and nothing that they ask for beyond."""
    return [*ONLY_WHEELS, "--no-deps", "--require-hashes", "-r", str(lock)]


def _torch_pin() -> str:
    return torch_pin((REQUIREMENTS / f"{ENGINE.requirement}.txt").read_text("utf-8"))


def torch_pin(requirements: str) -> str:
    """Find the line "torch==X" in the text of a requirement file."""
    match = re.search(r"^torch==[\w.]+", requirements, re.M)
    if not match:
        raise CommandError(
            "requirements/engine.txt has no line 'torch==VERSION': take it from the repository."
        )
    return match[0]


def _pip(environment: Environment, arguments: list[str], status: StatusLine) -> None:
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    log = environment.folder / LOG
    try:
        run_pip(environment.python, ["install", *quiet, *arguments], log, status)
    except PipFailure as failure:
        if failure.kind != "poisoned":
            raise
        # pip's cache would keep a wrong file for ever.
        run_pip(environment.python, ["install", "--no-cache-dir", *quiet, *arguments], log, status)


def _explain(failure: PipFailure, environment: Environment) -> str:
    """Put a pip failure into one sentence with a way out."""
    log = environment.folder / LOG
    match failure.kind:
        case "disk":
            return (
                f"The disk filled up while {environment.folder.name} was being installed: free about "
                f"{environment.gigabytes:.0f} GB and run the same command again."
            )
        case "network":
            return (
                f"The package index cannot be reached (see {log}): check the network, and HTTPS_PROXY or "
                "PIP_INDEX_URL if you need them, then run the same command again."
            )
        case "poisoned":
            return (
                f"{failure.detail} did not arrive as the file that requirements/locked names (its SHA-256 "
                "differs) and was not installed: run the same command again, and if it stays so check which "
                f"index pip is configured with (see {log})."
            )
        case "conflict":
            return (
                f"The pinned packages of {environment.folder.name} contradict a constraint of this machine's "
                f"pip: see {log} for which, and change PIP_CONSTRAINT or pip's configuration."
            )
        case "no_build":
            return (
                f"{failure.detail.rstrip('.')} for Python {platform.python_version()} on {sys.platform} "
                f"{platform.machine()}: use a 64-bit Python 3.11 or 3.13."
            )
    return f"pip could not install the {environment.name}'s packages ({failure.detail}): see {log}."


def _check_import(environment: Environment) -> None:
    """Raise CommandError if the environment's main module does not import."""
    command = [str(environment.python), "-I", "-c", f"import {environment.module}"]
    tried = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if tried.returncode != 0:
        raise CommandError(explain_import_failure(environment.module, tried.stderr, tried.returncode))


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full, so free some space and run the same command again"
    return "check that the folder is yours and that no program in it is running"


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


@contextmanager
def _only_one_at_a_time(environment: Environment) -> Iterator[None]:
    """Hold a lock on an environment; the system lets go of it however this process ends.

    The lock lies in the temporary folder, because the environment's own folder may be removed and made anew.
    """
    key = hashlib.sha256(str(environment.folder).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"peekaboo-setup-{key}.lock"
    with path.open("a") as lock:
        waiting = False
        while not _try_lock(lock.fileno()):
            if not waiting:
                print(f"Waiting for another set-up of {environment.folder.name} to end ...", file=sys.stderr)
            waiting = True
            time.sleep(0.5)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Set up the environments named on the command line (both by default)."""
    parser = argparse.ArgumentParser(description="Make the project's Python environments.")
    parser.add_argument(
        "environments", nargs="*", metavar="engine|host", help="which to make (both by default)"
    )
    parser.add_argument("--with", dest="extras", action="append", default=[], choices=["test", "lint"])
    options = parser.parse_args(arguments)
    known = {environment.name: environment for environment in (ENGINE, HOST)}
    for name in options.environments or known:
        if name not in known:
            parser.error(f"there is no environment '{name}': choose from {', '.join(known)}")
        print(ensure(known[name], *options.extras))
    return 0


def run_main(function: Callable[[], int]) -> int:
    """Call a command's main function; an error that a user can meet becomes one sentence and an exit code."""
    try:
        return function()
    except CommandError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the same command starts over where that is needed.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run_main(main))
