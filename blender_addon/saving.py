# SPDX-License-Identifier: GPL-3.0-or-later
"""The open file on disk: whole, or as it was before."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import bpy

from .borders import places
from .errors import PeekabooError

ZSTD_MAGIC, GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


def save_blend(path: Path) -> None:
    """Save the open file: whole, or leaving an earlier one at ``path`` as it was; its folder is made.

    Raises:
        PeekabooError: the file cannot be written.
    """
    draft = path.with_name(f".{path.stem}-{os.getpid()}.blend")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        compressed = path.is_file() and _is_compressed(path)
        bpy.ops.wm.save_as_mainfile(filepath=str(draft.resolve()), copy=True, compress=compressed)
        if path.is_file():
            shutil.copymode(path, draft)
        draft.replace(path)
    except (OSError, RuntimeError):
        raise _unwritable(path) from None
    finally:
        with suppress(OSError):  # on a disk that cannot be written, even of what is not there
            draft.unlink(missing_ok=True)


def check_savable(path: Path) -> None:
    """Make sure that :func:`save_blend` has a folder to write to, before work that it would save.

    Raises:
        PeekabooError: it has none.
    """
    try:
        places.check_writable(path.absolute().parent)
    except OSError as error:
        raise _unwritable(path, f" ({error.strerror})") from None


def _unwritable(path: Path, reason: str = "") -> PeekabooError:
    return PeekabooError(
        f'"{path}" cannot be written{reason}: choose a folder that can be, or free disk space.'
    )


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith((ZSTD_MAGIC, GZIP_MAGIC))
