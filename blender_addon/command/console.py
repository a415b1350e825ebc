# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command without a window prints: lines for people, or JSON objects for programs."""

from __future__ import annotations

import json
import sys

from ..errors import shown


class Console:
    """Prints how a command goes and what it ends with.

    For people all lines go to stdout and problems to stderr. For programs stdout gets one JSON object a line
    and nothing else of ours: ``{"result": KIND, ...}`` for what was made and ``{"error": SENTENCE}``.
    Names and prompts may be anybody's: what would move a terminal's cursor is escaped.
    """

    def __init__(self, as_json: bool = False):
        """Print for programs or for people."""
        self._as_json = as_json

    def say(self, line: str) -> None:
        """Tell how it goes."""
        print(shown(line), file=sys.stderr if self._as_json else sys.stdout, flush=True)

    def result(self, line: str, kind: str, **facts) -> None:
        """Tell what was made.

        Args:
            line: for people.
            kind: of result, for programs.
            facts: plain data, for programs.
        """
        print(json.dumps({"result": kind, **facts}) if self._as_json else shown(line), flush=True)

    def error(self, sentence: str) -> None:
        """Tell what is wrong."""
        if self._as_json:
            print(json.dumps({"error": sentence}), flush=True)
        else:
            print(f"Error: {shown(sentence)}", file=sys.stderr, flush=True)
