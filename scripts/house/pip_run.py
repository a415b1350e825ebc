# SPDX-License-Identifier: GPL-3.0-or-later
"""Run pip so that a person sees what it is doing, and tell why it failed. Standard library only."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

# Without a terminal (CI, a log file) a line is printed when the stage changes, and at this interval in
# seconds.
HEARTBEAT = 15.0

_STAGES = (
    (re.compile(r"^Collecting ([^\s;]+)"), "fetching {0}"),
    (re.compile(r"^\s*(?:Downloading|Using cached) (\S+) \((.+)\)"), "fetching {0} ({1})"),
    (re.compile(r"^Installing collected packages: (.+)"), "installing {0}"),
)

# The first pattern that occurs in pip's output names the failure. A full disk comes first because pip may
# report other errors on top of it, and the network before "no match" because an unreachable index has none.
_FAILURES = (
    ("poisoned", re.compile(r"DO NOT MATCH THE HASHES")),
    ("disk", re.compile(r"No space left on device|Errno 28\b|not enough space on the disk|WinError 112")),
    (
        "network",
        re.compile(
            r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError"
            r"|Max retries exceeded|Network is unreachable|Connection (?:refused|reset|aborted|broken)"
            r"|IncompleteRead|not enough bytes were received"
        ),
    ),
    ("conflict", re.compile(r"ResolutionImpossible")),
    ("no_build", re.compile(r"No matching distribution found|Could not find a version that satisfies")),
)

_POISONED = re.compile(r"DO NOT MATCH THE HASHES.*\n {4}(\S[^\n]*?)(?: from \S+)?(?: \(from [^\n]*\))?:\n")
"""The package that pip names first among those whose files are wrong."""

UNCHANGED = ("poisoned", "network", "conflict", "no_build")


class PipFailure(Exception):
    """pip ended with an error.

    `kind` is "poisoned" (a file is not the one that the lock names: `detail` is the package), "disk",
    "network", "conflict" (with another requirement or a constraint of the machine's pip), "no_build" (no
    release for this Python or platform) or "other"; otherwise `detail` is pip's own last error line, without
    its "ERROR:" prefix. But with "disk" and "other" nothing was changed: pip fetches and checks everything
    before it installs anything.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def describe_line(line: str) -> str | None:
    """Say in a few words what pip is doing, or None where a line of its output tells nothing new."""
    for pattern, words in _STAGES:
        if match := pattern.match(line):
            if words.startswith("installing"):
                return f"installing {match[1].count(',') + 1} packages"
            return words.format(*match.groups())
    return None


def classify_failure(output: str) -> PipFailure:
    """Turn the output of a failed pip run into a PipFailure."""
    errors = re.findall(r"^ERROR: (.+)", output, re.M)
    detail = errors[-1] if errors else (output.strip().splitlines() or ["pip said nothing"])[-1]
    kind = next((name for name, pattern in _FAILURES if pattern.search(output)), "other")
    if kind == "poisoned" and (package := _POISONED.search(output)):
        detail = package[1]
    return PipFailure(kind, detail.strip())


class StatusLine:
    """One line of progress: rewritten in place on a terminal, printed now and then elsewhere."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._in_place = stream.isatty()
        self._start = time.monotonic()
        self._stage = ""
        self._printed_at = float("-inf")

    def show(self, text: str) -> None:
        """Show `text` with the seconds since the start in front."""
        now = time.monotonic()
        stage = text.split(" ", 1)[0]
        line = f"[{self._title}] {now - self._start:4.0f} s  {text}"
        if self._in_place:
            self._stream.write("\r" + line[:110].ljust(110))
        elif stage != self._stage or now - self._printed_at >= HEARTBEAT:
            self._stream.write(line + "\n")
            self._printed_at = now
        self._stage = stage
        self._stream.flush()

    def close(self, text: str) -> None:
        """Leave a last line that stays."""
        self._stage = ""
        self.show(text)
        if self._in_place:
            self._stream.write("\n")


def run_pip(python: Path, arguments: list[str], log: Path, status: StatusLine) -> None:
    """Run `python -m pip ARGUMENTS`, with its whole output appended to `log` and its stages on `status`.

    Raises PipFailure when pip ends with an error. pip is ended too when this is interrupted.
    """
    command = [str(python), "-I", "-u", "-m", "pip", *arguments]
    output: list[str] = []
    lines: queue.Queue[str | None] = queue.Queue()
    with (
        log.open("a", encoding="utf-8") as record,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as pip,
    ):
        # A thread reads, so that the clock goes on while pip is silent in a long download.
        threading.Thread(target=_read_lines, args=(pip.stdout, lines), daemon=True).start()
        try:
            doing = "starting pip"
            while True:
                status.show(doing)
                try:
                    line = lines.get(timeout=1.0)
                except queue.Empty:
                    continue
                if line is None:
                    break
                record.write(line)
                output.append(line)
                doing = describe_line(line) or doing
        except BaseException:
            pip.terminate()
            raise
    if pip.returncode != 0:
        raise classify_failure("".join(output))


def _read_lines(stream: TextIO | None, lines: queue.Queue[str | None]) -> None:
    """Put each line of `stream` on `lines`, and None at its end."""
    assert stream is not None
    for line in stream:
        lines.put(line)
    lines.put(None)


def status_line(title: str) -> StatusLine:
    """A status line on standard error: standard output belongs to the caller's own results."""
    return StatusLine(title, sys.stderr)
