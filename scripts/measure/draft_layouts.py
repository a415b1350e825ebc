# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan each line of a text file, and write the box tracks of all plans as layouts for ``evaluate``.

.venv/bin/python scripts/measure/draft_layouts.py SENTENCES.txt LAYOUTS.json [--aspect 1.8]
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from peekaboo_engine.errors import EngineError
from peekaboo_engine.planning.command import records_of
from peekaboo_engine.planning.planner import plan_text

FRAMES = 16


def main() -> int:
    """Plan, and write; a sentence that is not understood ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("layouts", type=Path)
    parser.add_argument(
        "--aspect", type=float, default=1.8, help="of the model's picture; shapes has 288 x 160"
    )
    asked = parser.parse_args()
    records = []
    for number, line in enumerate(asked.sentences.read_text("utf-8").splitlines(), start=1):
        try:
            plan = plan_text(line, asked.aspect)
        except EngineError as error:
            print(f"error: line {number}: {error.message}", file=sys.stderr)
            return 1
        for record in records_of(plan, FRAMES):
            record["id"] = f"{number}-{record['id']}"
            records.append(record)
    asked.layouts.write_text(json.dumps(records), encoding="utf-8")
    print(f"{len(records)} box tracks in {asked.layouts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
