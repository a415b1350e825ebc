# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shot may disappoint with: subjects too small, cut off, hidden or not seen, and camera cuts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import shown
from ..masks import cameras, missing, projection
from .layout import Layout, Timing

CELL = 8
"""Width and height, in pixels of the clip, of a cell of the grid that a model computes on at its finest."""
FILLED = 0.5
"""How much of a cell a subject has to fill to be sure of it: the engine gives a cell to who fills most."""

PART = 0.5
"""A clip that shows less than this of the camera's picture is hardly what was framed."""

MOSTLY_HIDDEN = 0.25
"""A subject of which less than this is seen is mostly hidden."""

TEXTS = {
    "CAMERA": "The camera cuts at {frames}, but this clip is one take: turn on Shots by Markers",
    "PART": "The clip shows less than half of the camera's picture: Size ▸ Scene's Aspect has all of it",
    "UNSEEN": "is not seen at {frames}: it is out of view, hidden, or behind something",
    "OUTSIDE": "is not seen at {frames}: it is out of view, hidden, behind something, or cut off by the "
    "shape of the clip, for which you can change Framing or Size",
    "HIDDEN": "is mostly hidden behind something at {frames}",
    "CROPPED": "is cut off by the shape of the clip at {frames}, and the camera sees more of it: change "
    "Framing or Size",
    "CUT": "is cut by the edge of the picture at {frames}",
    "MISSING": "is not in the file that it is linked from, and so in no picture: relocate the library "
    "(Outliner ▸ Blender File), or remove it",
    "SMALL": "is too small for the model at {frames}: bring it nearer, or make it larger",
}


@dataclass(frozen=True)
class Finding:
    """Something about a subject, or the shot, that the user may want otherwise.

    Attributes:
        subject: its phrase, or the name of the object where that tells more; empty for the shot's.
        kind: a key of :data:`TEXTS`.
        ranges: first and last scene frame of each stretch for which it holds; none where it always does.
    """

    subject: str
    kind: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        """The finding as a sentence."""
        sentence = TEXTS[self.kind].format(frames=_in_words(self.ranges))
        return shown(f'"{self.subject}" {sentence}.') if self.subject else f"{sentence}."


def find(layout: Layout, smallest: float = 0.0) -> list[Finding]:
    """Look for what may disappoint in a layout: in the shot, and subject by subject.

    Args:
        layout: of a scene.
        smallest: share of the picture below which the model loses subjects.
    """
    shares = _scene_frames(layout.timing, len(layout.labels))
    findings = [Finding("", "CAMERA", tuple((cut, cut) for cut in layout.cuts))] if layout.cuts else []
    phrases = [subject.phrase for subject in layout.subjects]
    for label, subject in enumerate(layout.subjects, start=1):
        own = subject.phrase and phrases.count(subject.phrase) == 1
        title = subject.phrase if own else subject.name
        extents = None if layout.extents is None else layout.extents[label - 1]
        for kind, holds in _kinds(layout.labels == label, smallest, extents, layout.cropped).items():
            if holds.any():
                findings.append(Finding(title, kind, _stretches(holds, shares)))
    return findings


def absent(scene) -> list[Finding]:
    """What a scene links and has not got, as far as its masks do not depend on it."""
    return [Finding(name, "MISSING", ()) for name in missing.unseen(scene)]


def of_shot(scene, layout: Layout, smallest: float = 0.0) -> list[Finding]:
    """All that there is to say of a shot of a scene; see :func:`find`."""
    _, height, width = layout.labels.shape
    part = [Finding("", "PART", ())] if cameras.seen_share(scene.render, width / height) < PART else []
    return [*absent(scene), *part, *find(layout, smallest)]


def _kinds(
    mask: np.ndarray, smallest: float, extents: np.ndarray | None, cropped: frozenset[str]
) -> dict[str, np.ndarray]:
    """Which kind of finding holds in which frame, bool (frames,), for a mask (frames, height, width)."""
    size = np.count_nonzero(mask, axis=(1, 2))
    seen = size > 0
    hidden = seen & (size < MOSTLY_HIDDEN * extents) if extents is not None else np.zeros_like(seen)
    edges = {"top": mask[:, 0], "bottom": mask[:, -1], "left": mask[:, :, 0], "right": mask[:, :, -1]}
    none = np.zeros_like(seen)
    off = np.logical_or.reduce([none, *(edges[side].any(axis=1) for side in edges if side in cropped)])
    cut = np.logical_or.reduce([none, *(edges[side].any(axis=1) for side in edges if side not in cropped)])
    _, height, width = mask.shape
    whole_cells = np.pad(mask, ((0, 0), (0, -height % CELL), (0, -width % CELL))).astype(np.uint8)
    largest = projection.coverage(whole_cells, 1, CELL).max(axis=(1, 2, 3))
    small = seen & ~hidden & ((largest < FILLED) | (size < smallest * height * width))
    unseen = "OUTSIDE" if cropped else "UNSEEN"
    return {unseen: ~seen, "HIDDEN": hidden, "CROPPED": off, "CUT": cut & ~off, "SMALL": small}


def _scene_frames(timing: Timing, count: int) -> list[tuple[int, int]]:
    """First and last of the scene frames for which each of a model's frames is held."""
    starts = [-(-i * timing.frame_count // count) for i in range(count + 1)]  # rounded up
    return [
        (timing.frame_start + min(start, end - 1), timing.frame_start + end - 1)
        for start, end in pairwise(starts)
    ]


def _stretches(holds: np.ndarray, shares: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    stretches: list[tuple[int, int]] = []
    for i in np.flatnonzero(holds):
        first, last = shares[i]
        if stretches and first <= stretches[-1][1] + 1:
            first = stretches.pop()[0]
        stretches.append((first, last))
    return tuple(stretches)


def _in_words(ranges: tuple[tuple[int, int], ...]) -> str:
    """Frames as one says them: ``frame 7``, ``frames 1–6 and 40``."""
    parts = [str(first) if first == last else f"{first}–{last}" for first, last in ranges]
    word = "frame" if len(parts) == 1 and ranges[0][0] == ranges[0][1] else "frames"
    return f"{word} {' and '.join(filter(None, [', '.join(parts[:-1]), *parts[-1:]]))}"
