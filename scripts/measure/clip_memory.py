# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what a clip takes of a GPU's memory besides the weights, with random weights at full size.

    python scripts/measure/clip_memory.py zeroscope wan ltx-2-size ltx-2 ltx-video hunyuan --json memory.json
    python scripts/measure/clip_memory.py wan ltx-2 --small --device cpu --json try.json      # no peaks

Pipelines run by themselves, two steps with both halves of guidance, to pictures in numpy; denoising is the
peak up to the first decoding, which of a redrawn clip is between two steps, so that all behind it counts as
decoding. Of LTX and HunyuanVideo, a step of the denoiser in four of its blocks, which are alike, and the
decoding of a clip are run each by itself, on what the family's ``trial`` says that they are given. What is
foreseen is held against all this by ``foreseen_memory.py``.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import diffusers
import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import benchmark_full_size
import full_size_model

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.settings import preset
from peekaboo_engine.families import Family, Grid, family_of
from peekaboo_engine.families.ltx import LTX, LTX2

STEPS = 2
BLOCKS = 4
"""Of the denoisers that run by themselves."""


@dataclass(frozen=True)
class Clip:
    """A clip of a pipeline and how it is made."""

    frames: int
    height: int
    width: int
    masked: bool = False
    redrawn: bool = False
    offload: bool = False
    tiles: bool = False


@dataclass(frozen=True)
class Whole:
    """A pipeline, ``make(small)``, and clips of it."""

    title: str
    make: Callable[[bool], Any]
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Parts:
    """A denoiser and an autoencoder, each by itself, and a clip.

    Args:
        title: of the model.
        family: whose ``trial`` says what they are given; None where it has none, and ``latents`` are decoded.
        denoiser: ``denoiser(blocks)``; None where the decoding alone is run.
        vae: the autoencoder.
        clip: its size.
        grid: the same in tokens.
        tiles: ways to decode, in tiles or whole.
    """

    title: str
    family: Family | None
    denoiser: Callable[[int], Any] | None
    vae: Callable[[], Any]
    clip: Clip
    grid: Grid
    tiles: tuple[bool, ...] = (False, True)


MODELS: dict[str, Whole | Parts] = {
    "zeroscope": Whole(
        "ZeroScope",
        full_size_model.pipeline,
        (
            Clip(24, 320, 576),
            Clip(24, 320, 576, masked=True),
            Clip(36, 320, 576),
            Clip(24, 576, 1024),
            Clip(16, 256, 256),
        ),
    ),
    "wan": Whole(
        "Wan 2.1 1.3B",
        benchmark_full_size.wan,
        (
            Clip(33, 480, 832),
            Clip(81, 480, 832),
            Clip(81, 480, 832, masked=True),
            Clip(81, 480, 832, masked=True, redrawn=True),
            Clip(81, 480, 832, masked=True, tiles=True),
            Clip(81, 480, 832, masked=True, offload=True),
            Clip(33, 720, 1280),
            Clip(33, 720, 1280, tiles=True),
        ),
    ),
    "ltx-2-size": Whole(
        "LTX-2's size, in Wan's classes",
        benchmark_full_size.ltx_2,
        (Clip(61, 352, 608), Clip(61, 352, 608, masked=True)),
    ),
    "ltx-2": Parts(
        "LTX-2",
        LTX2,
        lambda blocks: diffusers.LTX2VideoTransformer3DModel(num_layers=blocks),
        # Not told, it counts 64 pixels a latent.
        lambda: diffusers.AutoencoderKLLTX2Video(spatial_compression_ratio=32, temporal_compression_ratio=8),
        Clip(121, 704, 1216),
        Grid(16, 22, 38),
    ),
    "ltx-video": Parts(
        "LTX-Video",
        LTX,
        lambda blocks: diffusers.LTXVideoTransformer3DModel(num_layers=blocks),
        diffusers.AutoencoderKLLTXVideo,
        Clip(161, 512, 768),
        Grid(21, 16, 24),
    ),
    "hunyuan": Parts(
        "HunyuanVideo 1.5",
        None,
        None,
        diffusers.AutoencoderKLHunyuanVideo15,
        Clip(121, 480, 848),
        Grid(31, 30, 53),
        tiles=(True,),
    ),
}


class Peaks:
    """The most that was allocated on a GPU since it was last asked."""

    def __init__(self, device: torch.device):
        self._device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self.before = self._allocated()
        self.take()

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated() if self._device.type == "cuda" else 0

    def take(self) -> int:
        """Bytes, weights on the GPU included; begins anew."""
        if self._device.type != "cuda":
            return 0
        torch.cuda.synchronize()
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return most


def size_of(network: torch.nn.Module) -> int:
    """Bytes of a network's weights."""
    return sum(part.nbytes for part in network.parameters())


