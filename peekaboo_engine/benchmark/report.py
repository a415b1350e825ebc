# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that shows what a comparison found: table, plots, and clips with their boxes. Opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..video import replacing, write_clip
from .clips import FRAME_RATE, ClipStore
from .comparison import MeasuredClip, Outcome
from .layouts import spread
from .metrics import Box
from .plots import bars, curves, strips
from .results import COLUMNS, shown

_TEMPLATE = Path(__file__).with_name("report.html")
_PLOTTED = ("miou", "ap50", "coverage", "cd_detected", "background_consistency", "seconds_per_clip")
_HEADINGS = {key: heading for key, heading, _ in COLUMNS}
_FORMATS = {key: form for key, _, form in COLUMNS}
_WANTED, _FOUND = (255, 255, 255), (255, 212, 0)
_GAP = 4  # pixels between clips side by side


def write_report(
    folder: Path, result: dict[str, Any], outcome: Outcome, store: ClipStore, count: int
) -> Path:
    """Write ``index.html`` and its clips into a folder.

    Args:
        folder: made if it is not there.
        result: what :func:`.results.as_json` gave.
        outcome: the clips with their boxes.
        store: holds the clips.
        count: how many layouts to show, evenly spread over all.

    Returns:
        The page.

    Raises:
        EngineError: ``not_written``.
    """
    controls = [row["control"] for row in result["rows"]]
    by_scene: dict[str, dict[str, MeasuredClip]] = {}
    for clip in outcome.clips:
        by_scene.setdefault(clip.scene, {})[clip.control] = clip
    complete = [clips for clips in by_scene.values() if len(clips) == len(controls)]
    chosen = [[clips[control] for control in controls] for clips in spread(complete, count)]
    figures = []
    for number, clips in enumerate(chosen, start=1):
        name = f"clip_{number:03d}.mp4"
        frames = side_by_side([outlined(store.frames(clip.scene, clip.control), clip) for clip in clips])
        write_clip(folder / name, frames, np.arange(len(frames)), FRAME_RATE)
        figures.append(_figure(name, clips))
    page = folder / "index.html"
    filled = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{result['model']['title']} on {result['layouts']['name']}"),
        command=escape(result["command"]),
        table=_table(result["rows"]),
        plots="".join(_plots(result["rows"], outcome.clips)),
        order=escape(", ".join(controls)),
        clips="\n".join(figures),
        failures=_failures(result["failures"]),
        facts=_facts(result),
    )
    with replacing(page) as temporary:
        temporary.write_text(filled, encoding="utf-8")
    return page


def outlined(frames: np.ndarray, clip: MeasuredClip) -> np.ndarray:
    """Frames, uint8 (F, H, W, 3), with the boxes wanted and found drawn on them."""
    drawn = []
    for index, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        draw = ImageDraw.Draw(picture)
        for track in clip.tracks:
            _outline(draw, track.wanted[index], _WANTED)
            _outline(draw, track.found[index], _FOUND)
        drawn.append(np.asarray(picture))
    return np.stack(drawn)


def _outline(draw: ImageDraw.ImageDraw, box: Box | None, colour: tuple[int, int, int]) -> None:
    """A box of two pixels, with a dark edge that shows it on any ground."""
    if box is None:
        return
    width, height = draw.im.size
    x1, y1, x2, y2 = box[0] * (width - 1), box[1] * (height - 1), box[2] * (width - 1), box[3] * (height - 1)
    draw.rectangle((x1, y1, x2, y2), outline=(0, 0, 0), width=3)
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=2)


def side_by_side(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Clips of one size in a row, uint8 (F, H, W, 3)."""
    gap = np.full((*clips[0].shape[:2], _GAP, 3), 255, np.uint8)
    parts = [part for clip in clips for part in (clip, gap)][:-1]
    return np.concatenate(parts, axis=2)


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
    head = "".join(f"<th>{escape(heading)}</th>" for _, heading, _ in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(shown(row[key], form))}</td>" for key, _, form in COLUMNS) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _plots(rows: Sequence[dict[str, Any]], clips: Sequence[MeasuredClip]) -> list[str]:
    names = [row["control"] for row in rows]
    plots = [bars(_HEADINGS[key], names, [row[key] for row in rows]) for key in _PLOTTED]
    each = [
        [track.score.miou for clip in clips if clip.control == name for track in clip.tracks]
        for name in names
    ]
    plots.append(strips("mIoU of each clip", names, each))
    steps = sorted({row["masked_steps"] for row in rows})
    if len(steps) > 2:  # a sweep
        lines = [(_HEADINGS[key], _over_steps(rows, key)) for key in ("miou", "ap50", "coverage")]
        plots.append(curves("Over masked steps", "masked steps", lines))
    return plots


def _over_steps(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float | None]]:
    return sorted((row["masked_steps"], row[key]) for row in rows)


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
