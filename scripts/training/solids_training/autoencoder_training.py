# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the autoencoder: on single frames first, which are cheap, then on ever longer clips."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file
from shapes_training.processes import Processes, join
from shapes_training.schedule import Average, Clock, append_log, learning_rate, save_atomically
from shapes_training.sheets import save_sheet
from shapes_training.speed import FlatGradients
from train_segmenter import accuracy, label_frames

from peekaboo_engine.benchmark.segmenter import WEIGHTS, SegmentationNetwork
from peekaboo_engine.benchmark.shapes_world import COLOURS, SHAPES
from solids_training.drawn_clips import DrawnClips, draw_clips
from solids_training.networks import NUM_FRAMES, build_autoencoder
from solids_training.whole_clips import WholeClips

_PEAK_RATE, _FINE_RATE = 1e-3, 5e-4  # from scratch, and from weights that know such clips
_KL_WEIGHT = 2e-4
_EDGE_WEIGHT, _FLICKER_WEIGHT, _CHROMA_WEIGHT = 0.5, 0.25, 0.5
#: Up to which part of the time so many frames of a clip are seen, and how many clips for one of whole length.
_STAGES = ((0.35, 1, 12), (0.55, 9, 2), (1.0, NUM_FRAMES, 1))
_SAVE_INTERVAL = 60.0  # seconds
_LOOK_INTERVAL, _LOG_INTERVAL = 10, 50  # steps
_HELD_OUT_SEED = 2**40


