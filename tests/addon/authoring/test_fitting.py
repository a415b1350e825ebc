# SPDX-License-Identifier: GPL-3.0-or-later
"""A solid fills the box that it is fitted into, wherever that is in the picture of any lens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender_addon.authoring.fitting import Lens, fit, unit_points


@st.composite
def lenses(draw):
    """Perspective of 15 to 130 degrees or parallel, shifted a little."""
    x, aspect = draw(st.floats(0.5, 7)), draw(st.floats(0.5, 2))
    shift = draw(st.floats(-0.3, 0.3)), draw(st.floats(-0.3, 0.3))
    if draw(st.booleans()):
        return Lens(np.array([[x, 0, -shift[0], 0], [0, x * aspect, -shift[1], 0], [0, 0, -1, 0]]))
    return Lens(np.array([[x / 10, 0, 0, shift[0]], [0, x * aspect / 10, 0, shift[1]], [0, 0, 0, 1]]))


boxes = st.tuples(st.floats(-0.3, 1), st.floats(-0.3, 1), st.floats(0.03, 0.6), st.floats(0.03, 0.6))


@given(lenses(), boxes, st.floats(2, 50), st.sampled_from(["CUBE", "SPHERE", "CONE", "CIRCLE"]))
def test_a_stretched_solid_fills_its_box(lens, box, distance, shape):
    x, y, width, height = box
    wanted = np.array([x, y, x + width, y + height])
    points = unit_points(shape)
    if shape == "CIRCLE":
        points = points[:, [0, 2, 1]]  # turned to the camera
    origin, factors = fit(points, wanted, distance, lens, stretch=True)
    seen = lens.box(origin + points * factors)
    if (origin + points * factors)[:, 2].max() < -0.3 * distance:  # not so large that it is around the camera
        assert seen == pytest.approx(wanted, abs=0.02)
    assert origin[2] == pytest.approx(-distance)


@given(lenses(), boxes, st.floats(2, 50))
def test_a_rigid_solid_has_the_height_and_the_middle(lens, box, distance):
    x, y, width, height = box
    points = unit_points("CUBE") * [1.0, 0.5, 0.1]
    origin, factors = fit(points, (x, y, x + width, y + height), distance, lens, stretch=False)
    assert factors[0] == factors[1] == factors[2]
    seen = lens.box(origin + points * factors)
    if (origin + points * factors)[:, 2].max() < -0.3 * distance:
        assert seen[3] - seen[1] == pytest.approx(height, rel=0.03)
        assert (seen[:2] + seen[2:]) / 2 == pytest.approx([x + width / 2, y + height / 2], abs=0.02)
