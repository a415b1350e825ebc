# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that lie elsewhere on a farm's machine than on the artist's: found by the rules of OpenJD's sessions.

The rules are those of ``Session.PathMappingRulesFile``
(https://github.com/OpenJobDescription/openjd-specifications/wiki/How-Jobs-Are-Run#path-mapping).
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy

from ..borders.documents import read_json
from ..engine import catalogue
from ..errors import PeekabooError
from . import files

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

    Raises:
        PeekabooError: a library cannot be read where the rules say that it is.
    """
    _place_libraries(rules)
    for stated in list(files.stated_paths()):  # those of libraries, too
        if not isinstance(stated.block, bpy.types.Library) and (place := mapped(stated.path, rules)):
            stated.state(place)
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


def _place_libraries(rules: Sequence[Rule]) -> None:
    """Read the libraries where they lie here; those that one links itself are known once it has been read."""
    placed: set[str] = set()  # no rule moves them on
    while found := _misplaced_library(rules, placed):
        library, place = found
        library.filepath = place
        placed.add(os.path.normpath(place))
        with suppress(RuntimeError):  # it is not there, which is told with all that is not
            library.reload()
        if all(_place_of(other) != os.path.normpath(place) for other in bpy.data.libraries):
            raise _unreadable(place)
    for library in bpy.data.libraries:
        place = _place_of(library)
        if place in placed and Path(place).exists() and any(item.is_missing for item in library.users_id):
            raise _unreadable(place)


def _unreadable(place: str) -> PeekabooError:
    """Blender itself drops what it cannot read of a library, or has empty data for it, without an error."""
    return PeekabooError(
        f'The library "{place}" cannot be read on this machine, or lacks what the file links: copy it anew.'
    )


def _misplaced_library(rules: Sequence[Rule], placed: Container[str]) -> tuple[Any, str] | None:
    for library in bpy.data.libraries:
        if _place_of(library) not in placed and (place := mapped(library.filepath, rules)):
            return library, place
    return None


def _place_of(library: Any) -> str:
    return os.path.normpath(bpy.path.abspath(library.filepath))
