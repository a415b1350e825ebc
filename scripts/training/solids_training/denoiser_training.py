# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the denoiser and its text encoder together, by flow matching on latents of drawn clips."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from shapes_training.processes import Processes, join
from shapes_training.schedule import Average, Clock, append_log, learning_rate, save_atomically
from shapes_training.sheets import save_sheet
from shapes_training.speed import FlatGradients
from transformers import UMT5EncoderModel

from peekaboo_engine.benchmark.segmenter import Segmenter
from solids_training.captions import (
    END,
    MAX_TOKENS,
    PAD,
    PIPELINE_TOKENS,
    CaptionEncoder,
    build_tokenizer,
    padding_bias,
    text_mask,
)
from solids_training.denoiser_passes import DenoiserPasses
from solids_training.latents import Batch, LatentRing
from solids_training.networks import (
    FLOW_SHIFT,
    assemble,
    build_denoiser,
    build_text_encoder,
)
from solids_training.probing import probe

_MATRIX_RATE, _RATE, _TEXT_RATE = 2e-3, 7e-4, 1.4e-3
_EMPTY_CAPTIONS = 0.11
_PHRASE_LOCAL = 0.6  # of the captions
_PIPELINE_LENGTH = 0.5  # of the captions are padded as the pipeline pads, the others to any shorter length
_LOCATED = 0.8  # sigma below which a noisy clip still shows where its subjects are
_SUBJECT_WEIGHT = 3.0
_SAVE_INTERVAL = 100.0  # seconds
_LOOK_INTERVAL, _LOG_INTERVAL = 20, 100  # steps
PROBE_STEPS, PROBE_GUIDANCE = 25, 5.0


