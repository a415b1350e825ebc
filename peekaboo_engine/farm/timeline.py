# SPDX-License-Identifier: GPL-3.0-or-later
"""An edit of each scene as OpenTimelineIO, which editing programs read: its shots at their frames.

The first track has the first clip of each shot, the second the next one, and so on. Of a shot's clips the
first that is there is on, and the others, which lie above it, are off. Paths are relative to the file. The
format is the JSON of OpenTimelineIO, with schemas that all its versions read
(https://opentimelineio.readthedocs.io/en/stable/tutorials/otio-serialized-schema.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..video import replacing
from .plan import Shot
from .results import Result


def write_edits(results: Sequence[Result], out: Path) -> list[Path]:
    """Write an edit of each scene; returns the files.

    Args:
        results: of one plan.
        out: the output folder, which has the clips' folders.

    Raises:
        EngineError: ``not_written``.
    """
    scenes: dict[str, list[Result]] = {}
    for result in results:
        scenes.setdefault(result.shot.scene, []).append(result)
    written: list[Path] = []
    for scene, own in scenes.items():
        path = out / _file_name(scene, [other.name for other in written], alone=len(scenes) == 1)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(timeline(scene, own), indent=1) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _file_name(scene: str, taken: Sequence[str], alone: bool) -> str:
    if alone:
        return "edit.otio"
    name = f"edit_{re.sub(r'[^A-Za-z0-9_-]', '_', scene)[:100]}"
    number, free = 1, name
    while f"{free}.otio".casefold() in {other.casefold() for other in taken}:
        number += 1
        free = f"{name}_{number}"
    return f"{free}.otio"


def timeline(scene: str, results: Sequence[Result]) -> dict[str, Any]:
    """The edit of a scene, as OpenTimelineIO has it."""
    shots = list({result.shot.name: result.shot for result in results}.values())
    shots.sort(key=lambda shot: shot.first)
    clips = {shot.name: [result for result in results if result.shot.name == shot.name] for shot in shots}
    first, rate = shots[0].first, shots[0].fps / shots[0].fps_base
    tracks = [_track(number, shots, clips, first, rate) for number in range(max(map(len, clips.values())))]
    return {
        "OTIO_SCHEMA": "Timeline.1",
        "name": scene,
        "metadata": {},
        "global_start_time": _time(first, rate),
        "tracks": {
            "OTIO_SCHEMA": "Stack.1",
            "name": "tracks",
            "metadata": {},
            "source_range": None,
            "effects": [],
            "markers": [],
            "children": tracks,
        },
    }


def _track(
    number: int, shots: Sequence[Shot], clips: dict[str, list[Result]], first: int, rate: float
) -> dict[str, Any]:
    """A track with a clip of each shot that has so many, and gaps between them."""
    children: list[dict[str, Any]] = []
    end = first
    for shot in shots:
        own = clips[shot.name]
        result = own[number] if number < len(own) else None
        if result is None or result.file is None:
            continue
        if shot.first > end:
            children.append(_item("Gap.1", "", shot.first - end, rate))
        shown = next(each for each in own if each.file is not None)
        children.append(_clip(result, rate, enabled=result is shown))
        end = shot.first + result.frames
    return {
        "OTIO_SCHEMA": "Track.1",
        "kind": "Video",
        "name": f"V{number + 1}",
        "metadata": {},
        "source_range": None,
        "effects": [],
        "markers": [],
        "children": children,
    }


def _clip(result: Result, rate: float, enabled: bool) -> dict[str, Any]:
    assert result.file is not None
    return {
        **_item("Clip.1", result.clip.name, result.frames, rate, enabled),
        "metadata": {
            "peekaboo": {
                "shot": result.shot.title or result.shot.scene,
                "model": result.clip.model,
                "seed": result.clip.seed,
            }
        },
        "media_reference": {
            "OTIO_SCHEMA": "ExternalReference.1",
            "name": "",
            "metadata": {},
            "target_url": f"{result.file.parent.name}/{result.file.name}",  # plain letters: nothing to quote
            "available_range": _range(result.frames, rate),
        },
    }


def _item(schema: str, name: str, frames: int, rate: float, enabled: bool = True) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": schema,
        "name": name,
        "metadata": {},
        "enabled": enabled,
        "source_range": _range(frames, rate),
        "effects": [],
        "markers": [],
    }


def _range(frames: int, rate: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(0, rate), "duration": _time(frames, rate)}


def _time(frame: int, rate: float) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": rate, "value": float(frame)}
