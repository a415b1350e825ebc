# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are subjects."""

from hypothesis import given
from hypothesis import strategies as st

from blender_addon.shot import subjects


@given(st.integers(0, 60))
def test_colours_differ_from_those_before(count):
    color = subjects.new_color(count)
    nearest = min(
        (max(abs(a - b) for a, b in zip(color, subjects.new_color(i), strict=True)) for i in range(count)),
        default=1,
    )
    assert nearest > 0.03 / max(1, count / 20)
