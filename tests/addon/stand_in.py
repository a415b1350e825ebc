# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in engines that misbehave on request, to test how the client handles a process."""

import sys
from pathlib import Path

HELLO = 'print(\'{"event":"hello","protocol":1,"engine":"9","device":"cpu"}\', flush=True)\n'


def write(folder: Path, body: str) -> Path:
    """Write an executable in the place of the engine's Python; in its code ``out`` is the clip's folder."""
    script = folder / "engine-python"
    head = f"#!{sys.executable}\nimport os, signal, sys, time\nout = sys.argv[sys.argv.index('--out') + 1]\n"
    script.write_text(head + body)
    script.chmod(0o755)
    return script
