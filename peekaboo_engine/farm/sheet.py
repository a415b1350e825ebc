# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact sheets of a plan's clips: some frames of each, or why there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import one_line, shown
from ..video import replacing
from .results import Problem, Result

FRAMES = 3
"""Of a clip: its first, its middle and its last."""
_COLUMNS, _MOST = 2, 60  # clips beside each other, and on a sheet
_WIDTH, _HEIGHT, _LINE, _GAP, _SEAM = 240, 160, 18, 14, 2  # pixels: a frame at most, a line of text, space
_FONT = ImageFont.load_default(12)
_INK, _FAINT, _PAPER, _PLATE = (225, 225, 225), (190, 120, 110), (29, 29, 29), (48, 40, 40)


def write_sheets(
    results: Sequence[Result], out: Path, told: Callable[[int, int], None]
) -> dict[str, Problem]:
    """Write ``sheet.png``, and where there are many clips ``sheet_2.png`` and so on.

    Args:
        results: of one plan, at least one.
        out: the output folder.
        told: gets how many clips are done, and of how many.

    Returns:
        What is wrong with clips that cannot be shown, by their names.

    Raises:
        EngineError: ``not_written``.
    """
    undecodable: dict[str, Problem] = {}
    for number, begin in enumerate(range(0, len(results), _MOST), start=1):
        page = results[begin : begin + _MOST]
        cells = []
        for done, result in enumerate(page, start=begin + 1):
            frames: list[Image.Image] = []
            try:
                if result.file is not None:
                    frames = _frames(result.file, result.frames)
            except Exception as error:  # decoders raise what they like, and the night has other clips
                problem = Problem(
                    "bad_clip",
                    f"{result.file} cannot be shown ({one_line(error)}); remove it, and run its task again.",
                )
                undecodable[result.clip.name] = problem
            problem_of = undecodable.get(result.clip.name)
            cells.append(_cell(result, frames, problem_of.message if problem_of else result.task.message))
            told(done, len(results))
        path = out / ("sheet.png" if number == 1 else f"sheet_{number}.png")
        with replacing(path) as temporary:
            _sheet(cells).save(temporary, format="PNG", optimize=True)
    return undecodable


def _sheet(cells: Sequence[Image.Image]) -> Image.Image:
    """Cells beside each other in rows, each as high as its highest."""
    columns = min(_COLUMNS, len(cells))
    rows = [cells[begin : begin + columns] for begin in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = columns * (_cell_width() + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(height + _GAP for height in heights) + _GAP), _PAPER)
    y = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP + column * (_cell_width() + _GAP), y))
        y += height + _GAP
    return sheet


def _cell_width() -> int:
    return FRAMES * (_WIDTH + _SEAM) - _SEAM


def _cell(result: Result, frames: Sequence[Image.Image], problem: str) -> Image.Image:
    """The name of a clip, over its frames or what is wrong."""
    height = max((frame.height for frame in frames), default=_HEIGHT // 2)
    cell = Image.new("RGB", (_cell_width(), _LINE + height), _PAPER)
    draw = ImageDraw.Draw(cell)
    draw.text((0, 0), f"{result.clip.name}   {shown(result.clip.model)}", fill=_INK, font=_FONT)
    for place, frame in enumerate(frames):
        cell.paste(frame, (place * (_WIDTH + _SEAM), _LINE))
    if not frames:
        draw.rectangle((0, _LINE, cell.width, cell.height), fill=_PLATE)
        lines = textwrap.wrap(shown(problem), 100)[: height // _LINE]
        draw.multiline_text((6, _LINE + 4), "\n".join(lines), fill=_FAINT, font=_FONT)
    return cell


def _frames(file: Path, count: int) -> list[Image.Image]:
    """Frames of a clip, each fitted into its place; of a picture that alone."""
    if file.suffix == ".png":
        return [_fitted(imageio.imread(file, format="PNG"))]
    wanted = sorted({round(place * (count - 1) / (FRAMES - 1)) for place in range(FRAMES)})
    with imageio.get_reader(file, format="FFMPEG") as reader:
        return [_fitted(np.asarray(frame)) for index, frame in enumerate(reader) if index in wanted]


def _fitted(pixels: np.ndarray) -> Image.Image:
    """A picture, no larger than its place: uint8 (height, width, 3)."""
    image = Image.fromarray(pixels).convert("RGB")
    scale = min(_WIDTH / image.width, _HEIGHT / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
