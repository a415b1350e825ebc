# SPDX-License-Identifier: GPL-3.0-or-later
"""Find an installed Blender to use in the place of the bpy module. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from house.environments import CommandError

OLDEST_BLENDER = (4, 2)


@dataclass(frozen=True)
class Blender:
    """A Blender program that can be started: its path and its (major, minor) version."""

    path: str
    version: tuple[int, int]


def find_blender() -> Blender | None:
    """Find a Blender of 4.2 or newer: $BLENDER, else `blender` on PATH, else None (use the bpy module).

    Raises CommandError if $BLENDER is set and is no such program: what was asked for is not replaced.
    """
    asked = os.environ.get("BLENDER")
    blender = _start_blender(asked or "blender")
    if asked and not blender:
        raise CommandError(
            f"BLENDER is set to {asked}, which does not start as Blender: correct or unset it."
        )
    if asked and blender and blender.version < OLDEST_BLENDER:
        major, minor = blender.version
        raise CommandError(f"BLENDER is set to {asked}, which is Blender {major}.{minor}: use 4.2 or newer.")
    return blender if blender and blender.version >= OLDEST_BLENDER else None


def parse_blender_version(text: str) -> tuple[int, int] | None:
    """Read (major, minor) from what `blender --version` prints, or None if it is something else."""
    match = re.search(r"^Blender (\d+)\.(\d+)", text, re.M)
    return (int(match[1]), int(match[2])) if match else None


def _start_blender(command: str) -> Blender | None:
    """Ask a program for its version; None if there is no such program or it is not Blender."""
    path = shutil.which(command)
    if not path:
        return None
    try:
        printed = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = parse_blender_version(printed.stdout)
    return Blender(str(Path(path).absolute()), version) if version else None
