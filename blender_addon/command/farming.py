# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands ``bundle``, which writes a job for a render farm, and ``farm-masks``, which a farm calls."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

import bpy

from .. import paths
from ..errors import PeekabooError, shown
from ..farm import bundle, flamenco, mapping, openjd, tasks
from ..farm import plan as plans
from ..farm.scenes import Wanted
from ..making import estimates
from ..shot import seeds
from . import options
from .console import Console


def export(asked: argparse.Namespace) -> None:
    """Write a job bundle of scenes, shots, seeds and models.

    Raises:
        PeekabooError: see :func:`.bundle.write`.
    """
    console, own, models = Console(asked.json), options.chosen_scenes(asked.scene), asked.model or []
    asked.model = None  # several are no setting of a scene
    with options.overridden(own, asked):
        wanted = [
            Wanted(
                scene,
                shot,
                asked.seeds or seeds.seeds(scene, shot=shot),
                estimates.seconds_by_model(scene, shot, models),
            )
            for scene in own
            for shot in options.chosen_shots(scene, asked)
        ]
        written = bundle.write(
            wanted, models, paths.absolute(asked.out), asked.prompt, asked.farm, asked.clips_a_task
        )
    for note in written.notes:
        console.say(f"note: {note}")
    clips = [clip.name for shot in written.plan.shots for clip in shot.clips]
    document = flamenco.FILE if asked.farm == "flamenco" else openjd.FILES["template"]
    console.result(
        f"farm job of {len(clips)} clips in {written.folder}",
        "bundle",
        folder=str(written.folder),
        template=str(written.folder / document),
        clips=clips,
        notes=list(written.notes),
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`export`; the parser lets options take each other's place."""
    options.add_shot(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="gets the job: a new folder")
    farms = get_args(bundle.Farm)
    parser.add_argument("--farm", choices=farms, default=farms[0], help="that takes the job (openjd)")
    parser.add_argument(
        "--clips-a-task",
        type=int,
        choices=range(1, plans.MOST_CLIPS + 1),
        metavar="COUNT",
        help="how many clips a task makes, for which a model is loaded once (about ten minutes of them)",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="MODEL",
        help="name of a model, or path of a diffusers folder; may be repeated; the scene's by default",
    )


def masks(asked: argparse.Namespace) -> None:
    """Do a farm's task: write the jobs of shots of the open file.

    What is wrong with a shot is kept for the last task, and no error.

    Raises:
        PeekabooError: this machine cannot do it, and another one may.
    """
    told = _Told(asked.openjd)
    try:
        problem = _masks(asked, plans.read(paths.absolute(asked.plan)), told)
    except PeekabooError as error:
        told.failed(str(error))
        raise
    told.ended(f"No masks, and so no clip: {problem}" if problem else "Masks are there")


def _masks(asked: argparse.Namespace, plan: plans.Plan, told: _Told) -> str:
    out, keeps_faults = paths.absolute(asked.out), asked.faults == "keep"
    try:
        options.check_opened()
        if asked.path_mapping is not None:
            mapping.apply(mapping.read(asked.path_mapping), list(bpy.data.scenes))
        return tasks.masks(plan, asked.name, out, told.progress, keeps_faults)
    except PeekabooError as error:
        if not keeps_faults:
            raise
        tasks.give_up(plan, asked.name, out, str(error))
        return str(error)


def add_masks(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`masks`."""
    parser.add_argument("plan", type=Path, metavar="PLAN", help="plan.json of the job")
    parser.add_argument("name", metavar="TASK", help="of a task of the plan, or of a shot")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="output folder of the job")
    parser.add_argument(
        "--faults",
        choices=plans.FAULTS,
        default=plans.FAULTS[0],
        help="whether a fault of this machine fails the task (fail), or is kept for the last one",
    )
    parser.add_argument("--path-mapping", type=Path, metavar="FILE", help="path mapping rules of OpenJD")
    parser.add_argument("--openjd", action="store_true", help="print progress as OpenJD reads it")


class _Told:
    """What a task prints: lines for people, or those that OpenJD's sessions look for.

    https://github.com/OpenJobDescription/openjd-specifications/wiki/How-Jobs-Are-Run#stdoutstderr-messages
    """

    def __init__(self, openjd: bool):
        self._openjd = openjd

    def _print(self, what: str, text: str) -> None:
        sys.stdout.write(f"openjd_{what}: {shown(text)}\n" if self._openjd else f"{shown(text)}\n")
        sys.stdout.flush()

    def progress(self, what: str, done: int, total: int) -> None:
        """Tell how far something is."""
        self._print("progress", f"{100 * done / total:.1f}" if self._openjd else f"{what} {done}/{total}")

    def ended(self, sentence: str) -> None:
        """Tell what became of it."""
        self._print("status", sentence)

    def failed(self, sentence: str) -> None:
        """Tell why it could not be done; people read that elsewhere."""
        if self._openjd:
            self._print("fail", sentence)
