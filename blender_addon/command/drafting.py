# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``draft``: a sentence becomes keyframed subjects of the open file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import bpy

from .. import saving
from ..errors import PeekabooError
from ..making import drafting, engine_choice
from . import options
from .console import Console

KEY = "PEEKABOO_ENDPOINT_KEY"
"""Variable that has the key of a server: a command line can be read by others."""


def draft(asked: argparse.Namespace) -> None:
    """Draft a shot, or change the one that is there, and save the file.

    Raises:
        PeekabooError: the text cannot be planned, or the file not be saved.
    """
    console = Console(asked.json)
    out = asked.out or (Path(bpy.data.filepath) if bpy.data.filepath else None)
    if out is None:
        raise PeekabooError("The scene was never saved to a file: give a .blend, or --out FILE.")
    saving.check_savable(out)
    (scene,) = options.chosen_scenes([asked.scene] if asked.scene else None)
    server = None
    if asked.endpoint:
        if not asked.language_model:
            raise PeekabooError("Name the language model of the endpoint: add --language-model.")
        key = os.environ.get(KEY, "")
        server = engine_choice.LanguageServer(asked.endpoint, asked.language_model, key)
    made = drafting.wait(scene, asked.text, server, asked.change)
    objects, notes = drafting.apply(scene, made)
    for note in [*made.notes, *notes]:
        console.say(f"note: {note}")
    saving.save_blend(out)
    names = [obj.name for obj in objects]
    console.result(
        f"drafted {', '.join(names)} in {out}", "draft", scene=scene.name, subjects=names, file=str(out)
    )


def add_draft(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`draft`."""
    parser.add_argument("text", help='what is to be seen, such as "a red ball rolls from left to right"')
    parser.add_argument("--change", action="store_true", help="change the subjects that are there")
    parser.add_argument("--scene", metavar="NAME", help="the file's active one by default")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="another .blend to save; the open one by default"
    )
    parser.add_argument("--endpoint", metavar="URL", help="OpenAI-compatible server to plan with")
    parser.add_argument("--language-model", metavar="NAME", help="language model of that server")
    options.add_json(parser)
