# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the autoencoder on single frames of drawn clips, and scales its latents to unit variance."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from shapes_training.drawing import draw
from shapes_training.networks import build_vae, normalise_latents
from shapes_training.scenes import NUM_FRAMES, sample_scenes
from shapes_training.schedule import Average, Clock, append_log, learning_rate, save_atomically
from shapes_training.sheets import save_sheet
from shapes_training.speed import norms_in_input_precision

_PEAK_RATE, _FINE_RATE = 1e-3, 5e-4  # from scratch, and from weights that know such pictures
_KL_WEIGHT = 2e-4
_EDGE_WEIGHT = 0.5
_SUBJECT_WEIGHT = 3.0


def _frames(
    clips: int, frames_per_clip: int, cpu: torch.Generator, device: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random frames (N, 3, H, W) in -1..1 with the weight of each pixel in the loss, (N, 1, H, W)."""
    scenes = sample_scenes(cpu, clips).at_frames(torch.randperm(NUM_FRAMES, generator=cpu)[:frames_per_clip])
    frames, visible = draw(scenes.to(device.device), device)
    frames = frames.flatten(0, 1)
    near_subject = F.max_pool2d(visible.amax(1).flatten(0, 1)[:, None], 9, stride=1, padding=4)
    return frames, 1 + _SUBJECT_WEIGHT * near_subject


def _reconstruction_loss(output: torch.Tensor, frames: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted absolute error of the picture, and of its differences along x and y to keep edges sharp."""
    error = output - frames
    loss = (error.abs() * weight).mean()
    for axis in (-1, -2):
        along = error.diff(dim=axis).abs() * weight.narrow(axis, 1, weight.shape[axis] - 1)
        loss = loss + _EDGE_WEIGHT * along.mean()
    return loss


def train_vae(
    folder: Path, seconds: float, run_seconds: float, seed: int, device: str, batch: int, init: Path | None
) -> None:
    """Train on 2 frames of `batch` clips a step, for `seconds` in all and at most `run_seconds` now.

    Continues what is in `folder`; a new one starts from the autoencoder of the pipeline `init`, if given.
    """
    torch.manual_seed(seed)
    vae = AutoencoderKL.from_pretrained(init / "vae").float().train() if init else build_vae()
    vae.to(device)
    peak = _FINE_RATE if init else _PEAK_RATE
    norms_in_input_precision(vae)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=1e-3)
    average = Average(vae)
    state_path, step, spent = folder / "vae_state.pt", 0, 0.0
    if state_path.exists():
        state = torch.load(state_path, map_location=device, weights_only=True)
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        average.values = state["average"]
        step, spent = state["step"], state["spent"]
    cpu = torch.Generator().manual_seed(seed + step)
    on_device = torch.Generator(device).manual_seed(seed + step)
    clock = Clock(seconds, spent)
    while clock.fraction < 1 and clock.this_run < run_seconds:
        frames, weight = _frames(batch, 2, cpu, on_device)
        for group in optimizer.param_groups:
            group["lr"] = peak * learning_rate(clock.fraction, step)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            posterior = vae.encode(frames).latent_dist
            output = vae.decode(posterior.sample()).sample
        mean, variance, log_variance = posterior.mean.float(), posterior.var.float(), posterior.logvar.float()
        divergence = 0.5 * (mean**2 + variance - 1 - log_variance).mean()
        reconstruction = _reconstruction_loss(output.float(), frames, weight)
        optimizer.zero_grad(set_to_none=True)
        (reconstruction + _KL_WEIGHT * divergence).backward()
        norm = torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(step)
        step += 1
        if step % 100 == 0 or step == 1:
            append_log(
                folder / "vae_log.jsonl",
                step=step,
                seconds=clock.spent,
                reconstruction=reconstruction.item(),
                divergence=divergence.item(),
                gradient=norm.item(),
            )
    state = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "average": average.values}
    save_atomically({**state, "step": step, "spent": clock.spent}, state_path)
    if clock.fraction == 1:
        average.swap()
        _finish(vae.eval(), folder, cpu, on_device)


@torch.no_grad()
def _finish(vae: AutoencoderKL, folder: Path, cpu: torch.Generator, device: torch.Generator) -> None:
    """Normalise the latents on fresh frames and save the autoencoder with a sheet of reconstructions."""
    batches = [vae.encode(_frames(32, 2, cpu, device)[0]).latent_dist.mean for _ in range(8)]
    latents = torch.cat(batches).transpose(0, 1).flatten(1)
    mean = latents.mean(1)
    normalise_latents(vae, mean, float((latents - mean[:, None]).std()))
    print(f"latent std by channel before scaling: {[round(float(s), 3) for s in latents.std(1)]}")
    vae.save_pretrained(folder / "vae")
    frames, _ = _frames(12, 2, cpu, device)
    again = vae.decode(vae.encode(frames).latent_dist.mean).sample
    print(
        f"mean absolute error of reconstructions, 0..255: {float((again - frames).abs().mean()) * 127.5:.2f}"
    )
    save_sheet(folder / "vae_sheet.png", torch.cat([frames, again], -1).view(-1, 2, *again.shape[1:3], 576))
