# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of a language model as a plan: found in what it wrote, validated, never run.

Servers differ in what they do with a schema that they are sent: some follow it, some say that they do and
do not,
some send it back. So an answer is text from a stranger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from ..documents import first_fault
from .plan import Plan

_THOUGHT = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_COORDINATES = ("x", "y", "width", "height")
_MOST_OBJECTS = 40
"""Places of an answer at which JSON is looked for."""
_KEPT = {"type", "enum", "const", "items", "properties", "description", "required", "additionalProperties"}


class BadAnswerError(ValueError):
    """What is wrong with an answer, worded so that a language model can put it right."""


def answer_schema() -> dict[str, Any]:
    """The JSON schema that is sent: the plan's, plain enough for all servers, with a field for thoughts
    first."""
    schema = Plan.model_json_schema()
    plain = _plain(schema, schema.get("$defs", {}))
    plain["properties"] = {
        "reasoning": {"type": "string", "description": "who moves how, from where to where, who hides whom"},
        "shots": plain["properties"]["shots"],
    }
    plain["required"] = list(plain["properties"])
    return plain


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Without references and limits, every property required, as the strictest of the servers wants it."""
    if reference := schema.get("$ref"):
        return _plain(definitions[reference.rsplit("/", 1)[1]], definitions) | {
            name: value for name, value in schema.items() if name == "description"
        }
    plain = {name: deepcopy(value) for name, value in schema.items() if name in _KEPT}
    if "properties" in plain:
        plain["properties"] = {
            name: _plain(value, definitions)
            for name, value in plain["properties"].items()
            if name != "version"
        }
        plain["required"] = list(plain["properties"])
        plain["additionalProperties"] = False
    if "items" in plain:
        plain["items"] = _plain(plain["items"], definitions)
    return plain


def read_answer(text: str, aspect: float) -> tuple[Plan, list[str]]:
    """Find a plan in an answer.

    Args:
        text: all that the model wrote.
        aspect: of the picture.

    Returns:
        The plan, and what had to be put right to read it.

    Raises:
        BadAnswerError: there is none that can be read.
    """
    problem = "it holds no JSON object"
    for found in _objects(_without_thoughts(text)):
        if _is_schema(found):
            problem = "it repeats the JSON schema instead of filling it in"
            continue
        if "shots" not in found and "subjects" in found:
            found = {"shots": [found]}
        if "shots" not in found:
            continue
        notes: list[str] = []
        found = {"aspect": aspect, "shots": _scaled(found["shots"], notes)}
        try:
            return Plan.model_validate(found), notes
        except ValidationError as error:
            problem = first_fault(error)
    raise BadAnswerError(problem)


def _without_thoughts(text: str) -> str:
    """A text without what is between the tags of thoughts; in one pass, however many there are."""
    kept, end, begin = [], 0, None
    for tag in _THOUGHT.finditer(text):
        if not tag[1] and begin is None:
            begin = tag.start()
        elif tag[1] and begin is not None:
            kept.append(text[end:begin])
            end, begin = tag.end(), None
    return "".join([*kept, text[end:]])


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects of a text, wherever they stand in it."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_MOST_OBJECTS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if isinstance(found, dict):
            yield found


def _is_schema(found: dict[str, Any]) -> bool:
    return bool({"$schema", "$defs", "properties"} & set(found)) and "shots" not in found


def _scaled(shots: Any, notes: list[str]) -> Any:
    """Coordinates of 0 to 1000, which some models always write, as those of 0 to 1."""
    keys = [
        key
        for shot in (shots if isinstance(shots, list) else [])
        if isinstance(shot, dict)
        for subject in _list(shot.get("subjects"))
        if isinstance(subject, dict)
        for key in _list(subject.get("keys"))
        if isinstance(key, dict)
    ]
    numbers = [
        key[name]
        for key in keys
        for name in _COORDINATES
        if isinstance(key.get(name), int | float) and not isinstance(key.get(name), bool)
    ]
    # a hundred and less could as well be percent: the model is asked again
    if not numbers or not 100 < max(numbers) <= 1000 or min(numbers) < -1000:
        return shots
    for key in keys:
        for name in _COORDINATES:
            if isinstance(key.get(name), int | float):
                key[name] = key[name] / 1000
    notes.append("The model's coordinates were those of 0 to 1000: divided.")
    return shots


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
