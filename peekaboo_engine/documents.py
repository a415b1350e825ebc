# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody else wrote: JSON, no larger and no deeper than stated, and names in it."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_JSON_KEYS
from .places import read_file


def read_json(
    path: Path,
    most: int = MAX_JSON_BYTES,
    keys: int = MAX_JSON_KEYS,
    follow: bool = False,
    once: bool = False,
) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        most: bytes that it may have.
        keys: that one of its objects may have.
        follow: whether it may be a link.
        once: whether each key of an object may be there but once, as in files that people write for us.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: it is not JSON, or nested too deep; says what is wrong with it.
    """
    return parse_json(read_file(path, most, follow), keys, once)


def parse_json(text: bytes, keys: int = MAX_JSON_KEYS, once: bool = False) -> Any:
    """Parse JSON in UTF-8; raises ValueError as :func:`read_json`."""
    try:
        data = json.loads(text.decode("utf-8"), object_pairs_hook=_of_single_keys if once else None)
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


def _of_single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values of one key JSON does not say which holds, so neither is taken for it in silence."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f'it has the key "{key[:_MAX_SHOWN]}" twice')
        made[key] = value
    return made


def first_fault(error: ValidationError) -> str:
    """Where data departs from its schema first, and how: "timing.fps: Input should be ..."."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


_MAX_SHOWN = 64  # characters of a key
_TOO_DEEP = f"it is nested deeper than {MAX_JSON_DEPTH} levels"


def without_controls(text: str) -> str:
    """Text for a name or a path; raises ValueError for one with control characters."""
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("it holds control characters")
    return text


_LEADS_AWAY = re.compile(r"[\\/]{2}|(.*[\\/])?\.\.([\\/]|$)", re.DOTALL)


def leading_nowhere(text: str) -> str:
    """Text for a path below a folder or of this machine; raises ValueError for one that goes up, or to
    another machine, which Windows would log in to."""
    if _LEADS_AWAY.match(text):
        raise ValueError("it leads up or to another machine")
    return text
