# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the commands without a window share, and how they change a scene's settings."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy

from ..engine import torch_builds
from ..errors import PeekabooError, UsageError
from ..properties import METHODS
from ..shot import layout as shot

SETTINGS = (
    "prompt",
    "negative_prompt",
    "model",
    "num_inference_steps",
    "guidance_scale",
    "method",
    "masked_steps",
)
"""Settings of the shot that an option of the same name overrides."""

UNLIMITED = 2**31 - 1
"""What Blender states as the most of a number that has no limit, or less."""

MOST_SEEDS = 1000
"""At once: a slip of the finger must not ask for millions."""


class Parser(argparse.ArgumentParser):
    """Reads a command line, and says in one sentence what is wrong with it."""

    def error(self, message: str):
        """Refuse the command line; raises UsageError."""
        raise UsageError(f"{message}: --help lists what can be given.")


def add_shot(parser: argparse.ArgumentParser) -> None:
    """Add which scenes are meant, where the result goes, and what overrides their settings."""
    parser.add_argument(
        "--scene", action="append", metavar="NAME", help="the file's active one by default; may be repeated"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder in the scene's by default")
    parser.add_argument("--prompt", help="what the clip shows; the scene's own by default")
    parser.add_argument("--negative-prompt", help="what it should not show")
    parser.add_argument("--model", help="name of a model, or path of a diffusers folder")
    parser.add_argument("--steps", type=int, dest="num_inference_steps", metavar="N", help="denoising steps")
    parser.add_argument("--guidance", type=float, dest="guidance_scale", metavar="SCALE")
    parser.add_argument(
        "--method", choices=[name for name, *_ in METHODS], help="how masks act; auto is the model's own"
    )
    parser.add_argument(
        "--masked-steps", type=int, metavar="N", help="steps in which subjects are held in place"
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=seed_list, dest="seeds", metavar="N", help="the scene's own by default")
    seeds.add_argument("--seeds", type=seed_list, metavar="N-N", help="several, such as 1-8 or 1,3,7")
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that lets programs read what is printed."""
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, for programs")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the engine runs."""
    parser.add_argument("--python", help="the engine's Python, where it is not to be found")
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add what the engine computes on."""
    parser.add_argument(
        "--device", choices=list(torch_builds.TITLES), help="to compute on; as the preferences say by default"
    )


def seed_list(text: str) -> list[int]:
    """Read seeds such as ``4``, ``1-8`` or ``1,3,10-12``: each once, in this order.

    Raises:
        argparse.ArgumentTypeError: the text means none, or too many.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f'"{text}" are no seeds, such as 4 or 1-8 or 1,3,7')
        low, high = int(first), int(last or first)
        if high < low or high >= shot.SEED_LIMIT:
            raise argparse.ArgumentTypeError(
                f'"{part}" is no range of seeds, which goes up and stays below {shot.SEED_LIMIT}'
            )
        if high - low >= MOST_SEEDS or len(seeds) + high - low >= MOST_SEEDS:
            raise argparse.ArgumentTypeError(f'"{text}" are more than {MOST_SEEDS} seeds')
        seeds |= dict.fromkeys(range(low, high + 1))
    return list(seeds)


def chosen_scenes(names: list[str] | None) -> list:
    """The scenes of these names, or the active one.

    Raises:
        PeekabooError: there is no such scene, or Blender could not open the file.
    """
    _check_opened()
    if not names:
        return [bpy.context.scene]
    for name in names:
        if name not in bpy.data.scenes:
            known = ", ".join(f'"{scene.name}"' for scene in bpy.data.scenes)
            raise PeekabooError(f'The file has no scene "{name}": choose one of {known}.')
    return [bpy.data.scenes[name] for name in dict.fromkeys(names)]


def _check_opened() -> None:
    """Blender goes on with an empty scene where it cannot open the file that its command line names."""
    own = itertools.takewhile(lambda word: word not in {"--command", "-c", "--"}, sys.argv[1:])
    files = [word for word in own if word.endswith(".blend")]
    if files and not bpy.data.filepath:
        raise PeekabooError(
            f"Blender could not open {files[-1]}: give a .blend that is there and can be read."
        )


@contextmanager
def overridden(scenes: Iterable, options: argparse.Namespace) -> Iterator[None]:
    """Give scenes the settings that the command line states, and afterwards those back that they had.

    Raises:
        UsageError: a number is out of its range, which Blender would replace by the nearest in it.
    """
    stated = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    settings = [scene.peekaboo for scene in scenes]
    before = [{name: getattr(each, name) for name in stated} for each in settings]
    try:
        for each in settings:
            for name, value in stated.items():
                _check_range(each.bl_rna.properties[name], value)
                setattr(each, name, value)
        yield
    finally:
        for each, values in zip(settings, before, strict=True):
            for name, value in values.items():
                setattr(each, name, value)


def _check_range(setting, value) -> None:
    if setting.type in {"INT", "FLOAT"} and not setting.hard_min <= value <= setting.hard_max:
        most = f" to {setting.hard_max:g}" if setting.hard_max < UNLIMITED else " on"
        raise UsageError(
            f"{setting.name} cannot be {value:g}: give a number from {setting.hard_min:g}{most}."
        )
