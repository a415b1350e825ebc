# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder for each clip, so that none ever replaces another that a strip shows."""

import re
from pathlib import Path

import bpy

from .errors import PeekabooError


def new_folder(scene) -> Path:
    """Make the folder of a scene's next clip: its name and a number, in its output folder.

    Raises:
        PeekabooError: the output folder is beside a file that was never saved, or cannot be written.
    """
    stated = scene.peekaboo.output_folder
    if not stated or (stated.startswith("//") and not bpy.data.filepath):
        raise PeekabooError(
            "Clips go beside the .blend, which was never saved: save it first, or choose an output folder."
        )
    base = Path(bpy.path.abspath(stated))
    name = bpy.path.clean_name(scene.name)
    try:
        base.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path.name, name) for path in base.iterdir()), default=0)
        while True:
            try:
                folder = base / f"{name}_{number:03}"
                folder.mkdir()
            except FileExistsError:  # another Blender was faster
                number += 1
            else:
                return folder
    except OSError as error:
        raise PeekabooError(
            f'The output folder "{base}" cannot be written ({error.strerror}): choose another one.'
        ) from None


def _number(folder: str, name: str) -> int:
    match = re.fullmatch(rf"{re.escape(name)}_(\d+)", folder)
    return int(match[1]) if match else 0
