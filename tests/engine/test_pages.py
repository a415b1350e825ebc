# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages show of the engine in Python runs as it stands."""

import re

import pytest
from pages import ROOT, python_blocks

BLOCKS = python_blocks(of_blender=False)


def test_there_is_python_to_run():
    assert BLOCKS


@pytest.mark.slow
@pytest.mark.parametrize("place", BLOCKS)
def test_python_of_the_pages_runs(place, monkeypatch):
    """From the repository's root, in fewer steps than are shown."""
    monkeypatch.chdir(ROOT)
    code = re.sub(r"num_inference_steps=\d+", "num_inference_steps=2", BLOCKS[place])
    exec(compile(code, place, "exec"), {"__name__": "__main__"})
