# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the denoiser and its text encoder together, by flow matching on latents of drawn clips.

Drawing and encoding cost more than a training step, so latents wait in a ring buffer on the device: each step
replaces a few of them and learns from a random choice of all.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from transformers import CLIPTextModel

from shapes_training.captions import MAX_TOKENS, CaptionEncoder, build_tokenizer, phrase_local_mask
from shapes_training.drawing import draw
from shapes_training.networks import (
    FLOW_SHIFT,
    LATENT_CHANNELS,
    LATENT_STRIDE,
    assemble,
    build_denoiser,
    build_text_encoder,
)
from shapes_training.probing import probe
from shapes_training.scenes import HEIGHT, NUM_FRAMES, WIDTH, sample_scenes, to_device
from shapes_training.schedule import Average, Clock, append_log, learning_rate, save_atomically
from shapes_training.sheets import save_sheet
from shapes_training.speed import HalfPrecisionTwin, norms_in_input_precision, quick_attention_over_time

_PEAK_RATE = 7e-4
_TEXT_RATE = 2.0  # of the denoiser's
_EMPTY_CAPTIONS = 0.11
_PHRASE_LOCAL = 0.6  # of the captions
_SAVE_INTERVAL = 120.0  # seconds
_FILLING = 8  # clips drawn at a time before training begins


