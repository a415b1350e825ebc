# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions whose text is shown to the user."""


class PeekabooError(Exception):
    """What is wrong and what to do about it, in one sentence."""


class UsageError(PeekabooError):
    """A command line that cannot be read."""
