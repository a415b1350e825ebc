# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the engine shows to a person."""


class EngineError(Exception):
    """What went wrong and what to do about it, in one sentence.

    Args:
        code: short identifier for programs, e.g. ``phrase_not_in_prompt``; part of the event protocol.
        message: one sentence for a person, ending with what to do.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def one_line(error: Exception) -> str:
    """The first line of what an error of a library says, for use inside a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:;") if lines else type(error).__name__
