# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests from a program that may be broken: lines without an end, ids taken twice, paths that are none."""

import json
import os
import threading

import pytest

from peekaboo_engine.inbox import Free, Generate, Inbox
from peekaboo_engine.limits import MAX_ID, MAX_LINE_BYTES


@pytest.fixture
def pipe():
    """An inbox that reads a pipe in the place of standard input, its other end, and what it refused."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    refused = []
    yield Inbox(lambda id_, error: refused.append((id_, error.code))), writing, refused
    os.dup2(kept, 0)
    for descriptor in (reading, kept):  # not the other end: closing that ends the process
        os.close(descriptor)


def line(**request) -> bytes:
    return json.dumps(request).encode() + b"\n"


def generate(id_: str, job: str = "job", out: str = "out") -> bytes:
    return line(request="generate", id=id_, job=job, out=out)


def send(writing: int, data: bytes) -> None:
    """From a thread, since a pipe holds only so much."""
    threading.Thread(target=os.write, args=(writing, data), daemon=True).start()


@pytest.mark.parametrize("length", [3 * MAX_LINE_BYTES, MAX_LINE_BYTES + 5])
def test_a_line_without_an_end_is_passed_over(pipe, capfd, length):
    inbox, writing, _ = pipe
    send(writing, b"x" * length + b"\n" + generate("a"))
    request = inbox.next(30)
    assert isinstance(request, Generate) and request.id == "a"
    assert capfd.readouterr().err.count("ignored a request of more than") == 1


def test_a_job_under_an_id_in_use_is_refused_until_that_one_has_ended(pipe):
    inbox, writing, refused = pipe
    os.write(writing, generate("a") + generate("a") + line(request="free"))
    assert isinstance(inbox.next(30), Generate)
    assert isinstance(inbox.next(30), Free)
    assert refused == [("a", "duplicate_job")]
    inbox.finished("a")
    os.write(writing, generate("a"))
    assert isinstance(inbox.next(30), Generate)


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xfe\n",
        b"[" * 60_000 + b"\n",
        b"{}\n",
        line(request="generate", id="a" * (MAX_ID + 1), job="j", out="o"),
        line(request="generate", id="a", job="j\0", out="o"),
        line(request="generate", id="a", job="j", out="o\x1b"),
        line(request="generate", id="a", job="j" * 5000, out="o"),
        line(request="generate", id=1, job="j", out="o"),
        line(request="cancel", id="\u009b"),
        b'{"request": "cancel", "id": "\\ud800"}\n',
    ],
)
def test_what_is_no_request_is_passed_over_and_shown_escaped(pipe, capfd, bad):
    inbox, writing, _ = pipe
    os.write(writing, bad + generate("good"))
    assert inbox.next(30).id == "good"
    log = capfd.readouterr().err
    assert "ignored a request" in log and "Traceback" not in log and "\x1b" not in log
    assert len(log) < 3000


def test_requests_in_pieces_are_put_together(pipe):
    inbox, writing, _ = pipe
    whole = generate("piece")
    for position in range(0, len(whole), 7):
        os.write(writing, whole[position : position + 7])
    assert inbox.next(30).id == "piece"


def test_a_cancel_reaches_only_its_job(pipe):
    inbox, writing, _ = pipe
    os.write(writing, generate("a") + generate("b") + line(request="cancel", id="b") + line(request="free"))
    for _ in range(3):
        inbox.next(30)
    assert inbox.cancelled("b") and not inbox.cancelled("a")
