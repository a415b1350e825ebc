# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine says, one JSON object a line, as plain data; imports no bpy.

Messages about one of several jobs carry its id as ``job``; where there is one job only, that is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROTOCOL = 1


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
    """The engine has done ``step`` of ``total`` steps of its phase."""

    step: int
    total: int
    job: str | None = None


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
class Failure:
    """There will be no clip; ``message`` is a sentence for the user.

    Of an engine that runs several jobs, one without ``job`` says that the engine itself is gone.
    """

    code: str
    message: str
    job: str | None = None


Event = Start | Hello | Phase | Progress | Preview | Notice | Result | Failure


def parse(line: dict) -> Event | None:
    """Make a message of one of the engine's lines; None for a kind that this version does not know.

    Raises:
        KeyError, TypeError, ValueError: the line is not of the protocol.
    """
    kind, job = line["event"], line.get("id")
    match kind:
        case "start":
            return Start()
        case "hello" if line["protocol"] != PROTOCOL:
            return Failure(
                "protocol",
                "The engine is of another version than the add-on: install both from the same release.",
            )
        case "hello":
            return Hello(line["engine"], line["device"])
        case "phase":
            return Phase(line["phase"], job)
        case "progress":
            return Progress(int(line["step"]), int(line["total"]), job)
        case "preview":
            return Preview(Path(line["path"]), job)
        case "notice":
            return Notice(line["message"], job)
        case "result":
            return Result(Path(line["clip"]), Path(line["info"]), float(line["seconds"]), job)
        case "error":
            return Failure(line["code"], line["message"], job)
    return None
