# SPDX-License-Identifier: GPL-3.0-or-later
"""Try so many hostile jobs, masks, takes, models, requests and events on the engine, and record what came.

    python scripts/measure/fuzz.py [--cases 5000] [--out docs/reference/fuzz.json]

The cases are those of tests/engine/test_fuzz.py, the same at each run; the first that breaks a promise ends
the run, and nothing is written. Needs the environment of the engine's tests.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the tests with so many cases; returns pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "reference" / "fuzz.json")
    asked = parser.parse_args()
    record = asked.out.resolve()
    environment = {"PEEKABOO_FUZZ_CASES": str(asked.cases), "PEEKABOO_FUZZ_RECORD": str(record)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "tests/engine/test_fuzz.py"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
