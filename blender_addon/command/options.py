# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the commands without a window share, and how they change a scene's settings."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy

from ..engine import torch_builds
from ..errors import PeekabooError, UsageError
from ..shot import loras, settings, shots, stating, timed_phrases
from ..shot.seeds import SEED_LIMIT
from ..shot.shots import Shot
from ..takes import reels

ALL_SHOTS = "all"
"""Stands for all shots, also those that are turned off."""
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
    parser.add_argument(
        "--shots",
        action="append",
        metavar="NAME",
        help="by their markers' names; may be repeated, or all; those that are enabled by default",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder in the scene's by default")
    for name, setting in settings.SHOT.items():
        if setting.option is not None:
            _add_setting(parser, name, setting)
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=seed_list, dest="seeds", metavar="N", help="the scene's own by default")
    seeds.add_argument("--seeds", type=seed_list, metavar="N-N", help="several, such as 1-8 or 1,3,7")
    add_json(parser)


def _add_setting(parser: argparse.ArgumentParser, name: str, setting: settings.Setting) -> None:
    """Add the option that overrides a setting: checked and read as what the property takes."""
    assert setting.option is not None
    made = setting.property.keywords
    kinds: dict[str, type] = {"IntProperty": int, "FloatProperty": float}
    kind = kinds.get(setting.property.function.__name__, str)
    choices = [item[0] for item in made["items"]] if "items" in made else None
    if setting.property.function.__name__ == "BoolProperty":
        parser.add_argument(
            setting.option.flag,
            action=argparse.BooleanOptionalAction,
            default=None,
            dest=name,
            help=setting.option.help,
        )
        return
    parser.add_argument(
        setting.option.flag,
        action="append" if setting.option.several else "store",
        dest=name,
        type=kind,
        choices=choices,
        metavar=setting.option.metavar,
        help=setting.option.help,
    )


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
        if high < low or high >= SEED_LIMIT:
            raise argparse.ArgumentTypeError(
                f'"{part}" is no range of seeds, which goes up and stays below {SEED_LIMIT}'
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
    check_opened()
    if not names:
        return [reels.scene_of(bpy.context.scene)]
    for name in names:
        if name not in bpy.data.scenes:
            known = ", ".join(f'"{scene.name}"' for scene in bpy.data.scenes if not reels.is_reel(scene))
            raise PeekabooError(f'The file has no scene "{name}": choose one of {known}.')
    return list(dict.fromkeys(reels.scene_of(bpy.data.scenes[name]) for name in names))


def chosen_shots(scene, asked: argparse.Namespace) -> list[Shot]:
    """The shots of a scene that the command line asks for, with its prompt where it states one.

    Raises:
        PeekabooError: there is no such shot, or one is too short.
    """
    if not asked.shots:
        chosen = shots.enabled(scene)
    else:
        chosen = shots.named(scene, None if ALL_SHOTS in asked.shots else asked.shots)
    if asked.prompt is None:
        return chosen
    return [dataclasses.replace(shot, prompt=asked.prompt, is_own_prompt=False) for shot in chosen]


def check_opened() -> None:
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
    overriding = [name for name, setting in settings.SHOT.items() if setting.option is not None]
    stated = {name: value for name in overriding if (value := getattr(options, name)) is not None}
    stated = {name: "\n".join(value) if isinstance(value, list) else value for name, value in stated.items()}
    if "loras" in stated:
        stated["loras"] = loras.typed(stated["loras"])
    if "picture" in stated:
        stated = {"start_from": "picture", **stated}
    if "last_picture" in stated:
        stated = {"end_with": "picture", **stated}
    owners = [scene.peekaboo for scene in scenes]
    changed = dict.fromkeys([*stated, *(settings.OF_SCHEDULE if "schedule" in stated else ())])
    before = [{name: getattr(owner, name) for name in changed} for owner in owners]
    lists = [(loras.listed(owner), timed_phrases.listed(owner)) for owner in owners]
    try:
        for owner in owners:
            for name, value in stated.items():
                if problem := stating.problem(owner, name, value):
                    raise UsageError(problem)
                setattr(owner, name, value)
        yield
    finally:
        for owner, values, listed in zip(owners, before, lists, strict=True):
            for name, value in values.items():
                setattr(owner, name, value)
            if "loras" in stated:
                loras.set_list(owner, listed[0])  # without those that were for this run
            if "over_time" in stated:
                timed_phrases.put_back(owner, listed[1])
