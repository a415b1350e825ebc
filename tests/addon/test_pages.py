# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages show of Blender in Python runs as it stands, beside a file that has what it names."""

import os
import subprocess
import sys

import bpy
import pytest
from pages import ROOT, python_blocks
from scenes import add_camera

BLOCKS = python_blocks(of_blender=True)


def test_there_is_python_to_run():
    assert BLOCKS


@pytest.mark.parametrize("place", BLOCKS)
def test_python_of_the_pages_runs(scene, tmp_path, place):
    add_camera(scene)
    scene.collection.objects.link(bpy.data.objects.new("Empty", None))
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    code = BLOCKS[place].replace("path/to/this/repository", str(ROOT))
    # Blender takes the folder that it is in from the shell's variable.
    inside = {"cwd": tmp_path, "env": {**os.environ, "PWD": str(tmp_path)}}
    run = subprocess.run([sys.executable, "-c", code], **inside, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    bpy.ops.wm.open_mainfile(filepath=path)
    assert bpy.data.objects["Empty"].peekaboo.is_subject
    assert bpy.data.objects["Empty"].peekaboo.phrase in bpy.context.scene.peekaboo.prompt
