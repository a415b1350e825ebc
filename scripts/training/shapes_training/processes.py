# SPDX-License-Identifier: GPL-3.0-or-later
"""Training by several processes with a GPU each, which `torchrun` starts.

All hold the same weights, draw other clips, and share gradients and the clock. One process alone is the same
with nobody to share with.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Attributes:
        rank: its number; 0 also writes logs and checkpoints.
        count: of all.
        device: that it computes on.
    """

    rank: int
    count: int
    device: str

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def average(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by its mean over all processes."""
        if self.count > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.AVG)

    def agree(self, value: float) -> float:
        """Return the leader's value, in all processes."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return shared.item()


def join(device: str) -> Processes:
    """Meet the other processes, if `torchrun` has started some; `device` is then that of this process."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(0, 1, device)
    rank = int(os.environ["RANK"])
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=torch.device(device))
    atexit.register(dist.destroy_process_group)
    return Processes(rank, count, device)
