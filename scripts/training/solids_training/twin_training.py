# SPDX-License-Identifier: GPL-3.0-or-later
"""Distils guidance and steps: a LoRA with which `solids` makes a clip in eight steps without guidance.

The teacher follows its guided path in small steps, from noise to clip. The twin learns, at each point where
it will stand itself, the mean velocity up to its next point. The path is deterministic, so there is one right
answer, and nothing blurs. The twin's points are those of the pipeline's scheduler.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from shapes_training.processes import join
from shapes_training.scenes import sample_scenes, to_device
from shapes_training.schedule import Average, Clock, append_log, learning_rate
from shapes_training.sheets import save_sheet
from shapes_training.speed import FlatGradients
from torch import nn

from peekaboo_engine.benchmark.segmenter import Segmenter
from solids_training.captions import (
    END,
    PAD,
    PIPELINE_TOKENS,
    CaptionEncoder,
    padding_bias,
)
from solids_training.denoiser_passes import DenoiserPasses
from solids_training.denoiser_training import PROBE_GUIDANCE, Trainer, encode_text
from solids_training.latents import GRID
from solids_training.networks import LATENT_CHANNELS, assemble, build_scheduler
from solids_training.probing import probe

STEPS = 8
_SUBSTEPS = 3  # of the teacher for one of the twin
_RANK = 32
_PEAK_RATE = 1e-3
_LOOK_INTERVAL, _LOG_INTERVAL = 10, 50  # steps
LAYERS = (
    *(
        f"{attention}.{part}"
        for attention in ("attn1", "attn2")
        for part in ("to_q", "to_k", "to_v", "to_out.0")
    ),
    *("ffn.net.0.proj", "ffn.net.2"),
)


class LowRankLinear(nn.Module):
    """A linear layer that stays as it is, and a product of two thin matrices beside it that learns."""

    def __init__(self, layer: nn.Linear, rank: int):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        device = layer.weight.device
        self.lora_A = nn.Parameter(
            torch.randn(rank, layer.in_features, device=device) / layer.in_features**0.5
        )
        self.lora_B = nn.Parameter(torch.zeros(layer.out_features, rank, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output and the product's."""
        return self.layer(x) + F.linear(F.linear(x, self.lora_A), self.lora_B)


def add_low_rank(denoiser: WanTransformer3DModel, rank: int) -> dict[str, LowRankLinear]:
    """Put low-rank layers around a denoiser's linear ones, and return them by the names of those."""
    added = {}
    denoiser.requires_grad_(False)
    for index, block in enumerate(denoiser.blocks):
        for name in LAYERS:
            layer = LowRankLinear(block.get_submodule(name), rank)
            block.set_submodule(name, layer)
            added[f"blocks.{index}.{name}"] = layer
    return added


