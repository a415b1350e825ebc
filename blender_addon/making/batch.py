# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips that are waited for: by commands, scripts, and operators that a script calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..engine import process
from ..engine.messages import Event, Hello, Notice, Phase, Progress
from ..engine.orders import Order, Queue
from ..errors import PeekabooError
from . import delivery

POLL_SECONDS = 0.05


def make(
    orders: Iterable[Order], settings: process.EngineSettings, say: Callable[[str], None] = lambda line: None
) -> Iterator[Order]:
    """Make clips with one engine, put each into its scene's sequencer, and hand out its order then.

    The engine keeps its model loaded from one clip to the next. Its log is in the first one's job folder.

    Args:
        orders: what is wanted, looked at one by one.
        settings: of the engine.
        say: gets a line about each clip and each step on the way.

    Raises:
        PeekabooError: a clip cannot be made; those before it are there.
    """
    settings = replace(settings, steps_back=False)  # no window waits for a core meanwhile
    queue, logs = Queue(), None
    try:
        for order in orders:
            logs = logs or order.folder / "job"
            say(order.title)
            queue.add(order)
            while not queue.arrived:
                for event in queue.advance(lambda: settings, logs):
                    if line := _in_words(event):
                        say(line)
                if queue.outcomes:
                    raise PeekabooError(queue.outcomes[0].text)
                time.sleep(POLL_SECONDS)
            outcome = delivery.deliver(queue.arrived.pop())
            if outcome.failed:
                raise PeekabooError(outcome.text)
            yield order
    finally:
        queue.leave(process.CANCEL_SECONDS)


def _in_words(event: Event) -> str:
    """A line for the console; empty where there is nothing to say."""
    match event:
        case Hello(version, device):
            return f"engine {version} on {device}"
        case Phase(phase):
            return phase
        case Progress(step, total):
            return f"step {step}/{total}"
        case Notice(message):
            return message
    return ""
