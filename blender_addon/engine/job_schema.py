# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job and its masks may be, by the engine's own schema; imports no bpy.

A take's job comes from a .blend or a folder that somebody else may have made or edited. It is read here and
nowhere else: who gets a job from :func:`parse` need not ask whether a field is there and of its kind.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from ..borders.documents import parse_json, read_json
from ..borders.places import NotPlain, machine_of, open_file
from .whereabouts import engine_folder

KINDS = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
"""The types of JSON; a number is either of Python's two."""
WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
    "number": "a number",
}

MAX_CLIP_SIDE = 8192
MAX_VOXELS = 2**28
"""Frames x height x width of the masks: the bytes that they take."""
MAX_RATE = 1000
"""Frames a second that fps and fps_base make together."""
MAX_FRAME_SECONDS = 10_000
"""That fps and fps_base make a frame last."""
MAX_PICTURE = 64 * 2**20
"""Bytes of a picture that a clip starts from."""
MAX_FILE = MAX_VOXELS + 2**20
MAX_DIRECTORY, MAX_HEADER = 64 * 2**10, 10_000
"""Bytes of masks.npz, of its table of contents, and of what an array says of itself."""

_NEVER = re.compile("[\0\ud800-\udfff]")  # ends a text for C, or cannot be written as UTF-8
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_NAMES = re.compile(r"model|subjects\.\d+\.name|loras\.\d+\.source")
"""Fields in which no line may end either."""
_LORAS = re.compile(r"loras\.\d+\.source")
_LEADS_AWAY = re.compile(r"[\\/]{2}|(.*[\\/])?\.\.([\\/]|$)", re.DOTALL)
"""As the engine has it: a path that goes up, or to another machine, which would be told who asks."""


class Damaged(ValueError):
    """What is wrong with a job or its masks, in words that end a sentence."""


def parse(text: str) -> dict[str, Any]:
    """Read a job from JSON text; raises Damaged."""
    try:
        return check(parse_json(text))
    except ValueError as error:
        raise Damaged(str(error)) from None


def read(path: Path) -> dict[str, Any]:
    """Read a job from a file.

    Raises:
        Damaged: it is no job.
        OSError: it cannot be read, or is no regular file.
    """
    try:
        return check(read_json(path))
    except ValueError as error:
        raise Damaged(str(error)) from None


def leads_away(source: str) -> bool:
    """Whether no job may name a LoRA so: its path goes up, or to another machine."""
    return _LEADS_AWAY.match(source) is not None


def is_elsewhere(path: str) -> bool:
    r"""Whether a path is on another machine, which Windows would log in to: ``\\server`` or ``//server``."""
    return machine_of(path) != ""


def check(data: Any) -> dict[str, Any]:
    """Hold data against the schema, and against what that cannot say; raises Damaged."""
    if problem := _problem(data, _schema(), "") or _disproportion(data):
        raise Damaged(problem)
    return data


def size_problem(width: Any, height: Any, frames: Any) -> str | None:
    """Say why no job may ask for clips of a size; None where one may."""
    sizes = {"width": width, "height": height, "num_frames": frames}
    fields = _schema()["properties"]
    return _first(_problem(value, fields[name], name) for name, value in sizes.items()) or _too_large(
        width, height, frames
    )


@cache
def _schema() -> dict[str, Any]:
    return json.loads((engine_folder() / "job.schema.json").read_text(encoding="utf-8"))


def _problem(value: Any, schema: dict[str, Any], at: str) -> str | None:
    """Say where a value is not what a schema of pydantic's asks for; None where it is."""
    if "$ref" in schema:
        return _problem(value, _schema()["$defs"][schema["$ref"].rpartition("/")[2]], at)
    if "anyOf" in schema:
        problems = [_problem(value, choice, at) for choice in schema["anyOf"]]
        return None if None in problems else problems[0]
    place = at or "the job"
    if not _is_kind(value, schema["type"]):
        return f"{place} is not {WORDS[schema['type']]}"
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        listed = ", ".join(map(str, choices))
        return None if value in choices else f"{place} is {_short(value)}, not of {listed}"
    match value:
        case str():
            return _problem_of_text(value, schema, place)
        case list():
            return _problem_of_size(len(value), schema, "Items", "entries", place) or _first(
                _problem(each, schema["items"], f"{place}.{i}") for i, each in enumerate(value)
            )
        case dict():
            return _problem_of_object(value, schema, at)
        case int() | float():
            return _problem_of_number(value, schema, place)
    return None


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "number":
        return type(value) in {int, float}
    return type(value) is KINDS[kind]


def _problem_of_object(value: dict, schema: dict[str, Any], at: str) -> str | None:
    fields, prefix = schema["properties"], f"{at}." if at else ""
    for name in schema.get("required", ()):
        if name not in value:
            return f"{prefix}{name} is missing"
    for name in value:
        if name not in fields:
            return f"there is {_short(prefix + name)}, which no job has"
    return _first(_problem(value[name], fields[name], prefix + name) for name in value)


def _problem_of_text(value: str, schema: dict[str, Any], place: str) -> str | None:
    if _NEVER.search(value) or (_NAMES.fullmatch(place) and _CONTROLS.search(value)):
        return f"{place} has characters that cannot be shown"
    if _LORAS.fullmatch(place) and leads_away(value):
        return f"{place} is {_short(value)}, which leads up or to another machine"
    if not re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL):
        return f"{place} is {_short(value)}, no name for it"
    return _problem_of_size(len(value), schema, "Length", "characters", place)


