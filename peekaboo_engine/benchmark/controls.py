# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to steer that the benchmark compares, each a name for options of :func:`.control.peekaboo`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline

from ..control import peekaboo
from ..errors import EngineError


@dataclass(frozen=True)
class Control:
    """A way to steer.

    Args:
        name: of its row in a table.
        options: keyword arguments of :func:`peekaboo`; None is the unmodified pipeline.
    """

    name: str
    options: Mapping[str, Any] | None = field(default_factory=dict)

    def steering(
        self, pipe: DiffusionPipeline, labels: np.ndarray, phrases: list[str]
    ) -> contextlib.AbstractContextManager:
        """Steer every call of the pipeline within the block."""
        return (
            contextlib.nullcontext()
            if self.options is None
            else peekaboo(pipe, labels, phrases, **self.options)
        )

    def with_masked_steps(self, steps: int) -> Control:
        """The same with its own default of masked steps, if it has none yet."""
        return self if self.options is None else Control(self.name, {"masked_steps": steps, **self.options})


NONE = Control("none", None)
#: The rows that there can be; a new one is one line.
CONTROLS = (
    NONE,
    Control("peekaboo"),
    Control("released", {"blocks": "mid_up", "special_tokens": "released", "gate_second_temporal": True}),
    Control("minus-cross", {"kinds": ["spatial", "temporal"]}),
    Control("minus-self", {"kinds": ["cross", "temporal"]}),
    Control("minus-temporal", {"kinds": ["cross", "spatial"]}),
)


def choose_controls(names: list[str], masked_steps: list[int], default_steps: int) -> list[Control]:
    """The controls of those names; with several numbers of masked steps, one for each of them.

    ``none`` comes first, since the others are compared with it. No masked steps is ``none`` as well.

    Args:
        names: of CONTROLS.
        masked_steps: numbers to sweep over; empty for the default alone.
        default_steps: the model's own number.

    Raises:
        EngineError: ``unknown_control``.
    """
    known = {control.name: control for control in CONTROLS}
    if unknown := [name for name in names if name not in known]:
        raise EngineError(
            "unknown_control", f'There is no control "{unknown[0]}"; take of {", ".join(known)}.'
        )
    chosen = []
    for name in names:
        if name == NONE.name or not masked_steps:
            chosen.append(known[name].with_masked_steps(default_steps))
            continue
        for steps in masked_steps:
            swept = Control(f"{name}-{steps}", known[name].options).with_masked_steps(steps)
            chosen.append(swept if steps else NONE)
    unique = {control.name: control for control in chosen}
    return sorted(unique.values(), key=lambda control: control is not NONE)
