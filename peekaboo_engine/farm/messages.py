# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of a farm prints: lines for people, or those that OpenJD's sessions look for.

https://github.com/OpenJobDescription/openjd-specifications/wiki/How-Jobs-Are-Run#stdoutstderr-messages
"""

from __future__ import annotations

import sys

from ..errors import shown
from ..events import say


class Messages:
    """Prints how a task goes.

    Args:
        openjd: whether OpenJD's sessions read it.
    """

    def __init__(self, openjd: bool):
        self._openjd = openjd

    def _print(self, what: str, text: str) -> None:
        say(f"openjd_{what}: {shown(text)}" if self._openjd else shown(text))

    def progress(self, step: int, total: int) -> None:
        """So many of the steps are done."""
        self._print("progress", f"{100 * step / total:.1f}" if self._openjd else f"step {step}/{total}")

    def status(self, sentence: str) -> None:
        """What it is at, or what became of it."""
        self._print("status", sentence)

    def error(self, code: str, message: str) -> None:
        """It failed; people read errors where other programs have them, too."""
        if self._openjd:
            self._print("fail", message)
        else:
            sys.stderr.write(f"{shown(message)}\n")
