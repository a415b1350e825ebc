# SPDX-License-Identifier: GPL-3.0-or-later
"""What an F-Curve does beyond a shot, so that it is the same at every frame after the shot was keyed anew.

A segment that crosses an end of the shot is split there: a Bezier curve exactly, after de Casteljau; one of
an easing, which has no such parts, becomes a key for each frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

NEAR = 0.01
"""Frames within which two keys are one, as Blender has it."""
SMOOTH = {"AUTO", "AUTO_CLAMPED", "ALIGNED"}
"""Types of handles that lie in line with the other one of their key."""
ROUNDS = 3
"""How often handles are set right before all become free: one that is may change its neighbours'."""


@dataclass(frozen=True)
class Span:
    """The frames of a shot within the range of its scene.

    Attributes:
        first, last: of the shot.
        before, after: whether there are frames of others on that side of it.
    """

    first: int
    last: int
    before: bool
    after: bool

    @property
    def sides(self) -> list[int]:
        """The frames next to it that are of other shots."""
        return [self.first - 1] * self.before + [self.last + 1] * self.after

    def follows(self, frame: float) -> bool:
        """Whether a key lies before it; one that was scaled may be a hair off its frame."""
        return frame < self.first - NEAR

    def precedes(self, frame: float) -> bool:
        """Whether a key lies after it."""
        return frame > self.last + NEAR

    def holds(self, frame: float) -> bool:
        """Whether a key lies in it."""
        return not self.follows(frame) and not self.precedes(frame)


@dataclass(frozen=True)
class Key:
    """A keyframe as it is to be beyond a shot; ``left`` and ``right``, its handles, are (frame, value)."""

    frame: float
    value: float
    left: tuple[float, float]
    right: tuple[float, float]
    interpolation: str

    @classmethod
    def flat(cls, frame: float, value: float, interpolation: str) -> Key:
        """One whose handles lie level, a third of a frame away."""
        return cls(frame, value, (frame - 1 / 3, value), (frame + 1 / 3, value), interpolation)

    @classmethod
    def of(cls, point) -> Key:
        """One of Blender's."""
        (frame, value), left, right = point.co, tuple(point.handle_left), tuple(point.handle_right)
        return cls(frame, value, left, right, point.interpolation)


def still(value: float, span: Span) -> list[Key]:
    """The keys beyond a shot of a value that had none."""
    return [Key.flat(frame, value, "CONSTANT") for frame in span.sides]


def of(curve, span: Span) -> list[Key]:
    """The keys that an F-Curve is to have beyond a shot to be there what it is now.

    The last before the shot holds its value up to it. F-Curve modifiers act upon the result as they do now.
    """
    points = [Key.of(point) for point in curve.keyframe_points]
    with _unmodified(curve):
        return _before(curve, points, span) + _after(curve, points, span)


def _before(curve, points: list[Key], span: Span) -> list[Key]:
    kept = [key for key in points if span.follows(key.frame)]
    rest, edge = points[len(kept) :], span.first - 1
    if not kept and not span.before:
        return []
    if not kept:
        kept = [Key.flat(edge, curve.evaluate(edge), "LINEAR")]
    elif kept[-1].frame < edge - NEAR:
        last = kept[-1]
        if not rest and curve.extrapolation == "CONSTANT":
            pass  # which holding it goes on with
        elif not rest or last.interpolation == "LINEAR":
            kept[-1] = dataclasses.replace(last, interpolation="LINEAR")
            kept.append(Key.flat(edge, curve.evaluate(edge), "LINEAR"))
        elif last.interpolation == "BEZIER":
            kept[-1], middle = _split(last, rest[0], edge)[:2]
            kept.append(middle)
        elif last.interpolation != "CONSTANT":
            kept[-1] = dataclasses.replace(last, interpolation="LINEAR")
            kept += _sampled(curve, int(np.floor(last.frame)) + 1, edge)
    kept = [*kept[:-1], dataclasses.replace(kept[-1], interpolation="CONSTANT")]
    if curve.extrapolation == "LINEAR" and kept[:2] != points[:2]:
        start = kept[0].frame - 1  # before which the curve goes on as its first two keys say
        kept.insert(0, Key.flat(start, curve.evaluate(start), "LINEAR"))
    return kept


