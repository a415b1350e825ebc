# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes what the repository keeps of a result of `evaluate`: its rows, without the tables of single clips.

    python scripts/measure/summarise.py imc_controls.json --out docs/reference/control/imc_controls.json
    python scripts/measure/summarise.py lasot_controls.json --layouts lasot_inputs.json --out ...

In their place stands what is read from them: how far two controls lie apart, with the interval that resampled
layouts leave (``differences``), how many clips lost their subject (``lost``), which share of those that
``none`` shows in more than half of the frames still is (``kept``), of jobs the IoU with the silhouettes and
its interval (``pixel_iou``), and with ``--layouts`` how each control fares by the area of the boxes, of jobs
by that of the silhouettes (``by_area``).
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.benchmark.layouts import read_layouts
from peekaboo_engine.benchmark.results import written

AREAS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 1.01)
"""Edges of the bins of ``by_area``: shares of the frame."""
BASES = ("none", "peekaboo", "strong")
"""The controls that the others, and the later of these, are compared with."""
RESAMPLES, SEED = 10_000, 0

Clip = dict[str, Any]


def clips_of(result: dict[str, Any]) -> list[Clip]:
    """One dictionary for each clip and subject of a result."""
    return [dict(zip(result["clips"]["columns"], row, strict=True)) for row in result["clips"]["data"]]


def by_control(clips: list[Clip]) -> dict[str, list[Clip]]:
    """The clips of each control; each number of steps of a sweep is a control with a name of its own."""
    return {
        name: [clip for clip in clips if clip["control"] == name]
        for name in dict.fromkeys(clip["control"] for clip in clips)
    }


def paired_difference(own: list[Clip], base: list[Clip]) -> dict[str, Any]:
    """Mean difference of mIoU over the layouts that both have, with a bootstrap interval of 95 %.

    Layouts are drawn again with all of their subjects (B. Efron and R. Tibshirani, "An Introduction to the
    Bootstrap", 1993, the percentile method), as subjects of one clip are not independent.
    """
    ours, theirs = _mean_by_layout(own), _mean_by_layout(base)
    gains = np.array([ours[layout] - theirs[layout] for layout in ours if layout in theirs])
    return {
        "layouts": len(gains),
        "miou": round(float(gains.mean()), 4),
        "interval_95": _interval(gains),
        "layouts_below": int((gains < 0).sum()),
    }


def _interval(values: np.ndarray) -> list[float]:
    drawn = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))
    return [round(float(end), 4) for end in np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])]


def form(clips: list[Clip]) -> dict[str, Any] | None:
    """Mean IoU with the silhouettes over layouts, with its interval as of :func:`paired_difference`."""
    if any(clip.get("pixel_iou") is None for clip in clips):
        return None
    means = np.array(list(_mean_by_layout(clips, "pixel_iou").values()))
    return {"mean": round(float(means.mean()), 4), "interval_95": _interval(means)}


def _mean_by_layout(clips: list[Clip], measure: str = "miou") -> dict[str, float]:
    layouts: dict[str, list[float]] = {}
    for clip in clips:
        layouts.setdefault(clip["layout"], []).append(clip[measure])
    return {layout: float(np.mean(values)) for layout, values in layouts.items()}


def areas_of(path: Path) -> dict[str, float]:
    """Mean share of the frame that the boxes of each layout cover, or a job's silhouettes, by its id."""
    areas = {}
    for layout in read_layouts(path).layouts:
        if layout.labels is not None:
            areas[layout.id] = float((layout.labels > 0).mean())
            continue
        x1, y1, x2, y2 = np.concatenate([track.boxes for track in layout.tracks]).T
        areas[layout.id] = float(np.nanmean((x2 - x1) * (y2 - y1)))
    return areas


def bins_of(controls: dict[str, list[Clip]], areas: dict[str, float]) -> list[dict[str, Any]]:
    """mIoU, coverage and IoU with silhouettes of each control in each bin of area that holds a clip."""
    bins = []
    for low, high in itertools.pairwise(AREAS):
        row: dict[str, Any] = {"area": [low, min(high, 1.0)]}
        for name, clips in controls.items():
            own = [clip for clip in clips if low <= areas[clip["layout"]] < high]
            if own:
                covered = np.mean([clip["detected"] > clip["frames"] / 2 for clip in own])
                row["clips"] = len(own)
                row[name] = {
                    "miou": round(float(np.mean([clip["miou"] for clip in own])), 4),
                    "coverage": round(float(covered), 4),
                }
                if shaped := form(own):
                    row[name]["pixel_iou"] = shaped["mean"]
        if "clips" in row:
            bins.append(row)
    return bins


def kept(own: list[Clip], base: list[Clip]) -> float | None:
    """Of the subjects that one control shows in more than half of their frames, the share another does."""
    shown = {(clip["layout"], clip["subject"]) for clip in base if 2 * clip["detected"] > clip["frames"]}
    still = [
        2 * clip["detected"] > clip["frames"] for clip in own if (clip["layout"], clip["subject"]) in shown
    ]
    return round(sum(still) / len(still), 4) if still else None


def summary_of(result: dict[str, Any], areas: dict[str, float] | None) -> dict[str, Any]:
    """The result without its tables of clips, and with what is read from them."""
    controls = by_control(clips_of(result))
    summary = {key: value for key, value in result.items() if key not in {"scenes", "clips"}}
    summary["lost"] = {name: sum(clip["detected"] == 0 for clip in clips) for name, clips in controls.items()}
    if "none" in controls:
        summary["kept"] = {name: kept(clips, controls["none"]) for name, clips in controls.items()}
    if forms := {name: found for name, clips in controls.items() if (found := form(clips))}:
        summary["pixel_iou"] = forms
    summary["differences"] = {
        f"{name} - {base}": paired_difference(clips, controls[base])
        for name, clips in controls.items()
        for base in BASES
        if base in controls and (name not in BASES or BASES.index(base) < BASES.index(name))
    }
    if areas is not None:
        summary["by_area"] = bins_of(controls, areas)
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print what the rows do not have."""
    table = Table("mIoU of", "difference", "95 %", "layouts below")
    for pair, found in summary["differences"].items():
        low, high = found["interval_95"]
        table.add_row(
            pair, f"{found['miou']:+.3f}", f"[{low:+.3f}, {high:+.3f}]", str(found["layouts_below"])
        )
    Console().print(table)
    if bins := summary.get("by_area"):
        names = [name for name in bins[0] if name not in {"area", "clips"}]
        table = Table("area of the box", "clips", *(f"{name}: mIoU, coverage" for name in names))
        for row in bins:
            cells = [f"{row[n]['miou']:.3f}, {row[n]['coverage']:.2f}" if n in row else "" for n in names]
            low, high = row["area"]
            table.add_row(f"{low:.0%} to {high:.0%}", str(row["clips"]), *cells)
        Console().print(table)


def main(
    result: Annotated[Path, typer.Argument(help="What `evaluate --json` wrote.")],
    out: Annotated[Path, typer.Option(help="The JSON to keep.")],
    layouts: Annotated[Path | None, typer.Option(help="The layouts file that was evaluated.")] = None,
) -> None:
    """Print and write what is kept of a result."""
    summary = summary_of(json.loads(result.read_text("utf-8")), areas_of(layouts) if layouts else None)
    show(summary)
    unfinished = out.with_name(out.name + ".part")
    unfinished.write_text(written(summary) + "\n", encoding="utf-8")
    unfinished.replace(out)


if __name__ == "__main__":
    typer.run(main)
