# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model makes a scene's clip."""

from __future__ import annotations

from pathlib import Path

from .. import paths
from ..borders.places import is_file
from ..engine import catalogue
from ..memory import remembered


def model_of(scene) -> str:
    """A scene's model: its name, or the whole path of its folder as :func:`paths.absolute` has it.

    Raises:
        PeekabooError: the path is relative to a .blend that was never saved.
    """
    stated = scene.peekaboo.model
    if stated in catalogue.catalogue():
        return stated
    folder = paths.absolute(stated)
    is_path = "/" in stated or "\\" in stated or _is_model(folder)
    return str(folder) if is_path else stated  # of a name that is mistyped, what was typed is told


@remembered(False)
def _is_model(folder: Path) -> bool:
    return is_file(folder / "model_index.json")
