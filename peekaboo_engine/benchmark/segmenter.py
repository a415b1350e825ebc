# SPDX-License-Identifier: GPL-3.0-or-later
"""A small network that marks what each pixel shows of the `shapes` world, and finds subjects with it.

It is trained on the drawing program's own ground truth (scripts/training/train_segmenter.py), so that a
measure does not rest on a colour threshold. Its weights, with the names of its classes and its held-out
accuracy, are in ``assets/shapes_segmenter/model.safetensors``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from scipy import ndimage
from torch import nn

from ..errors import EngineError, one_line
from .metrics import Box
from .shapes_world import COLOURS, SHAPES, read_phrase

WEIGHTS = Path(__file__).parent.parent / "assets" / "shapes_segmenter" / "model.safetensors"

_MIN_AREA = 0.002  # of the frame: smaller blobs are specks
_MAX_BLOBS = 4  # of one colour, that are looked at
_FRAMES_AT_ONCE = 16
_GROUPS = 8


class SegmentationNetwork(nn.Module):
    """A U-Net of six levels that says of each pixel which shape it shows, with "none" as class 0, and which
    colour.

    Maps frames (N, 3, H, W) in 0..1 of any size to logits (N, 1 + shapes, H, W) and (N, colours, H, W). Every
    level votes, and finer ones correct coarser ones: what a thing is shows where its cells are as large as
    itself, and where it ends at the finest. Without votes of their own the coarse levels learn next to
    nothing.
    """

    def __init__(self, shapes: int, colours: int):
        super().__init__()
        self._shapes = 1 + shapes
        widths = (16, 24, 48, 72, 96, 128)
        self.down = nn.ModuleList(
            _Block(before, after, stride=1 if before == 3 else 2)
            for before, after in itertools.pairwise((3, *widths))
        )
        self.up = nn.ModuleList(_Block(coarse + fine, fine) for fine, coarse in itertools.pairwise(widths))
        self.votes = nn.ModuleList(nn.Conv2d(width, self._shapes + colours, 1) for width in widths)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of shapes and of colours."""
        levels = self.encode(frames)
        features = levels.pop()
        logits = self.votes[-1](features)
        for block, vote in zip(reversed(self.up), reversed(self.votes[:-1]), strict=True):
            finer = levels.pop()
            features = block(torch.cat([_raised(features, finer), finer], 1))
            logits = _raised(logits, finer) + vote(features)
        return logits[:, : self._shapes], logits[:, self._shapes :]

    def encode(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Features of each level from the frames themselves to the coarsest: (N, channels, h, w)."""
        levels = [2 * frames - 1]
        for block in self.down:
            levels.append(block(levels[-1]))
        return levels


def _raised(features: torch.Tensor, finer: torch.Tensor) -> torch.Tensor:
    """Features at the size of a finer level's."""
    return F.interpolate(features, size=finer.shape[-2:], mode="bilinear", align_corners=False)


class _Block(nn.Sequential):
    """Two convolutions 3 x 3, the first of them with a stride, each with its norm and activation."""

    def __init__(self, before: int, after: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.GroupNorm(_GROUPS, after),
            nn.SiLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.GroupNorm(_GROUPS, after),
            nn.SiLU(),
        )


class Segmenter:
    """Finds subjects such as "a red ball" in frames of the `shapes` world.

    Args:
        network: trained.
        device: where it runs.
        digest: tells its weights from others.
    """

    def __init__(self, network: SegmentationNetwork, device: str = "cpu", digest: str = ""):
        self._network, self._device, self._digest = network.to(device).eval(), device, digest

    @classmethod
    def load(cls, device: str = "cpu", path: Path = WEIGHTS) -> Segmenter:
        """Read weights.

        Raises:
            EngineError: ``detector_not_loaded`` for a file that is not there, damaged, of another kind, or
                trained for another world.
        """
        network = SegmentationNetwork(len(SHAPES), len(COLOURS))
        try:
            with safe_open(path, framework="pt") as file:
                classes = json.loads(file.metadata()["classes"])
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            if (classes["shapes"], classes["colours"]) != (list(SHAPES), list(COLOURS)):
                raise EngineError(
                    "detector_not_loaded",
                    f"The segmenter {path.name} knows other shapes or colours than this version draws; run "
                    "scripts/training/train_segmenter.py.",
                )
            network.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise EngineError(
                "detector_not_loaded",
                f"The segmenter {path} could not be read ({one_line(error)}); make it with "
                "scripts/training/train_segmenter.py.",
            ) from error
        return cls(network, device, hashlib.sha256(path.read_bytes()).hexdigest()[:16])

    def identity(self) -> dict[str, object]:
        """See :class:`.detection.Detector`."""
        return {"name": "segmenter", "sha256": self._digest}

    def check(self, phrase: str) -> None:
        """Raise EngineError ``unknown_subject`` for a phrase that does not name a colour and a shape."""
        read_phrase(phrase)

    def find(self, frames: np.ndarray, phrase: str) -> list[Box | None]:
        """Find a subject in each of the frames.

        The largest blob of the subject's colour whose pixels mostly belong to the subject's shape.

        Args:
            frames: uint8 (frames, height, width, 3), sRGB.
            phrase: words with a colour and a shape among them.

        Returns:
            For each frame a box x1, y1, x2, y2 relative to the frame, or None.

        Raises:
            EngineError: as :meth:`check`.
        """
        return [None if blob is None else _box_of(blob) for blob in self.find_blobs(frames, phrase)]

    def find_blobs(self, frames: np.ndarray, phrase: str) -> list[np.ndarray | None]:
        """The pixels that :meth:`find` puts its boxes around: for each frame bool (height, width), or None.

        Raises:
            EngineError: as :meth:`check`.
        """
        colour, shape = read_phrase(phrase)
        wanted = list(COLOURS).index(colour), SHAPES.index(shape)
        return [
            _find_blob(shapes, colours, *wanted)
            for start in range(0, len(frames), _FRAMES_AT_ONCE)
            for shapes, colours in zip(*self.segment(frames[start : start + _FRAMES_AT_ONCE]), strict=True)
        ]

    @torch.no_grad()
    def segment(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shape (0 for none, k for the k-th) and colour (from 0) of each pixel, both int (frames, H, W)."""
        shapes, colours = (logits.argmax(1).cpu().numpy() for logits in self._network(self._pixels(frames)))
        return shapes, colours

    @torch.no_grad()
    def features(self, frames: np.ndarray) -> np.ndarray:
        """What the coarsest level knows of each frame, a mean over its cells: float32 (frames, 128)."""
        return self._network.encode(self._pixels(frames))[-1].mean((2, 3)).cpu().numpy()

    def _pixels(self, frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).permute(0, 3, 1, 2) / 255


def _find_blob(shapes: np.ndarray, colours: np.ndarray, colour: int, shape: int) -> np.ndarray | None:
    parts, count = ndimage.label((shapes > 0) & (colours == colour))  # 4-connected
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    for part in np.argsort(-sizes, kind="stable")[:_MAX_BLOBS]:
        if sizes[part] < _MIN_AREA * parts.size:
            return None
        blob = parts == part + 1
        if np.bincount(shapes[blob]).argmax() == shape + 1:
            return blob
    return None


def _box_of(blob: np.ndarray) -> Box:
    height, width = blob.shape
    rows, columns = (np.flatnonzero(blob.any(axis)).tolist() for axis in (1, 0))
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
