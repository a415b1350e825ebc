# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of a report, drawn as SVG: text that needs no library, and stays sharp."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 420, 254
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 42, 58
_LETTER = 6.4  # pixels, of the usual size
#: Told apart in black and white and by colour-blind readers alike (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def bars(title: str, names: Sequence[str], values: Sequence[float | None]) -> str:
    """A bar for each name, with its value above it; None has no bar."""
    top = _ceiling([value for value in values if value is not None])
    step = (_WIDTH - _LEFT - _RIGHT) / len(names)
    parts = _names(names, step)
    for index, value in enumerate(values):
        middle = _LEFT + (index + 0.5) * step
        if value is None:
            parts.append(_text(middle, _HEIGHT - _BOTTOM - 6, "–"))
            continue
        y, width = _y(value, top), min(56, 0.62 * step)
        height = _HEIGHT - _BOTTOM - y
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(
            f'<rect x="{middle - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"/>'
        )
        parts.append(_text(middle, y - 5, f"{value:.3f}" if value < 10 else f"{value:.3g}"))
    return _framed(title, top, parts)


def strips(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """A column of dots for each name, one dot a clip, and a line at their mean."""
    top = _ceiling([value for column in values for value in column])
    step = (_WIDTH - _LEFT - _RIGHT) / len(names)
    parts = _names(names, step)
    for index, column in enumerate(values):
        middle, colour = _LEFT + (index + 0.5) * step, _COLOURS[index % len(_COLOURS)]
        for number, value in enumerate(column):
            # Dots of equal value lie beside each other: the golden ratio spreads any number of them evenly.
            x = middle + ((number * 0.618034) % 1 - 0.5) * min(60, 0.6 * step)
            at = f'cx="{x:.1f}" cy="{_y(value, top):.1f}"'
            parts.append(f'<circle {at} r="2.6" fill="{colour}" fill-opacity="0.55"/>')
        if column:
            y = _y(sum(column) / len(column), top)
            reach = min(40, 0.4 * step)
            parts.append(_line(middle - reach, y, middle + reach, y, "#000", 1.6))
    return _framed(title, top, parts)


def curves(title: str, across: str, lines: Sequence[tuple[str, Sequence[tuple[float, float | None]]]]) -> str:
    """A line for each name through its points (x, y); `across` names the x axis."""
    points = [point for _, line in lines for point in line if point[1] is not None]
    top = _ceiling([y for _, y in points if y is not None])
    first, last = min(x for x, _ in points), max(x for x, _ in points)

    def place(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - first) / ((last - first) or 1)

    parts = [_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16, across)]
    for x in sorted({x for x, _ in points}):
        parts.append(_text(place(x), _HEIGHT - _BOTTOM + 16, f"{x:g}"))
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


def _names(names: Sequence[str], step: float) -> list[str]:
    """Names below the axis, `step` pixels apart: level if they fit, else slanted."""
    y, fitting = _HEIGHT - _BOTTOM + 16, step / (0.6 * max(map(len, names)))
    middles = [_LEFT + (index + 0.5) * step for index in range(len(names))]
    if fitting >= 8:
        return [_text(x, y, name, size=min(11, fitting)) for x, name in zip(middles, names, strict=True)]
    return [
        f'<g transform="rotate(-28 {x:.1f} {y})">{_text(x + 6, y - 4, name, anchor="end", size=9)}</g>'
        for x, name in zip(middles, names, strict=True)
    ]


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
    body = "".join([_text(_LEFT, 16, title, anchor="start", size=13, weight="bold"), *scale, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="system-ui, sans-serif" role="img">'
        f'<rect width="100%" height="100%" fill="#fff"/>{body}</svg>'
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
