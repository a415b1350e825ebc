# SPDX-License-Identifier: GPL-3.0-or-later
"""A cancel is heeded where the work is: between two blocks, and in the middle of loading."""

import sys
import threading
import time

import pytest
import torch
from tiny import unet3d as tiny_models

from peekaboo_engine.cancelling import interruptible, stopping_between_blocks
from peekaboo_engine.errors import EngineError


def stop():
    raise EngineError("cancelled", "The generation was cancelled.")


def test_it_is_asked_before_each_block_and_not_afterwards(pipe):
    asked = []
    with stopping_between_blocks(pipe, lambda: asked.append(1)):
        tiny_models.latents(pipe, steps=1)
    assert len(asked) > 50
    count = len(asked)
    tiny_models.latents(pipe, steps=1)
    assert len(asked) == count


def test_a_step_ends_in_its_middle(pipe):
    calls = []
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(EngineError), stopping_between_blocks(pipe, stop):
            tiny_models.latents(pipe, steps=3)
    finally:
        hook.remove()
    assert not calls
    assert torch.isfinite(tiny_models.latents(pipe, steps=1)).all()  # the pipeline is as good as before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows interrupts no wait of the system's")
def test_waiting_for_a_disk_or_a_network_ends_at_once():
    """In the place of a download that stands still: a lock that nobody gives back."""
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    begun = time.monotonic()
    with pytest.raises(EngineError, match="cancelled"), interruptible(stop, cancelled.is_set):
        threading.Event().wait(60)
    assert time.monotonic() - begun < 50  # and not when it was over


def test_a_block_that_is_not_cancelled_is_left_alone():
    with interruptible(stop, lambda: False):
        result = sum(range(1000))
    assert result == 499500
    assert not any(thread.name == "cancel" and not thread.daemon for thread in threading.enumerate())


def test_a_cancel_at_the_very_end_raises_within_the_block_or_not_at_all():
    for delay in (0.18, 0.2, 0.22, 0.4):
        cancelled = threading.Event()
        threading.Timer(delay, cancelled.set).start()
        raised = False
        try:
            with interruptible(stop, cancelled.is_set):
                time.sleep(delay)
        except EngineError:
            raised = True
        time.sleep(0.3)  # nothing comes up here
        assert raised in {True, False}


def test_errors_of_the_block_come_through():
    with pytest.raises(ZeroDivisionError), interruptible(stop, lambda: False):
        raise ZeroDivisionError
