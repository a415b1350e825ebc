# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows phrases over time on the embedded model: ``python scripts/measure/timed_phrases.py --out DIR``.

A red ball crosses the picture; halfway the words for the ground change, or those for the subject itself.
Clips that are in DIR already are not made again; docs/reference gets the picture and the clips' records.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "reference"
WIDTH, HEIGHT, FRAMES, STEPS = 288, 160, 16, 12
SHOWN, COLORS = range(0, FRAMES, 2), 96
CASES = {
    "ground": ("a red ball on grass on sand", "a red ball", ("on grass", "on sand")),
    "subject": ("a red ball a blue cube on grass", "a red ball a blue cube", ("a red ball", "a blue cube")),
}
"""Prompt, the subject's phrase, and what the first and the second half read alone."""


def job_of(prompt: str, phrase: str, halves: tuple[str, str]) -> dict:
    """A job whose scene has a frame for each of the model's."""
    spans = ((1, FRAMES // 2), (FRAMES // 2 + 1, FRAMES))
    return {
        "schema_version": 2,
        "prompt": prompt,
        "subjects": [{"name": "Empty", "phrase": phrase}],
        "model": "shapes",
        "width": WIDTH,
        "height": HEIGHT,
        "num_frames": FRAMES,
        "timing": {
            "frame_start": 1,
            "frame_count": FRAMES,
            "fps": 8,
            "fps_base": 1.0,
            "scene_frames": [frame + 1.0 for frame in range(FRAMES)],
        },
        "seed": 0,
        "num_inference_steps": STEPS,
        "timed_phrases": [
            {"phrase": words, "frame_start": first, "frame_end": last, "fade": 0}
            for words, (first, last) in zip(halves, spans, strict=True)
        ],
    }


def labels() -> np.ndarray:
    """A disc on its way from left to right: uint8 (frames, height, width)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    middle = WIDTH * (0.35 + 0.3 * np.arange(FRAMES) / (FRAMES - 1))[:, None, None]
    return (((columns - middle) ** 2 + (rows - 0.55 * HEIGHT) ** 2) < (0.28 * HEIGHT) ** 2).astype(np.uint8)


def make(folder: Path, job: dict) -> np.ndarray:
    """Make a job's clip, or take the one that is there: uint8 (frames, height, width, 3)."""
    clip = folder / "out" / "clip.mp4"
    if not clip.is_file():
        (folder / "job").mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "job" / "masks.npz", labels=labels())
        (folder / "job" / "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-m", "peekaboo_engine", "generate", str(folder / "job")]
        subprocess.run([*command, "--out", str(clip.parent)], check=True, cwd=ROOT)
    return iio.imread(clip)


def main() -> None:
    """Make the clips, and draw every second frame of each in a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the clips go")
    out = parser.parse_args().out
    rows, records = [], {}
    for name, case in CASES.items():
        frames = make(out / name, job_of(*case))
        rows.append(np.concatenate([frames[index][::2, ::2] for index in SHOWN], axis=1))
        records[name] = json.loads((out / name / "out" / "clip.json").read_text())
    picture = Image.fromarray(np.concatenate(rows)).quantize(COLORS, dither=Image.Dither.NONE)
    picture.save(DOCS / "timed_phrases.png", optimize=True)
    (DOCS / "timed_phrases.json").write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
