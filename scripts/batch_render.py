# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the clip of a .blend without a window, and put it into the file's sequencer.

    blender -b shot.blend -P scripts/batch_render.py -- --out DIR [--prompt TEXT] [--save] ...
    python scripts/batch_render.py shot.blend --out DIR [--prompt TEXT] [--save] ...

The second form needs the bpy module. The exit code is 0 only if the clip is there.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from blender_addon import headless
from blender_addon.errors import PeekabooError

SETTINGS = (
    "prompt",
    "negative_prompt",
    "model",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "masked_steps",
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; what is left out stays as the scene has it."""
    parser = argparse.ArgumentParser(
        prog="batch_render.py", description="Make a .blend's clip without a window."
    )
    if headless.runs_as_module():
        parser.add_argument("blend", type=Path, help="the file whose active scene is the shot")
    parser.add_argument("--out", type=Path, required=True, help="folder for job/, clip.mp4 and clip.json")
    parser.add_argument("--prompt", help="what the clip shows; the scene's own by default")
    parser.add_argument("--negative-prompt", help="what it should not show")
    parser.add_argument("--model", help="name of a model, or path of a diffusers folder")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--steps", type=int, dest="num_inference_steps", metavar="N", help="denoising steps")
    parser.add_argument("--guidance", type=float, dest="guidance_scale", metavar="SCALE")
    parser.add_argument(
        "--masked-steps", type=int, metavar="N", help="steps in which subjects are held in place"
    )
    parser.add_argument(
        "--python", help="the engine's Python; PEEKABOO_PYTHON, else the checkout's .venv by default"
    )
    parser.add_argument("--save", action="store_true", help="save the .blend with the strip in its sequencer")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Make the clip; raises PeekabooError where there is none."""
    options = parse(arguments)
    if headless.runs_as_module():
        headless.open_blend(options.blend)
    if options.save and not bpy.data.filepath:
        raise PeekabooError("The scene was never saved to a file: give a .blend, or leave out --save.")
    scene: Any = bpy.context.scene
    for name in SETTINGS:
        if (value := getattr(options, name)) is not None:
            setattr(scene.peekaboo, name, value)
    result = headless.generate(scene, options.out.resolve(), options.python)
    print(f"clip {result.clip}", flush=True)
    if options.save:
        headless.save_blend(Path(bpy.data.filepath))
        print(f"saved {bpy.data.filepath}", flush=True)


if __name__ == "__main__":
    headless.run_script(main)
