# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys
from pathlib import Path

import bpy
import build_extension


def test_the_validator_of_this_blender_finds_nothing_wrong(tmp_path):
    scripts = Path(bpy.utils.resource_path("LOCAL")) / "scripts"
    validator = scripts / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    command = [sys.executable, str(validator), "validate", str(build_extension.build(tmp_path))]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
