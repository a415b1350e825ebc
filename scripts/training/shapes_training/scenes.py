# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a drawn clip: which subjects, where they are seen in each frame, on which ground, and how
the camera moves.

Everything is sampled in whole batches on the CPU from one `torch.Generator`, so that a seed gives the same
clips on every machine. Subjects are planned by the boxes in which they are to be seen, in pixels of the
frame, x to the right and y down, with (0, 0) the top left corner; `staging` puts solids there.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import torch

from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES
from shapes_training.captions import Caption, draw_caption, name_subject

WIDTH, HEIGHT, NUM_FRAMES = 288, 160, 16
MAX_SUBJECTS = 3

_SUBJECT_COUNT = torch.tensor([0.04, 0.54, 0.28, 0.14])  # clips with 0, 1, 2, 3 subjects
#: Boxes, as shares of the frame, by the number of subjects.
_SMALLEST, _LARGEST = torch.tensor([0.02, 0.02, 0.02, 0.015]), torch.tensor([0.4, 0.4, 0.2, 0.11])
_ASPECT_RANGE = (0.7, 2.1)  # width over height, in pixels
_MIN_SIDE = 18.0
_CROSSING = 0.5  # of the clips with several subjects
_TRAVELLING = 0.5
_PITCH_RANGE = (0.56, 0.80)  # radians: at the least, the horizon is just above the frame
_TURN_RANGE = (0.25, 0.75)  # radians: of two turns with the same outline, so small a network draws a blend
_SPIN = 0.25  # radians that half of the subjects turn on by until the last frame, and came from at the first


@dataclass
class Scenes:
    """A batch of B scenes; S is MAX_SUBJECTS and F the number of frames."""

    present: torch.Tensor  # bool (B, S)
    shape: torch.Tensor  # int64 (B, S), index into SHAPES
    colour: torch.Tensor  # int64 (B, S), index into COLOURS
    ground: torch.Tensor  # int64 (B,), index into GROUNDS
    boxes: torch.Tensor  # float32 (B, S, F, 4): centre x, centre y, width, height, as planned
    lift: torch.Tensor  # float32 (B, S, F): height above the ground in the subject's own heights
    yaw: torch.Tensor  # float32 (B, S, F): turn around the vertical axis, radians
    standing: torch.Tensor  # bool (B, S): rings that stand upright, facing the camera
    pitch: torch.Tensor  # float32 (B,): of the camera below the horizon, radians
    travel: torch.Tensor  # float32 (B, F, 2): of the camera over the ground, in its heights: right, ahead
    sun: torch.Tensor  # float32 (B, 3): unit vector to the light: right, up, ahead
    captions: list[Caption]

    def to(self, device: torch.device | str) -> Scenes:
        """Return the same scenes with all tensors on `device`."""
        moved = {k: to_device(v, device) for k, v in vars(self).items() if torch.is_tensor(v)}
        return Scenes(**moved, captions=self.captions)

    def at_frames(self, frames: torch.Tensor) -> Scenes:
        """Return the same scenes at some of their frames only; `frames` is int64 (count,)."""
        return replace(
            self,
            boxes=self.boxes[:, :, frames],
            lift=self.lift[:, :, frames],
            yaw=self.yaw[:, :, frames],
            travel=self.travel[:, frames],
        )

    def __getitem__(self, clips: slice) -> Scenes:
        """Return some of the scenes."""
        chosen = {k: v[clips] for k, v in vars(self).items()}
        return Scenes(**chosen)