class LatentBuffer:
    """A ring of encoded clips with their captions, refreshed a few at a time."""

    def __init__(self, vae: AutoencoderKL, encode: CaptionEncoder, capacity: int, seed: int, device: str):
        self.vae, self._encode_captions, self._next = vae, encode, 0
        self._cpu = torch.Generator().manual_seed(seed)
        self._device = torch.Generator(device).manual_seed(seed)
        grid = (HEIGHT // LATENT_STRIDE, WIDTH // LATENT_STRIDE)
        self.size = 0
        self.latents = torch.empty(
            capacity, LATENT_CHANNELS, NUM_FRAMES, *grid, dtype=torch.bfloat16, device=device
        )
        self.tokens = torch.empty(capacity, MAX_TOKENS, dtype=torch.int64, device=device)
        self.marks = torch.empty_like(self.tokens)

    @torch.no_grad()
    def refresh(self, clips: int) -> None:
        """Draw and encode some clips, in place of the oldest; their number divides the capacity."""
        scenes = sample_scenes(self._cpu, clips)
        drawn, _ = draw(scenes.to(self._device.device), self._device)
        frames = drawn.flatten(0, 1)
        with torch.autocast(frames.device.type, torch.bfloat16):
            latents = self.vae.encode(frames).latent_dist.sample(self._device)
        latents = latents.unflatten(0, drawn.shape[:2]).transpose(1, 2) * self.vae.config.scaling_factor
        tokens, marks = self._encode_captions(scenes.captions)
        rows = slice(self._next, self._next + clips)
        self.latents[rows], self.tokens[rows], self.marks[rows] = (
            latents,
            to_device(tokens, self.tokens.device),
            to_device(marks, self.marks.device),
        )
        self._next = (self._next + clips) % len(self.latents)
        self.size = min(self.size + clips, len(self.latents))

    def choose(self, batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return latents, tokens and marks of `batch` random clips."""
        rows = torch.randint(self.size, (batch,), generator=self._device, device=self.latents.device)
        return self.latents[rows].float(), self.tokens[rows], self.marks[rows]


class Trainer:
    """The two networks with their optimizer and averages: what a checkpoint holds."""

    def __init__(self, folder: Path, seed: int, device: str):
        torch.manual_seed(seed)
        self.folder, self.device = folder, device
        self.tokenizer = build_tokenizer()
        self.text_encoder = build_text_encoder(self.tokenizer).to(device).train()
        self.denoiser = build_denoiser().to(device).train()
        for module in self.denoiser.modules():  # data is endless: dropout would only cost time
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self._twin = HalfPrecisionTwin(self.denoiser) if device.startswith("cuda") else None
        self.networks = torch.nn.ModuleList([self.denoiser, self.text_encoder])
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(self.denoiser.parameters()), "factor": 1.0},
                {"params": list(self.text_encoder.parameters()), "factor": _TEXT_RATE},
            ],
            lr=_PEAK_RATE,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=device.startswith("cuda"),
        )
        self.average = Average(self.networks)
        self.step, self.spent = 0, 0.0
        self._path = folder / "denoiser_state.pt"
        if self._path.exists():
            self._load()

    def start_from(self, pipeline: Path) -> None:
        """Take the weights of a saved pipeline; the optimizer starts afresh."""
        text_encoder = CLIPTextModel.from_pretrained(pipeline / "text_encoder")
        denoiser = UNet3DConditionModel.from_pretrained(pipeline / "unet")
        for network, source in ((self.text_encoder, text_encoder), (self.denoiser, denoiser)):
            network.load_state_dict({name: value.float() for name, value in source.state_dict().items()})
        self.average = Average(self.networks)

    def _load(self) -> None:
        state = torch.load(self._path, map_location=self.device, weights_only=True)
        self.networks.load_state_dict(state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.values = state["average"]
        self.step, self.spent = state["step"], state["spent"]

    def save(self, spent: float) -> None:
        """Save everything that a later run needs to go on."""
        state = {"networks": self.networks.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_atomically(
            {**state, "average": self.average.values, "step": self.step, "spent": spent}, self._path
        )

    def learn(self, buffer: LatentBuffer, batch: int, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimizer step on `batch` clips; returns loss and gradient norm, still on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = _PEAK_RATE * rate * group["factor"]
        latents, tokens, marks = buffer.choose(batch)
        empty = torch.rand(batch, device=self.device) < _EMPTY_CAPTIONS
        # Indexing by a mask would make the host wait for the device; so would unpinned copies in `refresh`.
        after_start = torch.arange(MAX_TOKENS, device=self.device) > 0
        tokens = torch.where(empty[:, None] & after_start, self.tokenizer.eos_token_id, tokens)
        local = (torch.rand(batch, device=self.device) < _PHRASE_LOCAL) & ~empty
        uniform = torch.rand(batch, device=self.device)
        sigma = FLOW_SHIFT * uniform / (1 + (FLOW_SHIFT - 1) * uniform)
        noise = torch.randn_like(latents)
        noisy = torch.lerp(latents, noise, sigma.view(-1, 1, 1, 1, 1))
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            context = self.text_encoder(tokens, attention_mask=phrase_local_mask(marks, local))[0]
        velocity = self._predict(noisy, 1000 * sigma, context)
        loss = torch.nn.functional.mse_loss(velocity.float(), noise - latents)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._twin:
            self._twin.push_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.step)
        self.step += 1
        return loss.detach(), norm

    def _predict(self, noisy: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        if not self._twin:
            return self.denoiser(noisy, timestep, context, return_dict=False)[0]
        self._twin.pull_weights()
        half = (noisy.bfloat16(), timestep, context.bfloat16())
        return self._twin.network(*half, return_dict=False)[0]

    def probe(self, vae: AutoencoderKL, clips: int) -> tuple[float, np.ndarray]:
        """Sample with the averaged weights; see `probing.probe`."""
        self.average.swap()
        detected = probe(assemble(vae, self.text_encoder, self.tokenizer, self.denoiser), clips, seed=1)
        self.average.swap()
        self.networks.train()
        return detected


def train_denoiser(
    folder: Path,
    seconds: float,
    run_seconds: float,
    seed: int,
    device: str,
    batch: int,
    capacity: int,
    chunk: int,
    probe_clips: int,
    start: Path | None,
) -> None:
    """Train for `seconds` in all, at most `run_seconds` now, continuing what is in `folder`.

    A folder without a denoiser starts from the pipeline `start`, if given, and with its autoencoder.
    """
    trainer = Trainer(folder, seed, device)
    if start and not trainer.step:
        trainer.start_from(start)
        shutil.copytree(start / "vae", folder / "vae", dirs_exist_ok=True)
    vae = AutoencoderKL.from_pretrained(folder / "vae").to(device).eval()
    norms_in_input_precision(vae)
    buffer = LatentBuffer(vae, CaptionEncoder(trainer.tokenizer), capacity, seed + trainer.step, device)
    for _ in range(max(1, capacity // (8 * _FILLING))):
        buffer.refresh(_FILLING)
    with quick_attention_over_time() if device.startswith("cuda") else contextlib.nullcontext():
        run(trainer, buffer, Clock(seconds, trainer.spent), run_seconds, batch, chunk, probe_clips)


def run(
    trainer: Trainer,
    buffer: LatentBuffer,
    clock: Clock,
    run_seconds: float,
    batch: int,
    chunk: int,
    probe_clips: int,
) -> None:
    """Learn until the clock or the run is over; save and probe every two minutes and at the end."""
    losses, saved = [], clock.this_run
    over = False
    while not over:
        buffer.refresh(chunk)
        loss, norm = trainer.learn(buffer, batch, learning_rate(clock.fraction, trainer.step))
        losses.append(loss)
        over = clock.fraction >= 1 or clock.this_run >= run_seconds
        if trainer.step % 100 == 0:
            mean_loss = torch.stack(losses).mean().item()
            entry = {"step": trainer.step, "seconds": clock.spent, "loss": mean_loss, "gradient": norm.item()}
            append_log(trainer.folder / "denoiser_log.jsonl", **entry)
            losses.clear()
        if over or clock.this_run - saved > _SAVE_INTERVAL:
            trainer.save(clock.spent)
            if probe_clips:
                _log_probe(trainer, buffer.vae, probe_clips, clock.spent)
            saved = clock.this_run


def _log_probe(trainer: Trainer, vae: AutoencoderKL, clips: int, seconds: float) -> None:
    detected, frames = trainer.probe(vae, clips)
    entry = {"step": trainer.step, "seconds": seconds, "detected": detected}
    append_log(trainer.folder / "probe_log.jsonl", **entry)
    sheet = torch.from_numpy(frames[:, ::5]).permute(0, 1, 4, 2, 3) * 2 - 1
    save_sheet(trainer.folder / f"probe_{trainer.step:06d}.png", sheet)


def export(folder: Path, out: Path, seed: int, device: str) -> None:
    """Save the averaged weights as a pipeline in half precision."""
    trainer = Trainer(folder, seed, device)
    trainer.average.swap()
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    pipe = assemble(vae, trainer.text_encoder, trainer.tokenizer, trainer.denoiser)
    pipe.to("cpu", torch.float16).save_pretrained(out)
