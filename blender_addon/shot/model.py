# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model makes a scene's clip."""

from __future__ import annotations

from .. import paths
from ..borders.places import is_file
from ..engine import catalogue


def model_of(scene) -> str:
    """A scene's model: its name, or the whole path of its folder as :func:`paths.absolute` has it.

    Raises:
        PeekabooError: the path is relative to a .blend that was never saved.
    """
    stated = scene.peekaboo.model
    if stated in catalogue.catalogue():
        return stated
    folder = paths.absolute(stated)
    is_path = "/" in stated or "\\" in stated or is_file(folder / "model_index.json")
    return str(folder) if is_path else stated  # of a name that is mistyped, what was typed is told
