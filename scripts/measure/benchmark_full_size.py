# SPDX-License-Identifier: GPL-3.0-or-later
"""Times masked steps against unmasked ones at the sizes that people run, with random weights, on a GPU.

    python scripts/measure/benchmark_full_size.py zeroscope --json zeroscope.json
    python scripts/measure/benchmark_full_size.py wan --json wan.json
    python scripts/measure/benchmark_full_size.py wan --small --device cpu      # a try

A step is the denoiser's part of it, both halves of guidance. Each is timed where the masks act, where binding
alone does, and where nothing does any more; the whole clip is put together from these by the schedule, with
what the first masked call takes longer (rules are made there) and the decoding. What a network has learnt
changes none of it.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import diffusers
import numpy as np
import torch
import typer
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, UMT5Config, UMT5EncoderModel

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import full_size_model

from peekaboo_engine.control import Steering, attention, peekaboo
from peekaboo_engine.control.levels import NoiseLevels
from peekaboo_engine.control.settings import preset
from peekaboo_engine.control.windows import Moment, Window
from peekaboo_engine.families import family_of

PHRASES = ["a red ball", "a blue cube", "a green cone"]
REPEATS = 3
WARM_UP = 0.2, 1
"""A layout that is run before others are timed: PyTorch loads its kernels when they are first called, which
takes a second once in a process, with masks or without."""


@dataclass(frozen=True)
class Size:
    """A model at the size of its clips.

    Args:
        title: for the table.
        frames, height, width: of a clip, in pixels.
        steps: of a generation.
        make: the pipeline, small for a try or whole.
    """

    title: str
    frames: int
    height: int
    width: int
    steps: int
    make: Callable[[bool], Any]


def wan(small: bool, **whole: int) -> WanPipeline:
    """Networks of Wan's classes; of the text encoder only what makes an embedding of the right width."""
    shape = {"num_attention_heads": 2, "attention_head_dim": 24, "ffn_dim": 64, "num_layers": 2}
    shape |= (
        {"text_dim": 64}
        if small
        else {"num_attention_heads": 12, "attention_head_dim": 128}
        | {
            "ffn_dim": 8960,
            "num_layers": 30,
            "text_dim": 4096,
            **whole,
        }
    )
    assets = Path(__file__).resolve().parents[2] / "peekaboo_engine" / "assets"
    tokenizer = AutoTokenizer.from_pretrained(assets / "solids" / "tokenizer", trust_remote_code=False)
    text = UMT5Config(
        vocab_size=len(tokenizer), d_model=shape["text_dim"], d_kv=16, d_ff=64, num_heads=2, num_layers=1
    )
    torch.set_default_dtype(torch.float32 if small else torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        denoiser = WanTransformer3DModel(cross_attn_norm=True, qk_norm="rms_norm_across_heads", **shape)
        encoder = UMT5EncoderModel(text)
        torch.set_default_dtype(torch.float32)
        vae = AutoencoderKLWan(base_dim=8, num_res_blocks=1) if small else AutoencoderKLWan()
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    return WanPipeline(tokenizer, encoder.eval(), vae.eval(), scheduler, transformer=denoiser.eval())


def ltx_2(small: bool) -> WanPipeline:
    """As wide, deep and long as LTX-2's denoiser of video, in Wan's classes."""
    return wan(small, num_attention_heads=32, ffn_dim=16384, num_layers=48)


SIZES = {
    "zeroscope": Size("ZeroScope 576w", 24, 320, 576, 40, full_size_model.pipeline),
    "wan": Size("Wan 2.1 1.3B", 81, 480, 832, 50, wan),
    # 16 x 22 x 38 tokens, as 121 frames of 1216 x 704 have with LTX-2's autoencoder of 8 x 32 x 32
    "ltx-2": Size("LTX-2's size, in Wan's classes", 61, 352, 608, 40, ltx_2),
}
SMALL = {"zeroscope": (8, 64, 96), "wan": (9, 64, 96), "ltx-2": (9, 64, 96)}


def moving_boxes(frames: int, height: int, width: int, share: float, subjects: int) -> np.ndarray:
    """Boxes side by side, of ``share`` of the picture together, that move by a quarter of it: uint8."""
    labels = np.zeros((frames, height, width), np.uint8)
    side = math.sqrt(share / subjects)
    for frame in range(frames):
        for subject in range(subjects):
            left = (0.02 + subject * (side + 0.02) + 0.25 * frame / max(1, frames - 1)) * width
            top = (0.1 + 0.3 * subject / subjects) * height
            rows = slice(round(top), round(top + side * height))
            labels[frame, rows, round(left) : round(left + side * width)] = subject + 1
    return labels


class Denoiser:
    """Calls of a pipeline's denoiser as the pipeline makes them, one step at a time."""

    def __init__(self, pipe, size: Size, subjects: int):
        self._pipe, self.device = pipe, pipe.device
        self._two_calls = isinstance(pipe, WanPipeline)
        prompt = f"{' and '.join(PHRASES[:subjects])} on grass"
        if self._two_calls:
            grid = (size.frames - 1) // 4 + 1, size.height // 8, size.width // 8
            self._denoiser = pipe.transformer
            texts = pipe.encode_prompt(prompt, "", True, 1, max_sequence_length=512, device=self.device)
            self._texts = [text.to(self._denoiser.dtype) for text in texts]
        else:
            grid = size.frames, size.height // 8, size.width // 8
            self._denoiser = pipe.unet
            prompted, negative = pipe.encode_prompt(prompt, self.device, 1, True)
            self._texts = [torch.cat([negative, prompted])]
        channels = self._denoiser.config.in_channels
        batch = 1 if self._two_calls else 2
        self._latents = torch.randn(batch, channels, *grid, device=self.device, dtype=self._denoiser.dtype)
        pipe.scheduler.set_timesteps(size.steps, device=self.device)

    def step(self, index: int) -> None:
        """One step, without the scheduler's part."""
        timestep = self._pipe.scheduler.timesteps[index]
        timestep = timestep.expand(1) if self._two_calls else timestep
        for text in self._texts:
            self._denoiser(self._latents, timestep, encoder_hidden_states=text, return_dict=False)

    def seconds(self, index: int) -> float:
        """Wall time of one step."""
        synchronise(self.device)
        start = time.perf_counter()
        self.step(index)
        synchronise(self.device)
        return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for a GPU to finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def densely() -> Iterator[None]:
    """Have all masks be masks: what a mask given to PyTorch costs."""
    before = attention.GATHER_FROM, attention.RUNS_FROM, attention.GATHER_ELSEWHERE
    attention.GATHER_FROM, attention.RUNS_FROM, attention.GATHER_ELSEWHERE = {}, 2**62, 2**62
    try:
        yield
    finally:
        attention.GATHER_FROM, attention.RUNS_FROM, attention.GATHER_ELSEWHERE = before


def moments_of(steering: Steering | None, pipe, steps: int) -> list[str]:
    """What is steered in each step: "masked", "bound" or "free"."""
    if steering is None:
        return ["free"] * steps
    levels = NoiseLevels(pipe.scheduler)
    masks, binding = Window(steering.until, steering.masked_steps), Window(steering.bound_until)
    held = np.ones((1, 1))
    found = []
    for step in range(steps):
        now = Moment(step, levels[step], levels[0])
        masked, bound = (bool(window.holds(now, held).any()) for window in (masks, binding))
        found.append("masked" if masked else "bound" if bound else "free")
    return found


@dataclass
class Row:
    """What was measured of one control on one layout; seconds, and bytes."""

    control: str
    dense: bool
    share: float
    subjects: int
    steps: dict[str, float]
    first: float
    moments: dict[str, int]
    peak_bytes: int


def measure(
    pipe,
    size: Size,
    name: str,
    steering: Steering | None,
    share: float,
    subjects: int,
    dense: bool,
    repeats: int = REPEATS,
) -> Row:
    """Time the steps of one control."""
    labels = moving_boxes(size.frames, size.height, size.width, share, subjects)
    with ExitStack() as stack:
        if dense:
            stack.enter_context(densely())
        if steering is not None:
            stack.enter_context(peekaboo(pipe, labels, PHRASES[:subjects], steering=steering))
        denoiser = Denoiser(pipe, size, subjects)
        moments = moments_of(steering, pipe, size.steps)
        if denoiser.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        first, steps = 0.0, {}
        for moment in dict.fromkeys(moments):
            at = moments.index(moment)
            cold = denoiser.seconds(at)
            times = [denoiser.seconds(at) for _ in range(repeats)]
            steps[moment] = statistics.median(times)
            first += max(0.0, cold - steps[moment])
        peak = torch.cuda.max_memory_allocated() if denoiser.device.type == "cuda" else 0
    counts = {moment: moments.count(moment) for moment in steps}
    return Row(name, dense, share, subjects, steps, first, counts, peak)


def controls_for(pipe) -> dict[str, tuple[Steering, bool]]:
    """Controls by name, and whether all layouts and a dense mask are timed."""
    family = family_of(type(pipe).__name__)
    strong = preset("strong", family)
    found = {"strong": (strong, True)}
    if "full" in family.kinds:
        both = replace(strong, kinds=("cross", "full"))
        found["strong-plus-self"] = (replace(both, self_share=0.5), True)
        found["strong-plus-self-everywhere"] = (both, True)
    else:
        found["peekaboo"] = (preset("peekaboo", family), True)
    return found


def decoding_seconds(pipe, size: Size) -> float:
    """Wall time of decoding a clip, the second of two."""
    device = pipe.device
    times = []
    for _ in range(2):
        synchronise(device)
        start = time.perf_counter()
        if isinstance(pipe, WanPipeline):
            latents = torch.randn(
                1, 16, (size.frames - 1) // 4 + 1, size.height // 8, size.width // 8, device=device
            )
            pipe.vae.decode(latents.to(pipe.vae.dtype), return_dict=False)
        else:
            latents = torch.randn(1, 4, size.frames, size.height // 8, size.width // 8, device=device)
            pipe.decode_latents(latents.to(pipe.vae.dtype))
        synchronise(device)
        times.append(time.perf_counter() - start)
    return times[-1]


LAYOUTS = ((0.1, 1), (0.25, 1), (0.5, 1), (0.3, 3))
"""Share of the picture that subjects cover together, and their number."""


def described(row: Row, free: Row, decoding: float, steps: int) -> dict[str, Any]:
    """A row with its ratios to the unmasked one."""
    plain = free.steps["free"]
    clip = sum(count * row.steps[moment] for moment, count in row.moments.items()) + row.first + decoding
    return {
        **asdict(row),
        "step_ratio": {moment: round(seconds / plain, 3) for moment, seconds in row.steps.items()},
        "clip_ratio": round(clip / (steps * plain + free.first + decoding), 4),
        "memory_ratio": round(row.peak_bytes / free.peak_bytes, 4) if free.peak_bytes else None,
    }


def profiled(pipe, size: Size, steering: Steering | None) -> str:
    """Where the time of a masked step goes, as PyTorch's profiler has it."""
    labels = moving_boxes(size.frames, size.height, size.width, 0.25, 1)
    with ExitStack() as stack:
        if steering is not None:
            stack.enter_context(peekaboo(pipe, labels, PHRASES[:1], steering=steering))
        denoiser = Denoiser(pipe, size, 1)
        denoiser.step(0)
        kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=kinds) as profile:
            denoiser.seconds(0)
    return profile.key_averages().table(sort_by="self_device_time_total", row_limit=25)


def main(
    model: Annotated[str, typer.Argument(help=f"One of {', '.join(SIZES)}.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Takes the result.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Takes a profile of a step of each control.")] = None,
    only: Annotated[str | None, typer.Option(help="The one control to time, by its name.")] = None,
    small: Annotated[bool, typer.Option(help="Narrow networks and short clips, for a try.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cuda",
) -> None:
    """Print the table, and write it as JSON."""
    size = SIZES[model]
    if small:
        frames, height, width = SMALL[model]
        size = replace(size, frames=frames, height=height, width=width)
    torch.manual_seed(0)
    pipe = size.make(small).to(device)
    rows: list[Row] = []
    with torch.no_grad():
        measure(pipe, size, "none", None, 0, 1, False, repeats=1)
        decoding = decoding_seconds(pipe, size)
        free = measure(pipe, size, "none", None, 0, 1, False)
        for row in timed(pipe, size, free, only):
            rows.append(row)
            told = [described(each, free, decoding, size.steps) for each in rows]
            if json_file:
                write(json_file, size, pipe, decoding, told)
        show(size, told)
        if profile:
            named = {"none": None, **{name: own for name, (own, _) in controls_for(pipe).items()}}
            text = "\n\n".join(f"{name}\n{profiled(pipe, size, own)}" for name, own in named.items())
            profile.write_text(text, encoding="utf-8")


def timed(pipe, size: Size, free: Row, only: str | None = None) -> Iterator[Row]:
    """The rows, one after the other; the unmasked one comes again at the end."""
    yield free
    for name, (steering, compare) in controls_for(pipe).items():
        if only not in (None, name):
            continue
        measure(pipe, size, name, steering, *WARM_UP, dense=False, repeats=1)
        for share, subjects in LAYOUTS if compare else LAYOUTS[1:2]:
            yield measure(pipe, size, name, steering, share, subjects, False)
            if compare and (share, subjects) == LAYOUTS[1]:
                yield measure(pipe, size, name, steering, share, subjects, True)
    yield measure(pipe, size, "none", None, 0, 1, False)


def write(path: Path, size: Size, pipe, decoding: float, rows: list[dict[str, Any]]) -> None:
    """Write what is known so far, whole or not at all."""
    record = {
        "command": " ".join(["python", *sys.argv]),
        "model": size.title,
        "clip": {"frames": size.frames, "height": size.height, "width": size.width, "steps": size.steps},
        "parameters_millions": round(sum(p.numel() for p in _denoiser(pipe).parameters()) / 1e6, 1),
        "device": torch.cuda.get_device_name() if pipe.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "decoding_seconds": round(decoding, 3),
        "rows": rows,
    }
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _denoiser(pipe) -> torch.nn.Module:
    return pipe.transformer if isinstance(pipe, WanPipeline) else pipe.unet


def show(size: Size, rows: list[dict[str, Any]]) -> None:
    """Print what the rows say in ratios."""
    table = Table("control", "masks", "covered", "subjects", "masked step", "bound step", "clip", "memory")
    for row in rows:
        step = row["step_ratio"]
        table.add_row(
            row["control"],
            "dense" if row["dense"] else "ours",
            f"{row['share']:.0%}",
            str(row["subjects"]),
            f"{step.get('masked', step.get('free')):.3f}",
            f"{step['bound']:.3f}" if "bound" in step else "",
            f"{row['clip_ratio']:.4f}",
            f"{row['memory_ratio']:.3f}" if row["memory_ratio"] else "",
        )
    console = Console(width=120)
    console.print(f"{size.title}: an unmasked step takes {rows[0]['steps']['free']:.4f} s")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
