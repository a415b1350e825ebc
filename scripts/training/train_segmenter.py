# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the segmenter of the benchmark on clips of the `shapes` world, and measures it on clips held out.

    python scripts/training/train_segmenter.py --seconds 100    # a GPU

The truth is the drawing program's own. Frames are drawn from other seeds than those of the diffusion model,
and of the held-out ones. Half of them are spoilt as generated frames are: blurred, noisy, off in colour, with
coarse chroma, or sent through the model's own autoencoder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from shapes_training.drawing import draw  # noqa: E402
from shapes_training.scenes import NUM_FRAMES, Scenes, sample_scenes  # noqa: E402

from peekaboo_engine.benchmark.segmenter import WEIGHTS, SegmentationNetwork  # noqa: E402
from peekaboo_engine.benchmark.shapes_world import COLOURS, SHAPES  # noqa: E402

_TRAINING_SEED, _HELD_OUT_SEED = 271_828, 314_159
_VAE_SHARE = 0.15  # of the frames drawn, on average
_MIN_VISIBLE = 0.004  # of the frame: subjects hidden or cut to less are not asked for in the accuracy
_REFILL, _REFILL_INTERVAL = 64, 4  # frames drawn anew, and the steps between


@dataclass
class Frames:
    """Frames with what they show."""

    pixels: torch.Tensor  # float (N, 3, H, W) in 0..1
    shape: torch.Tensor  # float (N, 1 + shapes, H, W): coverage of each pixel by nothing and by each shape
    colour: torch.Tensor  # int64 (N, H, W), -1 where there is no subject

    def __getitem__(self, index) -> Frames:
        """Some of the frames."""
        return Frames(self.pixels[index], self.shape[index], self.colour[index])


def draw_frames(count: int, generator: torch.Generator, cpu_generator: torch.Generator) -> Frames:
    """Draw one frame of each of `count` new scenes, on the device of `generator`."""
    at = torch.randint(NUM_FRAMES, (1,), generator=cpu_generator)
    scenes = sample_scenes(cpu_generator, count).at_frames(at).to(generator.device)
    return label_frames(scenes, *draw(scenes, generator))


def label_frames(scenes: Scenes, clips: torch.Tensor, visible: torch.Tensor) -> Frames:
    """All frames of clips as `draw` returns them, in order, with what they show."""
    frames = clips.shape[1]
    visible = visible.transpose(1, 2).flatten(0, 1)  # (N, subjects, H, W)
    shapes, colours = (of.repeat_interleave(frames, 0) for of in (scenes.shape, scenes.colour))
    shape = torch.zeros(len(visible), 1 + len(SHAPES), *visible.shape[-2:], device=visible.device)
    classes = (shapes + 1)[:, :, None, None].expand_as(visible)
    shape.scatter_add_(1, classes, visible)
    shape[:, 0] = 1 - shape.sum(1)
    most, nearest = visible.max(1)
    colour = colours.gather(1, nearest.flatten(1)).view_as(nearest)
    return Frames((clips.flatten(0, 1) + 1) / 2, shape.clamp(0, 1), torch.where(most > 0.5, colour, -1))


