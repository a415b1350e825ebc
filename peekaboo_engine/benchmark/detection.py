# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors behind one interface: which there are, and loading one by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import EngineError
from .metrics import Box
from .segmenter import Segmenter
from .zero_shot import SOURCES, ZeroShotDetector


class Detector(Protocol):
    """Finds a subject, named by words, in the frames of a clip."""

    def identity(self) -> dict[str, object]:
        """What tells it from others and from other versions of itself, as plain data."""

    def check(self, phrase: str) -> None:
        """Raise EngineError if it cannot look for such a subject."""

    def find(self, frames: np.ndarray, phrase: str) -> list[Box | None]:
        """Box x1, y1, x2, y2 relative to the frame, or None, for each of the frames uint8 (F, H, W, 3)."""


NAMES = ("segmenter", *SOURCES)


def load_detector(name: str, device: str) -> Detector:
    """Load a detector.

    Args:
        name: one of NAMES, a ``.safetensors`` file of a segmenter's weights, or the folder or repository of a
            zero-shot detector of transformers.
        device: where it runs.

    Raises:
        EngineError: ``unknown_detector`` or ``detector_not_loaded``.
    """
    if name == "segmenter":
        return Segmenter.load(device)
    if name.endswith(".safetensors"):
        return Segmenter.load(device, Path(name))
    if name in SOURCES or "/" in name or "\\" in name:
        return ZeroShotDetector.load(name, device)
    raise EngineError(
        "unknown_detector",
        f'There is no detector "{name}"; take one of {", ".join(NAMES)}, or the folder of another.',
    )
