# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that lie elsewhere on a farm's machine than on the artist's: found by the rules of OpenJD's sessions.

The rules are those of ``Session.PathMappingRulesFile``
(https://github.com/OpenJobDescription/openjd-specifications/wiki/How-Jobs-Are-Run#path-mapping).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy

from ..borders.documents import read_json
from ..engine import catalogue
from ..errors import PeekabooError

Rule = Mapping[str, str]
"""With ``source_path_format`` (POSIX or WINDOWS), ``source_path`` and ``destination_path``."""


def read(path: Path) -> list[Rule]:
    """Read the rules of a session; none where the scheduler has none.

    Raises:
        PeekabooError: the file is none of rules.
    """
    try:
        stated = read_json(path).get("path_mapping_rules", [])
        return [
            {name: str(rule[name]) for name in ("source_path_format", "source_path", "destination_path")}
            for rule in stated
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PeekabooError(
            f'The path mapping rules "{path}" cannot be read ({error}): they are the scheduler\'s to mend.'
        ) from None


def mapped(path: str, rules: Sequence[Rule]) -> str | None:
    """Where a path lies on this machine by the rules of a farm; None where none is about it.

    Args:
        path: whole, as any system writes it.
        rules: the longest source that fits counts.
    """
    best: tuple[int, str] | None = None
    for rule in rules:
        windows = rule["source_path_format"] == "WINDOWS"
        source, stated = _parts(rule["source_path"], windows), _parts(path, windows)
        here = [part.casefold() for part in stated] if windows else stated
        wanted = [part.casefold() for part in source] if windows else source
        if source and here[: len(source)] == wanted and (best is None or len(source) > best[0]):
            best = len(source), str(Path(rule["destination_path"], *stated[len(source) :]))
    return best[1] if best else None


def _parts(path: str, windows: bool) -> list[str]:
    """The parts of a whole path; none of one that is relative to a .blend (``//``) or of another system."""
    if path.startswith("//") or not (windows or path.startswith("/")):
        return []
    return [part for part in (path.replace("\\", "/") if windows else path).split("/") if part]


def apply(rules: Sequence[Rule], scenes: Sequence[Any]) -> None:
    """Let the open file find what it links by whole paths, and read that again.

    Args:
        rules: of this machine.
        scenes: whose pictures and LoRAs are found, too.
    """
    for library in list(bpy.data.libraries):
        if place := mapped(library.filepath, rules):
            library.filepath = place
            library.reload()
    for name in ("cache_files", "volumes", "images", "movieclips"):
        for item in getattr(bpy.data, name):
            if item.library is None and (place := mapped(item.filepath, rules)):
                item.filepath = place
    for scene in scenes:
        settings = scene.peekaboo
        for name in ("picture", "last_picture"):
            if place := mapped(getattr(settings, name), rules):
                setattr(settings, name, place)
        if settings.model not in catalogue.catalogue() and (place := mapped(settings.model, rules)):
            settings.model = place
        for lora in settings.lora_list:
            if place := mapped(lora.source, rules):
                lora.source = place
