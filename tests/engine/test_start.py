# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a program starts it: it ends with that program, even where it cannot listen."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

START = Path(__file__).resolve().parents[2] / "peekaboo_engine" / "start.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no process beside the engine's")


@pytest.fixture
def engine(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-I", "-u", START, "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("when", ["at once", "while it imports", "when it is up"])
def test_an_engine_that_cannot_listen_ends_with_its_standard_input(engine, when):
    if when != "at once":
        assert b'"start"' in engine.stdout.readline()
    if when == "when it is up":
        assert b'"hello"' in engine.stdout.readline()
    if when == "at once":  # the process beside it has to be there
        while not Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text():
            assert engine.poll() is None
    engine.send_signal(signal.SIGSTOP)  # as deaf as one that a library keeps busy
    engine.stdin.close()
    assert engine.wait(timeout=60) == -signal.SIGKILL


def test_nothing_is_left_of_an_engine_that_was_killed(engine):
    assert b'"start"' in engine.stdout.readline()
    engine.kill()
    engine.stdout.read()  # ends when no process has the other end any more
    assert engine.wait(timeout=60) == -signal.SIGKILL
