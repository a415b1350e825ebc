# SPDX-License-Identifier: GPL-3.0-or-later
"""A take made anew from its own clip by a model that can do that: the same shot at the model's size.

The engine's ``refine`` does the same to a take's folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import compat, paths
from ..engine import catalogue
from ..engine.orders import Order
from ..errors import PeekabooError
from ..shot import seeds, shots
from ..shot.job import SCHEMA_VERSION
from ..takes import folders, strips
from . import delivery

SOURCE = "source.mp4"
"""What the take's clip is called in the new job's folder."""
KEPT = ("prompt", "negative_prompt", "subjects", "num_frames", "timing", "masks", "timed_phrases")
"""What of a job is the shot's, not the model's."""


def order_refined(scene, strip, model: str, strength: float) -> Order:
    """Order a take anew from its clip; the new one will lie above it.

    Args:
        scene: that the strip is a take of.
        strip: a take.
        model: by its name in the catalogue, or the path of a folder.
        strength: share of the sampling that is done to the clip.

    Raises:
        PeekabooError: the take is a picture or damaged, or the model makes no clip from another or is not
            here.
    """
    model = model if model in catalogue.catalogue() else str(paths.absolute(model))
    if not catalogue.makes_anew(model):
        names = ", ".join(catalogue.refiners())
        raise PeekabooError(f'"{model}" makes no clip from another: choose one of {names}.')
    catalogue.check_downloaded(model)
    job, labels = folders.read(strip)
    if job["num_frames"] == 1:
        raise PeekabooError("The take is a picture, and only clips are made anew: choose another take.")
    width, height, _ = catalogue.model_size(model)
    refined = {key: job[key] for key in KEPT if key in job} | {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "width": width,
        "height": height,
        "seed": seeds.unused_seed(scene, strips.seeds(strip.id_data)),
        "source_clip": SOURCE,
        "source_strength": round(strength, 4),
    }
    start, end = compat.strip_range(strip)
    return delivery.order(
        scene,
        refined,
        recut(labels, height, width),
        frame_start=compat.content_start(strip),
        source=clip_of(strip),
        title=shots.title_at(scene, start, end - 1),
    )


def clip_of(strip) -> Path:
    """The clip of a take, which its strip may have lost."""
    return strips.folder_of(strip) / folders.CLIP


def recut(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Labels at another size, as the clip's own frames are cut to it: the middle fills the frame.

    Args:
        labels: uint8 (frames, old height, old width).
        height: in pixels, of the new clip.
        width: the same.

    Returns:
        uint8 (frames, height, width), the nearest label at each pixel.
    """
    _, old_height, old_width = labels.shape
    scale = min(old_width / width, old_height / height)
    middles = [
        np.floor((np.arange(new) + 0.5 - new / 2) * scale + old / 2).astype(int).clip(0, old - 1)
        for new, old in ((height, old_height), (width, old_width))
    ]
    return np.ascontiguousarray(labels[:, middles[0]][:, :, middles[1]])
