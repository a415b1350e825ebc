# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of the plan of a sentence, independent of who planned it: geometry of boxes over time."""

from itertools import combinations

import numpy as np

from peekaboo_engine.planning.plan import Plan, Subject

TIMES = np.linspace(0, 1, 41)
WAYS = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1)}


def failing(plan: Plan, holds: list) -> list:
    """The predicates that do not hold."""
    return [predicate for predicate in holds if not _holds(plan, *predicate)]


def _holds(plan: Plan, name: str, *values) -> bool:
    return bool(globals()[f"_{name}"](plan, *values))


def _named(plan: Plan, words: str) -> list[Subject]:
    wanted = set(words.split())
    return [
        subject
        for shot in plan.shots
        for subject in shot.subjects
        if wanted <= set(subject.phrase.lower().split())
    ]


def _all(plan, words, test) -> bool:
    found = _named(plan, words)
    return bool(found) and all(test(subject) for subject in found)


def _centres(subject: Subject) -> np.ndarray:
    return subject.at(TIMES)[:, :2]


def _shots(plan, count):
    return len(plan.shots) == count


def _camera(plan, move):
    return plan.shots[0].camera.move == move


def _count(plan, words, count):
    return len(_named(plan, words)) == count


def _phrase(plan, phrase):
    return any(
        s.phrase.lower() == phrase and phrase in shot.prompt.lower()
        for shot in plan.shots
        for s in shot.subjects
    )


def _apart(plan):
    """No two boxes share a quarter of the smaller one, at any time."""
    for one, other in combinations(plan.shots[0].subjects, 2):
        a, b = one.boxes(TIMES), other.boxes(TIMES)
        shared = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(0).prod(1)
        if (shared / np.minimum((a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1))).max() > 0.25:
            return False
    return True


def _moves(plan, words, way):
    axis, sign = WAYS[way]
    return _all(plan, words, lambda s: sign * (_centres(s)[-1] - _centres(s)[0])[axis] > 0.12)


def _stays(plan, words):
    return _all(plan, words, lambda s: np.ptp(_centres(s), axis=0).max() < 0.03)


def _stays0(plan, words):
    return _all(plan, words, lambda s: np.ptp(_centres(s)[:10], axis=0).max() < 0.03)


def _waits(plan, words, begin, end):
    inside = (begin <= TIMES) & (end >= TIMES)
    return _all(plan, words, lambda s: np.ptp(_centres(s)[inside], axis=0).max() < 0.03)


def _level(plan, words):
    return _all(plan, words, lambda s: np.ptp(_centres(s)[:, 1]) < 0.05)


def _wavy(plan, words):
    """Up and down at least twice."""
    return _all(plan, words, lambda s: (np.diff(np.sign(np.diff(_centres(s)[:, 1]))) != 0).sum() >= 2)


def _grows(plan, words):
    return _all(plan, words, lambda s: s.at(TIMES)[-1, 3] > 1.3 * s.at(TIMES)[0, 3])


def _shrinks(plan, words):
    return _all(plan, words, lambda s: s.at(TIMES)[-1, 3] < 0.77 * s.at(TIMES)[0, 3])


def _at(plan, words, side, time):
    def test(subject):
        x, y = subject.at(np.array([time]))[0, :2]
        return {"left": x < 0.42, "right": x > 0.58, "top": y < 0.42, "bottom": y > 0.58,
                "middle": 0.35 < x < 0.65}[side]  # fmt: skip

    return _all(plan, words, test)


def _outside(subject, time, way):
    x1, y1, x2, y2 = subject.boxes(np.array([time]))[0]
    return {"left": x2 <= 0, "right": x1 >= 1, "up": y2 <= 0, "down": y1 >= 1}[way]


def _inside_once(subject):
    x, y = _centres(subject).T
    return ((x > 0.1) & (x < 0.9) & (y > 0.05) & (y < 0.95)).any()


def _enters(plan, words, way):
    return _all(plan, words, lambda s: _outside(s, 0, way) and _inside_once(s))


def _leaves(plan, words, way):
    return _all(plan, words, lambda s: _outside(s, 1, way) and _inside_once(s))


def _returns(plan, words):
    def test(subject):
        centres = _centres(subject)
        return np.abs(centres[-1] - centres[0]).max() < 0.05 and np.ptp(centres, axis=0).max() > 0.12

    return _all(plan, words, test)


def _returnsish(plan, words):
    return _all(plan, words, lambda s: (np.diff(np.sign(np.diff(_centres(s)[:, 1]))) != 0).sum() >= 1)


def _opposite(plan, words):
    ways = [float(np.sign(_centres(s)[-1, 0] - _centres(s)[0, 0])) for s in _named(plan, words)]
    return len(ways) > 1 and {-1.0, 1.0} <= set(ways)


def _larger(plan, words, other):
    size = lambda s: s.at(TIMES)[0, 2:4].prod()  # noqa: E731
    return size(_named(plan, words)[0]) > 1.2 * size(_named(plan, other)[0])


def _pair(plan, words, other):
    return _named(plan, words)[0], _named(plan, other)[0]


def _behind(plan, words, other):
    """Further away whenever the boxes meet, and they do."""
    one, two = _pair(plan, words, other)
    a, b = one.boxes(TIMES), two.boxes(TIMES)
    met = ((np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])) > 0).all(1)
    return met.any() and (one.at(TIMES)[met, 4] > two.at(TIMES)[met, 4]).all()


def _above(plan, words, other):
    one, two = _pair(plan, words, other)
    x = np.abs(_centres(one)[:, 0] - _centres(two)[:, 0])
    nearest = x.argmin()
    return _centres(one)[nearest, 1] < _centres(two)[nearest, 1] - 0.05


def _over(plan, words, other):
    return _above(plan, words, other)


def _left_of(plan, words, other):
    one, two = _pair(plan, words, other)
    return (_centres(one)[:, 0] < _centres(two)[:, 0]).all()


def _between(plan, words, other):
    one, (left, right) = _named(plan, words)[0], sorted(_named(plan, other), key=lambda s: _centres(s)[0, 0])
    return _centres(left)[0, 0] < _centres(one)[0, 0] < _centres(right)[0, 0]


def _round(plan, words, other):
    """It is on both sides, once nearer and once further away."""
    one, two = _pair(plan, words, other)
    away = _centres(one)[:, 0] - _centres(two)[:, 0]
    depth = one.at(TIMES)[:, 4] - two.at(TIMES)[:, 4]
    return away.min() < -0.05 < 0.05 < away.max() and depth.min() < 0 < depth.max()


def _near(plan, words, other, time):
    one, two = _pair(plan, words, other)
    a, b = one.at(np.array([time]))[0], two.at(np.array([time]))[0]
    return abs(a[0] - b[0]) < (a[2] + b[2]) / 2 + 0.1


def _meet(plan, words):
    one, two = _named(plan, words)
    gap = np.abs(_centres(one)[:, 0] - _centres(two)[:, 0])
    return gap[-1] < 0.5 * gap[0]


def _first(plan, words, other):
    """One has come to rest before the other begins."""
    one, two = _pair(plan, words, other)
    moving = lambda s: np.abs(np.diff(_centres(s), axis=0)).max(1) > 0.002  # noqa: E731
    return np.flatnonzero(moving(one)).max() <= np.flatnonzero(moving(two)).min()
