# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that somebody else wrote, read as JSON within limits; imports no bpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .places import read_file

MAX_BYTES = 4 * 2**20
"""Of a JSON file or a text; 255 subjects with a strength for each frame fit in."""
MAX_DEPTH = 32
"""Lists and objects within each other."""


def read_json(path: Path, most: int = MAX_BYTES, follow: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        most: bytes that it may have.
        follow: whether it may be a link, as those of a hub's cache are.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: it is no JSON, or nested too deep.
    """
    return parse_json(read_file(path, most, follow).decode("utf-8"), most)


def parse_json(text: str, most: int = MAX_BYTES) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is none, too large or nested too deep; says so in words that end a sentence.
    """
    if len(text) > most:
        raise ValueError(f"it has more than {most} characters")
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise ValueError("it is no JSON") from None
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return data
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _within(value: Any) -> list:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inner if isinstance(each, dict | list)]
