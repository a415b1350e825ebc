# SPDX-License-Identifier: GPL-3.0-or-later
"""When an engine that stays up counts as flat; the figure is by scripts/measure/soak.py."""

import pytest
from soak import Sample, described


def course(memory=lambda clip: 490.0, files=lambda clip: 6, children=lambda clip: 1):
    return [Sample(clip, memory(clip), files(clip), 5, children(clip)) for clip in range(1, 101)]


def test_what_an_engine_is_at_is_no_growth():
    """It is looked at in the middle of its next clip, which has files open and a decoder beside it."""
    busy = {"files": lambda clip: 6 + clip % 7, "children": lambda clip: 1 + clip % 2}
    assert described(course(memory=lambda clip: 490 + clip % 3, **busy))["flat"]


def test_caches_may_fill_at_first():
    assert described(course(memory=lambda clip: 300.0 if clip < 10 else 490.0))["flat"]


@pytest.mark.parametrize(
    "leak",
    [
        {"memory": lambda clip: 490 + clip / 2},
        {"files": lambda clip: 6 + clip % 7 + clip // 40},
        {"children": lambda clip: 1 + clip // 50},
    ],
)
def test_what_stays_behind_is_growth(leak):
    assert not described(course(**leak))["flat"]
