# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny models of the families that people run, and a LoRA of each, made in the engine's own Python."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from house.environments import ENGINE, ROOT

FAMILIES = {
    "wan": "wan.pipeline(expand_timesteps=True)",
    "ltx": "ltx.pipeline()",
    "hunyuan": "hunyuan15.pipeline()",
    "hunyuan_started": "hunyuan15.started()",
    "picture": "stable_diffusion.pipeline()",
}
"""Tiny models, each made by a module of the engine's tests."""

SAVE = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from tiny import hunyuan15, ltx, stable_diffusion, wan

for name, made in json.loads(sys.argv[2]).items():
    module, pipe, folder = eval(made.partition(".")[0]), eval(made), Path(sys.argv[1]) / name
    pipe.save_pretrained(folder)
    stated = {"width": module.WIDTH, "height": module.HEIGHT, "num_frames": module.FRAMES}
    if module in (wan, ltx):
        stated["max_sequence_length"] = module.TEXT_LENGTH
    (folder / "peekaboo.json").write_text(json.dumps(stated))
    denoiser = "unet" if hasattr(pipe, "unet") else "transformer"
    weights = {}
    for path, layer in getattr(pipe, denoiser).named_modules():
        if path.endswith(".to_q") and "refiner" not in path:
            rows, columns = layer.weight.shape
            weights[f"{denoiser}.{path}.lora_A.weight"] = torch.randn(2, columns)
            weights[f"{denoiser}.{path}.lora_B.weight"] = torch.randn(rows, 2)
    save_file(weights, f"{folder}.safetensors")
"""


def save(folder: Path, names: Iterable[str] = FAMILIES) -> None:
    """Save models as folders of their names, and beside each its LoRA, ``NAME.safetensors``."""
    folder.mkdir(exist_ok=True)
    made = {name: FAMILIES[name] for name in names}
    subprocess.run(
        [ENGINE.python, "-c", SAVE, folder, json.dumps(made)],
        cwd=ROOT / "tests" / "engine",
        env={"PYTHONPATH": str(ROOT)},
        check=True,
    )
