# SPDX-License-Identifier: GPL-3.0-or-later
"""How many of our sentences a planner lays out as they say, by kind.

    .venv/bin/python scripts/measure/plan_sentences.py [--json RESULT.json]

The built-in planner; or, with PEEKABOO_ENDPOINT (an OpenAI-compatible address) and PEEKABOO_ENDPOINT_MODEL
in the environment, and perhaps PEEKABOO_ENDPOINT_KEY, a language model. A sentence is right where all
predicates of tests/engine/planning/sentences.json hold of its plan.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "engine" / "planning"))

from predicates import failing  # type: ignore[import-not-found]  # of the tests
from rich.console import Console
from rich.table import Table

from peekaboo_engine.errors import EngineError
from peekaboo_engine.planning.endpoint import Endpoint
from peekaboo_engine.planning.language_model import plan_with_model
from peekaboo_engine.planning.planner import plan_text

SENTENCES = Path(__file__).parents[2] / "tests" / "engine" / "planning" / "sentences.json"


def main() -> int:
    """Plan all, print the table; the exit code is 0 if nine in ten are right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="gets the result")
    asked = parser.parse_args()
    url, model = os.environ.get("PEEKABOO_ENDPOINT", ""), os.environ.get("PEEKABOO_ENDPOINT_MODEL", "")
    endpoint = Endpoint(url, model, os.environ.get("PEEKABOO_ENDPOINT_KEY", ""), online=True) if url else None
    results = [_plan(sentence, endpoint) for sentence in json.loads(SENTENCES.read_text("utf-8"))]
    planner = f"{model} at {url}" if endpoint else "built in"
    _print(planner, results)
    right = sum(result["outcome"] == "right" for result in results)
    if asked.json:
        lines = ",\n".join(json.dumps(result) for result in results)
        whole = {"planner": planner, "right": right, "of": len(results)}
        text = f'{json.dumps(whole)[:-1]}, "sentences": [\n{lines}\n]}}\n'
        asked.json.write_text(text, encoding="utf-8")
    return 0 if right >= 0.9 * len(results) else 1


def _plan(sentence: dict, endpoint: Endpoint | None) -> dict:
    begun, why = time.perf_counter(), ""
    try:
        plan = plan_with_model(sentence["text"], endpoint)[0] if endpoint else plan_text(sentence["text"])
        wrong = failing(plan, sentence["holds"])
        outcome, why = ("wrong", str(wrong)) if wrong else ("right", "")
    except EngineError as error:
        outcome, why = "refused", error.message
    seconds = round(time.perf_counter() - begun, 3)
    return {
        "kind": sentence["kind"],
        "text": sentence["text"],
        "outcome": outcome,
        "why": why,
        "seconds": seconds,
    }


def _print(planner: str, results: list[dict]) -> None:
    console, table = Console(), Table("kind", "right", "wrong", "refused", "of", title=f"planner: {planner}")
    kinds = list(dict.fromkeys(result["kind"] for result in results))
    for kind in [*kinds, "all"]:
        counts = Counter(result["outcome"] for result in results if kind in {result["kind"], "all"})
        cells = [counts[name] for name in ("right", "wrong", "refused")]
        table.add_row(kind, *map(str, cells), str(sum(cells)))
    console.print(table)
    for result in results:
        if result["outcome"] != "right":
            console.print(f"{result['outcome']}: {result['text']}: {result['why']}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
