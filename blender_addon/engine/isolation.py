# SPDX-License-Identifier: GPL-3.0-or-later
"""How the add-on starts a Python: with that Python's own modules and no others; imports no bpy.

Blender's current folder is often the one of a .blend that somebody else made, and a ``queue.py`` there must
not become a module of the engine. So each Python of ours is isolated (``-I`` in "Interface options" of
Python's documentation): neither the current folder, nor a script's, nor the user's site folder, nor a
``PYTHON*`` variable adds a module. Its current folder is this one, so that no relative path leads to the
.blend either.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
"""The current folder of what is started."""


def command(python: Path | str, *arguments: Path | str) -> list[str]:
    """The command that runs an isolated Python, whose output is not held back.

    Args:
        python: the interpreter. Links are kept: a virtual environment's is one.
        arguments: its own, from ``-c``, ``-m`` or the script on.
    """
    return [str(Path(python).absolute()), "-I", "-u", *map(str, arguments)]


def environment(online: bool) -> dict[str, str]:
    """Make the environment variables of a Python that :func:`command` starts.

    Blender's own Python settings must not reach another Python, nor what that starts. Threads that wait must
    not spin, since Blender computes on the same cores: that makes a step many times slower.

    Args:
        online: whether a model may be downloaded.
    """
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PYTHON")}
    offline = {} if online else {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {"OMP_WAIT_POLICY": "PASSIVE"} | kept | offline
