# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what generated clips are compared with: statistics of drawn ones, and job folders of silhouettes.

    python scripts/training/draw_reference.py --clips 2048 --device cuda --jobs silhouettes
    python -m peekaboo_engine evaluate --layouts silhouettes --prompts layouts --detector segmenter

The statistics (``peekaboo_engine/assets/shapes_segmenter/drawn.safetensors``) are of the features that
:mod:`peekaboo_engine.benchmark.quality` describes. The jobs are of one subject each, whose masks are what is
seen of it: true silhouettes, as those of meshes are, with perspective, shadows left out. All clips are of a
seed that neither training nor the segmenter saw.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from shapes_training.drawing import draw
from shapes_training.scenes import Scenes, sample_scenes

from peekaboo_engine.benchmark.quality import (
    DRAWN,
    Statistics,
    frechet_distance,
    samples_of,
    write_statistics,
)
from peekaboo_engine.benchmark.segmenter import Segmenter
from peekaboo_engine.benchmark.shapes_world import COLOURS, GROUNDS, SHAPES, subject_phrase
from peekaboo_engine.job import SCHEMA_VERSION

FRAMES = 17
SEED = 271_828
_AT_ONCE = 32
_LIKE_A_TEST = 126  # clips, as many as the layouts of IMC


def drawn_clips(count: int, device: str, subjects: tuple[int, ...] = (1, 2, 3)):
    """Draw clips of so many subjects.

    Yields scenes, their frames, uint8 (B, F, H, W, 3), and what is seen of each subject, (B, S, F, H, W).
    """
    cpu, own = torch.Generator().manual_seed(SEED), torch.Generator(device).manual_seed(SEED)
    for _ in range(0, count, _AT_ONCE):
        scenes = sample_scenes(cpu, _AT_ONCE, FRAMES)
        scenes = _some(scenes, torch.isin(scenes.present.sum(1), torch.tensor(subjects))).to(device)
        clips, visible = draw(scenes, own)
        frames = ((clips + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
        yield scenes, frames, visible.cpu().numpy()


def _some(scenes: Scenes, chosen: torch.Tensor) -> Scenes:
    parts = {name: part[chosen] for name, part in vars(scenes).items() if torch.is_tensor(part)}
    captions = [caption for caption, kept in zip(scenes.captions, chosen.tolist(), strict=True) if kept]
    return Scenes(**parts, captions=captions)


def write_reference(out: Path, clips: int, device: str) -> None:
    """Write the statistics of drawn clips by their number of subjects."""
    segmenter = Segmenter.load(device)
    samples: dict[int, list[np.ndarray]] = defaultdict(list)
    for scenes, frames, _ in drawn_clips(clips, device):
        for count, clip in zip(scenes.present.sum(1).tolist(), frames, strict=True):
            samples[count].append(samples_of(segmenter.features(clip)))
    statistics = {count: Statistics.of(np.concatenate(own)) for count, own in sorted(samples.items())}
    told = {
        "segmenter": str(segmenter.identity()["sha256"]),
        "clips": json.dumps({count: len(samples[count]) for count in statistics}),
        "command": f"python scripts/training/draw_reference.py --clips {clips}",
    }
    write_statistics(out, statistics, told)
    few = Statistics.of(np.concatenate(samples[1][:_LIKE_A_TEST]))
    rest = Statistics.of(np.concatenate(samples[1][_LIKE_A_TEST:]))
    print(f"{told['clips']}; {_LIKE_A_TEST} drawn clips to the others: {frechet_distance(few, rest):.2f}")


def write_jobs(folder: Path, count: int, device: str) -> None:
    """Write jobs of one subject each with its silhouettes as masks."""
    written = 0
    for scenes, _, visible in drawn_clips(4 * count, device, subjects=(1,)):
        for row in range(len(visible)):
            labels = (visible[row, 0] >= 0.5).astype(np.uint8)
            if written < count and labels.any(axis=(1, 2)).all():
                write_job(folder / f"{written:03}", _phrase(scenes, row), _ground(scenes, row), labels)
                written += 1
    print(f"{folder}: {written} jobs")


def write_job(folder: Path, phrase: str, ground: str, labels: np.ndarray) -> None:
    """Write a job that states nothing but what it shows."""
    frames, height, width = labels.shape
    shown = list(range(1, frames + 1))
    job = {
        "schema_version": SCHEMA_VERSION,
        "prompt": f"{phrase} on {ground}",
        "subjects": [{"name": "Subject", "phrase": phrase}],
        "model": "solids",
        "width": width,
        "height": height,
        "num_frames": frames,
        "timing": {
            "frame_start": 1,
            "frame_count": frames,
            "fps": 8,
            "fps_base": 1.0,
            "scene_frames": shown,
        },
        "seed": 0,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(folder / "masks.npz", labels=labels)


def _phrase(scenes: Scenes, row: int) -> str:
    return subject_phrase(list(COLOURS)[scenes.colour[row, 0]], SHAPES[scenes.shape[row, 0]])


def _ground(scenes: Scenes, row: int) -> str:
    return list(GROUNDS)[scenes.ground[row]]


def main(
    out: Annotated[Path, typer.Option(help="Takes the statistics.")] = DRAWN,
    clips: Annotated[int, typer.Option(min=0, help="Drawn for the statistics.")] = 2048,
    jobs: Annotated[Path | None, typer.Option(help="Folder for jobs of silhouettes.")] = None,
    job_count: Annotated[int, typer.Option(min=1, help="How many.")] = 96,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Write statistics and jobs."""
    if jobs:
        write_jobs(jobs, job_count, device)
    if clips:
        write_reference(out, clips, device)


if __name__ == "__main__":
    typer.run(main)
