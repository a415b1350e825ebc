# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a drawn clip: which subjects, where they are in each frame, on which ground, and how the
camera pans.

Everything is sampled in whole batches on the CPU from one `torch.Generator`, so that a seed gives the same
clips on every machine. Lengths are in pixels of the frame, x to the right and y down, with (0, 0) the top
left corner.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import torch

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, subject_phrase
from shapes_training.captions import Caption, draw_caption

WIDTH, HEIGHT, NUM_FRAMES = 288, 160, 16
MAX_SUBJECTS = 2
#: The ground is drawn this much larger on each side; a pan moves the frame over it by at most twice that.
PAN_MARGIN = 24

_SUBJECT_COUNT = torch.tensor([0.05, 0.60, 0.35])  # clips with 0, 1, 2 subjects
_AREA_RANGE = {1: (0.02, 0.30), 2: (0.02, 0.16)}  # of the frame, by number of subjects
_ASPECT_RANGE = (0.7, 2.1)  # width over height, in pixels
_PANNING = 0.35
_CROSSING = 0.5  # of the clips with two subjects


def to_device(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copy a CPU tensor without making the host wait for the device's queue."""
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)


@dataclass
class Scenes:
    """A batch of B scenes. Subject 1 is nearer to the camera than subject 0 and is drawn over it."""

    present: torch.Tensor  # bool (B, MAX_SUBJECTS)
    shape: torch.Tensor  # int64 (B, MAX_SUBJECTS), index into SHAPES
    colour: torch.Tensor  # int64 (B, MAX_SUBJECTS), index into COLOURS
    ground: torch.Tensor  # int64 (B,), index into GROUNDS
    boxes: torch.Tensor  # float32 (B, MAX_SUBJECTS, NUM_FRAMES, 4): centre x, centre y, width, height
    pan: torch.Tensor  # float32 (B, NUM_FRAMES, 2): offset of the frame on the ground, within ±PAN_MARGIN
    captions: list[Caption]

    def to(self, device: torch.device | str) -> Scenes:
        """Return the same scenes with all tensors on `device`."""
        moved = {k: to_device(v, device) for k, v in vars(self).items() if torch.is_tensor(v)}
        return Scenes(**moved, captions=self.captions)

    def at_frames(self, frames: torch.Tensor) -> Scenes:
        """Return the same scenes at some of their frames only; `frames` is int64 (count,)."""
        return replace(self, boxes=self.boxes[:, :, frames], pan=self.pan[:, frames])


