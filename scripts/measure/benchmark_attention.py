# SPDX-License-Identifier: GPL-3.0-or-later
"""What masking costs: time of one attention call under a rule over the same call without, as ratios.

    python scripts/measure/benchmark_attention.py [--json OUT.json] [--rounds 7] [--device cuda]

Each round times all ways in turn, so that whatever else the machine does meets them alike; the ratio is that
of the fastest rounds. Shapes are those of ZeroScope (576 x 320 x 24) and the embedded model (288 x 160 x 16).
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.control.attention import Rule, _gathered, _masked

# rows (frames, or pixels for temporal attention), heads, query tokens, key tokens (None: the same), channels
SITES = {
    "ZeroScope spatial 40 x 72": (24, 5, 2880, None, 64),
    "ZeroScope spatial 20 x 36": (24, 10, 720, None, 64),
    "ZeroScope cross 40 x 72": (24, 5, 2880, 77, 64),
    "ZeroScope temporal": (2880, 5, 24, None, 64),
    "shapes spatial 20 x 36": (16, 2, 720, None, 32),
    "shapes spatial 10 x 18": (16, 4, 180, None, 32),
    "shapes temporal": (720, 2, 16, None, 32),
}


def moving_box(rows: int, tokens: int, share: float) -> torch.Tensor:
    """Labels of a box that covers ``share`` of the tokens and moves from row to row: int64 (rows, tokens)."""
    size = max(1, round(tokens * share))
    starts = torch.arange(rows) * (tokens - size) // max(1, rows - 1)
    positions = torch.arange(tokens)
    return ((positions >= starts[:, None]) & (positions < starts[:, None] + size)).long()


def synchronise(device: str) -> None:
    """Wait for a GPU to finish what it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def seconds_of(call, device: str) -> float:
    """Wall time of one call."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def measure(site: tuple, share: float, rounds: int, device: str) -> dict[str, float]:
    """Fastest seconds of each way at one site, one row of classifier-free guidance."""
    rows, heads, queries, keys, channels = site
    labels = moving_box(rows, queries, share)
    rule = Rule.within(labels)
    if keys is not None:
        rule = Rule(labels, moving_box(rows, keys, 0.1), rule.table)
    q = torch.randn(rows, heads, queries, channels, device=device)
    k, v = torch.randn(2, rows, heads, rule.keys.shape[1], channels, device=device)
    ways = {
        "unmasked": lambda: F.scaled_dot_product_attention(q, k, v),
        "masked": lambda: _masked(q, k, v, rule, None, None),
        "gathered": lambda: _gathered(q, k, v, rule, None, None),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for way, call in ways.items():
            best[way] = min(best[way], seconds_of(call, device))
    return best


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the ratios here.")] = None,
    rounds: Annotated[int, typer.Option(help="How often each way is timed.")] = 7,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Print the table, and write it as JSON."""
    table = Table("site", "box", "masked / unmasked", "gathered / unmasked")
    results = []
    for name, site in SITES.items():
        for share in (0.1, 0.25):
            best = measure(site, share, rounds, device)
            ratios = {way: round(best[way] / best["unmasked"], 2) for way in ("masked", "gathered")}
            results.append({"site": name, "box": share, **ratios})
            table.add_row(name, f"{share:.0%}", *(f"{ratio:.2f}" for ratio in ratios.values()))
    Console().print(table)
    if json_file:
        record = {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": device,
            "rows": results,
        }
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