def of_pipeline(model: Whole, small: bool, device: torch.device) -> Iterator[dict[str, Any]]:
    """Rows of a pipeline's clips."""
    torch.manual_seed(0)
    pipe = model.make(small)
    family = family_of(type(pipe).__name__)
    family.prepare(pipe)
    pipe.set_progress_bar_config(disable=True)
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    for clip in model.clips:
        clip = replace(clip, frames=9, height=64, width=96) if small else clip
        if clip.offload and device.type == "cuda":
            pipe.enable_model_cpu_offload(device=device)
        else:
            pipe.to(device)
        if clip.tiles:
            pipe.vae.enable_tiling()
        peaks = Peaks(device)
        start = time.perf_counter()
        found = _peaks_of(pipe, family, clip, peaks)
        seconds = round(time.perf_counter() - start, 2)
        if clip.tiles:
            pipe.vae.disable_tiling()
        if clip.offload:
            pipe.remove_all_hooks()
        sizes = {name: size_of(part) for name, part in parts.items()}
        yield row(model.title, clip, sizes, peaks.before, found, seconds=seconds)


def _peaks_of(pipe, family: Family, clip: Clip, peaks: Peaks) -> dict[str, int]:
    found: dict[str, int] = {}
    decode = pipe.vae.decode

    def decoding(*args, **kwargs):
        found.setdefault("denoising", peaks.take())
        return decode(*args, **kwargs)

    pipe.vae.decode = decoding
    labels = benchmark_full_size.moving_boxes(clip.frames, clip.height, clip.width, 0.25, 1)
    # Masks that end after a number of steps, since two steps may begin below another's level.
    steering = replace(preset("strong", family), until=None, masked_steps=STEPS - clip.redrawn)
    if clip.redrawn:
        steering = replace(steering, **family.silhouettes)
    phrases = benchmark_full_size.PHRASES[:1]
    try:
        with (
            torch.no_grad(),
            peekaboo(pipe, labels, phrases, steering=steering) if clip.masked else nullcontext(),
        ):
            pipe(
                f"{phrases[0]} on grass",
                num_frames=clip.frames,
                height=clip.height,
                width=clip.width,
                num_inference_steps=STEPS,
                output_type="np",
            )
    finally:
        del pipe.vae.decode
    return {**found, "decoding": peaks.take()}


def of_parts(model: Parts, small: bool, device: torch.device) -> Iterator[dict[str, Any]]:
    """Rows of a denoiser and of an autoencoder."""
    torch.manual_seed(0)
    grid = Grid(3, 4, 5) if small else model.grid
    dtype = torch.float32 if small else torch.bfloat16
    with device:
        vae = model.vae().to(dtype).eval()
        trial = None
        if model.family and model.family.trial and model.denoiser:
            denoiser = model.denoiser(1 if small else BLOCKS).to(dtype).eval()
            trial = model.family.trial(denoiser, vae, {}, grid, 2)
            peaks = Peaks(device)
            with torch.no_grad():
                denoiser(**trial.call, return_dict=False)
            sizes = {"denoiser": size_of(denoiser), "vae": size_of(vae)}
            yield row(
                model.title, model.clip, sizes, peaks.before, {"denoising": peaks.take()}, blocks=BLOCKS
            )
            del denoiser
        latents = trial.latents if trial else torch.randn(1, vae.config.latent_channels, *grid, dtype=dtype)
        decode = trial.decode if trial else {}
        for tiles in model.tiles:
            if tiles:
                vae.enable_tiling()
            peaks = Peaks(device)
            told = {}
            try:
                with torch.no_grad():
                    vae.decode(latents, return_dict=False, **decode)
                found = {"decoding": peaks.take()}
            except RuntimeError as error:  # diffusers' own, which the row tells
                found, told = {}, {"failed": f"{type(error).__name__}: {error}"[:300]}
            yield row(
                model.title,
                replace(model.clip, tiles=tiles),
                {"vae": size_of(vae)},
                peaks.before,
                found,
                **told,
            )


def row(title: str, clip: Clip, weights: dict[str, int], before: int, peaks: dict[str, int], **told: Any):
    """A row of the result."""
    return {
        "model": title,
        "frames": clip.frames,
        "height": clip.height,
        "width": clip.width,
        "masked": clip.masked,
        "redrawn": clip.redrawn,
        "offload": clip.offload,
        "vae_tiling": clip.tiles,
        "weights_bytes": weights,
        "weights_on_card": before,
        "peaks": peaks,
        **told,
    }


def main(
    models: Annotated[list[str], typer.Argument(help=f"Some of {', '.join(MODELS)}.")],
    json_file: Annotated[Path, typer.Option("--json", help="Takes the result.")],
    small: Annotated[bool, typer.Option(help="Narrow networks and short clips, for a try.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cuda",
) -> None:
    """Print the rows as they come, and write them."""
    rows: list[dict[str, Any]] = []
    record = {
        "command": " ".join(["python", *sys.argv]),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "rows": rows,
    }
    for name in models:
        model = MODELS[name]
        make = of_pipeline if isinstance(model, Whole) else of_parts
        for each in make(model, small, torch.device(device)):  # type: ignore[arg-type]
            rows.append(each)
            above = {
                part: round((peak - each["weights_on_card"]) / 1e9, 2) for part, peak in each["peaks"].items()
            }
            print(each["model"], [each[part] for part in ("frames", "width", "height")], above, flush=True)
            json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
