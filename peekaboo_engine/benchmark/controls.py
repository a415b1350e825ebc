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

    def with_masked_steps(self, steps: int) -> Control:
        """The same with its own default of masked steps, if it has none yet."""
        return self if self.options is None else Control(self.name, {"masked_steps": steps, **self.options})


def _options(steering: Steering, **changes: Any) -> dict[str, Any]:
    """The fields in which a steering with some changes differs from the default, as plain data."""
    default, fields = asdict(PEEKABOO), {**asdict(steering), **changes}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value != default[name]
    }


def _plus(name: str, **changes: Any) -> Control:
    """Peekaboo and one switch of :class:`Steering`."""
    return Control(f"peekaboo+{name}", _options(PEEKABOO, **changes))


def _trial(name: str, **changes: Any) -> Control:
    """Strong with its words bound to the end, and changes to that."""
    return Control(name, _options(STRONG, **{"words_until": 0.0, **changes}))


_ALL = ("cross", "spatial", "temporal")
_LEVEL = {f"{kind}_until": 0.9 for kind in _ALL}

NONE = Control("none", None)
#: The rows that there can be; a new one is one line.
CONTROLS = (
    NONE,
    Control("peekaboo"),
    Control("released", _options(RELEASED)),
    Control("minus-cross", {"kinds": ["spatial", "temporal"]}),
    Control("minus-self", {"kinds": ["cross", "temporal"]}),
    Control("minus-temporal", {"kinds": ["cross", "spatial"]}),
    # a. the subject's words outside its box after the masks
    _plus("binding", words_outside=0.0),
    _plus("binding-soft", words_outside=0.05),
    _plus("binding-half", words_outside=0.0, words_until=0.5),
    _plus("cross-long", cross_until=0.5),
    _plus("cross-all", cross_until=0.0),
    # b. windows by noise level
    _plus("level-90", **_LEVEL),
    _plus("level-85", **dict.fromkeys(_LEVEL, 0.85)),
    # c. amplification
    _plus("amplify", amplify=4.0),
    _plus("amplify-2", amplify=2.0),
    _plus("amplify-8", amplify=8.0),
    _plus("binding-amplify", words_outside=0.0, amplify=4.0),
    # d. an unconditional half that is left alone
    _plus("cond", conditional_only=_ALL),
    _plus("cond-cross", conditional_only=("cross",)),
    # e. soft masks
    _plus("leak", leak=0.05),
    _plus("leak-long", leak=0.05, **dict.fromkeys(_LEVEL, 0.7)),
    _plus("soft-edges", soft_edges=True),
    # i. the subject's words by a Gaussian in its box
    _plus("centred", centred=1.0),
    _plus("centred-binding-amplify", centred=1.0, words_outside=0.0, amplify=4.0),
    # f. texts of their own
    _plus("phrase", subject_text="phrase"),
    _plus("words", subject_text="words"),
    _plus("ground", background_text="ground"),
    _plus("ground-words", background_text="ground", subject_text="words"),
    _plus("ground-binding", background_text="ground", words_outside=0.0),
    _plus("contrast", contrast=1.0, contrast_until=0.9),
    _plus("contrast-soft", contrast=0.2, contrast_until=0.9),
    # g, h. noise and attention along the path
    _plus("noise", follow_noise=0.25),
    _plus("noise-half", follow_noise=0.5),
    _plus("noise-binding", follow_noise=0.25, words_outside=0.0),
    _plus("path", follow_path=True),
    # all that promised something, and changes to it
    Control("strong", _options(STRONG)),
    _trial("s"),
    _trial("s-ground", background_text="ground"),
    _trial("s-minus-contrast", contrast=0.0, contrast_until=0.0),
    _trial("s-minus-contrast-ground", contrast=0.0, contrast_until=0.0, background_text="ground"),
    _trial("s-minus-binding", words_outside=1.0),
    _trial("s-minus-temporal", kinds=("cross",)),
    _trial("s-spatial", kinds=_ALL, spatial_until=0.9),
    _trial("s-spatial-97", kinds=_ALL, spatial_until=0.97),
    _trial("s-level-95", cross_until=0.95, temporal_until=0.95),
    _trial("s-level-85", cross_until=0.85, temporal_until=0.85),
    _trial("s-level-80", cross_until=0.8, temporal_until=0.8),
    _trial("s-contrast-half", contrast=0.5),
    _trial("s-contrast-until-80", contrast_until=0.8),
    _trial("s-contrast-until-97", contrast_until=0.97),
    _trial("s-binding-soft", words_outside=0.05),
    _trial("s-binding-half", words_until=0.5),
    _trial("s-amplify", amplify=2.0),
    _trial("s-noise", follow_noise=0.25),
    _trial("s-noise-12", follow_noise=0.125),
    _trial("s-centred", centred=0.25),
    _trial("s-soft-edges", soft_edges=True),
    _trial("s-leak", kinds=_ALL, spatial_until=0.9, leak=0.3),
    _trial("s-path", follow_path=True),
    _trial("s-words", subject_text="words"),
    _trial("s-phrase", subject_text="phrase"),
    _trial("s-cond-cross", conditional_only=("cross",)),
    _trial("s-shared", special_tokens="shared"),
    _trial("s-ground-95", background_text="ground", cross_until=0.95, temporal_until=0.95),
    _plus("contrast-90", contrast=1.0, contrast_until=0.9),
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
