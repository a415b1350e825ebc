# SPDX-License-Identifier: GPL-3.0-or-later
"""Where prompts are cut that are longer than what a model reads: asked of the engine that is kept warm.

Only the engine has the model's tokenizer, and it answers when it has no job. While panels are drawn, what it
has said before is looked up, and what is not known is noted, to be asked for later.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import changes
from ..engine.messages import Event, PromptRead, Result
from ..engine.process import WarmEngine
from ..errors import PeekabooError
from ..shot.model import model_of

PAUSE_SECONDS = 0.4
"""How long a scene has to be left alone before its prompt is asked about."""
MOST = 100
"""Answers that are kept."""
SHOWN = 40
"""Characters that are shown before the cut."""

_Asked = tuple[str, str]
"""A model and a prompt."""

_known: dict[_Asked, PromptRead] = {}
_wanted: _Asked | None = None
_asked: _Asked | None = None


def cut_of(scene) -> str | None:
    """Say where a scene's prompt will be cut; None where it is not, or where that is not known yet."""
    global _wanted
    try:
        asked = model_of(scene), scene.peekaboo.prompt
    except PeekabooError:
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


def take_in(events: Iterable[Event], engine: WarmEngine | None) -> bool:
    """Note what the engine has said, and ask it; never waits.

    Args:
        events: of the engine.
        engine: one that is warm and has nothing to do; None without.

    Returns:
        Whether something is known now that was not before.
    """
    global _wanted, _asked
    learnt = False
    for event in events:
        if isinstance(event, Result):  # another model may be loaded by then
            for asked in [asked for asked, read in _known.items() if read.most is None]:
                del _known[asked]
            learnt = True
        if isinstance(event, PromptRead) and _asked is not None:
            _known[_asked], _asked = event, None
            learnt = True
    while len(_known) > MOST:
        del _known[next(iter(_known))]
    if engine is None:
        _asked = None
    elif _wanted is not None and _asked is None and changes.quiet_seconds() > PAUSE_SECONDS:
        _asked, _wanted = _wanted, None
        engine.read(*_asked)
    return learnt
