# SPDX-License-Identifier: GPL-3.0-or-later
"""The open file on disk: whole, or as it was before."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import bpy

from .errors import PeekabooError

ZSTD_MAGIC, GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


def save_blend(path: Path) -> None:
    """Save the open file: whole, or leaving an earlier one at ``path`` as it was.

    Raises:
        PeekabooError: the file cannot be written.
    """
    draft = path.with_name(f".{path.stem}-{os.getpid()}.blend")
    try:
        compressed = path.is_file() and _is_compressed(path)
        bpy.ops.wm.save_as_mainfile(filepath=str(draft.resolve()), copy=True, compress=compressed)
        if path.is_file():
            shutil.copymode(path, draft)
        draft.replace(path)
    except (OSError, RuntimeError):
        raise PeekabooError(
            f'"{path}" cannot be written: choose a folder that can be, or free disk space.'
        ) from None
    finally:
        with suppress(OSError):  # on a disk that cannot be written, even of what is not there
            draft.unlink(missing_ok=True)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith((ZSTD_MAGIC, GZIP_MAGIC))