def _problem_of_size(size: int, schema: dict[str, Any], what: str, unit: str, place: str) -> str | None:
    if size < (least := schema.get(f"min{what}", 0)):
        return f"{place} has {size} {unit}, not {least} or more"
    if size > (most := schema.get(f"max{what}", math.inf)):
        return f"{place} has {size} {unit}, more than {most}"
    return None


def _problem_of_number(value: float, schema: dict[str, Any], place: str) -> str | None:
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    below = schema.get("exclusiveMaximum", math.inf)
    multiple = schema.get("multipleOf", 1)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is not a finite number"
    if not least <= value <= most or (value >= below and below != math.inf):
        return f"{place} is {_short(value)}, out of its range"
    if multiple != 1 and value % multiple:
        return f"{place} is {_short(value)}, no multiple of {multiple}"
    return None


def _first(problems) -> str | None:
    return next((problem for problem in problems if problem), None)


def _short(value: Any) -> str:
    try:
        text = str(value)
    except ValueError:  # of more digits than Python writes
        return "too long"
    return text if len(text) <= 40 else f"{text[:40]}…"


def _disproportion(job: dict[str, Any]) -> str | None:
    """What the fields of a job ask of each other."""
    frames, timing = job["num_frames"], job["timing"]
    if problem := _too_large(job["width"], job["height"], frames):
        return problem
    if timing["fps"] > MAX_RATE * timing["fps_base"]:
        return f"fps / fps_base is more than {MAX_RATE} frames a second"
    if timing["fps_base"] > MAX_FRAME_SECONDS * timing["fps"]:
        return f"fps_base / fps is more than {MAX_FRAME_SECONDS} seconds a frame"
    lists = {"timing.scene_frames": timing["scene_frames"]}
    lists |= {f"subjects.{i}.strength": subject.get("strength") for i, subject in enumerate(job["subjects"])}
    for name, values in lists.items():
        if values is not None and len(values) != frames:
            return f"{name} has {len(values)} entries, not {frames}"
    if any(later < earlier for earlier, later in pairwise(timing["scene_frames"])):
        return "timing.scene_frames goes back in time"
    for i, phrase in enumerate(job.get("timed_phrases", ())):
        if phrase["frame_end"] < phrase["frame_start"]:
            return f"timed_phrases.{i}.frame_end is {phrase['frame_end']}, before its start"
    return None


def _too_large(width: int, height: int, frames: int) -> str | None:
    if width * height * frames > MAX_VOXELS:
        return f"num_frames x height x width is more than {MAX_VOXELS}"
    return None


def read_labels(path: Path, job: dict[str, Any]) -> np.ndarray:
    """Read the masks of a job; what the file says of itself is held against the job before it is expanded.

    Args:
        path: of a masks.npz.
        job: as :func:`parse` gives it.

    Returns:
        uint8 (frames, height, width).

    Raises:
        Damaged: they are not the job's masks, or none at all.
        OSError: the file cannot be read, or is no regular file.
    """
    shape = (job["num_frames"], job["height"], job["width"])
    try:
        with open_file(path) as file:
            _check_archive(file)
            with zipfile.ZipFile(file) as archive:
                labels = _read_array(archive, archive.getinfo("labels.npy"), shape)
    except (OSError, Damaged):
        raise
    except KeyError:
        raise Damaged("masks.npz has no labels") from None
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds over damaged bytes
        raise Damaged(f"masks.npz is damaged ({type(error).__name__})") from None
    if labels.size and labels.max() > len(job["subjects"]):
        raise Damaged(f"masks.npz has label {labels.max()}, and there are {len(job['subjects'])} subjects")
    return labels


def _check_archive(file: IO[bytes]) -> None:
    """Refuse an archive whose table of contents, which is read at once, is larger than any of ours."""
    end = zipfile.sizeEndCentDir  # type: ignore[attr-defined] # bytes of the record that ends an archive
    further = zipfile.sizeEndCentDir64Locator  # type: ignore[attr-defined]
    size = file.seek(0, 2)
    if size > MAX_FILE:
        raise NotPlain(f"it has more than {MAX_FILE} bytes")
    file.seek(max(0, size - end - further))
    tail = file.read()
    record = tail[-end:]
    if len(record) < end or record[:4] != b"PK\5\6" or record[-2:] != b"\0\0":
        raise Damaged("masks.npz is no npz file")
    if b"PK\6\7" in tail or int.from_bytes(record[12:16], "little") > MAX_DIRECTORY:
        raise Damaged("masks.npz has too many files")


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shape: tuple[int, ...]) -> np.ndarray:
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise Damaged("masks.npz is compressed as none of ours is")
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in readers:
            raise Damaged("masks.npz has an array of another version")
        found, _, dtype = readers[version](stream, max_header_size=MAX_HEADER)
        begin = stream.tell()
    if dtype != np.uint8 or found != shape:
        raise Damaged(f"masks.npz has {dtype} of shape {found}, and the job asks for uint8 of {shape}")
    if member.file_size != begin + math.prod(shape):
        raise Damaged("masks.npz is not as large as its array")
    with archive.open(member) as stream:
        labels = npy.read_array(stream, allow_pickle=False, max_header_size=MAX_HEADER)
        stream.read(1)  # at its end the checksum is compared
    return labels
