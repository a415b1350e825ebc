# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``blender shot.blend --command peekaboo``; what it generates with, scripts share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import bpy

from . import engine_setup, headless, preferences, takes
from .errors import PeekabooError

SETTINGS = (
    "prompt",
    "negative_prompt",
    "model",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "masked_steps",
)
"""Settings of the shot that an option of the same name overrides."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`generate`."""
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for job/, clip.mp4 and clip.json; a new one in the scene's by default",
    )
    parser.add_argument("--prompt", help="what the clip shows; the scene's own by default")
    parser.add_argument("--negative-prompt", help="what it should not show")
    parser.add_argument("--model", help="name of a model, or path of a diffusers folder")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--steps", type=int, dest="num_inference_steps", metavar="N", help="denoising steps")
    parser.add_argument("--guidance", type=float, dest="guidance_scale", metavar="SCALE")
    parser.add_argument(
        "--masked-steps", type=int, metavar="N", help="steps in which subjects are held in place"
    )
    parser.add_argument("--python", help="the engine's Python, where it is not to be found")
    parser.add_argument("--save", action="store_true", help="save the .blend with the strip in its sequencer")


def generate(options: argparse.Namespace, online: bool = True) -> None:
    """Make the clip of the active scene.

    Args:
        options: as :func:`add_options` describes them; what is left out stays as the scene has it.
        online: whether the engine may download a model.

    Raises:
        PeekabooError: there is no clip.
    """
    if options.save and not bpy.data.filepath:
        raise PeekabooError("The scene was never saved to a file: give a .blend, or leave out --save.")
    scene: Any = bpy.context.scene
    for name in SETTINGS:
        if (value := getattr(options, name)) is not None:
            setattr(scene.peekaboo, name, value)
    python = options.python or str(preferences.engine_python())
    out = options.out.resolve() if options.out else takes.new_folder(scene)
    result = headless.generate(scene, out, python, online)
    print(f"clip {result.clip}", flush=True)
    if options.save:
        headless.save_blend(Path(bpy.data.filepath))
        print(f"saved {bpy.data.filepath}", flush=True)


def check(options: argparse.Namespace) -> None:
    """Print what the engine runs with.

    Raises:
        PeekabooError: what is missing.
    """
    print(engine_setup.check(Path(options.python) if options.python else preferences.engine_python()))


def run(arguments: list[str]) -> int:
    """Run the command; returns Blender's exit code."""
    return headless.exit_code(_main, arguments)


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="blender FILE.blend --command peekaboo")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    making = commands.add_parser("generate", help="make the clip of the file's active scene")
    add_options(making)
    making.set_defaults(call=lambda options: generate(options, bpy.app.online_access))
    checking = commands.add_parser("check", help="say whether the engine can run, and on what")
    checking.add_argument("--python", help="the engine's Python, where it is not to be found")
    checking.set_defaults(call=check)
    options = parser.parse_args(arguments)
    options.call(options)


_command: Any = None


def register():
    """Add the command to Blender's command line."""
    global _command
    _command = bpy.utils.register_cli_command("peekaboo", run)


def unregister():
    """Take the command away."""
    global _command
    bpy.utils.unregister_cli_command(_command)
    _command = None
