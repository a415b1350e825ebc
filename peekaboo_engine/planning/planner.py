# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in planner: a text to a plan, offline, at once, and the same each time."""

from __future__ import annotations

from ..errors import EngineError
from .checks import repair
from .choreography import choreograph
from .grammar import read_shot, split_shots
from .plan import MAX_SHOTS, Plan


def plan_text(text: str, aspect: float = 16 / 9) -> Plan:
    """Plan what a text says.

    Args:
        text: plain English; see docs/guide/draft.md.
        aspect: of the picture, width over height.

    Raises:
        EngineError: ``not_understood`` with the words that are not; ``nothing_said``; ``text_too_long``;
            ``too_many_shots``.
    """
    parts = split_shots(text) or [text]
    if len(parts) > MAX_SHOTS:
        raise EngineError(
            "too_many_shots", f"The text has {len(parts)} shots, and a plan {MAX_SHOTS} at most: split it."
        )
    shots = []
    for part in parts:
        prompt = " ".join(part.split())
        shots.append(repair(choreograph(read_shot(prompt), prompt, aspect)))
    return Plan(aspect=aspect, shots=shots)
