# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the outlines of a job's masks over frames of its clip, as one picture; in the engine's environment.

.venv/bin/python scripts/house/draw_layout.py JOB CLIP PICTURE [--color RRGGBB ...]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peekaboo_engine.errors import EngineError
from peekaboo_engine.job import Job, load_job
from peekaboo_engine.video import read_clip, replacing

Color = tuple[int, int, int]

# Where no colours are given; told apart by people with any colour vision (Okabe and Ito's palette).
PALETTE = ("E69F00", "56B4E9", "009E73", "F0E442", "0072B2", "D55E00", "CC79A7")
PAPER, INK = (24, 24, 24), (235, 235, 235)
COLUMNS, MOST_FRAMES = 4, 8
SCALE = 2
LINE = 3
GAP, TEXT = 10, 22


def outline(mask: np.ndarray, width: int) -> np.ndarray:
    """The cells of a mask within `width` steps of its edge; the picture's border is no edge.

    Args:
        mask: bool (height, width).
        width: thickness in cells, by 4-neighbour steps.

    Returns:
        bool (height, width), inside the mask.
    """
    inner = mask
    for _ in range(width):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def draw_frame(frame: np.ndarray, labels: np.ndarray, colors: list[Color]) -> Image.Image:
    """One frame, enlarged, with each subject's outline in its colour and a dark line just inside it.

    Args:
        frame: uint8 (height, width, 3).
        labels: uint8 (height, width), of the same size; label k has `colors[k - 1]`.
        colors: one for each subject.
    """
    height, width = labels.shape
    picture = np.array(
        Image.fromarray(frame).resize((width * SCALE, height * SCALE), Image.Resampling.BICUBIC)
    )
    enlarged = labels.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    for label, color in enumerate(colors, start=1):
        mask = enlarged == label
        picture[outline(mask, LINE + 1)] = PAPER
        picture[outline(mask, LINE)] = color
    return Image.fromarray(picture)


def draw_layout(job: Job, labels: np.ndarray, clip: np.ndarray, colors: list[Color]) -> Image.Image:
    """Lay frames of the clip, evenly spread, in a grid, each with its scene frame and the outlines.

    Args:
        job: whose subjects and timing are written beside the frames.
        labels: uint8 (num_frames, height, width).
        clip: uint8 (frame_count, height, width, 3).
        colors: one for each subject.
    """
    shown = np.unique(
        np.linspace(0, job.num_frames - 1, min(MOST_FRAMES, job.num_frames)).round().astype(int)
    )
    held = job.timing.held_frames(job.num_frames)
    rows = -(-len(shown) // COLUMNS)
    tile = (job.width * SCALE, job.height * SCALE)
    columns = min(COLUMNS, len(shown))
    size = (columns * (tile[0] + GAP) + GAP, rows * (tile[1] + GAP + TEXT) + 3 * GAP + 2 * TEXT)
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=TEXT - 5)
    pen.text((GAP, GAP), job.prompt, INK, font)
    for place, index in enumerate(shown):
        x = GAP + (place % COLUMNS) * (tile[0] + GAP)
        y = 2 * GAP + TEXT + (place // COLUMNS) * (tile[1] + GAP + TEXT)
        in_clip = int(np.flatnonzero(held == index).mean()) if index in held else 0
        pen.text((x, y), f"scene frame {job.timing.scene_frames[index]:g}", INK, font)
        sheet.paste(draw_frame(clip[in_clip], labels[index], colors), (x, y + TEXT))
    x, y = GAP, size[1] - GAP - TEXT
    for subject, color in zip(job.subjects, colors, strict=True):
        pen.rectangle((x, y + 2, x + TEXT - 6, y + TEXT - 4), fill=color)
        pen.text((x + TEXT, y), subject.phrase, INK, font)
        x += TEXT + int(pen.textlength(subject.phrase, font)) + 4 * GAP
    return sheet


def main() -> int:
    """Read a job and its clip, and write the picture."""
    parser = argparse.ArgumentParser(
        description="Draw the outlines of a job's masks over frames of its clip."
    )
    parser.add_argument("job", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--color", action="append", default=[], help="RRGGBB of each subject, in label order")
    options = parser.parse_args()
    try:
        job, labels = load_job(options.job)
        names = [*options.color, *PALETTE[len(options.color) :]]
        colors = [ImageColor.getrgb("#" + names[i % len(names)])[:3] for i in range(len(job.subjects))]
        picture = draw_layout(job, labels, read_clip(options.clip), colors)
        with replacing(options.picture) as temporary:
            picture.save(temporary)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