def spoil(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur, noise, gain and coarse chroma, each on some of the frames and at a random strength."""
    count, device = len(pixels), pixels.device

    def some(share: float, low: float, high: float) -> torch.Tensor:
        strength = low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator, device=device)
        return strength * (torch.rand(count, 1, 1, 1, generator=generator, device=device) < share)

    blurred = _blurred(pixels, 2.0 * float(torch.rand((), generator=generator, device=device)) + 0.3)
    pixels = torch.lerp(pixels, blurred, some(0.4, 0.3, 1))
    luma = pixels.mean(1, keepdim=True)
    size = pixels.shape[-2:]
    coarse = F.interpolate(F.avg_pool2d(pixels - luma, 4), size=size, mode="bilinear", align_corners=False)
    pixels = luma + torch.lerp(pixels - luma, coarse, some(0.3, 0.3, 1))
    gain = 1 + 0.12 * torch.randn(count, 3, 1, 1, generator=generator, device=device) * some(0.4, 0, 1)
    noise = torch.randn(pixels.shape, generator=generator, device=device) * some(0.4, 0, 0.07)
    return (pixels * gain + noise).clamp(0, 1)


def _blurred(pixels: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = int(3 * sigma + 1)
    at = torch.arange(-reach, reach + 1, device=pixels.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


@torch.no_grad()
def through_autoencoder(pixels: torch.Tensor, vae: AutoencoderKL) -> torch.Tensor:
    """What the model's autoencoder makes of frames: the finest that the model itself can draw."""
    latents = vae.encode(2 * pixels - 1).latent_dist.mean
    return ((vae.decode(latents).sample + 1) / 2).clamp(0, 1)


class Pool:
    """A ring of drawn frames: where drawing is slow, a frame is used more than once.

    Args:
        capacity: frames that it holds.
        vae: spoils some of the frames.
        device: where everything is.
    """

    def __init__(self, capacity: int, vae: AutoencoderKL, device: str):
        self._vae, self._capacity, self._at = vae, capacity, 0
        self.generator = torch.Generator(device).manual_seed(_TRAINING_SEED)
        self._scenes = torch.Generator().manual_seed(_TRAINING_SEED)
        self._frames: Frames | None = None

    def refill(self, count: int) -> None:
        """Draw new frames, in place of the oldest ones when the pool is full."""
        new = draw_frames(count, self.generator, self._scenes)
        coded = torch.rand(count, generator=self._scenes) < _VAE_SHARE
        if coded.any():
            coded = coded.to(new.pixels.device)
            new.pixels[coded] = through_autoencoder(new.pixels[coded], self._vae)
        if self._frames is None:
            self._frames = new
            return
        for old, added in zip(vars(self._frames).items(), vars(new).values(), strict=True):
            name, tensor = old
            if len(tensor) < self._capacity:
                setattr(self._frames, name, torch.cat([tensor, added])[: self._capacity])
            else:
                tensor[(self._at + torch.arange(count, device=tensor.device)) % self._capacity] = added
        self._at = (self._at + count) % self._capacity

    def batch(self, count: int) -> Frames:
        """Random frames, half of them spoilt."""
        assert self._frames is not None
        total = len(self._frames.pixels)
        index = torch.randint(total, (count,), generator=self.generator, device=self.generator.device)
        frames = self._frames[index]
        half = count // 2
        frames.pixels[:half] = spoil(frames.pixels[:half], self.generator)
        return frames


def loss_of(network: SegmentationNetwork, frames: Frames) -> torch.Tensor:
    """Cross-entropies: of all classes everywhere; of shape and of colour where there is a subject.

    Without the second, one pixel in ten tells a cone from a ring, and the network is long content with cubes.
    """
    with torch.autocast(frames.pixels.device.type, torch.bfloat16):
        shape, colour = network(frames.pixels.contiguous(memory_format=torch.channels_last))
    shape, colour = shape.float(), colour.float()
    covered, seen = frames.shape, frames.colour
    nearest = torch.where(seen >= 0, covered[:, 1:].argmax(1), -1)
    return (
        F.cross_entropy(shape, covered)
        + F.cross_entropy(shape[:, 1:], nearest, ignore_index=-1)
        + F.cross_entropy(colour, seen, ignore_index=-1)
    )


@torch.no_grad()
def accuracy(network: SegmentationNetwork, frames: Frames) -> float:
    """Mean over subjects of the IoU of the pixels marked with its two classes and those that it covers."""
    network.eval()
    overlaps = []
    for start in range(0, len(frames.pixels), 16):
        part = frames[slice(start, start + 16)]
        shape, colour = (logits.argmax(1) for logits in network(part.pixels))
        true_shape = torch.where(part.colour >= 0, part.shape[:, 1:].argmax(1) + 1, 0)
        marked = shape * len(COLOURS) + colour * (shape > 0)
        truth = true_shape * len(COLOURS) + part.colour * (true_shape > 0)
        for found, wanted in zip(marked, truth, strict=True):
            for kind in wanted.unique().tolist():
                mask = wanted == kind
                if kind and mask.float().mean() >= _MIN_VISIBLE:
                    found_here = found == kind
                    overlaps.append(float((found_here & mask).sum() / (found_here | mask).sum()))
    network.train()
    return sum(overlaps) / len(overlaps)


def measure(network: SegmentationNetwork, vae: AutoencoderKL, count: int, device: str) -> dict[str, float]:
    """Accuracy on held-out frames: as drawn, through the autoencoder, and spoilt."""
    generator = torch.Generator(device).manual_seed(_HELD_OUT_SEED)
    cpu_generator = torch.Generator().manual_seed(_HELD_OUT_SEED)
    drawn = [draw_frames(min(16, count), generator, cpu_generator) for _ in range(max(1, count // 16))]
    clean = Frames(*(torch.cat([getattr(part, name) for part in drawn]) for name in vars(drawn[0])))
    coded = torch.cat([through_autoencoder(part.pixels, vae) for part in drawn])
    spoilt = spoil(clean.pixels, generator)
    kinds = {"clean": clean.pixels, "autoencoder": coded, "spoilt": spoilt}
    return {
        kind: round(accuracy(network, Frames(pixels, clean.shape, clean.colour)), 4)
        for kind, pixels in kinds.items()
    }


def train(arguments: argparse.Namespace, vae: AutoencoderKL) -> tuple[SegmentationNetwork, list[dict]]:
    """Train for a number of seconds; returns the network and its log."""
    torch.manual_seed(0)
    device = arguments.device
    network = SegmentationNetwork(len(SHAPES), len(COLOURS)).train()
    if arguments.init:
        network.load_state_dict({key: value.float() for key, value in load_file(arguments.init).items()})
    for parameter in network.to(device).parameters():
        if parameter.ndim == 4:  # three times the speed on a CPU
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=arguments.peak_rate, weight_decay=1e-3)
    pool = Pool(arguments.frames, vae, device)
    for _ in range(0, arguments.frames, _REFILL):
        pool.refill(_REFILL)
    print(f"{arguments.frames} frames drawn", flush=True)
    started, step, log, losses = time.perf_counter(), 0, [], []
    while (elapsed := time.perf_counter() - started) < arguments.seconds:
        progress = elapsed / arguments.seconds
        # A short warm-up, then down to nothing at the end.
        optimizer.param_groups[0]["lr"] = (
            arguments.peak_rate * min(1, (step + 1) / 50) * (1 - progress) ** 1.5
        )
        if step % _REFILL_INTERVAL == 0:
            pool.refill(_REFILL)
        loss = loss_of(network, pool.batch(arguments.batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        step += 1
        if step % 50 == 0:
            mean = float(torch.stack(losses[-50:]).mean())
            if not math.isfinite(mean):
                raise SystemExit(
                    "The loss is not a number any more; look for what is not finite in the frames."
                )
            log.append({"step": step, "seconds": round(elapsed, 1), "loss": round(mean, 4)})
            print(log[-1], flush=True)
    return network.eval(), log


def save(network: SegmentationNetwork, measures: dict[str, float], path: Path) -> None:
    """Write the weights in half precision, with the names of the classes and the accuracy."""
    weights = {
        key: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for key, value in network.state_dict().items()
    }
    classes = json.dumps({"shapes": list(SHAPES), "colours": list(COLOURS)})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file(weights, temporary, metadata={"classes": classes, "held_out_mean_iou": json.dumps(measures)})
    temporary.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, required=True, help="training time")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak-rate", type=float, default=2e-3, help="learning rate after warm-up")
    parser.add_argument("--init", type=Path, help="weights to start from")
    parser.add_argument("--batch", type=int, default=48, help="frames in a step")
    parser.add_argument(
        "--frames", type=int, default=4096, help="kept, of which some are replaced now and then"
    )
    parser.add_argument("--held-out", type=int, default=512, help="frames to measure with")
    parser.add_argument(
        "--vae", type=Path, default=REPOSITORY / "peekaboo_engine" / "assets" / "shapes" / "vae"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--json", type=Path, default=REPOSITORY / "docs" / "segmenter.json")
    return parser.parse_args()


def main() -> int:
    """Train, measure, save."""
    arguments = _arguments()
    vae = AutoencoderKL.from_pretrained(arguments.vae, dtype=torch.float32).to(arguments.device).eval()
    network, log = train(arguments, vae)
    for parameter in network.parameters():  # measured as it ships
        parameter.data = parameter.data.half().float()
    measures = measure(network, vae, arguments.held_out, arguments.device)
    print(measures)
    save(network, measures, arguments.out)
    record = {
        "command": " ".join(["python scripts/training/train_segmenter.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name() if arguments.device.startswith("cuda") else arguments.device,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "held_out_frames": arguments.held_out,
        "held_out_mean_iou": measures,
        "log": log,
    }
    arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
