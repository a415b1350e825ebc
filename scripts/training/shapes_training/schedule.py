# SPDX-License-Identifier: GPL-3.0-or-later
"""Training by the clock: a machine is lent for a time, so the schedule runs over seconds, not steps."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch


class Clock:
    """Seconds of training so far, over all runs, of the `total` that the schedule is laid out for."""

    def __init__(self, total: float, spent: float = 0.0):
        self.total = total
        self._before = spent
        self._start = time.monotonic()

    @property
    def this_run(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self._start

    @property
    def spent(self) -> float:
        """Seconds of training in this and all earlier runs."""
        return self._before + self.this_run

    @property
    def fraction(self) -> float:
        """How far the schedule is, 0..1."""
        return min(1.0, self.spent / self.total)


def learning_rate(fraction: float, step: int, warmup_steps: int = 200) -> float:
    """Factor on the peak rate: linear warm-up by steps, half a cosine by the clock, down to 1 %."""
    return min(1.0, (step + 1) / warmup_steps) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction)))


class Average:
    """Exponential moving average of a module's parameters, which is what gets shipped."""

    def __init__(self, module: torch.nn.Module, decay: float = 0.998):
        self._live = [p for p in module.parameters() if p.requires_grad]
        self.values = [p.detach().clone() for p in self._live]
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the module's present parameters, faster in the first steps."""
        torch._foreach_lerp_(self.values, self._live, 1 - min(self._decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's parameters with the averaged ones; a second call undoes it."""
        for live, value in zip(self._live, self.values, strict=True):
            kept = live.detach().clone()
            live.copy_(value)
            value.copy_(kept)


def append_log(path: Path, **entry: float) -> None:
    """Add one JSON line to a log, and show it.

    Raises:
        SystemExit: a value is not a number: what is learned from then on is lost time.
    """
    if broken := [name for name, value in entry.items() if not math.isfinite(value)]:
        raise SystemExit(f"{broken[0]} is not a number any more; look for what is not finite in the clips.")
    line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in entry.items()})
    with path.open("a") as log:
        log.write(line + "\n")
    print(line, flush=True)


def save_atomically(state: dict, path: Path) -> None:
    """`torch.save`, never leaving half a file under the final name."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(path)
