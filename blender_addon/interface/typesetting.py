# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts in lines, as wide as the interface's font makes them, with words in the colours of subjects.

Blender's layouts draw no coloured text: there a chip in the colour goes before the words that it is of.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import blf
import bpy

from ..shot.subjects import Color
from . import icons

LABEL_PADDING, ICON_WIDTH = 5.0, 30.0
"""What a label of a layout takes beside its text, and with an icon in addition, in pixels at scale 1."""
_CLOSING = re.compile(r"[^\w\s]*")
LONGEST = 500
"""Letters of a word that is surely too wide for a line."""
LINE_HEIGHT = 0.75
"""Of a line in a layout, in heights of a button."""


@dataclass(frozen=True)
class Run:
    """Words of a line that are drawn alike.

    Attributes:
        text: the words.
        color: of the subject that they name, display RGB; None where they name none.
    """

    text: str
    color: Color | None = None


@dataclass(frozen=True)
class Face:
    """How wide words are drawn.

    Attributes:
        measure: the width of a text.
        padding: around each run.
        chip: before a run in a colour.
    """

    measure: Callable[[str], float]
    padding: float = 0.0
    chip: float = 0.0

    def width(self, line: Sequence[Run]) -> float:
        """Of a line, with all that is between its runs."""
        chips = sum(self.chip for run in line if run.color is not None)
        return sum(self.measure(run.text) + self.padding for run in line) + chips


def text_width(text: str) -> float:
    """How wide the interface draws a text, in pixels at scale 1."""
    preferences = bpy.context.preferences
    scale = preferences.system.ui_scale or 1.0  # without a window it is 0
    size = preferences.ui_styles[0].widget.points * scale
    return _measured(text, size, preferences.view.font_path_ui) / scale


@lru_cache(maxsize=4096)  # panels ask at each drawing
def _measured(text: str, size: float, _font: str) -> float:
    blf.size(0, size)
    return blf.dimensions(0, text)[0]


LABELS = Face(text_width, LABEL_PADDING, ICON_WIDTH)
"""Of labels in a layout, beside one another."""


def lines_of(
    text: str, places: Sequence[tuple[int, int, Color]], width: float, face: Face, most: int | None = None
) -> list[list[Run]]:
    """Break a text into lines; what has a colour stays together where a line has room for it.

    Args:
        text: any, in which all white space is the same.
        places: of what has a colour: start and end of its characters, one after another, and the colour.
        width: of a line.
        face: how wide words are.
        most: lines that are wanted, by default all; what is behind them is not looked at.
    """
    lines: list[list[Run]] = [[]]
    for piece in _pieces(text, places):
        is_whole = piece.color is not None and face.width([piece]) <= width
        begun = False
        for word in [piece.text] if is_whole else piece.text.split():
            for part in _parts(word, piece.color, width, face):
                line, last = lines[-1], lines[-1][-1] if begun and lines[-1] else None
                longer = [*line[:-1], Run(f"{last.text} {part.text}", part.color)] if last else [*line, part]
                if line and face.width(longer) > width:
                    if len(lines) == most:
                        return lines
                    lines.append([part])
                else:
                    lines[-1] = longer
                begun = True
    return [line for line in lines if line]


def _pieces(text: str, places: Sequence[tuple[int, int, Color]]) -> Iterator[Run]:
    """What has a colour, with the comma or the like behind it, and what is between."""
    at = 0
    for start, end, color in places:
        start = max(start, at)  # what closes one phrase may open the next
        closing = _CLOSING.match(text, end)
        end = closing.end() if closing else end
        yield from _words(text[at:start], None)
        yield from _words(text[start:end], color)
        at = end
    yield from _words(text[at:], None)


def _words(text: str, color: Color | None) -> Iterator[Run]:
    if words := text.split():
        yield Run(" ".join(words), color)


def _parts(word: str, color: Color | None, width: float, face: Face) -> Iterator[Run]:
    """A word, or as much of it in each part as a line has room for."""
    while len(word) > 1 and face.width([Run(word[:LONGEST], color)]) > width:
        sizes = range(1, min(len(word), LONGEST))
        fitting = bisect_right(sizes, width, key=lambda size: face.width([Run(word[:size], color)]))
        yield Run(word[: max(1, fitting)], color)
        word = word[max(1, fitting) :]
    yield Run(word, color)


def draw_lines(layout, lines: Sequence[Sequence[Run]]) -> None:
    """Draw lines below one another in a layout, as :data:`LABELS` measures them."""
    column = layout.column(align=True)
    column.scale_y = LINE_HEIGHT
    for line in lines:
        row = column.row(align=True)
        row.alignment = "LEFT"
        for run in line:
            chip = {} if run.color is None else {"icon_value": icons.chip_of(run.color)}
            row.label(text=run.text, **chip)
