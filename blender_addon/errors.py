# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions whose text is shown to the user, and how text of anybody's may be shown."""

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor or colours it, breaks a line, or turns the direction of the text."""


def shown(text: str) -> str:
    """Text in one line as a panel or a terminal may get it: controls are escaped as Python writes them."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class PeekabooError(Exception):
    """What is wrong and what to do about it, in one sentence; names in it may be anybody's."""

    def __init__(self, sentence: str = ""):
        """Say it in one line."""
        super().__init__(shown(sentence))


class CancelledError(PeekabooError):
    """The user has ended it, and is told no more than that."""


class UsageError(PeekabooError):
    """A command line that cannot be read."""
