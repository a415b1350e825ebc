# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to steer that the benchmark compares, each a name for options of :func:`.control.peekaboo`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np
from diffusers import DiffusionPipeline

from ..control import PEEKABOO, RELEASED, Steering, peekaboo
from ..control.settings import preset
from ..errors import EngineError
from ..families import Family
from ..names import Kind


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
ROOMS = (1, 2, 3, 4, 6, 8, 10)
CELLS = (20, 30, 40, 50)


def controls_of(family: Family) -> tuple[Control, ...]:
    """The rows that there can be for a family of models; a new one is one line."""
    strong = preset("strong", family)
    everywhere = [
        NONE,
        Control("peekaboo"),
        Control("strong", _options(strong)),
        # strong without one of its parts, or with another
        Control("strong-minus-binding", _options(strong, bound_until=1.0)),
        Control("strong-soft-binding", _options(strong, bound_penalty=4.0)),
        Control("peekaboo-plus-binding", _options(PEEKABOO, bound_until=strong.bound_until)),
        # small subjects get as much room as this share of the picture, in hundredths
        *(Control(f"strong-room-{room}", _options(strong, least_area=room / 100)) for room in ROOMS),
        # a subject takes cells from this share on, in hundredths
        *(Control(f"strong-cells-{cells}", _options(strong, cell_share=cells / 100)) for cells in CELLS),
    ]
    if family.silhouettes:
        shaped = replace(strong, **family.silhouettes)
        everywhere += [
            Control("strong-silhouettes", _options(shaped)),
            Control("strong-silhouettes-minus-outline", _options(shaped, outline=0.0, redraws=0)),
            Control("strong-silhouettes-minus-redraws", _options(shaped, redraws=0)),
            Control("strong-silhouettes-outline-2", _options(shaped, redraws=0, outline=2.0)),
            Control("strong-silhouettes-room-4", _options(shaped, least_area=0.04)),
        ]
    if family.contrast:
        everywhere += [
            Control("strong-plus-push", _options(strong, contrast=False, push=5.0)),
            Control("peekaboo-plus-contrast", _options(PEEKABOO, contrast=True)),
        ]
    if "joint" in family.kinds:  # words and pixels are masked in the same layers
        return (
            *everywhere,
            Control("minus-self", _options(PEEKABOO, self_share=0.0)),
            Control("strong-plus-self", _options(strong, self_share=0.5)),
            Control("strong-plus-self-everywhere", _options(strong, self_share=1.0)),
            Control("strong-plus-soft-self", _options(strong, self_share=1.0, self_penalty=3.0)),
        )
    # the paper's table 3
    everywhere += [
        Control(
            "minus-cross", {"kinds": [kind for kind in get_args(Kind) if kind in family.kinds - {"cross"}]}
        ),
        Control("minus-self", {"kinds": [kind for kind in ("cross", "temporal") if kind in family.kinds]}),
    ]
    if "full" in family.kinds:
        return (
            *everywhere,
            *([Control("strong-plus-contrast", _options(strong, contrast=True))] if family.contrast else []),
            Control("strong-plus-self", _options(strong, kinds=("cross", "full"), self_share=0.5)),
            Control("strong-plus-self-everywhere", _options(strong, kinds=("cross", "full"), self_share=1.0)),
            Control("strong-plus-soft-self", _options(strong, kinds=("cross", "full"), self_penalty=3.0)),
            # masks and binding that end earlier or later
            Control("strong-to-95", _options(strong, until=0.945)),
            Control("strong-to-80", _options(strong, until=0.795)),
            Control("strong-bound-to-70", _options(strong, bound_until=0.695)),
        )
    if family.gate:
        everywhere.append(Control("released", _options(RELEASED)))
    everywhere.append(Control("strong-minus-contrast", _options(strong, contrast=False)))
    if "temporal" in family.kinds:
        everywhere += [
            Control("minus-temporal", {"kinds": ["cross", "spatial"]}),
            Control("strong-minus-temporal", _options(strong, kinds=("cross",))),
        ]
    return (*everywhere, Control("strong-plus-self", _options(strong, kinds=PEEKABOO.kinds)))


def choose_controls(
    names: list[str], masked_steps: list[int], default_steps: int, family: Family
) -> list[Control]:
    """The controls of those names; with several numbers of masked steps, one for each of them.

    ``none`` comes first, since the others are compared with it. No masked steps is ``none`` as well.

    Args:
        names: of :func:`controls_of`.
        masked_steps: numbers to sweep over; empty for the default alone.
        default_steps: the model's own number.
        family: of the model.

    Raises:
        EngineError: ``unknown_control``.
    """
    known = {control.name: control for control in controls_of(family)}
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
