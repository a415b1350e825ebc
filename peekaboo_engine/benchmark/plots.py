# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of a report, drawn as SVG: text that needs no library, and stays sharp."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 42, 44
_LETTER = 6.4  # pixels, of the usual size
_BAND = 22  # pixels for a name, its bar or its dots
#: Told apart in black and white and by colour-blind readers alike (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def bars(title: str, names: Sequence[str], values: Sequence[float | None]) -> str:
    """A bar for each name, from top to bottom, with its value behind it; None has no bar."""
    bands = _Bands(title, names, [value for value in values if value is not None])
    for index, value in enumerate(values):
        middle, colour = bands.middle(index), _COLOURS[index % len(_COLOURS)]
        if value is None:
            bands.add(_text(bands.left + 6, middle + 4, "–", anchor="start"))
            continue
        x = bands.x(value)
        bands.add(
            f'<rect x="{bands.left:.1f}" y="{middle - 7:.1f}" width="{x - bands.left:.1f}" height="14" '
            f'fill="{colour}"/>'
        )
        shown = f"{value:.3f}" if value < 10 else f"{value:.3g}"
        bands.add(_text(x + 5, middle + 4, shown, anchor="start"))
    return bands.picture()


def strips(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """A row of dots for each name, one dot a clip, and a line at their mean."""
    bands = _Bands(title, names, [value for row in values for value in row])
    for index, row in enumerate(values):
        middle, colour = bands.middle(index), _COLOURS[index % len(_COLOURS)]
        for number, value in enumerate(row):
            # Dots of equal value lie beside each other: the golden ratio spreads any number of them evenly.
            y = middle + ((number * 0.618034) % 1 - 0.5) * 0.7 * _BAND
            at = f'cx="{bands.x(value):.1f}" cy="{y:.1f}"'
            bands.add(f'<circle {at} r="2.4" fill="{colour}" fill-opacity="0.5"/>')
        if row:
            x = bands.x(sum(row) / len(row))
            bands.add(_line(x, middle - 0.45 * _BAND, x, middle + 0.45 * _BAND, "#000", 1.8))
    return bands.picture()


class _Bands:
    """A picture with a horizontal band for each of any number of names, and an axis from left to right."""

    def __init__(self, title: str, names: Sequence[str], values: Sequence[float]):
        self.left = 12 + _LETTER * max(map(len, names))
        self._end, self._floor = (
            _WIDTH - 46,
            34 + _BAND * len(names),
        )  # room for a value behind the longest bar
        self._top = _ceiling(values)
        self._parts = [_text(10, 18, title, anchor="start", size=13, weight="bold")]
        for fifth in range(6):
            x = self.x(self._top * fifth / 5)
            self.add(_line(x, 30, x, self._floor, "#ddd" if fifth else "#888", 1))
            self.add(_text(x, self._floor + 15, f"{self._top * fifth / 5:.3g}"))
        for index, name in enumerate(names):
            self.add(_text(self.left - 6, self.middle(index) + 4, name, anchor="end"))

    def x(self, value: float) -> float:
        """Where a value is."""
        return self.left + (self._end - self.left) * max(0.0, value) / self._top

    def middle(self, index: int) -> float:
        """Height of the middle of a band."""
        return 32 + _BAND * (index + 0.5)

    def add(self, part: str) -> None:
        """Put an element on the picture."""
        self._parts.append(part)

    def picture(self) -> str:
        """The whole."""
        return _svg(self._floor + 26, self._parts)


def curves(title: str, across: str, lines: Sequence[tuple[str, Sequence[tuple[float, float | None]]]]) -> str:
    """A line for each name through its points (x, y); `across` names the x axis."""
    points = [point for _, line in lines for point in line if point[1] is not None]
    top = _ceiling([y for _, y in points if y is not None])
    first, last = min(x for x, _ in points), max(x for x, _ in points)

    def place(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - first) / ((last - first) or 1)

    parts = [_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, across)]
    free = 0.0  # from where on there is room for the next number
    for x in sorted({x for x, _ in points}):
        width = _LETTER * (len(f"{x:g}") + 1)
        if place(x) - width / 2 >= free:
            parts.append(_text(place(x), _HEIGHT - _BOTTOM + 16, f"{x:g}"))
            free = place(x) + width / 2
    for index, (_, line) in enumerate(lines):
        colour = _COLOURS[index % len(_COLOURS)]
        known = [(place(x), _y(y, top)) for x, y in line if y is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in known]
    return _framed(title, top, [*parts, *_legend([name for name, _ in lines])])


def _legend(names: Sequence[str]) -> list[str]:
    """Names of lines below the title, each after a piece of its line."""
    parts, x = [], float(_LEFT)
    for index, name in enumerate(names):
        parts.append(_line(x, 28, x + 14, 28, _COLOURS[index % len(_COLOURS)], 3))
        parts.append(_text(x + 19, 32, name, anchor="start"))
        x += 19 + _LETTER * len(name) + 14
    return parts


def _ceiling(values: Sequence[float]) -> float:
    """Where the axis ends: a round number not below any value."""
    largest = max(values, default=0.0)
    return next(
        (top for top in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if largest <= top), largest
    )


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * max(0.0, value) / top


def _framed(title: str, top: float, parts: list[str]) -> str:
    """The whole picture: title, a scale of five lines, and what is on it."""
    scale = []
    for fifth in range(6):
        value = top * fifth / 5
        y = _y(value, top)
        scale.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#ddd" if fifth else "#888", 1))
        scale.append(_text(_LEFT - 6, y + 4, f"{value:.3g}", anchor="end"))
    return _svg(_HEIGHT, [_text(_LEFT, 16, title, anchor="start", size=13, weight="bold"), *scale, *parts])


def _svg(height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" role="img">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "middle",
    size: float = 11,
    colour: str = "#222",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:.1f}" fill="{colour}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
