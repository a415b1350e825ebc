# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model for the real engine, made in the engine's own Python."""

import json
import subprocess
from pathlib import Path

from blender_addon.engine import process

SIZE = {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 3}
ENGINE_TESTS = Path(__file__).resolve().parent.parent / "engine"


def save(folder: Path) -> Path:
    """Save the engine tests' pipeline as a diffusers folder of a stated size."""
    subprocess.run(
        [
            process.find_python(),
            "-c",
            "import sys; from tiny import unet3d; unet3d.pipeline().save_pretrained(sys.argv[1])",
            folder,
        ],
        cwd=ENGINE_TESTS,
        check=True,
    )
    (folder / "peekaboo.json").write_text(json.dumps(SIZE))
    return folder
