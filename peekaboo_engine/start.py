# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the engine that this file belongs to, for programs: ``python -I peekaboo_engine/start.py serve``.

With ``python -m peekaboo_engine`` the current folder comes first among the places of modules, and whatever
lies there is taken for one. An isolated Python leaves that out, and then has to be told where the engine is:
here. The folder around it stays out too, since in the extension it holds the add-on's modules.

A program that starts the engine so keeps a pipe to its standard input open. When that closes the engine ends
by itself as soon as it listens, which is not while it imports torch, or while a library keeps Python's lock.
So there is somebody from the first moment on who does nothing but wait for that.
"""

import importlib.util
import os
import runpy
import select
import signal
import stat
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
GRACE_SECONDS = 3.7
"""How long the engine may take to end by itself once its standard input is closed; see ``inbox.py``.

With what a busy machine takes to get this far, the engine is gone 5 seconds after its program at most.
"""


def main() -> None:
    """Run the engine's command line."""
    if hasattr(os, "fork") and stat.S_ISFIFO(os.fstat(0).st_mode):
        _watch_standard_input()
    spec = importlib.util.spec_from_file_location(
        "peekaboo_engine", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None and spec.loader is not None
    package = sys.modules["peekaboo_engine"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    runpy.run_module("peekaboo_engine", run_name="__main__", alter_sys=True)


def _watch_standard_input() -> None:
    """Leave a process beside this one that kills it some time after its standard input has closed.

    It ends with this one, whose end of ``living`` closes then; no other process gets to have that.
    """
    engine = os.getpid()
    watched, living = os.pipe()
    if os.fork():
        os.close(watched)
        return
    os.close(living)
    try:
        _watch(engine, watched)
    finally:
        os._exit(0)


def _watch(engine: int, watched: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal's, which are for the engine
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):  # or who reads the engine's output would not see it end
        os.dup2(nowhere, stream)
    hung_up = select.poll()
    hung_up.register(0, 0)
    hung_up.register(watched, 0)
    if all(descriptor != watched for descriptor, _ in hung_up.poll()):
        hung_up.unregister(0)
        if not hung_up.poll(GRACE_SECONDS * 1000):
            os.kill(engine, signal.SIGKILL)


if __name__ == "__main__":
    main()