class Paths:
    """A ring of the teacher's guided paths from noise to clip, with the captions that guided them."""

    def __init__(
        self, trainer: Trainer, passes: DenoiserPasses, sigmas: torch.Tensor, capacity: int, seed: int
    ):
        self._trainer, self._passes, self._sigmas = trainer, passes, sigmas
        device = self._where = trainer.device
        self._cpu = torch.Generator().manual_seed(seed)
        self._encode = CaptionEncoder(trainer.tokenizer)
        self._points = torch.empty(
            capacity, len(sigmas), LATENT_CHANNELS, *GRID, dtype=torch.bfloat16, device=device
        )
        self._tokens: torch.Tensor | None = None
        self._context: torch.Tensor | None = None
        self.size = 0

    @torch.no_grad()
    def follow(self, count: int) -> None:
        """Add so many paths; the ring has to have room for them."""
        captions = sample_scenes(self._cpu, count).captions
        tokens, marks = (to_device(part, self._where) for part in self._encode(captions))
        none = torch.full_like(tokens, PAD)
        none[:, 0] = END
        both = torch.cat([tokens, none])
        marks = torch.cat([marks, torch.where(none == END, 0, -1)])
        with torch.autocast(torch.device(self._where).type, torch.bfloat16):
            context = encode_text(
                self._trainer.text_encoder,
                both,
                marks,
                torch.zeros(2 * count, dtype=torch.bool, device=marks.device),
            )
            bias = padding_bias(both, torch.full((2 * count,), PIPELINE_TOKENS, device=marks.device))
            x = torch.randn(count, LATENT_CHANNELS, *GRID, device=self._where)
            rows = slice(self.size, self.size + count)
            self._points[rows, 0] = x
            for at in range(len(self._sigmas) - 1):
                part = torch.linspace(0, 1, _SUBSTEPS + 1)
                fine = torch.lerp(self._sigmas[at], self._sigmas[at + 1], part).tolist()
                for sigma, following in itertools.pairwise(fine):
                    x = x + (following - sigma) * self._guided(x, sigma, context, bias)
                self._points[rows, at + 1] = x
        self._keep(tokens, context[:count])
        self.size += count

    def _guided(
        self, x: torch.Tensor, sigma: float, context: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        timestep = torch.full((2 * len(x),), 1000 * sigma, device=x.device)
        said, unsaid = self._passes(torch.cat([x, x]), timestep, context, bias).float().chunk(2)
        return unsaid + PROBE_GUIDANCE * (said - unsaid)

    def _keep(self, tokens: torch.Tensor, context: torch.Tensor) -> None:
        if self._tokens is None or self._context is None:
            self._tokens, self._context = tokens, context.float()
        else:
            self._tokens = torch.cat([self._tokens, tokens])
            self._context = torch.cat([self._context, context.float()])

    def choose(self, batch: int) -> tuple[torch.Tensor, ...]:
        """Points, their sigmas, the mean velocities from there on, and the text with its bias."""
        assert self._tokens is not None and self._context is not None
        device = self._points.device
        rows = torch.randint(self.size, (batch,), device=device)
        at = torch.randint(len(self._sigmas) - 1, (batch,), device=device)
        sigmas = self._sigmas.to(device)
        here, there = self._points[rows, at].float(), self._points[rows, at + 1].float()
        step = (sigmas[at] - sigmas[at + 1]).view(-1, 1, 1, 1, 1)
        bias = padding_bias(self._tokens[rows], torch.full((batch,), PIPELINE_TOKENS, device=device))
        return here, sigmas[at], (here - there) / step, self._context[rows], bias


def train_twin(
    folder: Path, seconds: float, seed: int, device: str, batch: int, paths: int, probe_clips: int
) -> None:
    """Follow `paths` paths a process, then learn from them for `seconds`; writes the LoRA to `folder`."""
    processes = join(device)
    trainer = Trainer(folder, seed, processes)
    trainer.average.swap()
    on_gpu = processes.device.startswith("cuda")
    trainer.networks.eval().requires_grad_(False)
    scheduler = build_scheduler()
    scheduler.set_timesteps(STEPS)
    torch.manual_seed(seed + 7 + processes.rank)
    passes = DenoiserPasses(trainer.denoiser, compiled=on_gpu)
    ring = Paths(trainer, passes, scheduler.sigmas.cpu(), paths, seed + 1 + 100_003 * processes.rank)
    for _ in range(max(1, paths // batch)):
        ring.follow(min(batch, paths))
    if processes.leads:
        print(f"{ring.size} paths", flush=True)
    torch.manual_seed(seed)
    layers = add_low_rank(trainer.denoiser, _RANK)
    learning = nn.ParameterList(p for layer in layers.values() for p in (layer.lora_A, layer.lora_B))
    torch.manual_seed(seed + 8 + processes.rank)
    optimizer = torch.optim.AdamW(learning, lr=_PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=on_gpu)
    average, gradients = Average(learning, 0.99), FlatGradients(learning)
    passes = DenoiserPasses(trainer.denoiser, compiled=on_gpu)
    clock, fraction, step, losses = Clock(seconds), 0.0, 0, []
    while fraction < 1:
        for group in optimizer.param_groups:
            group["lr"] = _PEAK_RATE * learning_rate(fraction, step, 50)
        noisy, sigma, velocity, context, bias = ring.choose(batch)
        gradients.flat.zero_()
        with torch.autocast(noisy.device.type, torch.bfloat16):
            guess = passes(noisy, 1000 * sigma, context, bias)
        loss = (guess.float() - velocity).square().mean()
        loss.backward()
        processes.average(gradients.flat)
        norm = gradients.clip(1.0)
        optimizer.step()
        average.update(step)
        losses.append(loss.detach())
        step += 1
        if step % _LOG_INTERVAL == 0 and processes.leads:
            mean = torch.stack(losses).mean().item()
            append_log(
                folder / "twin_log.jsonl", step=step, seconds=clock.spent, loss=mean, gradient=norm.item()
            )
            losses.clear()
        if step % _LOOK_INTERVAL == 0:
            fraction = processes.agree(clock.fraction)
    if processes.leads:
        average.swap()
        _save(layers, folder)
        _log_probe(trainer, folder, probe_clips, step, clock.spent)


def _save(layers: dict[str, LowRankLinear], folder: Path) -> None:
    """Write the LoRA as diffusers' pipelines load it."""
    weights = {
        f"{name}.{half}.weight": getattr(layer, half).detach().half().cpu().contiguous()
        for name, layer in layers.items()
        for half in ("lora_A", "lora_B")
    }
    WanPipeline.save_lora_weights(folder / "twin", transformer_lora_layers=weights)


def _log_probe(trainer: Trainer, folder: Path, clips: int, step: int, seconds: float) -> None:
    if not clips:
        return
    vae = AutoencoderKLWan.from_pretrained(folder / "vae").float().to(trainer.device).eval()
    pipe = assemble(vae, trainer.text_encoder, trainer.tokenizer, trainer.denoiser)
    detected, frames = probe(pipe, Segmenter.load(trainer.device), clips, 1, STEPS, 1.0)
    append_log(folder / "twin_probe_log.jsonl", step=step, seconds=seconds, detected=detected)
    sheet = torch.from_numpy(frames[:12, ::5]).permute(0, 1, 4, 2, 3) * 2 - 1
    save_sheet(folder / "twin_probe.png", sheet)
