# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of somebody else's, in which every name that a Python may import is a trap."""

import os
import sys
from pathlib import Path

ENGINES = {"torch", "numpy", "diffusers", "transformers", "pydantic", "rich", "typer", "pip", "venv"}
STARTUP = {"sitecustomize", "usercustomize", "peekaboo_engine", "start"}

TRAP = f"""
import {os.name} as system  # there before Python can open files
system.write(system.open({{record!r}}, {os.O_WRONLY | os.O_CREAT | os.O_APPEND}, 0o600), b"{{name}} ")
raise ImportError("a trap")
"""


class Traps:
    """Modules that say so when they are run, and then fail."""

    def __init__(self, folder: Path, record: Path):
        """Write one for each name; ``record`` lies elsewhere."""
        self._record = record
        for name in sys.stdlib_module_names | ENGINES | STARTUP:
            (folder / f"{name}.py").write_text(TRAP.format(name=name, record=str(record)))

    def sprung(self) -> list[str]:
        """Names of those that were run."""
        return self._record.read_text().split() if self._record.exists() else []
