# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock what is installed: every package at one version, with the SHA-256 of each of its files.

``requirements/NAME.txt`` say what is wanted, and people edit them. ``requirements/locked/NAME.txt`` say what
is installed, for all systems and Pythons at once; this command alone writes them, with ``uv pip compile``,
and keeps each version that still fits unless ``--upgrade`` is given.

torch is apart, for which build of it is installed depends on what there is to compute on. PyPI's build has a
lock as the others have (``torch.txt``, with the libraries of CUDA). The builds that PyTorch's own index alone
has are listed in ``torch_wheels.json``, by file: the index is read where it can be reached, and a hash that
it does not give stays as it was. It gives none for some of its files
(https://github.com/pytorch/pytorch/issues/173099): such a hash is what ``sha256sum`` says of the file.

Standard library only.

    python scripts/house/lock.py [--upgrade]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from html.parser import HTMLParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house.environments import (
    ENGINE,
    LOCKED,
    REQUIREMENTS,
    CommandError,
    locked,
    made_from,
    run_main,
    torch_pin,
    write_atomically,
)

NAMES = ("engine", "host", "test", "lint", "pip", "lock")
"""The requirement files, each of which has a lock."""
OLDEST_PYTHON = "3.11"
WHEELS = "torch_wheels.json"
PYTORCH = "https://download.pytorch.org/whl/"
INDEX_SECONDS = 30
_PYTHONS = r"(cp31[1-4])-\1"
BUILDS = {
    "cpu": {"torch": r"torch-{torch}\+cpu-" + _PYTHONS + r"-manylinux_2_28_(x86_64|aarch64)\.whl"},
    "cu130": {"torch": r"torch-{torch}\+cu130-" + _PYTHONS + r"-win_amd64\.whl"},
    "rocm7.2": {
        "torch": r"torch-{torch}\+rocm7\.2-" + _PYTHONS + r"-manylinux_2_28_x86_64\.whl",
        "triton-rocm": r"triton_rocm-{triton}-" + _PYTHONS + r"-\w*linux\w*_x86_64\.whl",
    },
}
"""The builds of PyTorch's index that the set-up may choose: which files of their packages may be taken."""
Wheels = dict[str, str | None]
"""Names of files, with the SHA-256 of each where that is known."""
OF_A_BUILD = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
"""The packages that only some builds of torch need, and torch."""


def split(locked: str) -> tuple[str, str]:
    """Part the lock of the engine: what every engine needs, and torch with what only its builds need."""
    common: list[str] = []
    builds: list[str] = []
    for entry in re.split(r"\n(?=[\w\[])", locked.strip("\n")):
        (builds if OF_A_BUILD.match(entry) else common).append(entry)
    return "\n".join(common) + "\n", "\n".join(builds) + "\n"


def exactly(torch: str) -> str:
    """Let the build without a suffix alone be taken: to pip's ``==`` those with one are the same version."""
    return re.sub(r"^torch==", "torch===", torch, count=1, flags=re.M)


class _Links(HTMLParser):
    """The files of an index page, with the hash of each or None."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take a link."""
        address = urllib.parse.urlparse(dict(attributes).get("href") or "")
        if tag == "a" and address.path.endswith(".whl"):
            given = re.fullmatch(r"sha256=([0-9a-f]{64})", address.fragment)
            name = urllib.parse.unquote(address.path.rpartition("/")[2])
            self.files[name] = given[1] if given else None


def wheels_of(page: str, pattern: str, known: Wheels) -> Wheels:
    """List the wheels of a package with their hashes.

    Args:
        page: of the index, about the package.
        pattern: that the whole name of a file must match.
        known: the hashes from before; one of them holds where the page gives none.

    Raises:
        CommandError: the page gives another hash than was known for a file, which must never change.
    """
    links = _Links()
    links.feed(page)
    found = {name: given for name, given in links.files.items() if re.fullmatch(pattern, name)}
    for name, given in found.items():
        before = known.get(name)
        if given and before and given != before:
            raise CommandError(
                f"The index has another {name} than before (its SHA-256 differs): find out why, and remove "
                f"it from requirements/{WHEELS} if that is right."
            )
        found[name] = given or before
    return dict(sorted(found.items()))


def refresh(
    known: Wheels, build: str, package: str, versions: dict[str, str], pytorch: str = PYTORCH
) -> Wheels:
    """Read PyTorch's index for a package of a build; where it is out of reach, what is known stays.

    Args:
        known: the package's wheels from before.
        build: a key of :data:`BUILDS`.
        package: one of the build's.
        versions: of torch and triton.
        pytorch: address of the index, with a slash at its end.

    Raises:
        CommandError: it is out of reach and what is known is of another version, or it has another file.
    """
    pattern = BUILDS[build][package].format(**{name: re.escape(each) for name, each in versions.items()})
    address = f"{pytorch}{build}/{package}/"
    try:
        with urllib.request.urlopen(address, timeout=INDEX_SECONDS) as answer:
            page = answer.read().decode("utf-8")
    except OSError as error:
        if not all(re.fullmatch(pattern, name) for name in known):
            raise CommandError(
                f"{address} cannot be read ({error}) and the version of {package} is new: run this where "
                "it can be reached."
            ) from None
        print(f"kept, for the index is out of reach: {package} of {build}", file=sys.stderr)
        return known
    return wheels_of(page, pattern, known)


def build_lock(build: str, packages: dict[str, Wheels], versions: dict[str, str]) -> str:
    """Write the entries of a build that PyTorch's index alone has."""
    pins = {
        "torch": f"torch=={versions['torch']}+{build}",
        "triton-rocm": f"triton-rocm=={versions['triton']}",
    }
    hashes = {package: sorted(filter(None, wheels.values())) for package, wheels in packages.items()}
    if not all(hashes.values()):
        note = "# Not all hashes are known: only the connection to PyTorch's index vouches for these.\n"
        return note + "".join(f"{pins[package]}\n" for package in packages)
    entries = ""
    for package, wheels in packages.items():
        if unknown := [name for name, given in wheels.items() if not given]:
            entries += f"# Refused, since no hash of them is known: {', '.join(unknown)}.\n"
        entries += " \\\n    --hash=sha256:".join([pins[package], *hashes[package]]) + "\n"
    return entries


def compile_lock(uv: list[str], name: str, former: str, constraints: list[Path], upgrade: bool) -> str:
    """Resolve a requirement file with uv; returns the lock's entries.

    Raises:
        CommandError: there is no resolution, or the index is out of reach.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, f"{name}.txt")
        output.write_text(former, "utf-8")  # uv keeps the versions that it finds there
        command = [
            *uv, "pip", "compile", str(REQUIREMENTS / f"{name}.txt"), "--output-file", str(output),
            "--universal", "--generate-hashes", "--python-version", OLDEST_PYTHON,
            "--only-binary", ":all:", "--no-config", "--no-header", "--no-annotate", "--quiet",
        ]  # fmt: skip
        for constraint in constraints:
            command += ["--constraint", str(constraint)]
        made = subprocess.run([*command, *(["--upgrade"] if upgrade else [])], capture_output=True, text=True)
        if made.returncode != 0:
            reason = " ".join(made.stderr.split()) or f"exit code {made.returncode}"
            raise CommandError(f"requirements/{name}.txt cannot be resolved ({reason}): change its pins.")
        return output.read_text("utf-8")


def header(name: str) -> str:
    """The first lines of a lock: what made it, and from what."""
    return "# Made by scripts/house/lock.py: do not edit.\n" + made_from(REQUIREMENTS / f"{name}.txt")


def _read(name: str) -> str:
    path = LOCKED / f"{name}.txt"
    return path.read_text("utf-8") if path.is_file() else ""


def _find_uv(folder: Path) -> list[str]:
    """Take the machine's uv, or install the locked one into a folder."""
    if uv := shutil.which("uv"):
        return [uv]
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    lock = ["--require-hashes", "-r", str(LOCKED / "lock.txt")]
    command = [
        str(programs / "python"),
        "-I",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        *lock,
    ]
    if subprocess.run([*command, *locked(LOCKED / "lock.txt")]).returncode != 0:
        raise CommandError("uv cannot be installed (see above): check the network, or install uv yourself.")
    return [str(programs / "uv")]


def lock(uv: list[str], upgrade: bool) -> None:
    """Write all locks. Those of what is installed into one environment agree with each other.

    Raises:
        CommandError: one cannot be made; those before it are written.
    """
    LOCKED.mkdir(exist_ok=True)
    for name in NAMES:
        # test and lint go into the engine's environment, and test into the host's: their versions follow.
        follows = {"test": ["engine", "host"], "lint": ["engine", "test"]}.get(name, [])
        constraints = [LOCKED / f"{other}.txt" for other in follows]
        former = _read(name) + (_read("torch").replace("===", "==") if name == ENGINE.requirement else "")
        entries = compile_lock(uv, name, former, constraints, upgrade)
        if name == ENGINE.requirement:
            entries, torch = split(entries)
            write_atomically(LOCKED / "torch.txt", header(name) + exactly(torch))
        write_atomically(LOCKED / f"{name}.txt", header(name) + entries)
    lock_builds()


def lock_builds() -> None:
    """Write the locks of the builds that PyTorch's index alone has, and what is known of their files.

    Raises:
        CommandError: see :func:`refresh`.
    """
    triton = re.search(r"^triton==([\w.]+)", _read("torch"), re.M)
    assert triton, "PyPI's build of torch for Linux needs triton"
    torch = torch_pin((REQUIREMENTS / "engine.txt").read_text("utf-8")).partition("==")[2]
    versions = {"torch": torch, "triton": triton[1]}
    path = REQUIREMENTS / WHEELS
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    wheels = {
        build: {
            package: refresh(known.get(build, {}).get(package, {}), build, package, versions)
            for package in packages
        }
        for build, packages in BUILDS.items()
    }
    write_atomically(path, json.dumps(wheels, indent=2) + "\n")
    for build, packages in wheels.items():
        text = header(ENGINE.requirement) + build_lock(build, packages, versions)
        write_atomically(LOCKED / f"torch-{build}.txt", text)


def main(arguments: list[str] | None = None) -> int:
    """Write the locks."""
    parser = argparse.ArgumentParser(description="Lock every package that is installed, with hashes.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit the pins")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        lock(_find_uv(Path(folder, "uv")), options.upgrade)
    print(LOCKED)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
