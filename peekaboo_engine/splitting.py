# SPDX-License-Identifier: GPL-3.0-or-later
"""One clip by several devices of this machine, a process each, by diffusers' context parallelism (Ulysses).

Each device has all weights and its share of the clip's tokens. For full attention the shares are exchanged,
so that each has all tokens and its share of the heads: the rule there is the whole one. Cross-attention reads
the whole text with a device's own tokens: the rule there is that of its share
(:meth:`.control.attention.Rule.share`). What a device computes and what it draws at random is the same as
alone, so every one makes the same clip, and one of them writes it.

``enable_parallelism`` of diffusers (0.42.1) takes the device of a process to be its number, and divides by
the number of accelerators, which is 0 on a CPU; so its parts are put together here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from .errors import EngineError
from .placement import Placement

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another, which may still load its model."""


def join(placement: Placement, meeting: Path) -> None:
    """Join the processes that make clips together; returns once all are there.

    Args:
        placement: with a device for each of them, and the number of this one.
        meeting: a file, not there yet, by which they find one another.

    Raises:
        EngineError: ``no_device``.
    """
    import torch
    from torch import distributed

    device, _ = placement.resolve()
    for library in ("GLOO", "NCCL"):  # they are all on this machine, and nobody else is to reach them
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=meeting.resolve().as_uri(),
        rank=placement.number,
        world_size=len(placement.devices),
        timeout=PATIENCE,
    )


def leave() -> None:
    """Leave the other processes, whatever becomes of them."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def split(title: str, denoisers: Sequence[Any], placement: Placement) -> None:
    """Share the tokens of clips among the processes that have joined.

    Args:
        title: of the model.
        denoisers: of a pipeline.
        placement: with a device for each process, and the number of this one.

    Raises:
        EngineError: ``not_split`` for denoisers that diffusers cannot split, or not among so many, and where
            no other process has joined.
    """
    from torch import distributed

    processes = len(placement.devices)
    if not distributed.is_initialized():
        raise EngineError(
            "not_split",
            "Several devices make a clip with generate, refine and serve only; give one device.",
        )
    from diffusers import ContextParallelConfig
    from diffusers.hooks import apply_context_parallel
    from diffusers.models._modeling_parallel import ParallelConfig
    from torch.distributed.device_mesh import init_device_mesh

    for denoiser in denoisers:
        _check_shares(title, denoiser, processes)
    for denoiser in denoisers:
        share = ContextParallelConfig(ulysses_degree=processes)
        mesh = init_device_mesh(denoiser.device.type, share.mesh_shape, mesh_dim_names=share.mesh_dim_names)
        config = ParallelConfig(context_parallel_config=share)
        config.setup(placement.number, processes, denoiser.device, mesh=mesh)
        for module in denoiser.modules():
            if hasattr(getattr(module, "processor", None), "_parallel_config"):
                module.processor._parallel_config = config
        apply_context_parallel(denoiser, share, denoiser._cp_plan)


def _check_shares(title: str, denoiser: Any, processes: int) -> None:
    plan = getattr(denoiser, "_cp_plan", None) or {}
    # LTX's text is to be shared, too, and diffusers holds the mask of its padding against too few heads.
    if not plan or "encoder_hidden_states" in plan.get("", {}):
        raise EngineError(
            "not_split",
            f"{title} cannot be split over several devices; give one of them (--device cuda:0), or "
            "several jobs to share (--devices cuda:0,cuda:1).",
        )
    heads = denoiser.config.num_attention_heads
    if heads % processes:
        raise EngineError(
            "not_split",
            f"{title} has {heads} heads of attention, which {processes} devices cannot share equally; "
            f"give {_fitting(heads, processes)}.",
        )


def _fitting(parts: int, processes: int) -> int:
    """How many processes, fewer than so many, can share the parts equally."""
    return next(count for count in range(processes - 1, 0, -1) if parts % count == 0)


def check_tokens(tokens: int, processes: int) -> None:
    """Refuse a clip whose tokens cannot be shared equally.

    Raises:
        EngineError: ``not_split``.
    """
    if tokens % processes:
        raise EngineError(
            "not_split",
            f"A clip of this size has {tokens} tokens, which {processes} devices cannot share equally; give "
            f"{_fitting(tokens, processes)}, or another size.",
        )


class Companions:
    """The engines that make clips together with this one, a device each; they end with it.

    They run the same jobs at the same time, and what they write is thrown away.

    Args:
        placement: of this engine, the first of them.
    """

    def __init__(self, placement: Placement):
        self._placement = placement
        self._processes: list[subprocess.Popen] = []
        self._place: tempfile.TemporaryDirectory | None = None
        self._asked = 0
        self.lost = ""
        """What became of one that cannot go on, in words; empty while all can."""

    def ask(self, job: Path) -> None:
        """Have them make the clip of a job folder, and start them if they are not there."""
        if not self._processes:
            self._start()
        assert self._place
        self._asked += 1
        for number, process in enumerate(self._processes, start=1):
            out = Path(self._place.name) / str(number)
            paths = {"job": str(job.resolve()), "out": str(out)}
            request = {"request": "generate", "id": str(self._asked), **paths}
            assert process.stdin is not None
            with suppress(OSError):  # it is gone, which its reader says
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()

    def stop(self) -> None:
        """End them, in the middle of whatever they do; those that are asked next are new ones."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
            process.wait()
        leave()
        if self._place:
            self._place.cleanup()
        self._place, self.lost = None, ""

    def _start(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="peekaboo-")
        meeting = Path(self._place.name) / "meeting"
        start = Path(__file__).with_name("start.py")
        told = ["--device", self._placement.device, *self._placement.options, "--meeting", str(meeting)]
        for number in range(1, len(self._placement.devices)):
            command = [sys.executable, "-I", str(start), "serve", *told, "--part", str(number)]
            command += ["--idle", "1e9"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._processes.append(process)
            threading.Thread(target=self._listen, args=(process, number), daemon=True).start()
        join(self._placement, meeting)

    def _listen(self, process: subprocess.Popen, number: int) -> None:
        """Hear what one says until it ends, and end it where it cannot go on: others would wait for it."""
        reason = "it ended"
        assert process.stdout is not None
        with suppress(ValueError):  # what is no JSON is no event of ours
            for line in process.stdout:
                event = json.loads(line)
                if event.get("event") == "error":
                    reason = str(event.get("message")).rstrip(".")
                    break
        if process in self._processes:
            self.lost = self.lost or f"{self._placement.devices[number]}: {reason}"
            process.kill()
