# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model for the real engine, made in the engine's own Python."""

import json
import os
import subprocess
from pathlib import Path

from blender_addon.engine import whereabouts

SIZE = {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 3}
ENGINE_TESTS = Path(__file__).resolve().parent.parent / "engine"


def save(folder: Path, tiny: str = "unet3d", **stated) -> Path:
    """Save one of the engine tests' pipelines as a diffusers folder of a stated size.

    Args:
        folder: to make.
        tiny: module of ``tests/engine/tiny``.
        stated: what its ``peekaboo.json`` has otherwise.
    """
    subprocess.run(
        [
            whereabouts.find_python(),
            "-c",
            "import sys; from importlib import import_module as module\n"
            "module(f'tiny.{sys.argv[2]}').pipeline().save_pretrained(sys.argv[1])",
            folder,
            tiny,
        ],
        cwd=ENGINE_TESTS,
        env={**os.environ, "PYTHONPATH": str(ENGINE_TESTS.parent.parent)},
        check=True,
    )
    (folder / "peekaboo.json").write_text(json.dumps(SIZE | stated))
    return folder
