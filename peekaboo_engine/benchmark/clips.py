# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips of the benchmark: making one, and keeping it with its record so that a later run need not.

A store is a folder with ``CONTROL/LAYOUT.mp4`` and ``CONTROL/LAYOUT.json`` for each clip. Measures are taken
from the mp4 as it plays, as the released evaluation does, so that they come out the same in a resumed run.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError
from ..loading import LoadedModel
from ..sampling import Sampling, Shot, sample
from ..schedules import following
from ..video import read_clip, replacing, write_clip
from .controls import Control
from .scenes import Scene

FRAME_RATE = Fraction(8)  # of the files, as the paper's clips play


class Stopped(BaseException):
    """The run is to end here; not a failure of a clip."""


def make_clip(
    model: LoadedModel, scene: Scene, control: Control, sampling: Sampling, stop_if_asked: Callable[[], None]
) -> tuple[np.ndarray, float]:
    """Run the model on a scene; `stop_if_asked` is called after every step and raises to end it.

    Returns:
        Frames, uint8 (frames, height, width, 3), and the seconds that the pipeline took, decoding included.

    Raises:
        EngineError: what :func:`.sample` and :func:`.control.peekaboo` raise.
    """
    frames, height, width = scene.labels.shape
    shot = Shot(scene.prompt, frames, height, width, scene.seed)
    started = time.perf_counter()
    followed = following(model.pipe, model.entry.family, sampling.schedule, model.loras, scene.seed)
    with followed, control.steering(model.pipe, scene.labels, scene.phrases):
        clip = sample(model, shot, sampling, lambda _step: stop_if_asked())
    return clip, time.perf_counter() - started


class ClipStore:
    """Clips and their records in a folder.

    Args:
        folder: made when it is first written to.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def path(self, scene_id: str, control: str) -> Path:
        """Where the clip of a scene under a control is."""
        # What a layout is called need not be a file name everywhere; two names must not become one.
        name = re.sub(r"[^\w.+-]", "_", scene_id)
        if name != scene_id:
            name = f"{name}-{hashlib.sha256(scene_id.encode()).hexdigest()[:8]}"
        return self._folder / control / f"{name}.mp4"

    def record(self, scene: Scene, control: Control) -> dict[str, Any]:
        """The record of a clip, empty if there is no such clip or no record that can be read."""
        clip = self.path(scene.id, control.name)
        try:
            record = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) and clip.is_file() else {}

    def write_record(self, scene: Scene, control: Control, record: dict[str, Any]) -> None:
        """Write a clip's record, whole or not at all."""
        path = self.path(scene.id, control.name).with_suffix(".json")
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def write_clip(self, scene: Scene, control: Control, frames: np.ndarray) -> None:
        """Write a clip; its record, which speaks of another one, goes first."""
        path = self.path(scene.id, control.name)
        path.with_suffix(".json").unlink(missing_ok=True)
        write_clip(path, frames, np.arange(len(frames)), FRAME_RATE)

    def frames(self, scene_id: str, control: str) -> np.ndarray:
        """Frames of a clip, uint8 (frames, height, width, 3).

        Raises:
            EngineError: ``clip_unreadable`` for a file that was damaged since it was written.
        """
        path = self.path(scene_id, control)
        try:
            return read_clip(path)
        except (OSError, ValueError, IndexError, RuntimeError) as error:  # whatever ffmpeg makes of it
            raise EngineError(
                "clip_unreadable", f"{path} cannot be read; delete it and run again."
            ) from error
