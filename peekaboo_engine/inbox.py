# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program at the other end of standard input asks for, one JSON object a line.

``generate`` (id, job, out) queues a job, ``finish`` (id, take, finish) another of smoothing and enlarging a
clip that is there, ``cancel`` (id) ends it before or while it runs, ``free`` forgets
the loaded model, ``read`` (model, prompt) asks how much of a prompt the model reads. A line that is none of
these is said in the log and passed over; a job under the id of one that waits or runs is refused. Closing the
input ends the engine: a parent that dies closes it too, so no engine outlives its Blender. One that is busy
where it cannot listen, such as in a long step or in loading a model, is interrupted, and then ended.
"""

import _thread
import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .documents import without_controls
from .errors import EngineError, shown
from .job import Finish
from .limits import MAX_ID, MAX_LINE_BYTES, MAX_PATH, MAX_PROMPT

INTERRUPT_SECONDS = 2.5
"""How long after the input has closed the engine goes on until it listens by itself."""
EXIT_SECONDS = 1.5
"""How long after that it may clean up before it ends in the middle of what it does."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _possible(path: Path) -> Path:
    if len(text := str(path)) > MAX_PATH:
        raise ValueError(f"a path has more than {MAX_PATH} characters")
    without_controls(text)
    return path


_Id = Annotated[str, Field(max_length=MAX_ID), AfterValidator(without_controls)]
_Path = Annotated[Path, AfterValidator(_possible)]


class Generate(_Request):
    """Make the clip of a job folder; its events carry ``id``."""

    request: Literal["generate"]
    id: _Id
    job: _Path
    out: _Path


class FinishTake(_Request):
    """Smooth or enlarge the clip of a take, beside it; its events carry ``id``."""

    request: Literal["finish"]
    id: _Id
    take: _Path
    finish: Finish


class Cancel(_Request):
    """End a job; without an id, all of them."""

    request: Literal["cancel"]
    id: _Id | None = None


class Free(_Request):
    """Forget the loaded model."""

    request: Literal["free"]


class Read(_Request):
    """Tell how much of a prompt a model reads, loaded or not."""

    request: Literal["read"]
    model: Annotated[str, Field(max_length=MAX_PATH)]
    prompt: Annotated[str, Field(max_length=MAX_PROMPT)]


Request = Generate | FinishTake | Cancel | Free | Read

_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="request")])


def read_request(line: bytes) -> Request:
    """Read a line as an engine does; raises ValidationError for one that an engine ignores."""
    return _REQUEST.validate_json(line)


class Inbox:
    """The requests on standard input, read by a thread so that a cancel reaches a job that runs.

    Args:
        refuse: told the id of a job that is not taken, and why, from that thread.
    """

    def __init__(self, refuse: Callable[[str, EngineError], None] = lambda *_: None):
        self._refuse = refuse
        self._waiting: queue.SimpleQueue[Generate | FinishTake | Free | Read | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._known: set[str] = set()  # jobs that wait or run
        self._cancelled: set[str] = set()
        self._closed = threading.Event()
        self._stop = threading.Event()
        threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def next(self, patience: float) -> Generate | FinishTake | Free | Read | None:
        """The next request; None when the input has closed or nothing came for ``patience`` seconds."""
        try:
            return self._waiting.get(timeout=patience)
        except queue.Empty:
            return None

    def cancelled(self, id_: str) -> bool:
        """Whether a job is to end: it was cancelled, or the other end is gone."""
        with self._lock:
            return self._closed.is_set() or id_ in self._cancelled

    def stopped(self) -> bool:
        """Whether the one job of a process that serves no others is to end."""
        return self._closed.is_set() or self._stop.is_set()

    def finished(self, id_: str) -> None:
        """Forget a job that has ended; its id may be used again."""
        with self._lock:
            self._known.discard(id_)
            self._cancelled.discard(id_)

    def close(self) -> None:
        """Take no more requests, and let the jobs that wait or run end; safe in a signal handler."""
        self._closed.set()
        self._waiting.put(None)

    def _read(self) -> None:
        # Bytes, since what is no UTF-8 must not end the thread; unbuffered, since Python aborts at its exit
        # over the lock of a buffer that a thread waits on; by a descriptor of its own, so that it goes on
        # with what it began with where another is put in the place of standard input.
        stdin = open(os.dup(0), "rb", buffering=0, closefd=False)  # noqa: SIM115 - it outlives this
        try:
            for line in _lines(stdin):
                self._read_line(line)
        finally:
            self.close()
        time.sleep(INTERRUPT_SECONDS)  # the thread ends with the process, which is mostly before this
        _thread.interrupt_main()
        time.sleep(EXIT_SECONDS)
        os._exit(1)

    def _read_line(self, line: bytes) -> None:
        try:
            request = read_request(line)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            print(shown(f"ignored a request ({reason}): {line[:200]!r}"), file=sys.stderr)
        else:
            self._take(request)

    def _take(self, request: Request) -> None:
        with self._lock:
            if isinstance(request, Cancel):
                self._cancelled |= self._known if request.id is None else self._known & {request.id}
                if request.id is None:
                    self._stop.set()
                return
            known = isinstance(request, Generate | FinishTake) and request.id in self._known
            if isinstance(request, Generate | FinishTake):
                self._known.add(request.id)
        if not known:
            self._waiting.put(request)
        elif isinstance(request, Generate | FinishTake):
            sentence = f'A job "{request.id}" waits or runs already; ask for another one under another id.'
            self._refuse(request.id, EngineError("duplicate_job", sentence))


def _lines(stream: RawIOBase) -> Iterator[bytes]:
    """The lines of a stream; one that is too long is said in the log and passed over, never kept."""
    kept, dropping = b"", False
    while block := stream.read(MAX_LINE_BYTES):
        *whole, rest = (kept + block).split(b"\n")
        for line in whole:
            if not dropping and len(line) <= MAX_LINE_BYTES:
                yield line
            elif not dropping:
                _say_ignored()
            dropping = False
        kept = rest
        if len(rest) > MAX_LINE_BYTES or dropping:
            if not dropping:
                _say_ignored()
            kept, dropping = b"", True


def _say_ignored() -> None:
    print(f"ignored a request of more than {MAX_LINE_BYTES} bytes", file=sys.stderr)


def parent_listens() -> bool:
    """Whether a program is at the other end of standard input, and not a terminal, a file or nothing."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
