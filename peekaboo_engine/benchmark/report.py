# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that shows what a comparison found: table, plots, and clips with their boxes. Opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ..video import replacing, write_clip
from .clips import FRAME_RATE, ClipStore
from .comparison import MeasuredClip, Outcome
from .controls import NONE
from .outlines import outlined, write_name
from .plots import bars, curves, strips
from .results import COLUMNS, lines_of

_TEMPLATE = Path(__file__).with_name("report.html")
_PLOTTED = ("miou", "ap50", "coverage", "cd_detected", "bound", "background_consistency", "seconds_per_clip")
_SWEPT = ("miou", "ap50", "coverage")
_GAP, _COLUMNS = 4, 4  # pixels between clips; clips beside each other


def write_report(
    folder: Path,
    result: dict[str, Any],
    outcome: Outcome,
    shown: Sequence[Sequence[MeasuredClip]],
    store: ClipStore,
) -> Path:
    """Write ``index.html``, its clips and its plots into a folder.

    Args:
        folder: made if it is not there.
        result: what :func:`.results.as_json` gave.
        outcome: all clips with their boxes.
        shown: clips to show, for each layout those under all controls.
        store: holds the clips.

    Returns:
        The page.

    Raises:
        EngineError: ``not_written``.
    """
    figures = []
    for number, clips in enumerate(shown, start=1):
        name = f"clip_{number:03d}.mp4"
        frames = _in_lines([_with_boxes(clip, store) for clip in clips])
        write_clip(folder / name, frames, np.arange(len(frames)), FRAME_RATE)
        figures.append(_figure(name, clips))
    page = folder / "index.html"
    filled = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{result['model']['title']} on {result['layouts']['name']}"),
        command=escape(result["command"]),
        table=_table(result["rows"]),
        plots=_write_plots(folder, _plots(result["rows"], outcome.clips)),
        clips="\n".join(figures),
        failures=_failures(result["failures"]),
        facts=_facts(result),
    )
    with replacing(page) as temporary:
        temporary.write_text(filled, encoding="utf-8")
    return page


def _with_boxes(clip: MeasuredClip, store: ClipStore) -> np.ndarray:
    """Frames of a clip, uint8 (F, H, W, 3), with its control's name, and the boxes wanted and found."""
    frames = store.frames(clip.scene, clip.control)
    pictures = [outlined(clip, index, frame) for index, frame in enumerate(frames)]
    for picture in pictures:
        write_name(picture, clip.control)
    return np.stack([np.asarray(picture) for picture in pictures])


def _in_lines(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Clips of one size beside each other, uint8 (F, H, W, 3), in as many lines as it takes."""
    frames, height, width, _ = clips[0].shape
    columns, lines = min(len(clips), _COLUMNS), -(-len(clips) // _COLUMNS)
    size = lines * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP
    whole = np.full((frames, *size, 3), 255, np.uint8)
    for index, clip in enumerate(clips):
        y, x = (
            place * (side + _GAP) for place, side in zip(divmod(index, columns), (height, width), strict=True)
        )
        whole[:, y : y + height, x : x + width] = clip
    return whole


def _figure(name: str, clips: Sequence[MeasuredClip]) -> str:
    measures = ", ".join(
        f"{clip.control} {' / '.join(f'{track.score.miou:.2f}' for track in clip.tracks)}" for clip in clips
    )
    return (
        f'<figure><video src="{name}" controls loop muted autoplay playsinline></video>'
        f"<figcaption><span>{escape(clips[0].prompt)} (layout {escape(clips[0].scene)})</span>"
        f"<span>mIoU: {escape(measures)}</span></figcaption></figure>"
    )


def _table(rows: Sequence[dict[str, Any]]) -> str:
    first, *others = [[escape(cell) for cell in line] for line in lines_of(rows)]
    head = "".join(f"<th>{cell}</th>" for cell in first)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in others)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _write_plots(folder: Path, plots: dict[str, str]) -> str:
    """Write plots as SVG files, for other pages too; returns the images that show them."""
    for name, plot in plots.items():
        with replacing(folder / f"{name}.svg") as temporary:
            temporary.write_text(plot, encoding="utf-8")
    return "".join(f'<img src="{name}.svg" alt="{name}">' for name in plots)


def _plots(rows: Sequence[dict[str, Any]], clips: Sequence[MeasuredClip]) -> dict[str, str]:
    """Plots by name, as SVG."""
    names = [row["control"] for row in rows]
    plots = {
        key: bars(heading, names, [row[key] for row in rows])
        for key, heading, _ in COLUMNS
        if key in _PLOTTED and any(row[key] is not None for row in rows)
    }
    each = [
        [track.score.miou for clip in clips if clip.control == name for track in clip.tracks]
        for name in names
    ]
    plots["miou_of_clips"] = strips("mIoU of each clip", names, each)
    for name, swept in _sweeps(rows).items():
        lines = [
            (heading, [(row["masked_steps"], row[key]) for row in swept])
            for key, heading, _ in COLUMNS
            if key in _SWEPT
        ]
        plots[f"sweep_{name}"] = curves(f"{name} over masked steps", "masked steps", lines)
    return plots


def _sweeps(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by the control that was run with several numbers of masked steps, after the unmasked row."""
    swept: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name = row["control"].removesuffix(f"-{row['masked_steps']}")
        if name != row["control"]:
            swept.setdefault(name, []).append(row)
    unmasked = [row for row in rows if row["control"] == NONE.name]
    return {
        name: sorted(unmasked + own, key=lambda row: row["masked_steps"])
        for name, own in swept.items()
        if len(own) > 1
    }


def _failures(failures: Sequence[dict[str, str]]) -> str:
    if not failures:
        return ""
    items = "".join(
        f"<li>{escape(f['scene'])}, {escape(f['control'])}: {escape(f['error'])}</li>" for f in failures
    )
    return f"<h2>Clips that failed</h2><ul>{items}</ul>"


def _facts(result: dict[str, Any]) -> str:
    layouts, sampling = result["layouts"], result["sampling"]
    steps, scale = sampling["num_inference_steps"], sampling["guidance_scale"]
    put_right = "; ".join(layouts["findings"]) or "nothing to put right"
    facts = {
        "layouts": f"{layouts['name']}, {layouts['used']} of {layouts['layouts']}; {put_right}",
        "sampling": f"{steps} steps, guidance scale {scale:g}, seed {result['seed']}",
        "prompts": "captions of the layouts" if result["prompts"] == "layouts" else "words of shapes",
    }
    for key in ("detector", "model", "machine"):
        facts[key] = ", ".join(f"{name} {value}" for name, value in result[key].items())
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
