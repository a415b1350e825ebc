# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine is: its package, and the Python that it runs in; imports no bpy."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import PeekabooError
from . import systems

OWN_ENVIRONMENT = "engine"
"""Name of the folder in the extension's that has the engine's own environment."""
COMPLETE = "peekaboo-complete.txt"
"""File in that environment which says that its set-up came to its end."""

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


def engine_folder() -> Path:
    """Find the folder of the engine's package: in the built extension, or beside the add-on in a checkout."""
    inside = PACKAGE_FOLDER / "peekaboo_engine"
    return inside if inside.is_dir() else PACKAGE_FOLDER.parent / "peekaboo_engine"


class NotSetUp(PeekabooError):
    """There is no Python for the engine, and none was chosen."""


def engine_version() -> str:
    """The version of the engine's package, which is the add-on's own."""
    text = (engine_folder() / "__init__.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def find_python(explicit: str | None = None, extension_folder: Path | None = None) -> Path:
    """Find the Python that the engine runs in.

    The first of: ``explicit``, the environment variable ``PEEKABOO_PYTHON``, the checkout's ``.venv``, and
    the environment in the extension's own folder.

    Args:
        explicit: what the user has chosen: an interpreter, or the folder of a virtual environment; the
            variable may name either, too.
        extension_folder: where the extension may keep files.

    Raises:
        NotSetUp: there is none.
        PeekabooError: a chosen Python does not exist, or the variable's depends on the current folder, which
            may be that of somebody else's .blend.
    """
    if chosen := explicit or os.environ.get("PEEKABOO_PYTHON"):
        if not explicit and not Path(chosen).is_absolute():
            raise PeekabooError(
                f'PEEKABOO_PYTHON is "{chosen}", which depends on the current folder: set it to a whole path.'
            )
        python = systems.python_of(Path(chosen)) if Path(chosen).is_dir() else Path(chosen)
        if not python.is_file():
            remedy = "correct the path" if explicit else "correct or unset PEEKABOO_PYTHON"
            raise PeekabooError(f'The engine\'s Python "{python}" does not exist: {remedy}.')
        return python
    homes = [PACKAGE_FOLDER.parent / ".venv"]
    if extension_folder is not None:
        homes.append(extension_folder / OWN_ENVIRONMENT)
    for home in homes:
        if (python := systems.python_of(home)).is_file():
            if home.name == OWN_ENVIRONMENT and not (home / COMPLETE).is_file():
                raise PeekabooError(
                    "The engine's set-up is not complete: press Set Up Engine to go on with it."
                )
            return python
    raise NotSetUp(
        "The engine's Python environment is not there: press Set Up Engine, in whose dialog an existing "
        "Python can be chosen, too."
    )
