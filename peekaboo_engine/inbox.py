# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program at the other end of standard input asks for, one JSON object a line.

``generate`` (id, job, out) queues a job, ``cancel`` (id) ends it before or while it runs, ``free`` forgets
the loaded model. Closing the input ends the engine: a parent that dies closes it too, so no engine outlives
its Blender.
"""

import os
import queue
import stat
import sys
import threading
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Generate(_Request):
    """Make the clip of a job folder; its events carry ``id``."""

    request: Literal["generate"]
    id: str
    job: Path
    out: Path


class Cancel(_Request):
    """End a job; without an id, all of them."""

    request: Literal["cancel"]
    id: str | None = None


class Free(_Request):
    """Forget the loaded model."""

    request: Literal["free"]


Request = Generate | Cancel | Free
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="request")])


class Inbox:
    """The requests on standard input, read by a thread so that a cancel reaches a job that runs.

    Input that is no pipe (a terminal, a file, nothing) is left alone: nobody is at its other end.
    """

    def __init__(self):
        self._waiting: queue.SimpleQueue[Generate | Free | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._all_cancelled = threading.Event()
        if _stdin_is_pipe():
            threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def next(self, patience: float) -> Generate | Free | None:
        """The next request; None when the input has closed or nothing came for ``patience`` seconds."""
        try:
            return self._waiting.get(timeout=patience)
        except queue.Empty:
            return None

    def cancelled(self, id_: str | None = None) -> bool:
        """Whether a job is to end: it was cancelled, or the other end is gone."""
        return self._all_cancelled.is_set() or id_ in self._cancelled

    def _read(self) -> None:
        for line in sys.stdin:
            try:
                request = _REQUEST.validate_json(line)
            except ValidationError as error:
                print(f"ignored a request ({error.errors()[0]['msg']}): {line.strip()}", file=sys.stderr)
                continue
            if not isinstance(request, Cancel):
                self._waiting.put(request)
            elif request.id is None:
                self._all_cancelled.set()
            else:
                self._cancelled.add(request.id)
        self._all_cancelled.set()
        self._waiting.put(None)


def _stdin_is_pipe() -> bool:
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