def _uniform(generator: torch.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _pick(generator: torch.Generator, weights: tuple[float, ...] | torch.Tensor, *shape: int) -> torch.Tensor:
    weights = torch.as_tensor(weights)
    count = int(torch.tensor(shape).prod())
    return torch.multinomial(weights, count, replacement=True, generator=generator).view(*shape)


def _sizes(generator: torch.Generator, count: torch.Tensor) -> torch.Tensor:
    """Width and height along time, (B, S, F, 2): half of the subjects keep theirs, others grow or shrink."""
    batch = len(count)
    low, high = (
        torch.where(count == 2, two, one) for one, two in zip(_AREA_RANGE[1], _AREA_RANGE[2], strict=True)
    )
    area = torch.exp(
        _uniform(generator, batch, MAX_SUBJECTS) * (high / low).log()[:, None] + low.log()[:, None]
    )
    log_aspect = [math.log(bound) for bound in _ASPECT_RANGE]
    aspect = torch.exp(_uniform(generator, batch, MAX_SUBJECTS, low=log_aspect[0], high=log_aspect[1]))
    growth = torch.exp(_uniform(generator, batch, MAX_SUBJECTS, low=-0.8, high=0.8))
    growth = torch.where(_uniform(generator, batch, MAX_SUBJECTS) < 0.5, 1.0, growth)
    time = torch.linspace(-0.5, 0.5, NUM_FRAMES)
    side = (area * WIDTH * HEIGHT).sqrt()[..., None] * growth[..., None] ** time
    width = (side * aspect[..., None].sqrt()).clamp(18, 0.75 * WIDTH)
    height = (side / aspect[..., None].sqrt()).clamp(18, 0.92 * HEIGHT)
    return torch.stack([width, height], -1)


def _progress(generator: torch.Generator, batch: int) -> torch.Tensor:
    """How far along its path a subject is, (B, S, F) in 0..1: still, steady, speeding up, slowing down."""
    time = torch.linspace(0, 1, NUM_FRAMES)
    profiles = torch.stack([torch.zeros_like(time), time, time**2, 1 - (1 - time) ** 2])
    return profiles[_pick(generator, (0.28, 0.48, 0.12, 0.12), batch, MAX_SUBJECTS)]


def _centres(generator: torch.Generator, sizes: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Centres along time, (B, S, F, 2): from one random place to another, some bouncing, some on a curve."""
    batch = len(sizes)
    frame = torch.tensor([WIDTH, HEIGHT])
    # One subject in seven may leave the frame by up to half; the others stay in view whole.
    inside = torch.where(_uniform(generator, batch, MAX_SUBJECTS, 1) < 0.15, 0.0, 1.0)
    low = 0.5 * sizes.amax(2) * inside
    start, end = (low + _uniform(generator, batch, MAX_SUBJECTS, 2) * (frame - 2 * low) for _ in range(2))
    near, far = torch.minimum(start, end), torch.maximum(start, end)
    crossing = (count == 2) & (_uniform(generator, batch) < _CROSSING)
    leftward = (_uniform(generator, batch) < 0.5)[:, None] ^ torch.tensor([True, False])
    start_x = torch.where(leftward, far[..., 0], near[..., 0])
    end_x = torch.where(leftward, near[..., 0], far[..., 0])
    start[..., 0] = torch.where(crossing[:, None], start_x, start[..., 0])
    end[..., 0] = torch.where(crossing[:, None], end_x, end[..., 0])
    progress = _progress(generator, batch)
    moving = torch.linspace(0, 1, NUM_FRAMES).expand_as(progress)
    progress = torch.where(crossing[:, None, None], moving, progress)[..., None]
    centres = start[:, :, None] + (end - start)[:, :, None] * progress

    time = torch.linspace(0, 1, NUM_FRAMES)
    bounces = _pick(generator, (0.5, 0.5), batch, MAX_SUBJECTS)[..., None] + 1.0
    height = torch.where(_uniform(generator, batch, MAX_SUBJECTS) < 0.15, 1.0, 0.0)[..., None]
    height = height * _uniform(generator, batch, MAX_SUBJECTS, 1, low=20, high=80)
    centres[..., 1] -= height * torch.sin(bounces * torch.pi * time).abs()
    bend = torch.where(_uniform(generator, batch, MAX_SUBJECTS, 1, 1) < 0.2, 1.0, 0.0)
    bend = bend * _uniform(generator, batch, MAX_SUBJECTS, 1, 2, low=-50, high=50)
    centres += bend * torch.sin(torch.pi * time)[:, None]
    edge = 0.5 * sizes * inside[:, :, None]
    return torch.maximum(torch.minimum(centres, frame - edge), edge)


def _pan(generator: torch.Generator, batch: int) -> torch.Tensor:
    reach = PAN_MARGIN * (_uniform(generator, batch, 1, 1) < _PANNING)
    end = _uniform(generator, batch, 1, 2, low=-1, high=1) * reach
    return end * torch.linspace(-1, 1, NUM_FRAMES)[:, None]


def sample_scenes(generator: torch.Generator, batch: int) -> Scenes:
    """Sample `batch` scenes and word their captions."""
    count = _pick(generator, _SUBJECT_COUNT, batch)
    shape, colour = (_pick(generator, (1.0,) * n, batch, MAX_SUBJECTS) for n in (len(SHAPES), len(COLOURS)))
    # Two subjects of one colour share half of their words: give the second the next colour.
    same = colour[:, 0] == colour[:, 1]
    colour[:, 1] = torch.where(same, (colour[:, 1] + 1) % len(COLOURS), colour[:, 1])
    sizes = _sizes(generator, count)
    # A lone subject takes slot 0.
    present = torch.arange(MAX_SUBJECTS) < count[:, None]
    ground = _pick(generator, (1.0,) * len(GROUNDS), batch)
    rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
    colours, shapes, grounds = list(COLOURS), SHAPES, list(GROUNDS)
    captions = []
    for row in range(batch):
        subjects = [
            subject_phrase(colours[colour[row, slot]], shapes[shape[row, slot]])
            for slot in range(int(count[row]))
        ]
        rng.shuffle(subjects)
        captions.append(draw_caption(rng, subjects, grounds[ground[row]]))
    boxes = torch.cat([_centres(generator, sizes, count), sizes], -1)
    return Scenes(present, shape, colour, ground, boxes, _pan(generator, batch), captions)
