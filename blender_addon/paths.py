# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths as Blender means them: relative to the .blend, or of another system."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import bpy

from .borders.places import DEVICES
from .errors import PeekabooError

DRIVE = re.compile(r"([A-Za-z]):(?=[\\/])")
LONGEST = 200
"""Bytes of a file's name before what is appended, of the 255 that disks take."""


def file_names(names: Sequence[str]) -> list[str]:
    """Names of files or folders that stand for names of data, no two the same on any disk.

    The first of those that would be the same, as :func:`file_name` makes them, keeps it; others get a number.
    """
    cleaned = [file_name(name) for name in names]
    found: list[str] = []
    for name in cleaned:
        taken = {one.casefold() for one in found}
        if name.casefold() in taken:
            taken |= {one.casefold() for one in cleaned}
            numbered = (f"{name}_{number}" for number in count(2))
            name = next(one for one in numbered if one.casefold() not in taken)
        found.append(name)
    return found


def file_name(name: str) -> str:
    """Name of a file or folder that stands for a name of data.

    It has letters, with their marks, digits, ``_`` and ``-`` only: nothing that a system refuses, that turns
    the direction of text, or that is seen as an ending, so that ``.0001`` behind it is a frame's number to
    every program. The same letters, composed or not, are the same name, as on a Mac's disk.
    """
    letters = unicodedata.normalize("NFC", name)  # bpy.path.clean_name replaces umlauts and accents
    cleaned = "".join(one if _is_plain(one) else "_" for one in letters)
    cut = cleaned.encode()[:LONGEST].decode(errors="ignore")
    return f"{cut}_" if DEVICES.fullmatch(cut) else cut


def _is_plain(letter: str) -> bool:
    return letter in "_-" or letter.isalnum() or unicodedata.category(letter).startswith("M")


def as_here(text: str, system: str = os.name) -> str:
    r"""A path as a system reads it (``os.name``), of a file that may have been made on another.

    Elsewhere than on Windows ``//clips\take`` is ``//clips/take``, and ``C:\clips`` is ``/c/clips``, as
    Blender reads them; Windows reads both kinds.
    """
    if system == "nt":
        return text
    return DRIVE.sub(lambda match: f"/{match[1].lower()}", text, count=1).replace("\\", "/")


def absolute(stated: str | Path) -> Path:
    """The path that is meant by one in a .blend or on a command line; ``//clips`` lies beside the .blend.

    Raises:
        PeekabooError: it is relative to a .blend that was never saved.
    """
    text = as_here(str(stated))
    if not text.startswith("//"):
        return Path(text).absolute()
    if not bpy.data.filepath:
        raise PeekabooError(
            f'"{text}" lies beside the .blend, which was never saved: save it first, or give a whole path.'
        )
    return Path(os.path.normpath(bpy.path.abspath(text)))
