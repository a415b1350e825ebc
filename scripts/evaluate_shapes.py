# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what masks do to the embedded model `shapes`: boxes from a layouts file, prompts from its own
vocabulary.

    python scripts/evaluate_shapes.py imc.json --masked-steps 0 8 --json docs/shapes_control.json \
        --sheet docs/shapes_contact_sheet.png

Zero masked steps is the unmodified pipeline. A layouts file is the benchmark's own (see
benchmark/layouts.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from peekaboo_engine.benchmark.evaluation import (  # noqa: E402
    Control,
    EvaluatedClip,
    Sampling,
    evaluate,
    table_row,
)
from peekaboo_engine.benchmark.layouts import read_layouts, spread  # noqa: E402
from peekaboo_engine.errors import EngineError  # noqa: E402

_SHEET_FRAMES = (0, 5, 10, 15)
_OUTLINE = (255, 255, 255)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("layouts", type=Path)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "peekaboo_engine" / "assets" / "shapes")
    parser.add_argument("--limit", type=int, default=24, help="layouts, spread evenly over the file")
    parser.add_argument("--masked-steps", type=int, nargs="+", default=[0, 8])
    parser.add_argument("--blocks", choices=("all", "mid_up"), default="all")
    parser.add_argument(
        "--special-tokens", choices=("background", "released", "shared"), default="background"
    )
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the table and every clip's measures here")
    parser.add_argument("--sheet", type=Path, help="write a picture of the first and the last control here")
    parser.add_argument("--sheet-clips", type=int, default=8)
    return parser.parse_args()


def _load(folder: Path, device: str):
    from diffusers import TextToVideoSDPipeline

    if not (folder / "model_index.json").is_file():
        raise EngineError("model_missing", f"{folder} is no diffusers pipeline; give the model's folder.")
    pipe = TextToVideoSDPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _outlined(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the frame with the outline of a relative box, two pixels wide."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = (np.clip(box, 0, 1) * (width - 1, height - 1, width - 1, height - 1)).round().astype(int)
    framed = frame.copy()
    framed[y1 : y2 + 1, x1 : x2 + 1] = _OUTLINE
    framed[y1 + 2 : y2 - 1, x1 + 2 : x2 - 1] = frame[y1 + 2 : y2 - 1, x1 + 2 : x2 - 1]
    return framed


def contact_sheet(clips: list[EvaluatedClip], first: Control, last: Control, rows: int) -> np.ndarray:
    """Picture of some clips, uint8 (height, width, 3): a prompt a row, four frames under each control."""
    layouts = list(dict.fromkeys(clip.layout for clip in clips))
    chosen = [layouts[i * len(layouts) // rows] for i in range(min(rows, len(layouts)))]
    by_key = {(clip.layout, clip.control): clip for clip in clips}
    gap = 12
    lines = []
    for layout in chosen:
        halves = []
        for control in (first, last):
            clip = by_key[layout, control]
            halves.append(np.hstack([_outlined(clip.frames[f], clip.wanted[f]) for f in _SHEET_FRAMES]))
        lines.append(np.hstack([halves[0], np.full((len(halves[0]), gap, 3), 255, np.uint8), halves[1]]))
    return np.vstack(lines)[::2, ::2]


def _peak_memory_gb() -> float | None:
    """Largest resident size of this process so far, where the system tells it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)


def _report(clips: list[EvaluatedClip], controls: list[Control], sampling: Sampling, device: str) -> dict:
    measured = [
        {
            "layout": clip.layout,
            "prompt": clip.prompt,
            "masked_steps": clip.control.masked_steps,
            "seconds": round(clip.seconds, 2),
            **{k: v if v is None else round(float(v), 4) for k, v in asdict(clip.score).items()},
        }
        for clip in clips
    ]
    rows = [table_row(control, clips) for control in controls]
    rounded = [{k: round(float(v), 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    machine = {
        "device": device,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "peak_memory_gb": _peak_memory_gb(),
    }
    if device.startswith("cuda"):
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "command": " ".join(["python scripts/evaluate_shapes.py", *sys.argv[1:]]),
        "sampling": asdict(sampling),
        "machine": machine,
        "rows": rounded,
        "clips": measured,
    }


def main() -> int:
    """Run the comparison and print its table."""
    arguments = _arguments()
    sampling = Sampling(
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance_scale,
        seed=arguments.seed,
    )
    options = {"blocks": arguments.blocks, "special_tokens": arguments.special_tokens}
    controls = [Control(steps, **options) for steps in arguments.masked_steps]
    try:
        layouts = spread(read_layouts(arguments.layouts).layouts, arguments.limit)
        pipe = _load(arguments.model, arguments.device)
        clips = []
        for clip in evaluate(pipe, layouts, controls, sampling):
            clips.append(clip)
            progress = f"{len(clips):4d}/{len(layouts) * len(controls)}  {clip.prompt:26s}"
            measures = f"mIoU {clip.score.miou:.3f}  found in {clip.score.detected:2d}  {clip.seconds:.1f} s"
            print(f"{progress} {clip.control.masked_steps:3d} masked steps  {measures}", flush=True)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    report = _report(clips, controls, sampling, arguments.device)
    for row in report["rows"]:
        print({k: v for k, v in row.items() if k not in ("special_tokens", "gate_second_temporal")})
    print(f"peak memory of this process: {report['machine']['peak_memory_gb']} GB")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.sheet:
        iio.imwrite(arguments.sheet, contact_sheet(clips, controls[0], controls[-1], arguments.sheet_clips))
    return 0


if __name__ == "__main__":
    sys.exit(main())
