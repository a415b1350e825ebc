# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what generated clips are compared with: statistics of drawn ones, and job folders of silhouettes.

    python scripts/training/draw_reference.py --clips 2048 --device cuda --jobs silhouettes
    python -m peekaboo_engine evaluate --layouts silhouettes --prompts layouts --detector segmenter

The statistics (``peekaboo_engine/assets/shapes_segmenter/drawn.safetensors``) are of the features that
:mod:`peekaboo_engine.benchmark.quality` describes. The jobs are of one subject each, whose masks are what is
seen of it: true silhouettes, as those of meshes are, with perspective, shadows left out. All clips are of a
seed that neither training nor the segmenter saw; by the silhouettes of the usual one settings were chosen, so
that others are held out:

    python scripts/training/draw_reference.py --clips 0 --device cuda --seed 314159 --jobs held_out \
        --job-count 192 --subjects 1
"""

from __future__ import annotations

import itertools
import json
import math
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


def drawn_clips(device: str, subjects: tuple[int, ...] = (1, 2, 3), seed: int = SEED):
    """Draw clips of so many subjects, batch after batch without end.

    Yields scenes, their frames, uint8 (B, F, H, W, 3), and what is seen of each subject, (B, S, F, H, W).
    """
    cpu, own = torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed)
    while True:
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
    for scenes, frames, _ in itertools.islice(drawn_clips(device), math.ceil(clips / _AT_ONCE)):
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


def write_jobs(folder: Path, count: int, device: str, subjects: int, seed: int) -> None:
    """Write jobs of so many subjects each, all of them in every frame, with their silhouettes as masks."""
    written = 0
    for scenes, _, visible in drawn_clips(device, (subjects,), seed):
        for row, present in enumerate(scenes.present.tolist()):
            slots = [slot for slot, there in enumerate(present) if there]
            labels = _labels(visible[row, slots])
            phrases = [_phrase(scenes, row, slot) for slot in slots]
            if all((labels == 1 + index).any(axis=(1, 2)).all() for index in range(subjects)):
                write_job(folder / f"{written:03}", phrases, _ground(scenes, row), labels)
                written += 1
            if written == count:
                print(f"{folder}: {written} jobs")
                return


def _labels(visible: np.ndarray) -> np.ndarray:
    """Of each pixel who covers half of it, 0 for nobody: (S, F, H, W) to uint8 (F, H, W)."""
    return np.where(visible.max(axis=0) >= 0.5, 1 + visible.argmax(axis=0), 0).astype(np.uint8)


def write_job(folder: Path, phrases: list[str], ground: str, labels: np.ndarray) -> None:
    """Write a job that states nothing but what it shows."""
    frames, height, width = labels.shape
    shown = list(range(1, frames + 1))
    job = {
        "schema_version": SCHEMA_VERSION,
        "prompt": f"{' and '.join(phrases)} on {ground}",
        "subjects": [
            {"name": f"Subject {number}" if len(phrases) > 1 else "Subject", "phrase": phrase}
            for number, phrase in enumerate(phrases, start=1)
        ],
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


def _phrase(scenes: Scenes, row: int, slot: int) -> str:
    return subject_phrase(list(COLOURS)[scenes.colour[row, slot]], SHAPES[scenes.shape[row, slot]])


def _ground(scenes: Scenes, row: int) -> str:
    return list(GROUNDS)[scenes.ground[row]]


def main(
    out: Annotated[Path, typer.Option(help="Takes the statistics.")] = DRAWN,
    clips: Annotated[int, typer.Option(min=0, help="Drawn for the statistics.")] = 2048,
    jobs: Annotated[Path | None, typer.Option(help="Folder for jobs of silhouettes.")] = None,
    job_count: Annotated[int, typer.Option(min=1, help="How many.")] = 96,
    subjects: Annotated[int, typer.Option(min=1, max=3, help="Of each job.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the jobs.")] = SEED,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Write statistics and jobs."""
    if jobs:
        write_jobs(jobs, job_count, device, subjects, seed)
    if clips:
        write_reference(out, clips, device)


if __name__ == "__main__":
    typer.run(main)
