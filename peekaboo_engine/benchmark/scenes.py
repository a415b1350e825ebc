# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clip of the benchmark is to show: a layout fitted to a model, with a prompt and a seed."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import numpy as np

from ..errors import EngineError
from ..models import ModelEntry
from .layouts import Layout
from .request import Prompts
from .shapes_world import draw_prompt
from .tracks import label_map, resample_track


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip to make, under each control from the same noise."""

    id: str  # of its layout
    prompt: str
    phrases: list[str]  # of the subjects, in label order
    wanted: list[np.ndarray]  # for each subject float64 (frames, 4); NaN where it is not to be seen
    labels: np.ndarray  # uint8 (frames, height, width)
    seed: int
    silhouettes: bool = False  # whether the labels are a job's masks, not the boxes themselves


def make_scene(layout: Layout, entry: ModelEntry, prompts: Prompts, seed: int) -> Scene:
    """Fit a layout to a model's frames.

    Tracks of a file are stretched over all frames of the model, whatever their own number. Job folders keep
    their frames, masks and prompt. Words from the vocabulary of `shapes`, and the seed of the noise, follow
    from `seed` and the layout's id alone: a part of a set gets the same clips as the whole.

    Raises:
        EngineError: ``too_many_frames`` for a job with more frames than the model makes;
            ``subject_never_seen`` for one with nothing to measure; ``too_many_subjects``.
    """
    rng = random.Random(f"{seed}:{layout.id}")
    noise = int.from_bytes(hashlib.sha256(f"{seed}:{layout.id}".encode()).digest()[:4])
    if layout.labels is not None:
        if len(layout.labels) > entry.num_frames:
            raise EngineError(
                "too_many_frames",
                f"The job {layout.id} has {len(layout.labels)} frames, but {entry.title} makes "
                f"{entry.num_frames}; export it again for this model.",
            )
        wanted = [track.boxes for track in layout.tracks]
        phrases = [track.subject for track in layout.tracks]
        if unseen := [track.subject for track in layout.tracks if np.isnan(track.boxes).all()]:
            raise EngineError(
                "subject_never_seen",
                f'The job {layout.id} never shows "{unseen[0]}"; export it again with that subject in view.',
            )
        return Scene(layout.id, layout.caption, phrases, wanted, layout.labels, noise, silhouettes=True)
    wanted = [resample_track(track.boxes, entry.num_frames) for track in layout.tracks]
    if prompts == Prompts.shapes:
        prompt, phrases = draw_prompt(rng, len(layout.tracks))
    elif len(layout.tracks) == 1:
        prompt, phrases = layout.caption, [layout.tracks[0].subject]
    else:
        raise EngineError(
            "too_many_subjects",
            "The captions of a layouts file name one subject each; take --prompts shapes for several.",
        )
    return Scene(layout.id, prompt, phrases, wanted, label_map(wanted, entry.width, entry.height), noise)
