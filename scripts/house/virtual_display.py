# SPDX-License-Identifier: GPL-3.0-or-later
"""A display without a screen, for a Blender that has to have a window."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = "1280x800"


def missing() -> str | None:
    """Say why windows cannot be tested here; None where they can."""
    if _tools() is None and shutil.which("Xvfb") is None:
        return "needs Xvfb (on Debian: apt-get install xvfb imagemagick)"
    return None


def _tools() -> str | None:
    """The command that starts programs beside a Blender which lives in a Debian root of its own."""
    beside = Path(os.environ.get("BLENDER", "")).resolve().parent / "inroot"
    return str(beside) if beside.is_file() else None


@contextmanager
def display() -> Iterator[str]:
    """Start an X server of its own and give its name, such as ``:7``."""
    read, write = os.pipe()
    tools = _tools()
    prefix = [tools] if tools else []
    server = subprocess.Popen(
        [*prefix, "Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()
