# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command runs in Blender: it ends with the right exit code, and saves the open file whole."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import bpy

from .. import faults
from ..errors import PeekabooError, UsageError
from .console import Console

_log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""
USAGE = 2
"""Exit code after a command line that cannot be read, as is customary."""

ZSTD_MAGIC, GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


def exit_code(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a main function; returns the exit code, after printing what went wrong as a sentence."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender takes Ctrl-C and does nothing with it
    console = Console("--json" in arguments)
    try:
        main(arguments)
    except PeekabooError as error:
        console.error(str(error))
        return USAGE if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        console.error("Interrupted: the engine was stopped, and nothing was kept of its clip.")
        return INTERRUPTED
    except SystemExit as exit_:  # argparse has printed its help
        return exit_.code if isinstance(exit_.code, int) else 0
    except Exception as error:  # a fault of ours: Blender must not turn it into success
        console.error(faults.kept(_log, error))
        return 1
    return 0


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
