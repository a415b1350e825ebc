# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the extension that Blender installs: ``python scripts/build_extension.py --out DIR``.

A package holds the manifest and the add-on's modules at its top, and the engine in a folder of its own: not
how the repository lies, so the files are gathered here. Standard library only; the same files give the same
bytes.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from house.environments import LOCKED, ROOT, CommandError, run_main

MANIFEST = "blender_manifest.toml"
SKIPPED_FOLDERS = {"__pycache__"}
BESIDE = ("peekaboo_engine/assets/solids", "peekaboo_engine/assets/solids_twin")
"""Models that stay in the repository: a package has the default model's weights only, for its size."""
OLDEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""One date for all files, so that a package depends on its contents only."""


def version() -> str:
    """Read the version that the engine states, without importing it."""
    text = (ROOT / "peekaboo_engine" / "__init__.py").read_text("utf-8")
    [stated] = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return stated


def manifest() -> str:
    """The manifest as Blender reads it: the repository's, with the version, which is stated in one place."""
    text = (ROOT / MANIFEST).read_text("utf-8")
    whole, count = re.subn(r'^id = ".*"$', rf'\g<0>\nversion = "{version()}"', text, flags=re.MULTILINE)
    if count != 1:
        raise CommandError(f"{MANIFEST} has to state its id once, on a line of its own: correct it.")
    return whole


def package_files() -> dict[str, Path]:
    """List what a package holds: the path in the package and the file of each."""
    files = {name: ROOT / name for name in (MANIFEST, "LICENSE", "requirements/engine.txt")}
    # What the set-up installs: not the locks of the tests and the tools.
    locks = [LOCKED / f"{name}.txt" for name in ("engine", "pip")] + sorted(LOCKED.glob("torch*.txt"))
    files |= {str(path.relative_to(ROOT).as_posix()): path for path in locks}
    files |= {
        str(path.relative_to(ROOT / "blender_addon").as_posix()): path for path in _files("blender_addon")
    }
    engine = {str(path.relative_to(ROOT).as_posix()): path for path in _files("peekaboo_engine")}
    files |= {name: path for name, path in engine.items() if not name.startswith(BESIDE)}
    return dict(sorted(files.items()))


def _files(folder: str) -> Iterator[Path]:
    for path in (ROOT / folder).rglob("*"):
        inside = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") or part in SKIPPED_FOLDERS for part in inside)
        if path.is_file() and not hidden:
            yield path


def build(folder: Path) -> Path:
    """Write ``peekaboo-X.Y.Z.zip`` into a folder, whole or not at all; returns its path.

    Raises:
        CommandError: the folder cannot be written.
    """
    package = folder / f"peekaboo-{version()}.zip"
    draft = package.with_name(f".{package.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in package_files().items():
                entry = zipfile.ZipInfo(name, OLDEST_ZIP_DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, manifest() if name == MANIFEST else path.read_bytes())
        draft.replace(package)
    except OSError as error:
        raise CommandError(
            f'The package cannot be written to "{folder}" ({error.strerror or error}): choose another folder.'
        ) from None
    finally:
        if draft.is_file():
            draft.unlink()
    return package


def main(arguments: list[str] | None = None) -> int:
    """Build the package and print its path."""
    parser = argparse.ArgumentParser(description="Build the extension that Blender installs.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the .zip goes (dist/)")
    print(build(parser.parse_args(arguments).out))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_main(main))
