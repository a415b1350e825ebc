# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model makes a scene's clip."""

from __future__ import annotations

from pathlib import Path

from .. import paths
from ..borders.places import is_file
from ..engine import catalogue, job_schema
from ..errors import PeekabooError
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


def is_of_others(scene, model: str) -> bool:
    """Whether a take's model is in a folder of another machine that the scene itself does not name.

    A take may be anybody's, and to look into that folder tells the machine who asks.
    """
    try:
        return job_schema.is_elsewhere(model) and model != model_of(scene)
    except PeekabooError:  # the scene's is beside a .blend that was never saved
        return True


@remembered(False)
def _is_model(folder: Path) -> bool:
    return is_file(folder / "model_index.json")
