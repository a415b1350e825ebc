# SPDX-License-Identifier: GPL-3.0-or-later
"""What operating systems do differently with processes and environments; imports no bpy.

Functions that decide by the system take its name, as ``os.name`` has it, so that tests can ask each of them
about each system.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

NICENESS = 10
"""How far the engine steps back for other processes, where the system knows such a thing."""
LOW_PRIORITY = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
"""The same for Windows, which wants to know it at the start; nothing elsewhere."""


def python_of(home: Path, system: str = os.name) -> Path:
    """The interpreter of a virtual environment."""
    return home / ("Scripts/python.exe" if system == "nt" else "bin/python")


def end(process: subprocess.Popen, politely: bool, system: str = os.name) -> None:
    """End a process that leads a session of its own, with all that it has started.

    Windows knows no such sessions: there it alone is ended, at once either way, and the engine's own thread
    and pip's pipes see to the rest.

    Args:
        process: of which nobody has collected the end.
        politely: whether it may clean up before.
        system: see above.
    """
    if system == "nt":
        process.kill()
        return
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.killpg(process.pid, signal.SIGTERM if politely else signal.SIGKILL)


def step_back(process: int) -> None:
    """Let Blender's window come first where it and the engine want the same cores.

    Linux may share the cores out among sessions before it looks at the processes in them, and the engine
    leads a session of its own: then its nice value alone says nothing to Blender. See "The autogroup feature"
    in sched(7).
    """
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process, NICENESS)
    with suppress(OSError):  # not Linux, or one without that feature
        Path(f"/proc/{process}/autogroup").write_text(str(NICENESS), encoding="ascii")
