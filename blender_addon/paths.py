# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths as Blender means them: relative to the .blend, or of another system."""

from __future__ import annotations

import os
import re
from pathlib import Path

import bpy

from .errors import PeekabooError

DRIVE = re.compile(r"([A-Za-z]):(?=[\\/])")


def absolute(stated: str | Path) -> Path:
    r"""The path that is meant by one in a .blend or on a command line.

    ``//clips`` lies beside the .blend. Elsewhere than on Windows ``//clips\take`` is ``//clips/take``, and
    ``C:\clips`` is ``/c/clips``, as Blender reads them in a file that was made on Windows.

    Raises:
        PeekabooError: it is relative to a .blend that was never saved.
    """
    text = str(stated)
    if os.name != "nt":
        text = DRIVE.sub(lambda match: f"/{match[1].lower()}", text, count=1).replace("\\", "/")
    if not text.startswith("//"):
        return Path(text).absolute()
    if not bpy.data.filepath:
        raise PeekabooError(
            f'"{text}" lies beside the .blend, which was never saved: save it first, or give a whole path.'
        )
    return Path(os.path.normpath(bpy.path.abspath(text)))
