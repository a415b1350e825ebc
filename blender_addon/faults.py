# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of ours: a log keeps their traceback, and the sentence for the user names it; imports no bpy."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_handler: logging.FileHandler | None = None


def kept(log: logging.Logger, error: Exception) -> str:
    """Keep the traceback of an error that nobody has foreseen; returns the sentence that tells of it.

    Args:
        log: of the module that has caught it, whose name begins with the add-on's.
        error: that is being handled.
    """
    path = _begin()
    log.error("unforeseen", exc_info=error)
    what = f"Peekaboo failed unexpectedly ({type(error).__name__}: {error})"
    return f'{what}: please report it, with the log "{path}".' if path else f"{what}: please report it."


def _begin() -> Path | None:
    """Begin the log with the first fault: a new file, which outlives Blender; None where there is no room."""
    global _handler
    if _handler is None:
        try:
            with tempfile.NamedTemporaryFile(prefix="peekaboo-", suffix=".log", delete=False) as file:
                _handler = logging.FileHandler(file.name, encoding="utf-8", errors="backslashreplace")
        except OSError:
            return None
        _handler.setFormatter(logging.Formatter(_FORMAT))
        logging.getLogger(__package__).addHandler(_handler)
    return Path(_handler.baseFilename)


def register():
    """Nothing has failed yet."""


def unregister():
    """Close the log; the file stays."""
    global _handler
    if _handler is not None:
        logging.getLogger(__package__).removeHandler(_handler)
        _handler.close()
        _handler = None