def _after(curve, points: list[Key], span: Span) -> list[Key]:
    kept = [key for key in points if span.precedes(key.frame)]
    rest, edge = points[: len(points) - len(kept)], span.last + 1
    if not kept and not span.after:
        return []
    last = rest[-1] if rest else None
    if not kept:
        kept = [Key.flat(edge, curve.evaluate(edge), "LINEAR")]
    elif kept[0].frame < edge + NEAR:
        kept[0] = dataclasses.replace(kept[0], frame=min(kept[0].frame, edge))  # the shot ends before it
    elif last is None or last.interpolation in {"CONSTANT", "LINEAR"}:
        straight = curve.extrapolation if last is None else last.interpolation
        kept.insert(0, Key.flat(edge, curve.evaluate(edge), straight))
    elif last.interpolation == "BEZIER":
        _, middle, end = _split(last, kept[0], edge)
        kept = [middle, end, *kept[1:]]
    else:
        kept = [*_sampled(curve, edge, int(np.ceil(kept[0].frame)) - 1), *kept]
    if curve.extrapolation == "LINEAR" and kept[-2:] != points[-2:]:
        edge = int(kept[-1].frame) + 1
        kept.append(Key.flat(edge, curve.evaluate(edge), "LINEAR"))
    return kept


def _sampled(curve, first: int, last: int) -> list[Key]:
    return [Key.flat(frame, curve.evaluate(frame), "LINEAR") for frame in range(first, last + 1)]


def _split(start: Key, end: Key, frame: float) -> tuple[Key, Key, Key]:
    """Split the Bezier segment between two keys at a frame: the first key, a new one, and the second.

    A handle that is longer than the segment counts as far as that, as in Blender's evaluation.
    """
    a, d = np.array([start.frame, start.value]), np.array([end.frame, end.value])
    length = d[0] - a[0]
    b, c = (
        point + (handle - point) * min(1.0, length / max(abs(handle[0] - point[0]), 1e-12))
        for point, handle in ((a, np.array(start.right)), (d, np.array(end.left)))
    )
    low, high = 0.0, 1.0
    for _ in range(60):  # the frame grows with it
        at = (low + high) / 2
        low, high = (at, high) if _bezier(a, b, c, d, at)[-1][0] < frame else (low, at)
    ab, cd, left, right, middle = _bezier(a, b, c, d, (low + high) / 2)
    return (
        dataclasses.replace(start, right=tuple(ab)),
        Key(frame, float(middle[1]), tuple(left), tuple(right), "BEZIER"),
        dataclasses.replace(end, left=tuple(cd)),
    )


def _bezier(a, b, c, d, at: float) -> tuple[np.ndarray, ...]:
    """The inner points of both halves of a cubic Bezier curve, and the one at which it is split."""
    ab, bc, cd = a + (b - a) * at, b + (c - b) * at, c + (d - c) * at
    left, right = ab + (bc - ab) * at, bc + (cd - bc) * at
    return ab, cd, left, right, left + (right - left) * at


@contextmanager
def _unmodified(curve) -> Iterator[None]:
    """Let an F-Curve be without its modifiers within a block."""
    heard = [modifier for modifier in curve.modifiers if not modifier.mute]
    for modifier in heard:
        modifier.mute = True
    try:
        yield
    finally:
        for modifier in heard:
            modifier.mute = False


def put_back(curve, kept: Sequence[Key]) -> None:
    """Let an F-Curve have keys beyond a shot, whatever became of them while the shot was keyed.

    Handles stay of the type that they are, but for those which would then lie elsewhere.
    """
    for key in kept:
        if _index_of(curve, key) is None:
            curve.keyframe_points.insert(key.frame, key.value)
    places = {_index_of(curve, key): key for key in kept}
    for index, key in places.items():
        point = curve.keyframe_points[index]
        point.co = key.frame, key.value
        point.interpolation = key.interpolation
    for left in reversed(range(ROUNDS)):
        curve.update()
        wrong = [index for index, key in places.items() if not _is_right(curve.keyframe_points[index], key)]
        for index in wrong if left else list(places)[: len(wrong) * len(places)]:
            point, key = curve.keyframe_points[index], places[index]
            smooth = {point.handle_left_type, point.handle_right_type} <= SMOOTH
            kind = "ALIGNED" if smooth and left == ROUNDS - 1 else "FREE"
            point.handle_left_type = point.handle_right_type = kind
            point.handle_left, point.handle_right = key.left, key.right
    curve.update()


def _index_of(curve, key: Key) -> int | None:
    frames = (point.co.x for point in curve.keyframe_points)
    return next((index for index, frame in enumerate(frames) if abs(frame - key.frame) < NEAR), None)


def _is_right(point, key: Key) -> bool:
    handles = np.array([point.handle_left[:], point.handle_right[:]])
    return np.allclose(handles, [key.left, key.right], rtol=1e-6, atol=1e-7)
