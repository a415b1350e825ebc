# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody else wrote: JSON, no larger and no deeper than stated, and names in it."""

import json
from pathlib import Path
from typing import Any

from .limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_JSON_KEYS
from .places import read_file


def read_json(path: Path, most: int = MAX_JSON_BYTES, keys: int = MAX_JSON_KEYS, follow: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        most: bytes that it may have.
        keys: that one of its objects may have.
        follow: whether it may be a link.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: it is not JSON, or nested too deep; says what is wrong with it.
    """
    return parse_json(read_file(path, most, follow), keys)


def parse_json(text: bytes, keys: int = MAX_JSON_KEYS) -> Any:
    """Parse JSON in UTF-8; raises ValueError as :func:`read_json`."""
    try:
        data = json.loads(text.decode("utf-8"))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [data]
    for _ in range(MAX_JSON_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if len(value) > keys:
                    raise ValueError(f"an object of it has more than {keys} keys")
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return data
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"it is nested deeper than {MAX_JSON_DEPTH} levels"


def without_controls(text: str) -> str:
    """Text for a name or a path; raises ValueError for one with control characters."""
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("it holds control characters")
    return text
