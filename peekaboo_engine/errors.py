# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the engine shows to a person, and text of others as a person may see it."""

import re

from .limits import MAX_MESSAGE

#: What moves a terminal's cursor, colours it, sets its title, or turns the direction of what stands there:
#: C0 and C1 controls, marks of direction, separators of lines, and halves of characters.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]",
)


INTERRUPTED = 130
"""Exit code after Ctrl-C, or another request to end, as shells count it: 128 + SIGINT."""


class EngineError(Exception):
    """What went wrong and what to do about it, in one sentence.

    Args:
        code: short identifier for programs, e.g. ``phrase_not_in_prompt``; part of the event protocol.
        message: one sentence for a person, ending with what to do; it may quote what others wrote.
    """

    def __init__(self, code: str, message: str):
        self.code = code
        self.message = shown(message)
        super().__init__(self.message)


def shown(text: str, lines: bool = False) -> str:
    """Text that may come from anybody, as a terminal may get it: controls escaped as Python writes them.

    Args:
        text: a sentence; a very long one loses its middle.
        lines: whether line feeds and tabs stay, and all of the length.
    """
    if not lines and len(text) > MAX_MESSAGE:
        text = f"{text[: 2 * MAX_MESSAGE // 3]} … {text[-MAX_MESSAGE // 3 :]}"
    return _CONTROLS.sub(lambda found: _escaped(found[0], lines), text)


def _escaped(character: str, lines: bool) -> str:
    if lines and character in "\n\t":
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def one_line(error: Exception) -> str:
    """The first line of what an error of a library says, for use inside a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:;") if lines else type(error).__name__
