# SPDX-License-Identifier: GPL-3.0-or-later
"""A cancel heeded within a second: between the blocks of a network, and while a model loads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_INTERVAL = 0.2
"""Seconds between two looks at whether loading is to end."""
_SIGNAL: Any = getattr(signal, "SIGUSR1", None) or getattr(signal, "SIGBREAK", None)


@contextmanager
def stopping_between_blocks(pipe: Any, stop_if_cancelled: Callable[[], None]) -> Iterator[None]:
    """Ask before each block of each network of a pipeline, since a step of a large model takes minutes.

    Blocks are the members of lists of modules. One that is compiled is left alone, as a hook would make it
    compile again.

    Args:
        pipe: a pipeline of diffusers.
        stop_if_cancelled: raises to end the generation.
    """

    import torch  # here, since downloads are cancelled without it

    def ask(*_: object) -> None:
        stop_if_cancelled()

    hooks = [
        block.register_forward_pre_hook(ask)
        for network in pipe.components.values()
        if isinstance(network, torch.nn.Module)
        for blocks in network.modules()
        if isinstance(blocks, torch.nn.ModuleList)
        for block in blocks
        if getattr(block, "_compiled_call_impl", None) is None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Interrupted(BaseException):
    """Raised wherever the main thread is; no library catches it by mistake for an error of its own."""


@contextmanager
def interruptible(stop_if_cancelled: Callable[[], None], cancelled: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the block when its job is cancelled, also where it waits for a disk or a network.

    For what may be dropped anywhere, such as a model that is being loaded. Does nothing outside of the main
    thread, which alone gets signals.

    Args:
        stop_if_cancelled: called after an interruption; raises.
        cancelled: asked every now and then, from another thread.
    """
    if threading.current_thread() is not threading.main_thread() or _SIGNAL is None:
        yield
        return
    over, lock = threading.Event(), threading.Lock()

    def interrupt(number, frame) -> None:
        if not over.is_set():
            raise _Interrupted

    def watch() -> None:
        while not over.wait(_INTERVAL):
            if cancelled():
                with lock:
                    if not over.is_set():
                        _send()  # again and again: what comes up in a destructor is lost there

    signal.signal(_SIGNAL, interrupt)
    watcher = threading.Thread(target=watch, daemon=True, name="cancel")
    watcher.start()
    try:
        try:
            yield
        finally:
            over.set()
    except _Interrupted:
        over.set()
        stop_if_cancelled()
        raise KeyboardInterrupt from None  # the cancel was taken back: there is no such thing
    finally:
        with lock:
            over.set()
        watcher.join()
        signal.signal(_SIGNAL, signal.SIG_IGN)  # by default one that is late would end the process


def _send() -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
    else:
        import _thread

        _thread.interrupt_main(_SIGNAL)
