# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages show of the engine in Python runs as it stands."""

import os
import re
import subprocess
import sys

import pytest
from pages import ROOT, python_blocks

BLOCKS = python_blocks(of_blender=False)


def test_there_is_python_to_run():
    assert BLOCKS


@pytest.mark.slow
@pytest.mark.parametrize("place", BLOCKS)
def test_python_of_the_pages_runs(place):
    """From the repository's root, in fewer steps than are shown."""
    code = re.sub(r"num_inference_steps=\d+", "num_inference_steps=2", BLOCKS[place])
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
