# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command runs in Blender: it ends with the right exit code."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from .. import faults
from ..errors import PeekabooError, UsageError
from .console import Console

_log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it: 128 + SIGINT."""
USAGE = 2
"""Exit code after a command line that cannot be read, as is customary."""


def exit_code(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a main function; returns the exit code, after printing what went wrong as a sentence."""
    for number in (signal.SIGINT, signal.SIGTERM):  # Blender takes Ctrl-C and does nothing with it
        signal.signal(number, signal.default_int_handler)
    console = Console("--json" in arguments)
    try:
        main(arguments)
    except PeekabooError as error:
        console.error(str(error))
        return USAGE if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        console.error("Interrupted: nothing is kept of what was being made.")
        return INTERRUPTED
    except SystemExit as exit_:  # argparse has printed its help
        return exit_.code if isinstance(exit_.code, int) else 0
    except Exception as error:  # a fault of ours: Blender must not turn it into success
        console.error(faults.kept(_log, error))
        return 1
    return 0
