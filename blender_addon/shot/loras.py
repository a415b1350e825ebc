# SPDX-License-Identifier: GPL-3.0-or-later
"""The LoRAs of a shot: a list in the panel, and one text in presets and on the command line.

A line of the text is a LoRA, ``FILE[:WEIGHT][:EXPERT][:distils]``, as ``--lora`` takes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bpy

from .. import paths
from ..engine import catalogue, job_schema
from ..errors import PeekabooError

MOST_WEIGHT = 10.0
"""As the engine has it."""
EXPERTS = ("both", "high", "low")
_NOTATION = re.compile(
    r"(?P<source>.*?)(:(?P<weight>[-+]?\d+(\.\d*)?))?(:(?P<expert>both|high|low))?(?P<distils>:distils)?"
)


def parse(text: str) -> list[dict[str, Any]]:
    """Read the text of some LoRAs, as jobs state them; see the top of this file."""
    return [_parsed(line.strip()) for line in text.splitlines() if line.strip()]


def _parsed(line: str) -> dict[str, Any]:
    match = _NOTATION.fullmatch(line)
    assert match
    return {
        "source": match["source"] or line,
        "weight": round(float(match["weight"] or 1), 4) if match["source"] else 1.0,
        "expert": (match["expert"] or "both") if match["source"] else "both",
        "distils": bool(match["distils"]) and bool(match["source"]),
    }


def text_of(stated: Iterable[Mapping[str, Any]]) -> str:
    """The text of LoRAs as jobs state them: the inverse of :func:`parse`."""
    return "\n".join(_line(each) for each in stated)


def _line(stated: Mapping[str, Any]) -> str:
    weight = f"{stated.get('weight', 1.0):.4f}".rstrip("0").rstrip(".")
    expert = stated.get("expert", "both")
    distils = ":distils" if stated.get("distils") else ""
    return f"{stated['source']}:{weight}:{expert}{distils}"


def problem(text: str) -> str | None:
    """Say in a sentence why a shot cannot have the LoRAs of a text, or None where it can."""
    for stated in parse(text):
        if not -MOST_WEIGHT <= stated["weight"] <= MOST_WEIGHT:
            return (
                f"The weight of the LoRA {stated['source']} cannot be {stated['weight']:g}: give a number "
                f"from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}."
            )
    return None


def as_text(shot) -> str:
    """The LoRAs of a shot that are on."""
    return text_of(_stated(shot))


def set_text(shot, text: str) -> None:
    """Have the LoRAs of a text on, and no others; those that the list has beside them are turned off."""
    wanted = parse(text)
    for item in shot.lora_list:
        item.enabled = False
    for stated in wanted:
        same = (stated["source"], stated["expert"])
        free = (each for each in shot.lora_list if not each.enabled and (each.source, each.expert) == same)
        item = next(free, None) or shot.lora_list.add()
        for name, value in stated.items():
            setattr(item, name, value)
        item.enabled = True


def listed(shot) -> list[dict[str, Any]]:
    """The whole list of a shot, also those that are off, for :func:`set_list`."""
    names = ("enabled", "source", "weight", "expert", "distils")
    return [{name: getattr(item, name) for name in names} for item in shot.lora_list]


def set_list(shot, kept: Iterable[Mapping[str, Any]]) -> None:
    """Give a shot a list that it had."""
    shot.lora_list.clear()
    for each in kept:
        item = shot.lora_list.add()
        for name, value in each.items():
            setattr(item, name, value)


def typed(text: str) -> str:
    """The text of LoRAs as a command line states them, with files of the current folder by whole paths."""
    stated = parse(text)
    for each in stated:
        if not each["source"].startswith("//") and Path(each["source"]).exists():
            each["source"] = str(paths.absolute(each["source"]))
    return text_of(stated)


def of_job(scene) -> list[dict[str, Any]]:
    """The LoRAs that a scene's job states: files by their whole paths, so that an engine finds them.

    Raises:
        PeekabooError: a path is relative to a .blend that was never saved, or leads where no job may.
    """
    found = [{**stated, "source": located(stated["source"])} for stated in _stated(scene.peekaboo)]
    for each in found:
        if job_schema.leads_away(each["source"]):
            raise PeekabooError(
                f"The LoRA {each['source']} is on another machine, or above its folder, where none is looked "
                "for: copy it to this one, or give its drive a letter."
            )
    return found


def check_here(scene) -> None:
    """Refuse LoRAs of repositories that are not on this machine; raises PeekabooError."""
    for stated in _stated(scene.peekaboo):
        if catalogue.lora_state(located(stated["source"])) != "downloaded":
            raise PeekabooError(
                f"The LoRA {stated['source']} is not here: press Download below it in the LoRAs, or run "
                f'blender --online-mode --command peekaboo download "{stated["source"]}".'
            )


def _stated(shot) -> Iterator[dict[str, Any]]:
    for item in shot.lora_list:
        if item.enabled and item.source:
            yield {
                "source": item.source,
                "weight": round(item.weight, 4),
                "expert": item.expert,
                "distils": item.distils,
            }


def located(source: str) -> str:
    """A file by its whole path; the name of one in a repository as it is.

    A relative name is of a file beside the .blend, if one is there. The current folder, which is where
    Blender happened to be started, decides nothing.
    """
    if source.startswith("//") or Path(source).is_absolute():
        return os.path.normpath(paths.absolute(source))
    beside = Path(bpy.data.filepath).parent / source
    return str(beside) if bpy.data.filepath and beside.exists() else source
