# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders in which files come to be before all of them go to their place; imports no bpy.

A draft is held by the program that works in it, until that ends, however it does. One that nobody holds is
what a program that was killed has left, and goes when the next draft is made beside it. Where a disk of a
network knows no such hold, drafts stay.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .places import is_link

PREFIX = ".peekaboo-draft-"
HELD_BY = "held"
"""The file that holds a draft on Windows, where no folder is locked; it goes when its program ends."""
MOST_TRIES = 10

_TEMPORARY = getattr(os, "O_TEMPORARY", 0)
_ALONE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOINHERIT", 0) | _TEMPORARY


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """An empty folder within another, removed in the end; so are those that others have left there.

    Raises:
        OSError: it cannot be made.
    """
    for abandoned in folder.glob(f"{PREFIX}*"):
        if not is_link(abandoned):
            _remove_abandoned(abandoned)
    draft, holder = _held_draft(folder)
    try:
        files = draft / "files"  # beside which a file may hold it
        files.mkdir()
        yield files
    finally:
        _remove(draft, holder)


def _held_draft(folder: Path) -> tuple[Path, int | None]:
    for _ in range(MOST_TRIES):
        draft = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        with suppress(OSError):
            holder = _hold(draft)
            if draft.is_dir():
                return draft, holder
            _release(holder)  # another program took it for abandoned before it was held
    return draft, None


def _remove_abandoned(draft: Path) -> None:
    with suppress(OSError):
        if (holder := _hold(draft)) is not None:
            _remove(draft, holder)


def _remove(draft: Path, holder: int | None) -> None:
    _release(holder)  # first, since Windows removes no file that is open
    shutil.rmtree(draft, ignore_errors=True)


def _hold(draft: Path) -> int | None:
    """Hold a draft until its release; None where the disk has no means to.

    Raises:
        OSError: another program holds it, or it is not there any more.
    """
    if _TEMPORARY:
        return os.open(draft / HELD_BY, _ALONE)
    import fcntl

    holder = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(holder)
        if isinstance(error, BlockingIOError):
            raise
        return None  # a disk of a network, mostly
    return holder


def _release(holder: int | None) -> None:
    if holder is not None:
        os.close(holder)
