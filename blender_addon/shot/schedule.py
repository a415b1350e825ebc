# SPDX-License-Identifier: GPL-3.0-or-later
"""Which schedules of few steps go with a scene's model and its LoRAs."""

from __future__ import annotations

from ..engine import catalogue
from ..errors import PeekabooError
from . import loras
from .model import model_of

WITHOUT = ("auto", "none")
"""Choices that are no schedule of few steps."""


def fitting(scene) -> list[str]:
    """The schedules that the scene's model can follow, by name; all of them where it is not known."""
    known = catalogue.schedules()
    try:
        family = catalogue.family(model_of(scene))
    except PeekabooError:  # which is told of elsewhere
        return list(known)
    return [name for name, schedule in known.items() if family in schedule["families"]]


def problem(scene) -> str | None:
    """Say in a sentence why the model cannot follow the schedule that is chosen; None where it can."""
    chosen = scene.peekaboo.schedule
    if chosen in WITHOUT:
        return None
    schedule = catalogue.schedules()[chosen]
    if chosen not in fitting(scene):
        made_for = " and ".join(schedule["families"])
        return (
            f'The schedule "{schedule["title"]}" is for models of {made_for}, which this one is not: choose '
            "another schedule."
        )
    if schedule.get("guided_steps") and not any(lora.get("distils") for lora in _loras(scene)):
        return (
            f'The schedule "{schedule["title"]}" leaves the LoRA that distils off at first: tick Distils of '
            "that LoRA, or choose another schedule."
        )
    return None


def hint(scene) -> str | None:
    """Say in a sentence what a schedule is likely to lack; None where nothing."""
    chosen = scene.peekaboo.schedule
    if chosen in WITHOUT or catalogue.schedules()[chosen]["distils"] != "lora" or _loras(scene):
        return None
    return "This schedule is for a LoRA that distils, and there is none: the clip may be a blur."


def check(scene) -> None:
    """Raise PeekabooError for a :func:`problem`."""
    if told := problem(scene):
        raise PeekabooError(told)


def _loras(scene) -> list[dict]:
    """The LoRAs of a scene that are on, and those of its model."""
    try:
        own = catalogue.own_loras(model_of(scene))
    except PeekabooError:
        own = []
    return [*own, *loras.parse(loras.as_text(scene.peekaboo))]
