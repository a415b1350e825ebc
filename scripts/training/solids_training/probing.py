# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the model draw what its prompt says? Measured during training, beside the loss."""

from __future__ import annotations

import itertools
import random

import numpy as np
import torch
from diffusers import WanPipeline
from shapes_training.scenes import HEIGHT, WIDTH

from peekaboo_engine.benchmark.segmenter import Segmenter
from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, subject_phrase
from solids_training.networks import NUM_FRAMES


def probe(
    pipe: WanPipeline, segmenter: Segmenter, clips: int, seed: int, steps: int, guidance: float
) -> tuple[float, np.ndarray]:
    """Generate clips of one subject each from random prompts.

    Returns the fraction of frames in which the segmenter finds the subject by colour and shape, and the
    clips, float32 (clips, NUM_FRAMES, HEIGHT, WIDTH, 3) in 0..1.
    """
    worlds = list(itertools.product(COLOURS, SHAPES, GROUNDS))
    chosen = random.Random(seed).sample(worlds, clips)
    prompts = [f"{subject_phrase(colour, shape)} on {ground}" for colour, shape, ground in chosen]
    with torch.autocast(pipe.device.type, torch.bfloat16):
        frames = pipe(
            prompts,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(seed),
            height=HEIGHT,
            width=WIDTH,
            num_frames=NUM_FRAMES,
        ).frames
    found = [
        box is not None
        for clip, (colour, shape, _) in zip(frames, chosen, strict=True)
        for box in segmenter.find((clip * 255).round().astype(np.uint8), subject_phrase(colour, shape))
    ]
    return float(np.mean(found)), frames
