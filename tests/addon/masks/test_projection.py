# SPDX-License-Identifier: GPL-3.0-or-later
"""Label maps against Cycles, which is what the user's camera really sees, and properties of the maths."""

import agreement
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender_addon.masks import projection, solids

IDENTITY = np.eye(4)
ROWS = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0]])
LENS = projection.perspective_camera(IDENTITY, ROWS, 0.1, 100)
"""At the origin, looking along -Z, with a field of 1 at distance 2."""


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=pytest.mark.slow if name in {"curved", "meshes"} else ())
        for name in agreement.FAMILIES
    ],
)
@settings(max_examples=12)
@given(seed=st.integers(1000, 10**6), hidden=st.booleans())
def test_masks_are_what_cycles_renders(family, seed, hidden):
    result = agreement.compare(seed, family, hidden)
    if family != "curved":  # whose twins have straight edges
        assert result.wrong_elsewhere == 0, "pixels differ that no outline crosses next to their centre"
    assert result.far == 0, "pixels differ away from all outlines"
    assert result.wrong <= 0.002 * result.pixels


@st.composite
def placements(draw):
    """Matrices that turn, stretch, mirror and move ahead of the lens."""
    matrix = np.eye(4)
    entries = draw(st.lists(st.floats(-1, 1), min_size=9, max_size=9))
    matrix[:3, :3] = np.reshape(entries, (3, 3)) + draw(st.sampled_from([1, -1])) * 1.5 * np.eye(3)
    matrix[:3, 3] = draw(st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-12, 1)))
    return matrix


def corners_as_mesh(matrix):
    """The box of -1..1 as triangles."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return solids.TriangleMesh(corners @ matrix[:3, :3].T + matrix[:3, 3], np.array(triangles))


@given(placements())
def test_a_box_is_its_triangles(matrix):
    box, mesh = [[solids.box(matrix)]], [[corners_as_mesh(matrix)]]
    difference = projection.label_map(LENS, box, 48, 32) != projection.label_map(LENS, mesh, 48, 32)
    assert np.count_nonzero(difference) <= 1  # a pixel's centre may lie on an edge, to the last bit


@given(placements())
def test_an_ellipsoid_lies_between_its_box_and_its_core(matrix):
    ball, box = ([[shape(matrix)]] for shape in (solids.ellipsoid, solids.box))
    core = [[solids.box(matrix, [-(3**-0.5)] * 3, [3**-0.5] * 3)]]
    inner, middle, outer = (projection.label_map(LENS, shape, 48, 32) for shape in (core, ball, box))
    inside = np.linalg.norm(np.linalg.inv(matrix)[:3, 3]) < 3**0.5
    if not inside:  # from inside a hollow shape one sees walls, not silhouettes
        assert (inner <= middle).all() and (middle <= outer).all()


@given(placements(), st.floats(0.05, 20))
def test_the_picture_does_not_depend_on_the_unit_of_length(matrix, scale):
    stretched = matrix.copy()
    stretched[:3] *= scale
    lens = projection.perspective_camera(IDENTITY, ROWS, 0.1 * scale, 100 * scale)
    for shape in (solids.box, solids.ellipsoid, solids.disc, solids.pyramid):
        small = projection.label_map(LENS, [[shape(matrix)]], 48, 32)
        large = projection.label_map(lens, [[shape(stretched)]], 48, 32)
        assert np.count_nonzero(small != large) <= 1


def at(z, scale=1.0):
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[2, 3] = z
    return matrix


@pytest.mark.parametrize("shape", [solids.box, solids.ellipsoid, solids.pyramid])
def test_what_is_behind_the_camera_is_not_seen(shape):
    assert not projection.label_map(LENS, [[shape(at(5))]], 48, 32).any()


@pytest.mark.parametrize("shape", [solids.box, solids.ellipsoid])
def test_a_camera_inside_sees_the_far_wall_behind_what_is_nearer(shape):
    around, ahead = shape(at(0, 10)), shape(at(-5, 0.5))
    labels = projection.label_map(LENS, [[around], [ahead]], 48, 32)
    assert set(np.unique(labels)) == {1, 2} and labels[16, 24] == 2


def test_what_begins_beyond_the_far_plane_is_not_seen():
    assert not projection.label_map(LENS, [[solids.box(at(-150))]], 48, 32).any()


def test_occluders_hide_without_a_label():
    labels = projection.label_map(LENS, [[solids.box(at(-10, 3))]], 48, 32, [solids.box(at(-5, 0.5))])
    assert labels[16, 24] == 0 and labels.any()


def test_coverage_is_the_share_of_each_cell():
    labels = np.zeros((1, 16, 16), np.uint8)
    labels[0, :4, :8] = 1
    labels[0, 8:, 8:] = 2
    assert projection.coverage(labels, 2).tolist() == [[[[0.5, 0], [0, 0]], [[0, 0], [0, 1]]]]


def test_coverage_over_time_follows_a_causal_autoencoder():
    """The first frame is a latent frame of its own; after it every four frames make one."""
    labels = np.zeros((9, 8, 8), np.uint8)
    labels[[0, 2, 3]] = 1
    assert projection.coverage(labels, 1, span=4).ravel().tolist() == [1, 0.5, 0]
    assert projection.coverage(labels[:7], 1, span=4).ravel().tolist() == [1, 0.5, 0]
