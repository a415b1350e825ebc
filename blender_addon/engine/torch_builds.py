# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine computes on, and the build of torch that it needs for that; imports no bpy."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import PeekabooError

AUTO = "auto"
TITLES = {"auto": "Automatic", "cpu": "CPU", "cuda": "CUDA", "rocm": "ROCm", "mps": "MPS"}
"""What can be chosen."""
GIGABYTES = {"cpu": 3.0, "cuda": 9.0, "rocm": 15.0, "mps": 3.0}
"""Free space that the engine's packages ask for with each build, roughly, with what pip takes to unpack."""
SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}

INDEX_VARIABLE = "PEEKABOO_TORCH_INDEX"
"""Names the package index that torch is taken from, whatever was chosen; the user vouches for it."""
PYTORCH = "https://download.pytorch.org/whl/"
CPU_INDEX, CUDA_INDEX, ROCM_INDEX = PYTORCH + "cpu", PYTORCH + "cu130", PYTORCH + "rocm7.2"
OWN_SOURCES = ""
"""Stands for the sources that pip is configured with: PyPI, or what this machine has instead."""


@dataclass(frozen=True)
class Build:
    """A build of torch.

    Attributes:
        device: that it is for: a key of :data:`TITLES`, but ``auto``.
        pin: the requirement, such as ``torch==2.13.0+cpu``.
        lock: file with the hashes of torch and of what only this build needs; None for a build that the user
            names an index for.
        indexes: where it may come from, the best place first; :data:`OWN_SOURCES` among them.
    """

    device: str
    pin: str
    lock: Path | None
    indexes: tuple[str, ...]


@functools.cache
def found() -> str:
    """What this machine has to compute on: ``cuda``, ``rocm``, ``mps`` or ``cpu``."""
    if sys.platform == "darwin":
        return "mps" if os.uname().machine == "arm64" else "cpu"
    if shutil.which("nvidia-smi"):
        return "cuda"
    if sys.platform == "linux" and Path("/dev/kfd").exists():  # the kernel's driver for computing on AMD's
        return "rocm"
    return "cpu"


def torch_device(choice: str) -> str:
    """What torch calls the device of a choice: AMD's cards are driven as ``cuda``."""
    return "cuda" if choice == "rocm" else choice


def build_for(choice: str, locks: Path) -> Build | None:
    """Find the build of torch for a choice; None where the locks have no torch.

    PyPI has the build for CUDA under Linux, for CPUs under Windows, and one for CPUs and MPS under macOS.

    Args:
        choice: a key of :data:`TITLES`.
        locks: folder of the locks; see ``scripts/house/lock.py``.

    Raises:
        PeekabooError: there is none for this system.
    """
    if not (locks / "torch.txt").is_file():
        return None
    device = found() if choice == AUTO else choice
    if index := os.environ.get(INDEX_VARIABLE):
        return Build(device, _pin(locks / "torch.txt").replace("===", "=="), None, (index,))
    match sys.platform, device:
        case ("linux", "cpu"):
            name, indexes = "torch-cpu.txt", (OWN_SOURCES, CPU_INDEX)
        case ("linux", "rocm"):
            name, indexes = "torch-rocm7.2.txt", (ROCM_INDEX,)
        case ("win32", "cuda"):
            name, indexes = "torch-cu130.txt", (CUDA_INDEX,)
        case ("linux", "cuda") | ("win32", "cpu") | ("darwin", "cpu" | "mps"):
            name, indexes = "torch.txt", (OWN_SOURCES,)
        case _:
            system = SYSTEMS.get(sys.platform, sys.platform)
            raise PeekabooError(
                f"There is no build of torch for {TITLES[device]} on {system}: choose another device."
            )
    return Build(device, _pin(locks / name), locks / name, indexes)


def _pin(lock: Path) -> str:
    match = re.search(r"^torch===?[\w.+]+", lock.read_text(encoding="utf-8"), re.M)
    if match is None:
        raise PeekabooError(f'"{lock}" does not name torch: install the extension anew.')
    return match[0]
