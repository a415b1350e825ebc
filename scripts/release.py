# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a release: a folder that any web server can serve as an extension repository of Blender's.

    python scripts/release.py [--out DIR] [--draft]

The folder gets the package (one for all systems: the engine's packages come with the set-up),
``SHA256SUMS`` of all packages in it, ``index.json`` for Blender's *Get Extensions* (written by Blender's own
``extension server-generate``) and ``NOTES.md``, the release's part of the changelog. Packages of earlier
releases stay; the index names the new one. All of it appears, or nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import build_extension
from house import find_blender
from house.environments import ROOT, CommandError, run_main

CHANGELOG = ROOT / "CHANGELOG.md"
SUMS, INDEX, NOTES = "SHA256SUMS", "index.json", "NOTES.md"


def notes(changelog: str, version: str, draft: bool = False) -> str:
    """Cut out what the changelog says of a release.

    Args:
        changelog: the whole of it; a release begins with a line like ``## 1.2.3 (2026-02-28)``.
        version: the release's.
        draft: whether it may lack a date.

    Raises:
        CommandError: it says nothing, or has no date yet.
    """
    heading = rf"^## {re.escape(version)} \(([^)\n]+)\)$"
    found = re.search(heading + r"\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if found is None or not found[2].strip():
        raise CommandError(f"CHANGELOG.md says nothing of {version}: write what users will notice.")
    if not draft and not re.fullmatch(r"\d{4}-\d\d-\d\d", found[1]):
        raise CommandError(
            f'CHANGELOG.md calls {version} "{found[1]}": put the date there, or make a draft with --draft.'
        )
    return f"# Peekaboo {version} ({found[1]})\n\n{found[2].strip()}\n"


def sums(packages: list[Path]) -> str:
    """What ``sha256sum --check`` reads."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in packages]
    return "".join(sorted(lines, key=lambda line: line.partition("  ")[2]))


def publish(folder: Path, blender: str, draft: bool = False) -> Path:
    """Write a release into a folder; returns its package.

    Raises:
        CommandError: it cannot be made as it should; the folder is as it was.
    """
    version = build_extension.version()
    text = notes(CHANGELOG.read_text("utf-8"), version, draft)
    if not draft:
        _check_that_all_is_committed()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".release-", dir=folder) as staging:
            package = build_extension.build(Path(staging))
            public = folder / package.name
            if public.is_file() and public.read_bytes() != package.read_bytes():
                raise CommandError(
                    f"{public} is another package of this version: a release never changes, so state a new "
                    "version in peekaboo_engine/__init__.py (or remove the draft)."
                )
            _ask(blender, "validate", str(package))
            _ask(blender, "server-generate", "--repo-dir", staging)
            earlier = [path for path in folder.glob("*.zip") if path.name != package.name]
            (Path(staging) / SUMS).write_text(sums([package, *earlier]), "utf-8")
            (Path(staging) / NOTES).write_text(text, "utf-8")
            for name in (package.name, SUMS, NOTES, INDEX):  # the index last: it names the others
                (Path(staging) / name).replace(folder / name)
    except OSError as error:
        raise CommandError(
            f'The release cannot be written to "{folder}" ({error.strerror or error}): choose another folder.'
        ) from None
    return public


def _check_that_all_is_committed() -> None:
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "status", "--porcelain"], capture_output=True, text=True, errors="replace"
    )
    if asked.returncode != 0 or asked.stdout.strip():
        raise CommandError("This checkout has changes that are not committed: commit them, or use --draft.")


def _ask(blender: str, *arguments: str) -> None:
    """Run one of Blender's commands about extensions, with a profile of its own."""
    with tempfile.TemporaryDirectory() as profile:
        run = subprocess.run(
            [blender, "--offline-mode", "--command", "extension", *arguments],
            env={**os.environ, "BLENDER_USER_RESOURCES": profile},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    if run.returncode != 0:
        said = " ".join(run.stdout.split())[-300:]
        raise CommandError(f"Blender's extension {arguments[0]} refuses the package ({said}): correct it.")


def main(arguments: list[str] | None = None) -> int:
    """Make the release and print its package."""
    parser = argparse.ArgumentParser(description="Make a release that Blender can install from a web server.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder to be served (dist/)")
    parser.add_argument("--draft", action="store_true", help="without a date in the changelog, to try it out")
    options = parser.parse_args(arguments)
    blender = find_blender.find_blender()
    if blender is None:
        raise CommandError("A release needs Blender 4.2 or newer: set BLENDER to one, or put it on PATH.")
    print(publish(options.out, blender.path, options.draft))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_main(main))
