# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison found, as a table for people and as JSON with all that is needed to run it again."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.box import SIMPLE
from rich.table import Table

from .. import __version__
from ..loading import LoadedModel
from .comparison import MeasuredClip, Outcome
from .controls import NONE, Control
from .forms import summarise_forms
from .metrics import summarise, summarise_binding
from .quality import distance_from_drawn

#: Columns of the tables for people: key of a row, heading, format.
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
    ("bound", "bound", ".3f"),
    ("iou_own", "IoU with own box", ".3f"),
    ("iou_other", "IoU with another's", ".3f"),
    ("pixel_iou", "IoU with silhouette", ".3f"),
    ("form_kept", "form kept", ".3f"),
    ("background_consistency", "background", ".3f"),
    ("frechet", "Fréchet distance", ".2f"),
    ("text_agreement", "agreement with the prompt", ".2f"),
    ("seconds_per_clip", "s per clip", ".2f"),
    ("latency", "latency", ".2f"),
)
#: Columns of the clips' own measures, one row for each clip and subject.
_CLIP_COLUMNS = (
    "layout",
    "control",
    "subject",
    "frames",
    "detected",
    "miou",
    "miou_per_frame",
    "ap50",
    "cd",
    "cd_detected",
    "bound",
    "pixel_iou",
    "form_kept",
    "background_consistency",
    "text_agreement",
    "seconds",
)
_BESIDE = 7  # controls
_LINE = 140  # characters: what fits is written on one line


def rows_of(controls: Sequence[Control], clips: Sequence[MeasuredClip]) -> list[dict[str, Any]]:
    """A row for each control that has a clip: the keys of :data:`COLUMNS`, ``subjects`` and ``options``.

    ``masked_steps`` is None where masks end at a noise level instead.
    ``seconds_per_clip`` is the median, as the first clip of a run warms the machine up. ``latency`` is the
    median ratio to the unmasked clip of the same layout; None without any.
    """
    unmasked = {clip.scene: clip.seconds for clip in clips if clip.control == NONE.name}
    rows = []
    for control in controls:
        own = [clip for clip in clips if clip.control == control.name]
        if not own:
            continue
        compared = [c.background_consistency for c in own if c.background_consistency is not None]
        agreements = [clip.text_agreement for clip in own if clip.text_agreement is not None]
        ratios = [clip.seconds / unmasked[clip.scene] for clip in own if clip.scene in unmasked]
        options = dict(control.options or {})
        scores = [track.score for clip in own for track in clip.tracks]
        forms = [track.form for clip in own for track in clip.tracks if track.form]
        rows.append(
            {
                "control": control.name,
                "options": options,
                "masked_steps": None if "until" in options else options.get("masked_steps", 0),
                "clips": len(own),
                "subjects": len(scores),
                **summarise(scores),
                **summarise_binding([track.binding for clip in own for track in clip.tracks]),
                **summarise_forms(forms),
                "background_consistency": statistics.fmean(compared) if compared else None,
                "frechet": _frechet(own),
                "text_agreement": statistics.fmean(agreements) if agreements else None,
                "seconds_per_clip": statistics.median(clip.seconds for clip in own),
                "latency": statistics.median(ratios) if ratios else None,
            }
        )
    return rows


def _frechet(clips: Sequence[MeasuredClip]) -> float | None:
    """Distance from drawn clips, of clips that all have as many subjects; see :mod:`.quality`."""
    subjects = {len(clip.tracks) for clip in clips}
    samples = [clip.samples for clip in clips if clip.samples is not None]
    if len(subjects) != 1 or len(samples) < len(clips):
        return None
    return distance_from_drawn(samples, subjects.pop())


def lines_of(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A table as text, headings first, without the measures that no row has.

    A few controls stand beside each other, with a line for each measure, which fits a screen; many below.
    """
    used = [column for column in COLUMNS if any(row[column[0]] is not None for row in rows)]
    cells = [["–" if row[key] is None else format(row[key], form) for key, _, form in used] for row in rows]
    lines = [[heading for _, heading, _ in used], *cells]
    return lines if len(rows) > _BESIDE else [list(line) for line in zip(*lines, strict=True)]


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table for the terminal."""
    (corner, *headings), *lines = lines_of(rows)
    table = Table(box=SIMPLE)
    table.add_column(corner, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def as_json(
    outcome: Outcome, controls: Sequence[Control], model: LoadedModel, facts: dict[str, Any]
) -> dict[str, Any]:
    """The whole result as plain data; `facts` go in front.

    ``scenes`` has the prompt and the subjects' phrases by layout. ``clips`` is a table of ``columns`` and
    ``data``, which ``pandas.DataFrame(**clips)`` reads; its ``subject`` counts from 1. Clips that each name
    their keys would take a megabyte for four controls on 455 layouts.
    """
    result = {
        **facts,
        "model": {"title": model.entry.title, "source": model.entry.source, **model.identity},
        "machine": machine(model),
        "rows": rows_of(controls, outcome.clips),
        "failures": [asdict(failure) for failure in outcome.failures],
        "scenes": {
            clip.scene: {"prompt": clip.prompt, "phrases": [track.phrase for track in clip.tracks]}
            for clip in outcome.clips
        },
        "clips": {
            "columns": list(_CLIP_COLUMNS),
            "data": [row for clip in outcome.clips for row in _clip_rows(clip)],
        },
    }
    return _rounded(result)


def _clip_rows(clip: MeasuredClip) -> list[list[Any]]:
    """A clip's measures, a row for each subject, in the order of _CLIP_COLUMNS."""
    rows = []
    for number, track in enumerate(clip.tracks, start=1):
        values = {
            **vars(clip),
            **asdict(track.score),
            "layout": clip.scene,
            "subject": number,
            "bound": summarise_binding([track.binding])["bound"],
            **summarise_forms([track.form] if track.form else []),
        }
        rows.append([values[column] for column in _CLIP_COLUMNS])
    return rows


def written(value: Any, indent: int = 0) -> str:
    """Plain data as JSON, broken into lines only where it is too long for one."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + len(line) <= _LINE:
        return line
    margin = "\n" + " " * (indent + 1)
    if isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {written(entry, indent + 1)}" for key, entry in value.items()]
        return "{" + margin + f",{margin}".join(entries) + margin[:-1] + "}"
    return "[" + margin + f",{margin}".join(written(entry, indent + 1) for entry in value) + margin[:-1] + "]"


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
