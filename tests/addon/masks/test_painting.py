# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blender_addon.errors import PeekabooError
from blender_addon.interface.icons import read_png
from blender_addon.masks import painting

COLORS = [(1.0, 0.0, 0.0), (0.0, 0.2, 1.0)]
label_maps = arrays(np.uint8, st.tuples(st.integers(2, 12), st.integers(2, 12)), elements=st.integers(0, 2))


@given(label_maps, st.integers(1, 4))
def test_every_pixel_of_a_mask_is_tinted_in_its_colour_and_only_those(labels, scale):
    painted = painting.outlined(labels, COLORS, scale)[scale // 2 :: scale, scale // 2 :: scale]
    assert ((painted[..., 3] > 0) == (labels > 0)).all()
    for k, color in enumerate([(255, 0, 0), (0, 51, 255)], 1):
        assert (painted[labels == k][:, :3] == color).all()


@given(label_maps)
def test_a_flat_picture_comes_back_from_its_png(labels):
    pixels = read_png(painting.png(painting.flat(labels, COLORS)))
    assert (pixels == np.array([(0, 0, 0), (255, 0, 0), (0, 51, 255)])[labels]).all()


def test_pictures_are_numbered_and_nothing_else_is_left(tmp_path):
    written = painting.write((np.zeros((2, 3, 4), np.uint8) for _ in range(3)), tmp_path / "masks")
    assert written == sorted((tmp_path / "masks").iterdir()) and written[0].name == "0001.png"
    (tmp_path / "file").touch()
    with pytest.raises(PeekabooError, match=r"cannot be written to .*: choose another folder"):
        painting.write([], tmp_path / "file" / "masks")
