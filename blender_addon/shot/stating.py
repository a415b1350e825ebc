# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job states of settings, what settings it gives back, and which values they can have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import loras, settings, timed_phrases

UNLIMITED = 2**31 - 1
"""What Blender states as the most of a number that has no limit, or less."""


def stated(owner, table: Mapping[str, settings.Setting]) -> dict:
    """What a job states of the settings of a property group, as ``job.json`` nests it."""
    job: dict = {}
    for name, setting in table.items():
        if setting.job:
            place = job
            for part in setting.job[:-1]:
                place = place.setdefault(part, {})
            value = getattr(owner, name)
            left_open = setting.automatic is not None and value == setting.automatic
            place[setting.job[-1]] = None if left_open else value
    return job


def of_masks(owner) -> dict:
    """What the settings of a shot say about how masks are made of its scene."""
    return stated(owner, settings.SHOT)["masks"]


def restored(job: Mapping, table: Mapping[str, settings.Setting]) -> dict[str, Any]:
    """The values of properties that a job states; what an older job does not hold is left out."""
    return {
        name: setting.automatic if value is None else value
        for name, setting in table.items()
        if setting.job
        for value in _at(job, setting.job)
    }


def _at(job: Any, path: tuple[str, ...]) -> Iterator[Any]:
    for part in path:
        if not isinstance(job, Mapping) or part not in job:
            return
        job = job[part]
    yield job


def problem(owner, name: str, value: Any) -> str | None:
    """Say in a sentence why a property cannot have a value, or None where it can.

    Blender replaces a number by the nearest in its range, which nobody asked for.
    """
    setting = owner.bl_rna.properties[name]
    match setting.type:
        case "BOOLEAN" if isinstance(value, bool):
            return None
        case "STRING" if isinstance(value, str) and "\0" not in value:
            texts = {"loras": loras.problem, "over_time": timed_phrases.text_problem}
            return texts[name](value) if name in texts else None
        case "ENUM" if value in setting.enum_items:
            return None
        case "ENUM":
            known = ", ".join(setting.enum_items.keys())
            return f"{setting.name} cannot be {value!r}: give one of {known}."
        case "INT" if isinstance(value, int) and not isinstance(value, bool):
            return _out_of_range(setting, value)
        case "FLOAT" if isinstance(value, int | float) and not isinstance(value, bool):
            return _out_of_range(setting, value)
    return f"{setting.name} cannot be {value!r}: it is of another kind."


def _out_of_range(setting, value: float) -> str | None:
    if setting.hard_min <= value <= setting.hard_max:
        return None
    most = f" to {setting.hard_max:g}" if setting.hard_max < UNLIMITED else " on"
    return f"{setting.name} cannot be {value:g}: give a number from {setting.hard_min:g}{most}."
