# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine says, one JSON object a line, as plain data; imports no bpy.

Messages about one of several jobs carry its id as ``job``; where there is one job only, that is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..borders.documents import parse_json
from ..errors import shown
from .plans import Plan, read_plan

PROTOCOL = 1

MAX_LINE = 64 * 2**10
"""Bytes of a line, either way."""
MAX_ID, MAX_PATH = 200, 4096
"""Characters of a job's id and of a path."""
MOST_NOTES = 20
"""Of a plan."""
MAX_COUNT = 10**9
"""Of steps and of seconds: beyond all reason."""


@dataclass(frozen=True)
class Start:
    """The engine's process runs, and begins to import what it needs."""


@dataclass(frozen=True)
class Hello:
    """The engine is up.

    Attributes:
        engine: its version.
        device: what it computes on, e.g. ``cpu`` or ``cuda``.
    """

    engine: str
    device: str


@dataclass(frozen=True)
class Phase:
    """The engine begins a phase: ``load``, ``denoise``, ``decode`` or ``write``."""

    phase: str
    job: str | None = None


@dataclass(frozen=True)
class Progress:
    """The engine has done ``step`` of ``total`` steps of its phase.

    It was read ``at`` that many seconds of :func:`time.monotonic`; None until then.
    """

    step: int
    total: int
    job: str | None = None
    at: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Preview:
    """A small PNG of what is being denoised is at ``path``, for now."""

    path: Path
    job: str | None = None


@dataclass(frozen=True)
class Notice:
    """Something that the user should know, in a sentence; the job goes on."""

    message: str
    job: str | None = None


@dataclass(frozen=True)
class Result:
    """The clip is there.

    Attributes:
        clip: the movie.
        info: JSON with all that is needed to make it again.
        seconds: that the engine took.
    """

    clip: Path
    info: Path
    seconds: float
    job: str | None = None


@dataclass(frozen=True)
class Model:
    """What was asked for of a model is done.

    Attributes:
        name: of the model in the catalogue.
        state: ``downloaded``, ``half`` or ``missing``.
        message: a sentence about it.
    """

    name: str
    state: str
    message: str
    job: str | None = None


@dataclass(frozen=True)
class PromptRead:
    """How much of a prompt the model reads that is loaded; all None where that is another one.

    Attributes:
        tokens: that the prompt takes.
        most: that are read.
        end: up to which character; None where it is read to its end.
    """

    tokens: int | None
    most: int | None
    end: int | None


@dataclass(frozen=True)
class Failure:
    """There will be no clip; ``message`` is a sentence for the user.

    Of an engine that runs several jobs, one without ``job`` says that the engine itself is gone.
    """

    code: str
    message: str
    job: str | None = None


@dataclass(frozen=True)
class Planned:
    """A text is planned; notes are sentences about what of the plan may not be as it says."""

    plan: Plan
    notes: tuple[str, ...]


Event = Start | Hello | Phase | Progress | Preview | Notice | Result | Model | Planned | PromptRead | Failure


def parse(line: bytes) -> Event | None:
    """Make a message of one of the engine's lines; None for a kind that this version does not know.

    What the engine says may quote a model or a job of somebody else's, so that sentences are made fit to be
    shown here.

    Args:
        line: JSON in UTF-8, at most :data:`MAX_LINE` bytes.

    Raises:
        KeyError, TypeError, ValueError: the line is not of the protocol.
    """
    data = parse_json(line.decode("utf-8"))
    kind, job = data["event"], data.get("id")
    if job is not None:
        job = _text(job, MAX_ID)
    match kind:
        case "start":
            return Start()
        case "hello" if data["protocol"] != PROTOCOL:
            return Failure(
                "protocol",
                "The engine is of another version than the add-on: install both from the same release.",
            )
        case "hello":
            return Hello(_sentence(data["engine"]), _sentence(data["device"]))
        case "phase":
            return Phase(_sentence(data["phase"]), job)
        case "progress":
            return Progress(_count(data["step"]), _count(data["total"]), job)
        case "preview":
            return Preview(_path(data["path"]), job)
        case "notice":
            return Notice(_sentence(data["message"]), job)
        case "result":
            return Result(_path(data["clip"]), _path(data["info"]), _seconds(data["seconds"]), job)
        case "model":
            return Model(_sentence(data["name"]), _sentence(data["state"]), _sentence(data["message"]), job)
        case "plan":
            notes = data["notes"]
            if not isinstance(notes, list):
                raise TypeError("no list")
            return Planned(read_plan(data["plan"]), tuple(_sentence(note) for note in notes[:MOST_NOTES]))
        case "read":
            tokens, most, end = (
                None if data[key] is None else _count(data[key]) for key in ("tokens", "most", "end")
            )
            return PromptRead(tokens, most, end)
        case "error":
            return Failure(_sentence(data["code"]), _sentence(data["message"]), job)
    return None


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("no text, or too long")
    return value


def _sentence(value: object) -> str:
    return shown(_text(value, MAX_LINE))


def _path(value: object) -> Path:
    path = _text(value, MAX_PATH)
    path.encode()  # half a character is a ValueError
    if "\0" in path:
        raise ValueError("no path")
    return Path(path)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise ValueError("no count")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:  # nor is "not a number" in there
        raise ValueError("no time")
    return float(value)
