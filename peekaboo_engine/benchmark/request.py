# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person asks to be evaluated, as plain data: imported by the command line, so without torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Prompts(StrEnum):
    """Where prompts come from."""

    auto = "auto"  # shapes for an embedded model, else layouts
    layouts = "layouts"  # captions and subjects of the layouts
    shapes = "shapes"  # the vocabulary of the embedded model


@dataclass(frozen=True)
class Request:
    """One evaluation. None is the model's own default, or all there is.

    Args:
        model: name in the catalogue, or a folder.
        layouts: a layouts file, a job folder, a folder of job folders, or DAVIS.
        json: takes the result; clips are kept in a folder beside it.
        report: folder for a page; None writes none.
        sheet: PNG for a contact sheet; None writes none.
        limit: number of layouts, evenly spread over the set.
        controls: names, separated by commas.
        masked_steps: numbers to sweep over, separated by commas.
        subjects: in each clip, for layouts of one subject.
        prompts: where they come from.
        detector: name, folder or repository.
        clip: folder of a CLIP that clips are held against their prompts by; None measures no agreement.
        seed: of words and noise.
        steps, guidance_scale, schedule: of the sampling.
        part: "K/N", the K-th of N parts of the layouts.
        report_clips: number of layouts that page and sheet show.
    """

    model: str
    layouts: Path
    json: Path
    report: Path | None = None
    sheet: Path | None = None
    limit: int | None = None
    controls: str = "none,peekaboo"
    masked_steps: str = ""
    subjects: int = 1
    prompts: Prompts = Prompts.auto
    detector: str | None = None
    clip: Path | None = None
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    schedule: str | None = None
    part: str = "1/1"
    report_clips: int = 12