class Trainer:
    """The two networks with their optimizers and averages: what a checkpoint holds."""

    def __init__(self, folder: Path, seed: int, processes: Processes):
        torch.manual_seed(seed)  # the same first weights in every process
        self.folder, self.processes = folder, processes
        device = self.device = processes.device
        on_gpu = device.startswith("cuda")
        self.tokenizer = build_tokenizer()
        self.text_encoder = build_text_encoder(len(self.tokenizer)).to(device).train()
        self.denoiser = build_denoiser().to(device).train()
        self._passes = DenoiserPasses(self.denoiser, compiled=on_gpu)
        self.networks = torch.nn.ModuleList([self.denoiser, self.text_encoder])
        self.optimizers = _optimizers(self.denoiser, self.text_encoder, on_gpu)
        self._rates = [[group["lr"] for group in one.param_groups] for one in self.optimizers]
        self.average = Average(self.networks)
        self._gradients = FlatGradients(self.networks)
        self.step, self.spent = 0, 0.0
        self._path = folder / "denoiser_state.pt"
        if self._path.exists():
            state = torch.load(self._path, map_location=device, weights_only=True)
            self.networks.load_state_dict(state["networks"])
            for one, saved in zip(self.optimizers, state["optimizers"], strict=True):
                one.load_state_dict(saved)
            self.average.values = state["average"]
            self.step, self.spent = state["step"], state["spent"]
        torch.manual_seed(seed + self.step + 1 + processes.rank)  # other noise in each

    def save(self, spent: float) -> None:
        """Save everything that a later run needs to go on."""
        state = {
            "networks": self.networks.state_dict(),
            "optimizers": [one.state_dict() for one in self.optimizers],
            "average": self.average.values,
        }
        save_atomically({**state, "step": self.step, "spent": spent}, self._path)

    def learn(self, batch: Batch, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimizer step; returns the mean squared error and the gradient's norm, still on the device."""
        for optimizer, rates in zip(self.optimizers, self._rates, strict=True):
            for group, own in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = own * rate
        error = self._backward(batch)
        self.processes.average(self._gradients.flat)
        norm = self._gradients.clip(1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update(self.step)
        self.step += 1
        return error, norm

    def _backward(self, batch: Batch) -> torch.Tensor:
        """Leave the gradients of a batch in place; nothing here makes the host wait for the device."""
        latents, tokens, marks, near = batch
        count, device = len(latents), latents.device
        empty = (torch.rand(count, device=device) < _EMPTY_CAPTIONS)[:, None]
        first = torch.arange(MAX_TOKENS, device=device) == 0
        tokens = torch.where(empty, torch.where(first, END, PAD), tokens)
        marks = torch.where(empty, torch.where(first, 0, -1), marks)
        local = torch.rand(count, device=device) < _PHRASE_LOCAL
        uniform = torch.rand(count, device=device)
        sigma = FLOW_SHIFT * uniform / (1 + (FLOW_SHIFT - 1) * uniform)
        noise = torch.randn_like(latents)
        noisy = torch.lerp(latents, noise, sigma.view(-1, 1, 1, 1, 1))
        with torch.autocast(device.type, torch.bfloat16):
            context = encode_text(self.text_encoder, tokens, marks, local)
            bias = padding_bias(tokens, _any_length(count, device))
            velocity = self._passes(noisy, 1000 * sigma, context, bias)
        error = (velocity.float() - (noise - latents)).square().mean(1)
        # Subjects are a small part of the picture. While it is open where they will be, a weight on their
        # places would teach to expect them everywhere.
        weight = 1 + _SUBJECT_WEIGHT * (near & (sigma < _LOCATED).view(-1, 1, 1, 1))
        self._gradients.flat.zero_()
        ((weight * error).mean() / weight.mean()).backward()
        return error.detach().mean()

    def log_probe(self, vae: AutoencoderKLWan, clips: int, seconds: float) -> None:
        """Sample with the averaged weights, log what is found and save a sheet."""
        if not clips:
            return
        self.average.swap()
        pipe = assemble(vae, self.text_encoder, self.tokenizer, self.denoiser)
        segmenter = Segmenter.load(self.device)
        detected, frames = probe(pipe, segmenter, clips, 1, PROBE_STEPS, PROBE_GUIDANCE)
        self.average.swap()
        self.networks.train()
        append_log(self.folder / "probe_log.jsonl", step=self.step, seconds=seconds, detected=detected)
        sheet = torch.from_numpy(frames[:12, ::5]).permute(0, 1, 4, 2, 3) * 2 - 1
        save_sheet(self.folder / f"probe_{self.step:06d}.png", sheet)


def encode_text(
    text_encoder: torch.nn.Module, tokens: torch.Tensor, marks: torch.Tensor, local: torch.Tensor
) -> torch.Tensor:
    """Embeddings (captions, MAX_TOKENS, width), zero where there is padding, as Wan's pipeline has them."""
    hidden = text_encoder(tokens, attention_mask=text_mask(marks, local))[0]
    return hidden * (tokens != PAD)[..., None]


def _any_length(count: int, device: torch.device) -> torch.Tensor:
    """Numbers of tokens to which captions are padded."""
    span = math.log(PIPELINE_TOKENS / MAX_TOKENS)
    shorter = MAX_TOKENS * (span * torch.rand(count, device=device)).exp()
    return torch.where(torch.rand(count, device=device) < _PIPELINE_LENGTH, PIPELINE_TOKENS, shorter)


def _optimizers(
    denoiser: WanTransformer3DModel, text_encoder: UMT5EncoderModel, on_gpu: bool
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer's blocks, AdamW for the rest."""
    matrices = [parameter for parameter in denoiser.blocks.parameters() if parameter.ndim == 2]
    own = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in denoiser.parameters() if id(parameter) not in own]
    return [
        torch.optim.Muon(matrices, lr=_MATRIX_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [
                {"params": rest, "lr": _RATE},
                {"params": list(text_encoder.parameters()), "lr": _TEXT_RATE},
            ],
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=on_gpu,
        ),
    ]


def train_denoiser(
    folder: Path,
    seconds: float,
    run_seconds: float,
    seed: int,
    device: str,
    batch: int,
    capacity: int,
    chunk: int,
    chunk_interval: int,
    probe_clips: int,
) -> None:
    """Train for `seconds` in all, at most `run_seconds` now, continuing what is in `folder`.

    The folder holds the autoencoder. Under `torchrun`, `batch`, `capacity` and `chunk` are those of each
    process.
    """
    processes = join(device)
    trainer = Trainer(folder, seed, processes)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae").float().to(processes.device).eval()
    drawing_seed = seed + trainer.step + 100_003 * processes.rank
    ring = LatentRing(vae, CaptionEncoder(trainer.tokenizer), capacity, drawing_seed, processes.device)
    for _ in range(max(1, capacity // (4 * chunk))):
        ring.refresh(chunk)
    clock = Clock(seconds, trainer.spent)
    losses, saved, fraction, over = [], clock.this_run, clock.fraction, False
    while not over:
        if trainer.step % chunk_interval == 0:
            ring.refresh(chunk)
        loss, norm = trainer.learn(ring.choose(batch), learning_rate(fraction, trainer.step))
        losses.append(loss)
        if trainer.step % _LOG_INTERVAL == 0 and processes.leads:
            mean_loss = torch.stack(losses).mean().item()
            entry = {"step": trainer.step, "seconds": clock.spent, "loss": mean_loss, "gradient": norm.item()}
            append_log(folder / "denoiser_log.jsonl", **entry)
            losses.clear()
        if trainer.step % _LOOK_INTERVAL == 0:
            fraction = processes.agree(clock.fraction)
            this_run = processes.agree(clock.this_run)
            over = fraction >= 1 or this_run >= run_seconds
            if (over or this_run - saved > _SAVE_INTERVAL) and processes.leads:
                saved = this_run
                trainer.save(clock.spent)
                if over:
                    export(trainer, vae)
                trainer.log_probe(vae, probe_clips if over else min(12, probe_clips), clock.spent)


def export(trainer: Trainer, vae: AutoencoderKLWan) -> None:
    """Save the averaged weights as a pipeline in half precision, in the folder's `pipeline`."""
    trainer.average.swap()
    parts = (vae, trainer.text_encoder, trainer.denoiser)
    kept = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    vae.register_to_config(_name_or_path="")  # a folder of the machine that it was trained on
    pipe = assemble(vae, trainer.text_encoder, trainer.tokenizer, trainer.denoiser)
    pipe.to(dtype=torch.float16).save_pretrained(trainer.folder / "pipeline")
    for part, weights in zip(parts, kept, strict=True):
        part.float().load_state_dict(weights)
    trainer.average.swap()
    trainer.networks.train()
