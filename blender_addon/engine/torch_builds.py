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
"""Names the package index that torch is taken from, whatever was chosen."""
PYTORCH = "https://download.pytorch.org/whl/"
CPU_INDEX, CUDA_INDEX, ROCM_INDEX = PYTORCH + "cpu", PYTORCH + "cu130", PYTORCH + "rocm7.2"


@dataclass(frozen=True)
class Build:
    """A build of torch.

    Attributes:
        device: that it is for: a key of :data:`TITLES`, but ``auto``.
        pin: the requirement, such as ``torch==2.13.0``.
        sources: pip's arguments that get it from one place, the best place first.
        index: an index that has further packages which this build needs, or "".
    """

    device: str
    pin: str
    sources: tuple[tuple[str, ...], ...]
    index: str = ""


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


def build_for(choice: str, packages: str) -> Build | None:
    """Find the build of torch for a choice; None where the list has no torch.

    PyPI has the build for CUDA under Linux, for CPUs under Windows, and one for CPUs and MPS under macOS.

    Args:
        choice: a key of :data:`TITLES`.
        packages: text of the requirement file.

    Raises:
        PeekabooError: there is none for this system.
    """
    match = re.search(r"^torch==([\w.]+)", packages, re.M)
    if match is None:
        return None
    device = found() if choice == AUTO else choice
    pin, exactly = match[0], f"torch==={match[1]}"  # which leaves out builds with a suffix
    if index := os.environ.get(INDEX_VARIABLE):
        return Build(device, pin, (("--index-url", index, pin),), index)
    match sys.platform, device:
        case ("linux", "cpu"):
            cpu = f"{pin}+cpu"
            return Build(device, pin, ((cpu,), ("--index-url", CPU_INDEX, cpu)))
        case ("linux", "rocm"):
            return Build(device, pin, (("--index-url", ROCM_INDEX, pin),), ROCM_INDEX)
        case ("win32", "cuda"):
            return Build(device, pin, (("--index-url", CUDA_INDEX, pin),))
        case ("linux", "cuda") | ("win32", "cpu") | ("darwin", "cpu" | "mps"):
            return Build(device, pin, ((exactly,),))
    raise PeekabooError(
        f"There is no build of torch for {TITLES[device]} on {SYSTEMS.get(sys.platform, sys.platform)}: "
        "choose another device."
    )