def reconstruction_loss(output: torch.Tensor, clips: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted absolute errors of (B, 3, T, H, W): of the picture, of its hues, and of its differences.

    Differences along x and y keep edges sharp, those along time keep a clip from flickering. Hues count of
    their own because a small subject's colour is the first thing that a weak autoencoder drops.
    """
    error = output - clips
    loss = (error.abs() * weight).mean()
    for channel in (0, 2):
        chroma = error[:, channel] - error[:, 1]
        loss = loss + 0.5 * _CHROMA_WEIGHT * (chroma.abs() * weight[:, 0]).mean()
    for axis, share in ((-1, _EDGE_WEIGHT), (-2, _EDGE_WEIGHT), (-3, _FLICKER_WEIGHT)):
        if error.shape[axis] > 1:
            along = error.diff(dim=axis).abs() * weight.narrow(axis, 1, weight.shape[axis] - 1)
            loss = loss + share * along.mean()
    return loss


class Trainer:
    """The autoencoder with its optimizer and average: what a checkpoint holds."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        processes: Processes,
        init: Path | None = None,
        decoder_of: Path | None = None,
    ):
        torch.manual_seed(seed)  # the same first weights in every process
        self.folder, self.processes = folder, processes
        device = processes.device
        on_gpu = device.startswith("cuda")
        self.vae = build_autoencoder().to(device).train()
        self._peak = _PEAK_RATE
        self.decoder_only = decoder_of is not None
        if decoder_of:
            self.vae = AutoencoderKLWan.from_pretrained(decoder_of).float().to(device).train()
            for part in (self.vae.encoder, self.vae.quant_conv):
                part.requires_grad_(False)
            self._peak = _FINE_RATE
        if init:
            averaged = torch.load(init, map_location=device, weights_only=True)["average"]
            with torch.no_grad():
                torch._foreach_copy_(list(self.vae.parameters()), averaged)
            self._peak = _FINE_RATE
        self.clips = WholeClips(self.vae, fused=on_gpu)
        learning = [parameter for parameter in self.vae.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learning, lr=self._peak, betas=(0.9, 0.99), weight_decay=1e-3, fused=on_gpu
        )
        self.average = Average(self.vae)
        self._gradients = FlatGradients(self.vae)
        self.step, self.spent = 0, 0.0
        self._path = folder / "autoencoder_state.pt"
        if self._path.exists():
            state = torch.load(self._path, map_location=device, weights_only=True)
            self.vae.load_state_dict(state["vae"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.values = state["average"]
            self.step, self.spent = state["step"], state["spent"]
        torch.manual_seed(seed + self.step + 1 + processes.rank)  # other noise in each

    def save(self, spent: float) -> None:
        """Save everything that a later run needs to go on."""
        state = {"vae": self.vae.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_atomically(
            {**state, "average": self.average.values, "step": self.step, "spent": spent}, self._path
        )

    def learn(self, clips: torch.Tensor, weight: torch.Tensor, rate: float) -> dict[str, torch.Tensor]:
        """One optimizer step; what comes back is still on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._peak * rate
        self._gradients.flat.zero_()
        with torch.autocast(clips.device.type, torch.bfloat16):
            with torch.set_grad_enabled(not self.decoder_only):
                mean, log_variance = self.clips.encode(clips).float().chunk(2, 1)
            log_variance = log_variance.clamp(-30, 20)
            latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            output = self.clips.decode(latents)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        reconstruction = reconstruction_loss(output.float(), clips, weight)
        (reconstruction + _KL_WEIGHT * divergence).backward()
        self.processes.average(self._gradients.flat)
        norm = self._gradients.clip(1.0)
        self.optimizer.step()
        self.average.update(self.step)
        self.step += 1
        error = (output.detach().float().clamp(-1, 1) - clips).abs().mean() * 127.5
        return {"reconstruction": reconstruction, "divergence": divergence, "gradient": norm, "error": error}


def train_autoencoder(
    folder: Path,
    seconds: float,
    run_seconds: float,
    seed: int,
    device: str,
    batch: int,
    capacity: int,
    chunk: int,
    chunk_interval: int,
    held_out: int,
    init: Path | None = None,
    decoder_of: Path | None = None,
) -> None:
    """Train for `seconds` in all and at most `run_seconds` now, continuing what is in `folder`.

    `batch` is the number of clips of whole length in a step; shorter ones are more. `capacity` and `chunk`
    are the clips of the ring and those drawn anew at a time. Under `torchrun` all are each process's own.
    `init` is a checkpoint whose averaged weights to start from; then all steps see whole clips.
    `decoder_of` is the folder of an autoencoder whose decoder alone to train on: its latents, which a
    denoiser has learnt, stay as they are.
    """
    processes = join(device)
    trainer = Trainer(folder, seed, processes, init, decoder_of)
    clips_only = bool(init or decoder_of)
    drawn = DrawnClips(capacity, seed + trainer.step + 100_003 * processes.rank, processes.device)
    for _ in range(max(1, capacity // (4 * chunk))):
        drawn.refresh(chunk)
    clock = Clock(seconds, trainer.spent)
    fraction, saved, over = clock.fraction, clock.this_run, False
    while not over:
        if trainer.step % chunk_interval == 0:
            drawn.refresh(chunk)
        _, frames, several = _STAGES[-1] if clips_only else next(s for s in _STAGES if fraction <= s[0])
        clips, weight = drawn.choose(batch * several, frames)
        rate = learning_rate(fraction, trainer.step, 50 if clips_only else 200)
        measured = trainer.learn(clips, weight, rate)
        if trainer.step % _LOG_INTERVAL == 0 and processes.leads:
            values = {name: value.item() for name, value in measured.items()}
            append_log(
                folder / "autoencoder_log.jsonl",
                step=trainer.step,
                seconds=clock.spent,
                frames=frames,
                **values,
            )
        if trainer.step % _LOOK_INTERVAL == 0:
            fraction = processes.agree(clock.fraction)
            this_run = processes.agree(clock.this_run)
            over = fraction >= 1 or this_run >= run_seconds
            if (over or this_run - saved > _SAVE_INTERVAL) and processes.leads:
                saved = this_run
                trainer.save(clock.spent)
    trainer.spent = clock.spent
    if processes.leads:
        finish(trainer, held_out)


@torch.no_grad()
def finish(trainer: Trainer, held_out: int) -> None:
    """Save the averaged autoencoder with its latents' scale, measured on held-out clips."""
    trainer.average.swap()
    vae = trainer.vae.eval()
    device = trainer.processes.device
    cpu = torch.Generator().manual_seed(_HELD_OUT_SEED)
    on_device = torch.Generator(device).manual_seed(_HELD_OUT_SEED)
    parts = [draw_clips(min(8, held_out), cpu, on_device) for _ in range(max(1, held_out // 8))]
    if not trainer.decoder_only:
        scale_latents(trainer.clips, parts)
    vae.register_to_config(_name_or_path="")  # a folder of the machine that it was trained on
    vae.save_pretrained(trainer.folder / "vae")
    measures = measure_reconstructions(vae, parts, trainer.folder / "autoencoder_sheet.png")
    append_log(
        trainer.folder / "autoencoder_measures.jsonl", step=trainer.step, seconds=trainer.spent, **measures
    )
    trainer.average.swap()


@torch.no_grad()
def scale_latents(clips: WholeClips, parts: list) -> None:
    """Note mean and deviation of the latents of drawn clips, as `draw_clips` returns them, in the config."""
    device = parts[0][1].device
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        latents = torch.cat(
            [clips.encode(drawn.transpose(1, 2)).float().chunk(2, 1)[0] for _, drawn, _ in parts]
        )
    channels = latents.transpose(0, 1).flatten(1)
    mean, std = channels.mean(1), channels.std(1)
    clips.vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    print(f"latents: std {[round(s, 2) for s in std.tolist()]}", flush=True)


@torch.no_grad()
def measure_reconstructions(vae: AutoencoderKLWan, parts: list, sheet: Path) -> dict[str, float]:
    """What the autoencoder, by diffusers' own passes, makes of drawn clips, as `draw_clips` returns them.

    Returns the mean absolute error of 255, on subjects too, and the segmenter's mean IoU on the drawn and on
    the reconstructed frames.
    """
    device = parts[0][1].device
    network = SegmentationNetwork(len(SHAPES), len(COLOURS)).to(device)
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    errors, on_subjects, before, after = [], [], [], []
    rows: list[torch.Tensor] = []
    for scenes, clips, visible in parts:
        again = vae.decode(vae.encode(clips.transpose(1, 2)).latent_dist.mean).sample.transpose(1, 2)
        error = (again - clips).abs().mean(2) * 127.5
        seen = visible.amax(1)
        errors.append(error.mean())
        on_subjects.append((error * seen).sum() / seen.sum().clamp(min=1))
        frames = label_frames(scenes, clips, visible)
        before.append(accuracy(network, frames))
        frames.pixels = (again.flatten(0, 1) + 1) / 2
        after.append(accuracy(network, frames))
        rows.extend(torch.stack([clips[row, ::5], again[row, ::5]]) for row in range(min(2, len(clips))))
    save_sheet(sheet, torch.cat(rows[:10]))
    return {
        "error": float(torch.stack(errors).mean()),
        "error_on_subjects": float(torch.stack(on_subjects).mean()),
        "segmenter_on_drawn": sum(before) / len(before),
        "segmenter_on_reconstructed": sum(after) / len(after),
    }
