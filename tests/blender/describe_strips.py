# SPDX-License-Identifier: GPL-3.0-or-later
"""Run inside Blender: print the open file's strips as one line of JSON."""

import json
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from blender_addon import compat

print(
    "STRIPS",
    json.dumps(
        [
            {
                "type": strip.type,
                "range": compat.strip_range(strip),
                "channel": strip.channel,
                "exists": Path(bpy.path.abspath(strip.filepath)).is_file(),
                "seed": json.loads(strip["peekaboo_job"])["seed"],
            }
            for scene in bpy.data.scenes
            if scene.sequence_editor
            for strip in compat.strips(scene.sequence_editor)
        ]
    ),
)
