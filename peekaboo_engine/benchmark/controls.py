# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to steer that the benchmark compares, each a name for options of :func:`.control.peekaboo`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from diffusers import DiffusionPipeline

from ..control import PEEKABOO, RELEASED, STRONG, Steering, peekaboo
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

    def with_default_steps(self, steps: int) -> Control:
        """The same with its own default of masked steps, if it does not say yet when masks end."""
        if self.options is None or "until" in self.options:
            return self
        return Control(self.name, {"masked_steps": steps, **self.options})

    def with_masked_steps(self, steps: int) -> Control:
        """One of a sweep: the same whose masks end after so many steps; NONE for 0."""
        if self.options is None or not steps:
            return NONE
        others = {name: value for name, value in self.options.items() if name != "until"}
        return Control(f"{self.name}-{steps}", {**others, "masked_steps": steps})


def _options(steering: Steering, **changes: Any) -> dict[str, Any]:
    """The fields in which a steering with some changes differs from the default, as plain data."""
    default, fields = asdict(PEEKABOO), {**asdict(steering), **changes}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value != default[name]
    }


NONE = Control("none", None)
#: The rows that there can be; a new one is one line.
CONTROLS = (
    NONE,
    Control("peekaboo"),
    Control("strong", _options(STRONG)),
    Control("released", _options(RELEASED)),
    # the paper's table 3
    Control("minus-cross", {"kinds": ["spatial", "temporal"]}),
    Control("minus-self", {"kinds": ["cross", "temporal"]}),
    Control("minus-temporal", {"kinds": ["cross", "spatial"]}),
    # strong without one of its parts, and Peekaboo with one
    Control("strong-minus-contrast", _options(STRONG, contrast=False)),
    Control("strong-minus-binding", _options(STRONG, bound_until=1.0)),
    Control("strong-minus-temporal", _options(STRONG, kinds=("cross",))),
    Control("strong-plus-self", _options(STRONG, kinds=PEEKABOO.kinds)),
    Control("peekaboo-plus-contrast", _options(PEEKABOO, contrast=True)),
    Control("peekaboo-plus-binding", _options(PEEKABOO, bound_until=STRONG.bound_until)),
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
            "unknown_control", f'There is no control "{unknown[0]}"; take one of {", ".join(known)}.'
        )
    chosen = []
    for name in names:
        swept = [known[name].with_masked_steps(steps) for steps in masked_steps]
        chosen += swept or [known[name].with_default_steps(default_steps)]
    unique = {control.name: control for control in chosen}
    return sorted(unique.values(), key=lambda control: control is not NONE)
