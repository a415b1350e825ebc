# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries weights of four bits (NF4) on a GPU: do masks, offloading and LoRAs work on them?

    python scripts/measure/check_nf4.py --json nf4.json

The tiny LTX pipeline of the tests, with random weights, and the embedded model ``solids``, of Wan's classes,
with its twin's LoRA, each loaded as ``--memory nf4`` does. It fails if anything does not hold.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import bitsandbytes  # type: ignore[import-not-found]
import diffusers
import numpy as np
import torch
import typer
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "engine"))

from tiny import ltx  # type: ignore[import-not-found]

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.settings import preset
from peekaboo_engine.loading import load_model, with_loras
from peekaboo_engine.loras import Lora
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement

ROOT = Path(__file__).resolve().parents[2]
PHRASE, PROMPT = "a red ball", "a red ball on grass"
STEPS = 8


def clip(model: Any, **steering: Any) -> np.ndarray:
    """A clip from the same noise, steered where steering is given: float (frames, height, width, 3)."""
    entry, pipe = model.entry, model.pipe
    labels = np.zeros((entry.num_frames, entry.height, entry.width), np.uint8)
    labels[:, entry.height // 4 : entry.height // 2, entry.width // 2 : 3 * entry.width // 4] = 1
    call = {"num_frames": entry.num_frames, "height": entry.height, "width": entry.width}
    call |= {"guidance_scale": 1.0, "num_inference_steps": STEPS, "output_type": "np"}
    call |= {"max_sequence_length": entry.max_sequence_length, "generator": torch.manual_seed(0)}
    if not steering:
        return pipe(PROMPT, **call).frames[0]
    with peekaboo(pipe, labels, [PHRASE], steering=preset("strong", entry.family), **steering):
        return pipe(PROMPT, **call).frames[0]


def far(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two clips, of 255."""
    return round(float(np.abs(one - other).mean() * 255), 3)


def weights_bytes(model: Any) -> int:
    """What the weights of a model's denoiser take."""
    return sum(each.numel() * each.element_size() for each in model.pipe.transformer.parameters())


def random_lora(model: Any, path: Path) -> Lora:
    """A LoRA on the words that a denoiser's layers read."""
    noise, weights = torch.Generator().manual_seed(1), {}
    for name, layer in model.pipe.transformer.named_modules():
        if name.endswith("attn2.to_q"):
            weights[f"transformer.{name}.lora_A.weight"] = torch.randn(4, layer.in_features, generator=noise)
            weights[f"transformer.{name}.lora_B.weight"] = torch.randn(layer.out_features, 4, generator=noise)
    save_file(weights, path)
    return Lora(source=str(path))


def tried(source: str, lora: Lora | None, folder: Path) -> dict[str, Any]:
    """What was seen of one model."""
    entry = find_model(source)
    whole = load_model(entry, Placement(device="cuda"))
    told: dict[str, Any] = {"model": entry.title, "bytes": weights_bytes(whole)}
    plain, steered = clip(whole), clip(whole, contrast=False)
    lora = lora or random_lora(whole, folder / "lora.safetensors")
    del whole
    model = load_model(entry, Placement(device="cuda", savings=("nf4",)))
    layers = [type(each) for each in model.pipe.transformer.modules()]
    told |= {
        "layers_of_four_bits": layers.count(bitsandbytes.nn.Linear4bit),
        "bytes_nf4": weights_bytes(model),
    }
    free, masked = clip(model), clip(model, contrast=False)
    told["far_from_whole_weights"] = {"no masks": far(plain, free), "masks": far(steered, masked)}
    told["far_with_masks"] = {"whole weights": far(plain, steered), "nf4": far(free, masked)}
    told["no_step_masked_is_equal"] = bool(np.array_equal(free, clip(model, until=1.0, bound_until=1.0)))
    offloaded = load_model(entry, Placement(device="cuda", offload=True, savings=("nf4",)))
    told["offloaded_is_equal"] = bool(np.array_equal(masked, clip(offloaded, contrast=False)))
    del offloaded
    worn = with_loras(model, [lora])
    with_lora = clip(worn, contrast=False)
    told["far_with_lora"] = far(masked, with_lora)
    told["equal_without_it_again"] = bool(np.array_equal(masked, clip(with_loras(worn, []), contrast=False)))
    return told


def holds(told: dict[str, Any]) -> bool:
    """Whether all of it is as it should be."""
    equal = ("no_step_masked_is_equal", "offloaded_is_equal", "equal_without_it_again")
    acts = told["layers_of_four_bits"] and told["far_with_masks"]["nf4"] and told["far_with_lora"]
    return bool(acts) and told["bytes_nf4"] < told["bytes"] and all(told[key] for key in equal)


def main(json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None) -> None:
    """Print what was seen, and write it as JSON."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ltx"
        ltx.pipeline().save_pretrained(folder)
        stated = {"width": ltx.WIDTH, "height": ltx.HEIGHT, "num_frames": ltx.FRAMES}
        (folder / "peekaboo.json").write_text(json.dumps(stated | {"max_sequence_length": ltx.TEXT_LENGTH}))
        twin = ROOT / "peekaboo_engine" / "assets" / "solids_twin"
        weights = Lora(source=str(next(twin.glob("*.safetensors"))))
        rows = [tried(str(folder), None, Path(place)), tried("solids", weights, Path(place))]
    record = {
        "command": " ".join(["python", *sys.argv]),
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "bitsandbytes": bitsandbytes.__version__,
        "rows": rows,
    }
    print(json.dumps(record, indent=1))
    if json_file:
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if not all(holds(row) for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
