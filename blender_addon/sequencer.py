# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a clip into a scene's Video Sequencer."""

import json
from pathlib import Path

import bpy

from . import compat
from .errors import PeekabooError

CHANNELS = 128
"""Blender's number of channels; they count from 1."""

JOB_PROPERTY = "peekaboo_job"
"""Custom property of a strip: the job that made it, as JSON."""


def add_clip(scene, clip: Path, job: dict):
    """Add a clip as a movie strip where its job says, on a channel that is free there; returns the strip.

    Args:
        scene: whose sequencer gets it.
        clip: the movie, at the scene's frame rate.
        job: that made it, as ``job.json`` states it.

    Raises:
        PeekabooError: the clip is not there, or all channels are taken.
    """
    if not clip.is_file():  # Blender would add a strip of one frame and say nothing
        raise PeekabooError(f'There is no clip at "{clip}": generate it again.')
    start, count = job["timing"]["frame_start"], job["timing"]["frame_count"]
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strip = compat.strips(editor).new_movie(
        name=f"Peekaboo {job['seed']}",
        filepath=_path_in_file(clip),
        channel=_free_channel(editor, start, start + count),
        frame_start=start,
        fit_method="FIT",
    )
    compat.set_strip_length(strip, count)
    strip[JOB_PROPERTY] = json.dumps(job)
    compat.show_in_sequencers(scene)
    return strip


def _free_channel(editor, start: int, end: int) -> int:
    """The channel above all strips in a range of frames, so that the clip is seen.

    Else the lowest free one.
    """
    strips = compat.strips(editor)
    taken = {
        strip.channel
        for strip in strips
        if compat.strip_range(strip)[0] < end and compat.strip_range(strip)[1] > start
    }
    above = max(taken, default=0) + 1
    free = [
        channel
        for channel in [above, *range(1, CHANNELS + 1)]
        if channel <= CHANNELS and channel not in taken
    ]
    if not free:
        raise PeekabooError(
            f"All {CHANNELS} channels of the sequencer are taken in frames {start} to {end - 1}: "
            "clear one for the clip."
        )
    return free[0]


def _path_in_file(clip: Path) -> str:
    """The clip's path, relative to the .blend where it has one, so that both can be moved together."""
    if not bpy.data.filepath:
        return str(clip.resolve())
    try:
        return bpy.path.relpath(str(clip.resolve()))
    except ValueError:  # on another Windows drive
        return str(clip.resolve())
