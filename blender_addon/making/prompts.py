# SPDX-License-Identifier: GPL-3.0-or-later
"""Where prompts are cut that are longer than what a model reads: asked of the engine.

Only the engine has the model's tokenizer, and it answers when it has no job. While panels are drawn, what it
has said before is looked up, and what is not known is noted, to be asked for later. An engine is started for
that, if there is none: only for a prompt that is long enough to be cut.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import changes, memory
from ..engine import catalogue
from ..engine.messages import Event, Failure, PromptRead, Result
from ..engine.process import WarmEngine
from ..errors import PeekabooError
from ..shot.model import model_of

PAUSE_SECONDS = 0.4
"""How long a scene has to be left alone before its prompt is asked about."""
LONG_BYTES = 75
"""No model cuts a prompt with fewer: a token takes a byte or more, and the fewest that a model reads are 77,
with one before the prompt and one behind it."""
MOST = 100
"""Answers that are kept."""
SHOWN = 40
"""Characters that are shown before the cut."""

_Asked = tuple[str, str]
"""A model and a prompt."""

_known: dict[_Asked, PromptRead] = {}
_wanted: _Asked | None = None
_asked: _Asked | None = None
_may_start = True
"""Whether an engine may be started to ask it; not after one has failed."""


def cut_of(scene, prompt: str) -> str | None:
    """Say where a prompt will be cut by a scene's model; None where it is not, or is not known to be yet."""
    global _wanted
    if len(prompt.encode(errors="replace")) <= LONG_BYTES:
        return None
    try:
        asked = model_of(scene), prompt
    except PeekabooError:
        return None
    if memory.far_machine(asked[0]):  # at which the engine would look
        return None
    if asked not in _known:
        _wanted = asked
        return None
    read = _known[asked]
    if read.end is None:
        return None
    shown = asked[1][: read.end].rstrip()
    mark = "…" if len(shown) > SHOWN else ""
    return (
        f"The prompt will be cut: of its {read.tokens} tokens the model reads {read.most}, up to "
        f'"{mark}{shown[-SHOWN:].lstrip()}".'
    )


def is_waiting() -> bool:
    """Whether there is a prompt that an engine may be started for, to ask it.

    Not for the folder of a model, which a file of somebody else's may name: opening that must not read it.
    """
    return _may_start and _wanted is not None and _wanted[0] in catalogue.catalogue()


def wants_engine() -> bool:
    """Whether an engine is to be started now, since such a prompt has been left alone."""
    return is_waiting() and changes.quiet_seconds() > PAUSE_SECONDS


def forget() -> None:
    """Do not ask now; what is drawn again is asked about again."""
    global _wanted
    _wanted = None


def take_in(events: Iterable[Event], engine: WarmEngine | None) -> bool:
    """Note what the engine has said, and ask it; never waits.

    Args:
        events: of the engine.
        engine: one that is warm and has nothing to do; None without.

    Returns:
        Whether something is known now that was not before.
    """
    global _wanted, _asked, _may_start
    learnt = False
    for event in events:
        if isinstance(event, Result):  # another model may be there by then
            _may_start = True
            for asked in [asked for asked, read in _known.items() if read.most is None]:
                del _known[asked]
            learnt = True
        if isinstance(event, PromptRead) and _asked is not None:
            _known[_asked], _asked = event, None
            learnt = True
        if isinstance(event, Failure) and event.job is None and _asked is not None:
            _wanted, _may_start = None, False
    while len(_known) > MOST:
        del _known[next(iter(_known))]
    if engine is None:
        _asked = None
    elif _wanted is not None and _asked is None and changes.quiet_seconds() > PAUSE_SECONDS:
        _asked, _wanted = _wanted, None
        engine.read(*_asked)
    return learnt
