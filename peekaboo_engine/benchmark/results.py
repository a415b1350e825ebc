# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison found, as a table for people and as JSON with all that is needed to run it again."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table

from .. import __version__
from ..models import LoadedModel
from .comparison import MeasuredClip, Outcome
from .controls import Control
from .metrics import summarise

#: Columns of the table for people: key of a row, heading, format.
COLUMNS = (
    ("control", "control", "s"),
    ("masked_steps", "masked steps", "d"),
    ("clips", "clips", "d"),
    ("miou", "mIoU", ".3f"),
    ("miou_covered", "mIoU, covered clips", ".3f"),
    ("miou_per_frame", "mIoU per frame", ".3f"),
    ("ap50", "AP50", ".3f"),
    ("coverage", "coverage", ".3f"),
    ("cd", "CD", ".3f"),
    ("cd_detected", "CD, detected", ".3f"),
    ("detected", "found in frames", ".3f"),
    ("background_consistency", "background", ".3f"),
    ("seconds_per_clip", "s per clip", ".2f"),
)


def rows_of(controls: Sequence[Control], clips: Sequence[MeasuredClip]) -> list[dict[str, Any]]:
    """A row for each control that has a clip: the keys of :data:`COLUMNS`, ``subjects`` and ``options``.

    ``seconds_per_clip`` is the median, as the first clip of a run warms the machine up.
    """
    rows = []
    for control in controls:
        own = [clip for clip in clips if clip.control == control.name]
        if not own:
            continue
        compared = [c.background_consistency for c in own if c.background_consistency is not None]
        options = dict(control.options or {})
        scores = [track.score for clip in own for track in clip.tracks]
        rows.append(
            {
                "control": control.name,
                "options": options,
                "masked_steps": options.get("masked_steps", 0),
                "clips": len(own),
                "subjects": len(scores),
                **summarise(scores),
                "background_consistency": statistics.fmean(compared) if compared else None,
                "seconds_per_clip": statistics.median(clip.seconds for clip in own),
            }
        )
    return rows


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table for the terminal."""
    table = Table(*(heading for _, heading, _ in COLUMNS))
    for row in rows:
        table.add_row(*(shown(row[key], form) for key, _, form in COLUMNS))
    return table


def shown(value: Any, form: str) -> str:
    """A value of a table's cell as text."""
    return "–" if value is None else format(value, form)


def clip_entry(clip: MeasuredClip) -> dict[str, Any]:
    """A clip's measures as plain data."""
    return {
        "layout": clip.scene,
        "control": clip.control,
        "prompt": clip.prompt,
        "seconds": clip.seconds,
        "background_consistency": clip.background_consistency,
        "subjects": [{"phrase": track.phrase, **asdict(track.score)} for track in clip.tracks],
    }


def as_json(
    outcome: Outcome, controls: Sequence[Control], model: LoadedModel, facts: dict[str, Any]
) -> dict[str, Any]:
    """The whole result as plain data; `facts` go in front."""
    result = {
        **facts,
        "model": {"title": model.entry.title, "source": model.entry.source, **model.weights},
        "machine": machine(model),
        "rows": rows_of(controls, outcome.clips),
        "failures": [asdict(failure) for failure in outcome.failures],
        "clips": [clip_entry(clip) for clip in outcome.clips],
    }
    return _rounded(result)


def machine(model: LoadedModel) -> dict[str, Any]:
    """Where the clips were made."""
    on_gpu = model.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(model.device) if on_gpu else model.device,
        "dtype": model.dtype,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "peekaboo_engine": __version__,
    }


def _rounded(value: Any) -> Any:
    """Plain data with floats of four decimals."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value