def to_device(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copy a CPU tensor without making the host wait for the device's queue."""
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" and not tensor.is_cuda else tensor
    return pinned.to(device, non_blocking=True)


class _Sampler:
    """Random choices for a batch of scenes; each is a tensor (batch, subjects, ...)."""

    def __init__(self, generator: torch.Generator, batch: int, frames: int):
        self._generator, self.batch, self.frames = generator, batch, frames

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Numbers for each scene, or for whatever else `shape` says."""
        return low + (high - low) * torch.rand(self.batch, *shape, generator=self._generator)

    def pick(self, weights: tuple[float, ...] | torch.Tensor, *shape: int) -> torch.Tensor:
        """Indices into weights."""
        count = self.batch * math.prod(shape)
        chosen = torch.multinomial(torch.as_tensor(weights), count, True, generator=self._generator)
        return chosen.view(self.batch, *shape)

    def some(self, share: float, *shape: int) -> torch.Tensor:
        """1 for a share of them, 0 for the others."""
        return (self.uniform(*shape) < share).float()


def _sizes(sampler: _Sampler, count: torch.Tensor) -> torch.Tensor:
    """Width and height along time, (B, S, F, 2): half of the subjects keep theirs, others grow or shrink."""
    low, high = (bound[count].log()[:, None] for bound in (_SMALLEST, _LARGEST))
    area = torch.exp(low + sampler.uniform(MAX_SUBJECTS) * (high - low))
    narrow, wide = (math.log(bound) for bound in _ASPECT_RANGE)
    aspect = torch.exp(sampler.uniform(MAX_SUBJECTS, low=narrow, high=wide))
    growth = torch.exp(sampler.some(0.5, MAX_SUBJECTS) * sampler.uniform(MAX_SUBJECTS, low=-0.8, high=0.8))
    time = torch.linspace(-0.5, 0.5, sampler.frames)
    side = (area * WIDTH * HEIGHT).sqrt()[..., None] * growth[..., None] ** time
    width = (side * aspect[..., None].sqrt()).clamp(_MIN_SIDE, 0.8 * WIDTH)
    height = (side / aspect[..., None].sqrt()).clamp(_MIN_SIDE, 0.92 * HEIGHT)
    return torch.stack([width, height], -1)


def _progress(sampler: _Sampler) -> torch.Tensor:
    """How far along its path a subject is, (B, S, F) in 0..1: still, steady, speeding up, slowing down."""
    time = torch.linspace(0, 1, sampler.frames)
    profiles = torch.stack([torch.zeros_like(time), time, time**2, 1 - (1 - time) ** 2])
    return profiles[sampler.pick((0.28, 0.48, 0.12, 0.12), MAX_SUBJECTS)]


def _centres(
    sampler: _Sampler, sizes: torch.Tensor, count: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres along time, (B, S, F, 2), and how high above its path a subject is then, pixels (B, S, F)."""
    frame = torch.tensor([WIDTH, HEIGHT])
    # One subject in seven may leave the frame by up to half; the others stay in view whole.
    inside = 1 - sampler.some(0.15, MAX_SUBJECTS, 1)
    low = 0.5 * sizes.amax(2) * inside
    start, end = (low + sampler.uniform(MAX_SUBJECTS, 2) * (frame - 2 * low) for _ in range(2))
    near, far = torch.minimum(start, end), torch.maximum(start, end)
    crossing = ((count > 1) & (sampler.uniform() < _CROSSING))[:, None]
    leftward = (sampler.uniform() < 0.5)[:, None] ^ (torch.arange(MAX_SUBJECTS) % 2 == 0)
    start_x = torch.where(leftward, far[..., 0], near[..., 0])
    end_x = torch.where(leftward, near[..., 0], far[..., 0])
    start[..., 0] = torch.where(crossing, start_x, start[..., 0])
    end[..., 0] = torch.where(crossing, end_x, end[..., 0])
    progress = _progress(sampler)
    moving = torch.linspace(0, 1, sampler.frames).expand_as(progress)
    progress = torch.where(crossing[..., None], moving, progress)[..., None]
    centres = start[:, :, None] + (end - start)[:, :, None] * progress

    time = torch.linspace(0, 1, sampler.frames)
    bend = sampler.some(0.25, MAX_SUBJECTS, 1, 1) * sampler.uniform(MAX_SUBJECTS, 1, 2, low=-55, high=55)
    centres += bend * torch.sin(torch.pi * time)[:, None]
    edge = 0.5 * sizes * inside[:, :, None]
    centres = torch.maximum(torch.minimum(centres, frame - edge), edge)
    bounces = sampler.pick((0.5, 0.5), MAX_SUBJECTS)[..., None] + 1.0
    height = sampler.some(0.17, MAX_SUBJECTS, 1) * sampler.uniform(MAX_SUBJECTS, 1, low=20, high=70)
    rise = height * torch.sin(bounces * torch.pi * time).abs()
    rise = rise + sampler.some(0.08, MAX_SUBJECTS, 1) * sampler.uniform(MAX_SUBJECTS, 1, low=6, high=30)
    rise = torch.minimum(rise, (centres - edge)[..., 1].clamp(min=0))
    centres[..., 1] -= rise
    return centres, rise


def _sun(sampler: _Sampler) -> torch.Tensor:
    """The light: from the left or the right, well above, often a little from behind the camera."""
    azimuth = sampler.uniform(low=-1.1, high=1.1) + math.pi * (sampler.some(0.5))
    height = sampler.uniform(low=0.75, high=1.1)
    flat = height.cos()
    return torch.stack([azimuth.cos() * flat, height.sin(), azimuth.sin() * flat - 0.25], -1)


def sample_scenes(generator: torch.Generator, batch: int, frames: int = NUM_FRAMES) -> Scenes:
    """Sample `batch` scenes of so many frames and word their captions."""
    sampler = _Sampler(generator, batch, frames)
    count = sampler.pick(_SUBJECT_COUNT)
    shape = sampler.pick((1.0,) * len(SHAPES), MAX_SUBJECTS)
    colour = sampler.uniform(len(COLOURS)).argsort(1)[:, :MAX_SUBJECTS]  # no two alike
    sizes = _sizes(sampler, count)
    centres, rise = _centres(sampler, sizes, count)
    turn = sampler.uniform(MAX_SUBJECTS, 1, low=_TURN_RANGE[0], high=_TURN_RANGE[1])
    spin = sampler.some(0.5, MAX_SUBJECTS, 1) * sampler.uniform(MAX_SUBJECTS, 1, low=-_SPIN, high=_SPIN)
    time = torch.linspace(-1, 1, sampler.frames)
    reach = sampler.some(_TRAVELLING, 1, 1) * sampler.uniform(1, 2, low=-1, high=1) * torch.tensor([0.3, 0.2])
    sun = _sun(sampler)
    ground = sampler.pick((1.0,) * len(GROUNDS))
    rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
    areas = sizes.prod(-1).mean(-1) / (WIDTH * HEIGHT)
    captions = []
    for row in range(batch):
        subjects = [
            name_subject(
                rng,
                list(COLOURS)[colour[row, slot]],
                SHAPES[shape[row, slot]],
                float(areas[row, slot]),
            )
            for slot in range(int(count[row]))
        ]
        rng.shuffle(subjects)
        captions.append(draw_caption(rng, subjects, list(GROUNDS)[ground[row]]))
    return Scenes(
        present=torch.arange(MAX_SUBJECTS) < count[:, None],
        shape=shape,
        colour=colour,
        ground=ground,
        boxes=torch.cat([centres, sizes], -1),
        lift=rise / sizes[..., 1],
        yaw=turn + spin * time,
        standing=sampler.uniform(MAX_SUBJECTS) < 0.5,
        pitch=sampler.uniform(low=_PITCH_RANGE[0], high=_PITCH_RANGE[1]),
        travel=(reach * time[:, None]),
        sun=sun / sun.norm(dim=-1, keepdim=True),
        captions=captions,
    )
