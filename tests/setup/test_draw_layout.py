# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's picture: outlines where the masks end, in the subjects' colours."""

import subprocess
import sys

import numpy as np
from house.draw_layout import SCALE, draw_frame, outline
from house.environments import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks, st.integers(1, 4))
def test_an_outline_lies_in_its_mask_and_within_reach_of_its_edge(mask, width):
    line = outline(mask, width)
    assert not (line & ~mask).any()
    outside = np.argwhere(~mask)
    for row, column in np.argwhere(mask):
        steps = np.abs(outside - (row, column)).sum(axis=1).min(initial=width + 1)
        assert line[row, column] == (steps <= width)


def test_each_subject_is_outlined_in_its_colour():
    labels = np.zeros((40, 60), np.uint8)
    labels[5:30, 5:25] = 1
    labels[10:35, 35:55] = 2
    frame = np.full((40, 60, 3), 128, np.uint8)
    picture = np.array(draw_frame(frame, labels, [(255, 0, 0), (0, 0, 255)]))
    assert picture.shape == (40 * SCALE, 60 * SCALE, 3)
    assert (picture[5 * SCALE, 5 * SCALE : 25 * SCALE] == (255, 0, 0)).all()
    assert (picture[34 * SCALE, 35 * SCALE : 55 * SCALE] == (0, 0, 255)).all()
    assert (picture[0, 0] == 128).all() and (picture[17 * SCALE, 15 * SCALE] == 128).all()


def test_a_job_that_is_not_there_is_one_sentence(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "house" / "draw_layout.py", tmp_path, tmp_path / "clip.mp4"]
    done = subprocess.run([*command, tmp_path / "layout.png"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "layout.png").exists()
