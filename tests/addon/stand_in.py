# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in engines that misbehave on request, to test how the client handles a process."""

import sys
from pathlib import Path

HELLO = 'print(\'{"event":"hello","protocol":1,"engine":"9","device":"cpu"}\', flush=True)\n'


def write(folder: Path, body: str, out: bool = True) -> Path:
    """Write an executable in the place of the engine's Python.

    With ``out``, its code finds the clip's folder under that name.
    """
    script = folder / "engine-python"
    head = f"#!{sys.executable}\nimport os, signal, sys, time\n"
    head += "out = sys.argv[sys.argv.index('--out') + 1]\n" if out else ""
    script.write_text(head + body)
    script.chmod(0o755)
    return script
