# SPDX-License-Identifier: GPL-3.0-or-later
"""Try so many hostile jobs, masks, takes, models, requests and events on the engine, and record what came.

    python scripts/measure/fuzz.py [--cases 5000] [--out docs/reference/fuzz.json]

The cases are those of tests/engine/test_fuzz.py, the same at each run; a process for each kind. The first
that breaks a promise ends its kind, and nothing is recorded. Needs the environment of the engine's tests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("jobs", "masks", "takes", "models", "lines", "events")


def main() -> int:
    """Run the tests with so many cases; returns the number of kinds that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "reference" / "fuzz.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        records = {kind: Path(temporary) / f"{kind}.json" for kind in KINDS}
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "pytest", "-x", "-q", f"tests/engine/test_fuzz.py::test_{kind}"],
                cwd=ROOT,
                env=os.environ
                | {"PEEKABOO_FUZZ_CASES": str(asked.cases), "PEEKABOO_FUZZ_RECORD": str(record)},
            )
            for kind, record in records.items()
        ]
        failed = sum(run.wait() != 0 for run in runs)
        if not failed:
            kinds = {kind: json.loads(record.read_text()) for kind, record in records.items()}
            asked.out.write_text(json.dumps(summary(asked.cases, kinds), indent=1) + "\n", encoding="utf-8")
    return failed


def summary(cases: int, kinds: dict[str, dict]) -> dict:
    """All kinds together: sums of counts, the most of the rest."""
    answers: Counter[str] = Counter()
    for record in kinds.values():
        answers.update(record["answers"])
    return {
        "command": f"python scripts/measure/fuzz.py --cases {cases}",
        "cases": {kind: record["cases"] for kind, record in kinds.items()},
        "broken_promises": 0,  # or there is no record
        "answers": dict(answers.most_common()),
        "slowest_answer_cpu_seconds": max(record["slowest_answer_cpu_seconds"] for record in kinds.values()),
        "memory_mb": {
            "of a process after one good job": max(record["memory_mb"] for record in kinds.values()),
            "most that one case added": max(record["added_mb"] for record in kinds.values()),
        },
        "minutes": max(record["minutes"] for record in kinds.values()),
    }


if __name__ == "__main__":
    raise SystemExit(main())
