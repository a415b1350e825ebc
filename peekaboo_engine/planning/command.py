# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``plan``: for people, with files; for programs, with one request and one answer."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import __version__
from ..documents import first_fault, parse_json, read_json
from ..errors import EngineError, shown
from ..events import say
from ..limits import MAX_LINE_BYTES, MAX_NAME, MAX_PATH
from ..places import replacing
from .checks import check
from .edits import edit_plan
from .endpoint import Endpoint
from .language_model import plan_with_model
from .plan import Plan, rounded
from .planner import plan_text

KEY = "PEEKABOO_ENDPOINT_KEY"
FRAMES = 16
"""Of the box tracks that a plan is written as: those of the paper's benchmark have 12 to 24."""
MAX_TEXT = 10_000


class _Server(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(max_length=MAX_PATH)]
    model: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    key: Annotated[str, Field(max_length=MAX_PATH, repr=False)] = ""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 120.0


class _Request(BaseModel):
    """What a program asks for; without an endpoint the built-in planner answers."""

    model_config = ConfigDict(extra="forbid")

    text: str
    aspect: Annotated[float, Field(gt=0.1, lt=10)] = 16 / 9
    plan: Plan | None = None
    endpoint: _Server | None = None


class Lines(Protocol):
    """Where an answer goes."""

    def hello(self, **versions: str) -> None:
        """The planner is up."""

    def plan(self, plan: dict[str, Any], notes: list[str]) -> None:
        """The plan is made."""


def answer(requests: BinaryIO, lines: Lines) -> None:
    """Read one request and send its answer.

    Args:
        requests: a line of JSON, as :class:`_Request` has it.
        lines: get the plan.

    Raises:
        EngineError: as the planners.
    """
    lines.hello(engine=__version__, device="cpu")
    line = requests.readline(MAX_LINE_BYTES + 1)
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError("a line that does not end")
        request = _Request.model_validate(parse_json(line))
    except ValidationError as error:  # not its own text, which would quote the key
        raise EngineError(
            "bad_request", f"The request to plan cannot be read ({first_fault(error)})."
        ) from None
    except ValueError as error:
        raise EngineError("bad_request", f"The request to plan cannot be read ({error}).") from None
    server = request.endpoint
    endpoint = None
    if server is not None:
        endpoint = Endpoint(server.url, server.model, server.key, _online(), server.timeout)
    plan, notes = make(request.text, request.aspect, request.plan, endpoint)
    # to a hundredth of a pixel: an answer has to fit into a line
    lines.plan(rounded(plan.model_dump(mode="json"), 4), notes)


def make(text: str, aspect: float, plan: Plan | None, endpoint: Endpoint | None) -> tuple[Plan, list[str]]:
    """Plan a text, or change a plan by it; returns it and notes.

    Raises:
        EngineError: as the planners.
    """
    if not text.strip():
        raise EngineError(
            "nothing_said", 'There is nothing to plan: say what moves, such as "a red ball rolls right".'
        )
    if len(text) > MAX_TEXT:
        raise EngineError(
            "text_too_long", f"The text has {len(text)} characters: shorten it to {MAX_TEXT} at most."
        )
    if endpoint is not None:
        return plan_with_model(text, endpoint, aspect, plan)
    made = edit_plan(plan, text) if plan is not None else plan_text(text, aspect)
    return made, [finding.message for finding in check(made)] if plan is None else []


def _online() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() not in {"1", "ON", "YES", "TRUE"}


@dataclass(frozen=True)
class Asked:
    """The command line of ``plan``."""

    text: str
    change: Path | None
    out: Path | None
    layouts: Path | None
    aspect: float
    endpoint: str
    model: str


def plan(asked: Asked) -> None:
    """Plan, and write what was asked for.

    Raises:
        EngineError: as the planners; ``plan_unreadable``, ``cannot_write``.
    """
    if asked.endpoint and not asked.model:
        raise EngineError("endpoint_model", "Name the language model of the endpoint: add --model.")
    endpoint = None
    if asked.endpoint:
        endpoint = Endpoint(asked.endpoint, asked.model, os.environ.get(KEY, ""), _online())
    before = read_plan(asked.change) if asked.change else None
    made, notes = make(asked.text, before.aspect if before else asked.aspect, before, endpoint)
    text = made.model_dump_json(indent=2)
    if asked.layouts:
        _write(asked.layouts, json.dumps(records_of(made)))
    if asked.out:
        _write(asked.out, text + "\n")
    if not (asked.out or asked.layouts):
        say(text)
    for note in notes:  # on standard error, since a plan may be on the other
        print(f"note: {shown(note)}", file=sys.stderr)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        EngineError: ``plan_unreadable``.
    """
    try:
        return Plan.model_validate(read_json(path, follow=True, once=True))
    except OSError as error:
        raise EngineError(
            "plan_unreadable", f"Cannot read the plan {path}: {error.strerror}; give a readable file."
        ) from None
    except ValidationError as error:
        raise EngineError(
            "plan_unreadable", f"{path} is not a plan ({first_fault(error)}); correct it."
        ) from None
    except ValueError as error:
        raise EngineError(
            "plan_unreadable", f"{path} is not a plan: {error}; give a file that plan has written."
        ) from None


def records_of(made: Plan, frames: int = FRAMES) -> list[dict[str, Any]]:
    """The box tracks of a plan in the format of the paper's benchmark: one record a subject of each shot."""
    times = np.linspace(0, 1, frames)
    return [
        {
            "id": f"{number}-{subject.id}",
            "caption": shot.prompt,
            "subject": subject.phrase,
            "bboxes": subject.boxes(times).clip(0, 1).round(5).tolist(),
        }
        for number, shot in enumerate(made.shots, start=1)
        for subject in shot.subjects
    ]


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EngineError(
            "cannot_write", f"Cannot write {path}: {error.strerror}; choose another place."
        ) from None
