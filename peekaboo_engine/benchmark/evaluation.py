# SPDX-License-Identifier: GPL-3.0-or-later
"""Generates clips of the `shapes` world along box tracks, with and without masks, and measures them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from diffusers import DiffusionPipeline

from ..control import peekaboo
from .detectors import Box, detect_subject
from .layouts import Layout
from .metrics import TrackScore, score_track, summarise
from .shapes_world import subject_phrase, world_prompt
from .tracks import label_map, resample_track


@dataclass(frozen=True)
class Sampling:
    """How clips are generated, with and without masks alike."""

    width: int = 288
    height: int = 160
    num_frames: int = 16
    num_inference_steps: int = 25
    guidance_scale: float = 6.0
    seed: int = 0


@dataclass(frozen=True)
class Control:
    """A way to steer. No masked steps is the unmodified pipeline; the rest are options of `peekaboo`."""

    masked_steps: int
    blocks: str = "all"
    special_tokens: str = "background"
    gate_second_temporal: bool = False

    @property
    def name(self) -> str:
        """The name of a table's row."""
        return "peekaboo" if self.masked_steps else "none"


@dataclass(frozen=True)
class EvaluatedClip:
    """A generated clip with its prompt, its wanted and found boxes and its measures."""

    layout: str
    prompt: str
    control: Control
    frames: np.ndarray  # uint8 (frames, height, width, 3)
    wanted: np.ndarray  # (frames, 4)
    found: list[Box | None]
    score: TrackScore
    seconds: float


def evaluate(
    pipe: DiffusionPipeline, layouts: list[Layout], controls: list[Control], sampling: Sampling
) -> Iterator[EvaluatedClip]:
    """Yield a clip for each layout and control; all controls of a layout start from the same noise.

    Layout i is paired with prompt i of the `shapes` world; its own caption is not used.
    """
    for index, layout in enumerate(layouts):
        for control in controls:
            yield _evaluate_one(pipe, index, layout, control, sampling)


def _evaluate_one(
    pipe: DiffusionPipeline, index: int, layout: Layout, control: Control, sampling: Sampling
) -> EvaluatedClip:
    colour, shape, ground = world_prompt(index)
    phrase = subject_phrase(colour, shape)
    prompt = f"{phrase} on {ground}"
    wanted = resample_track(layout.tracks[0].boxes, sampling.num_frames)
    started = time.perf_counter()
    with _steered(pipe, wanted, phrase, control, sampling):
        frames = pipe(
            prompt,
            width=sampling.width,
            height=sampling.height,
            num_frames=sampling.num_frames,
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
            generator=torch.Generator().manual_seed(sampling.seed + index),
        ).frames[0]
    seconds = time.perf_counter() - started
    frames = np.round(frames * 255).astype(np.uint8)
    found = [detect_subject(frame, colour, shape) for frame in frames]
    score = score_track(wanted.tolist(), found, sampling.width / sampling.height)
    return EvaluatedClip(layout.id, prompt, control, frames, wanted, found, score, seconds)


def _steered(
    pipe: DiffusionPipeline, boxes: np.ndarray, phrase: str, control: Control, sampling: Sampling
) -> contextlib.AbstractContextManager:
    if not control.masked_steps:
        return contextlib.nullcontext()
    labels = label_map([boxes], sampling.width, sampling.height)
    return peekaboo(pipe, labels, [phrase], **asdict(control))


def table_row(control: Control, clips: list[EvaluatedClip]) -> dict[str, object]:
    """Summary of all clips of one control, ready for JSON."""
    own = [clip for clip in clips if clip.control == control]
    row = {"control": control.name, **asdict(control), "clips": len(own)}
    row |= summarise([clip.score for clip in own])
    return {**row, "seconds_per_clip": sum(clip.seconds for clip in own) / len(own)}
