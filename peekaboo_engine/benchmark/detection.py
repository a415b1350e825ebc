# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors behind one interface: which there are, and loading one by name."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..errors import EngineError
from .detectors import Box, detect_subject
from .segmenter import Segmenter
from .shapes_world import read_phrase
from .zero_shot import SOURCES, ZeroShotDetector


class Detector(Protocol):
    """Finds a subject, named by words, in the frames of a clip."""

    def identity(self) -> dict[str, object]:
        """What tells it from others and from other versions of itself, as plain data."""

    def check(self, phrase: str) -> None:
        """Raise EngineError if it cannot look for such a subject."""

    def find(self, frames: np.ndarray, phrase: str) -> list[Box | None]:
        """Box x1, y1, x2, y2 relative to the frame, or None, for each of the frames uint8 (F, H, W, 3)."""


class ColourRules:
    """The rules of :mod:`.detectors`: a second opinion on clips of the `shapes` world that learnt nothing."""

    def identity(self) -> dict[str, object]:
        """See :class:`Detector`."""
        return {"name": "colour"}

    def check(self, phrase: str) -> None:
        """Raise EngineError ``unknown_subject`` for a phrase that does not name a colour and a shape."""
        read_phrase(phrase)

    def find(self, frames: np.ndarray, phrase: str) -> list[Box | None]:
        """See :class:`Detector`."""
        colour, shape = read_phrase(phrase)
        return [detect_subject(frame, colour, shape) for frame in frames]


NAMES = ("segmenter", "colour", *SOURCES)


def load_detector(name: str, device: str) -> Detector:
    """Load a detector: one of NAMES, or the folder or repository of a zero-shot detector of transformers.

    Raises:
        EngineError: ``unknown_detector`` or ``detector_not_loaded``.
    """
    if name == "segmenter":
        return Segmenter.load(device)
    if name == "colour":
        return ColourRules()
    if name in SOURCES or "/" in name or "\\" in name:
        return ZeroShotDetector.load(name, device)
    raise EngineError(
        "unknown_detector",
        f'There is no detector "{name}"; take one of {", ".join(NAMES)}, or the folder of another.',
    )
