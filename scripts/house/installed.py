# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension as a user has it: built, and installed into a profile of its own."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import build_extension

NAME = "bl_ext.user_default.peekaboo"
"""What Blender calls an extension that was installed from a file."""


@dataclass(frozen=True)
class Profile:
    """A Blender with user files of its own."""

    folder: Path

    @property
    def extension(self) -> Path:
        """Where the extension's files lie once it is installed."""
        return self.folder / "extensions" / "user_default" / "peekaboo"

    @property
    def variables(self) -> dict[str, str]:
        """The environment that Blender is to be started with."""
        return {**os.environ, "BLENDER_USER_RESOURCES": str(self.folder), "PYTHONUNBUFFERED": "1"}

    def blender(self, *arguments, check: bool = True, **variables) -> subprocess.CompletedProcess[str]:
        """Run Blender; its output is part of what pytest shows of a failure."""
        run = subprocess.run(
            [os.environ["BLENDER"], *map(str, arguments)],
            env=self.variables | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        print(run.stdout)
        assert not check or run.returncode == 0, f"Blender ended with {run.returncode}"
        return run

    def python(self, code: str, *arguments, **options) -> str:
        """Run code in a Blender without a window; an exception fails."""
        return self.blender(
            "-b", *arguments, "--python-exit-code", 3, "--python-expr", code, **options
        ).stdout


def install(folder: Path) -> Profile:
    """Build the extension, and install and enable it in a new profile."""
    profile = Profile(folder / "profile")
    profile.folder.mkdir()
    package = build_extension.build(folder)
    profile.blender("--command", "extension", "install-file", "-r", "user_default", "-e", package)
    return profile
