# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the denoiser and its text encoder together, by flow matching on latents of drawn clips."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from peekaboo_engine.benchmark.segmenter import Segmenter
from shapes_training.captions import MAX_TOKENS, CaptionEncoder, build_tokenizer, phrase_local_mask
from shapes_training.latent_buffer import Batch, LatentBuffer
from shapes_training.networks import FLOW_SHIFT, assemble, build_denoiser, build_text_encoder
from shapes_training.probing import probe
from shapes_training.processes import Processes, join
from shapes_training.schedule import Average, Clock, append_log, learning_rate, save_atomically
from shapes_training.sheets import save_sheet
from shapes_training.speed import (
    FlatGradients,
    HalfPrecisionTwin,
    RecordedCall,
    norms_in_input_precision,
    quick_attention_over_time,
)

_TEXT_RATE = 2.0  # of the denoiser's
_EMPTY_CAPTIONS = 0.11
_PHRASE_LOCAL = 0.6  # of the captions
_LOCATED = 0.8  # sigma below which a noisy clip still shows where its subjects are
_SUBJECT_WEIGHT = 3.0
_SAVE_INTERVAL = 300.0  # seconds
_LOOK_INTERVAL = 20  # steps between two looks at the clock
_LOG_INTERVAL = 100  # steps


class Trainer:
    """The two networks with their optimizer and averages: what a checkpoint holds."""

    def __init__(self, folder: Path, seed: int, processes: Processes, peak_rate: float = 0.0):
        torch.manual_seed(seed)  # the same first weights in every process
        self.folder, self.processes, self._peak_rate = folder, processes, peak_rate
        device = self.device = processes.device
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
            lr=peak_rate,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=device.startswith("cuda"),
        )
        self.average = Average(self.networks)
        self._gradients = FlatGradients(self.networks)
        self._measure = RecordedCall(self._backward) if device.startswith("cuda") else self._backward
        self.step, self.spent = 0, 0.0
        self._path = folder / "denoiser_state.pt"
        if self._path.exists():
            self._load()
        torch.manual_seed(seed + self.step + 1 + processes.rank)  # other noise in each

    def start_from(self, pipeline: Path) -> None:
        """Take the weights of a saved pipeline; the optimizer starts afresh.

        Words are found by their spelling: the vocabularies may differ.
        """
        text_encoder = CLIPTextModel.from_pretrained(pipeline / "text_encoder")
        denoiser = UNet3DConditionModel.from_pretrained(pipeline / "unet")
        known = CLIPTokenizer.from_pretrained(pipeline / "tokenizer").get_vocab()
        own = self.text_encoder.get_input_embeddings().weight.detach().cpu().clone()
        before = text_encoder.get_input_embeddings().weight.detach().float()
        for piece, row in self.tokenizer.get_vocab().items():
            if piece in known:
                own[row] = before[known[piece]]
        text_encoder.resize_token_embeddings(len(own), mean_resizing=False)
        text_encoder.get_input_embeddings().weight.data = own
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

    def learn(self, batch: Batch, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimizer step; returns the mean squared error and the gradient's norm, still on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._peak_rate * rate * group["factor"]
        error = self._measure(*batch)
        self.processes.average(self._gradients.flat)
        norm = self._gradients.clip(1.0)
        self.optimizer.step()
        self.average.update(self.step)
        self.step += 1
        return error, norm

    def _backward(
        self, latents: torch.Tensor, tokens: torch.Tensor, marks: torch.Tensor, near: torch.Tensor
    ) -> torch.Tensor:
        """Leave the gradients of a batch in place; nothing here makes the host wait for the device."""
        batch = len(latents)
        empty = torch.rand(batch, device=self.device) < _EMPTY_CAPTIONS
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
        error = (velocity.float() - (noise - latents)).square().mean(1)
        # Subjects are a small part of the picture. While it is open where they will be, a weight on their
        # places would teach to expect them everywhere.
        located = (sigma < _LOCATED).view(-1, 1, 1, 1)
        weight = 1 + _SUBJECT_WEIGHT * (near & located)
        self._gradients.flat.zero_()
        ((weight * error).mean() / weight.mean()).backward()
        if self._twin:
            self._twin.push_gradients()
        return error.detach().mean()

    def _predict(self, noisy: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        if not self._twin:
            return self.denoiser(noisy, timestep, context, return_dict=False)[0]
        self._twin.pull_weights()
        half = (noisy.bfloat16(), timestep, context.bfloat16())
        return self._twin.network(*half, return_dict=False)[0]

    def probe(self, vae: AutoencoderKL, clips: int) -> tuple[float, np.ndarray]:
        """Sample with the averaged weights; see `probing.probe`."""
        self.average.swap()
        pipe = assemble(vae, self.text_encoder, self.tokenizer, self.denoiser)
        detected = probe(pipe, Segmenter.load(self.device), clips, seed=1)
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
    chunk_interval: int,
    probe_clips: int,
    peak_rate: float,
    init: Path | None,
) -> None:
    """Train for `seconds` in all, at most `run_seconds` now, continuing what is in `folder`.

    A folder without a denoiser starts from the pipeline `init`, if given, and with its autoencoder if it has
    none itself. Under `torchrun`, `batch`, `capacity` and `chunk` are each process's own.
    """
    processes = join(device)
    trainer = Trainer(folder, seed, processes, peak_rate)
    autoencoder = folder / "vae"
    if init and not trainer.step:
        trainer.start_from(init)
        autoencoder = autoencoder if autoencoder.is_dir() else init / "vae"
    vae = AutoencoderKL.from_pretrained(autoencoder).float().to(processes.device).eval()
    norms_in_input_precision(vae)
    if processes.leads:
        vae.save_pretrained(folder / "vae")
    drawing_seed = seed + trainer.step + 100_003 * processes.rank
    buffer = LatentBuffer(vae, CaptionEncoder(trainer.tokenizer), capacity, drawing_seed, processes.device)
    for _ in range(max(1, capacity // (8 * chunk))):
        buffer.refresh(chunk)
    on_gpu = processes.device.startswith("cuda")
    with quick_attention_over_time() if on_gpu else contextlib.nullcontext():
        run(
            trainer,
            buffer,
            Clock(seconds, trainer.spent),
            run_seconds,
            batch,
            chunk,
            chunk_interval,
            probe_clips,
        )


def run(
    trainer: Trainer,
    buffer: LatentBuffer,
    clock: Clock,
    run_seconds: float,
    batch: int,
    chunk: int,
    chunk_interval: int,
    probe_clips: int,
) -> None:
    """Learn until the clock or the run is over; the leader saves and probes now and then, and at the end."""
    losses, saved, over = [], clock.this_run, False
    fraction = clock.fraction
    while not over:
        if trainer.step % chunk_interval == 0:
            buffer.refresh(chunk)
        loss, norm = trainer.learn(buffer.choose(batch), learning_rate(fraction, trainer.step))
        losses.append(loss)
        if trainer.step % _LOG_INTERVAL == 0 and trainer.processes.leads:
            mean_loss = torch.stack(losses).mean().item()
            entry = {"step": trainer.step, "seconds": clock.spent, "loss": mean_loss, "gradient": norm.item()}
            append_log(trainer.folder / "denoiser_log.jsonl", **entry)
            losses.clear()
        if trainer.step % _LOOK_INTERVAL == 0:
            fraction = trainer.processes.agree(clock.fraction)
            this_run = trainer.processes.agree(clock.this_run)
            over = fraction >= 1 or this_run >= run_seconds
            if over or this_run - saved > _SAVE_INTERVAL:
                saved = this_run
                if trainer.processes.leads:
                    trainer.save(clock.spent)
                    _log_probe(trainer, buffer.vae, probe_clips, clock.spent)


def _log_probe(trainer: Trainer, vae: AutoencoderKL, clips: int, seconds: float) -> None:
    if not clips:
        return
    detected, frames = trainer.probe(vae, clips)
    entry = {"step": trainer.step, "seconds": seconds, "detected": detected}
    append_log(trainer.folder / "probe_log.jsonl", **entry)
    sheet = torch.from_numpy(frames[:, ::5]).permute(0, 1, 4, 2, 3) * 2 - 1
    save_sheet(trainer.folder / f"probe_{trainer.step:06d}.png", sheet)


def export(folder: Path, out: Path, seed: int, device: str) -> None:
    """Save the averaged weights as a pipeline in half precision."""
    trainer = Trainer(folder, seed, Processes(0, 1, device))
    trainer.average.swap()
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    vae.register_to_config(_name_or_path="")  # a folder of the machine that it was trained on
    pipe = assemble(vae, trainer.text_encoder, trainer.tokenizer, trainer.denoiser)
    pipe.to("cpu", torch.float16).save_pretrained(out)
