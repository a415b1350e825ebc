# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames that three jobs gave before the engine knew families, and how they are made again.

    python tests/engine/reference_frames.py        writes reference/frames.npz from the engine as it is

Writing them anew is for a change that is meant to change every clip of ``shapes``, with a word on why.
"""

import contextlib
import hashlib
import sys
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).parent / "reference" / "frames.npz"
EVERY = 4
"""Each so many pixels of a row and each so many rows are kept; the SHA-256 is of all."""

FRAMES, HEIGHT, WIDTH = 8, 80, 144
TWO = [
    {"name": "Ball", "phrase": "a red ball"},
    {"name": "Cube", "phrase": "a blue cube"},
]
FADING = {"strength": [1.0, 1.0, 0.75, 0.5, 0.5, 0.25, 0.0, 0.0]}
JOBS = {
    "strong": {"subjects": TWO, "num_inference_steps": 6},
    "peekaboo with a strength": {
        "subjects": [TWO[0], TWO[1] | FADING],
        "control": {"method": "peekaboo", "masked_steps": 4},
        "num_inference_steps": 5,
        "seed": 3,
    },
    "as released": {
        "prompt": "a red ball on sand",
        "negative_prompt": "grass",
        "subjects": TWO[:1],
        "control": {
            "method": "peekaboo",
            "masked_steps": 2,
            "blocks": "mid_up",
            "special_tokens": "released",
            "gate_second_temporal": True,
        },
        "num_inference_steps": 4,
        "seed": 5,
    },
}
"""What each says beyond what all share: all methods, one subject and two, every option of a job."""


def labels_of(subjects: int) -> np.ndarray:
    """A ball that rolls to the right, and a cube that slides to the left: uint8 (frames, height, width)."""
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for frame in range(FRAMES):
        if subjects > 1:
            left = 100 - 6 * frame
            labels[frame, 45:70, left : left + 27] = 2
        labels[frame][(y - 28) ** 2 + (x - 30 - 9 * frame) ** 2 < 17**2] = 1
    return labels


def job_data(name: str) -> dict:
    """The whole of a job, as its job.json would say it."""
    timing = {
        "frame_start": 1,
        "frame_count": FRAMES,
        "fps": 24,
        "fps_base": 1.0,
        "scene_frames": [float(frame + 1) for frame in range(FRAMES)],
    }
    shared = {
        "schema_version": 1,
        "prompt": "a red ball and a blue cube on grass",
        "model": "shapes",
        "width": WIDTH,
        "height": HEIGHT,
        "num_frames": FRAMES,
        "timing": timing,
        "seed": 0,
    }
    return shared | JOBS[name]


class Silent:
    """Events that nobody hears."""

    def __getattr__(self, _kind):
        return lambda *args, **fields: None


def frames_of(name: str, model) -> np.ndarray:
    """Run a job on the embedded model: uint8 (frames, height, width, 3)."""
    from peekaboo_engine.generator import Generation, generate
    from peekaboo_engine.job import Job

    job = Job.model_validate(job_data(name))
    labels = labels_of(len(job.subjects))
    return generate(Generation(job, labels, model.entry, Silent()), model)


def load():
    """The embedded model on the CPU in single precision."""
    from peekaboo_engine.loading import load_model
    from peekaboo_engine.models import find_model
    from peekaboo_engine.placement import Placement

    return load_model(find_model("shapes"), Placement(device="cpu", dtype="float32"))


def kept(frames: np.ndarray) -> np.ndarray:
    """The pixels that the reference keeps."""
    return frames[:, ::EVERY, ::EVERY]


def sha256(frames: np.ndarray) -> str:
    """Of all pixels."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


def main() -> None:
    """Write the reference, and say what it holds."""
    model, arrays = load(), {}
    for name in JOBS:
        frames = frames_of(name, model)
        arrays[name] = kept(frames)
        arrays[f"{name}, sha256"] = np.array(sha256(frames))
        print(name, sha256(frames))
    REFERENCE.parent.mkdir(exist_ok=True)
    np.savez_compressed(REFERENCE, **arrays)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    with contextlib.suppress(KeyboardInterrupt):
        main()
