# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that wants the network is a mistake

import tiny_clip  # noqa: E402 - it imports the hub
import torch  # noqa: E402
import train_segmenter  # noqa: E402
from tiny import unet3d as tiny_models  # noqa: E402

from peekaboo_engine.benchmark.segmenter import SegmentationNetwork  # noqa: E402
from peekaboo_engine.benchmark.shapes_world import COLOURS, SHAPES  # noqa: E402


@pytest.fixture(scope="session")
def pipe():
    return tiny_models.pipeline()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, pipe) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def segmenter_file(tmp_path_factory) -> Path:
    """Weights of a segmenter that has learnt nothing, written as the trainer writes them."""
    path = tmp_path_factory.mktemp("segmenter") / "model.safetensors"
    torch.manual_seed(0)
    train_segmenter.save(SegmentationNetwork(len(SHAPES), len(COLOURS)), {"clean": 0.0}, path)
    return path


@pytest.fixture
def two_boxes() -> np.ndarray:
    """Subject 1 moves to the right, subject 2 stands still: uint8 (frames, height, width)."""
    labels = np.zeros((tiny_models.FRAMES, tiny_models.HEIGHT, tiny_models.WIDTH), np.uint8)
    labels[:, 40:60, 60:90] = 2
    for frame in range(tiny_models.FRAMES):
        labels[frame, 8:32, 8 * frame : 8 * frame + 32] = 1
    return labels


@pytest.fixture
def make_job(tmp_path, model_folder, two_boxes):
    """Write a valid job folder, changed as a test wants it; returns the folder."""

    def make(labels=two_boxes, **changes) -> Path:
        folder = tmp_path / "shot" / "job"
        folder.mkdir(parents=True)
        job = {
            "schema_version": 1,
            "prompt": tiny_models.PROMPT,
            "negative_prompt": "",
            "subjects": [
                {"name": "Ball", "phrase": "a red ball"},
                {"name": "Cube", "phrase": "a blue cube"},
            ],
            "model": str(model_folder),
            "width": tiny_models.WIDTH,
            "height": tiny_models.HEIGHT,
            "num_frames": tiny_models.FRAMES,
            "timing": {
                "frame_start": 1,
                "frame_count": 12,
                "fps": 24,
                "fps_base": 1.0,
                "scene_frames": [1.7, 4.1, 6.5, 8.9, 11.3],
            },
            "seed": 7,
            "num_inference_steps": 3,
            "guidance_scale": 5.0,
            "control": {
                "masked_steps": 2,
                "blocks": "all",
                "special_tokens": "background",
                "gate_second_temporal": False,
            },
        }
        job.update(changes)
        (folder / "job.json").write_text(json.dumps(job))
        np.savez_compressed(folder / "masks.npz", labels=labels)
        return folder

    return make


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A tiny random CLIP."""
    return tiny_clip.save(tmp_path_factory.mktemp("clip"))
