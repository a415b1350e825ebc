# SPDX-License-Identifier: GPL-3.0-or-later
"""Where and how a model runs: device, precision, and what saves memory or time, by diffusers' own means."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .errors import EngineError
from .quantised import is_quantised

Saving = Literal["fp8", "groups", "nf4", "tiles"]
"""``fp8``: weights of denoisers wait in eight bits each, and are computed with in the model's precision.
``nf4``: the same in four bits, made while loading (:mod:`.quantised`), on a GPU only.
``groups``: each layer is on the device only while it computes, which needs least and is slowest. ``tiles``:
the autoencoder decodes tiles of the picture, one after the other, whose seams are blended."""


_CHANGES_PIXELS = frozenset({"fp8", "nf4", "tiles"})
"""Savings that a clip can be told by; the others move the same numbers to and fro."""

_BYTES: dict[Saving | None, float] = {"fp8": 1.0, "nf4": 4.5 / 8}
"""Of a parameter of a denoiser; NF4 has 32 bits besides for each 64 parameters."""


class Tiers(BaseModel):
    """What a model's weights alone take, in GB (10^9 bytes); a clip takes some more, which its size decides.

    Args:
        bf16: all of it on the device, two bytes a parameter.
        fp8: the same, with denoisers of one byte a parameter.
        offload: the largest component by itself, two bytes a parameter, while the others wait elsewhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bf16: float
    fp8: float
    offload: float

    def on_device(self, saving: Saving | None = None, each: int = 2) -> float:
        """All of it on the device.

        Args:
            saving: ``fp8`` or ``nf4`` of denoisers; None is neither.
            each: bytes of any other parameter.
        """
        denoisers = self.bf16 - self.fp8  # 10^9 parameters
        others = self.bf16 / 2 - denoisers
        return each * others + _BYTES.get(saving, each) * denoisers

    def offloaded(self, saving: Saving | None = None, each: int = 2) -> float:
        """At least what the largest component takes by itself; it is the denoiser, or takes more than this.

        Args:
            saving, each: as :meth:`on_device` has them.
        """
        return _BYTES.get(saving, each) * self.offload / 2


@dataclass(frozen=True)
class Placement:
    """Where and how a model runs.

    Args:
        device: a torch device; ``auto`` takes CUDA, then MPS, then the CPU. Several, such as
            ``cuda:0+cuda:1``, make each clip together (:mod:`.splitting`).
        dtype: ``auto`` is half precision on a GPU and single on the CPU.
        offload: keep in GPU memory only the component at work (slower, needs less).
        savings: what else saves memory, see :data:`Saving`.
        compiler: what compiles the repeated blocks of denoisers, as torch calls it; None leaves them.
        number: which of several devices is this process's; the first writes the clip.

    Raises:
        EngineError: ``bad_option`` for what does not go together.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    offload: bool = False
    savings: tuple[Saving, ...] = ()
    compiler: str | None = None
    number: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "savings", tuple(sorted(set(self.savings))))
        if self.offload and self.by_groups:
            raise EngineError(
                "bad_option", "Components are offloaded whole or by groups of layers, not both; choose one."
            )
        if "nf4" in self.savings and not {"fp8", "groups"}.isdisjoint(self.savings):
            raise EngineError(
                "bad_option", "Weights in nf4 go neither with fp8 nor with groups; choose one of them."
            )
        if len(self.devices) > 1:
            self._check_devices()

    def _check_devices(self) -> None:
        kinds = {device.partition(":")[0] for device in self.devices}
        gpus = [device for device in self.devices if device != "cpu"]
        if len(kinds) > 1 or not kinds <= {"cpu", "cuda"} or len(set(gpus)) < len(gpus) or "cuda" in gpus:
            raise EngineError(
                "bad_option",
                f'"{self.device}" cannot make a clip together: give GPUs that differ, such as cuda:0+cuda:1.',
            )
        if self.offload or self.compiler or set(self.savings) - {"tiles"}:
            raise EngineError(
                "bad_option",
                "A model that is split over several devices stays on them as it is: leave --offload, "
                "--memory fp8, nf4 or groups, and --compile out.",
            )

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that make each clip together, mostly one."""
        return tuple(name.strip() for name in self.device.split("+"))

    @property
    def by_groups(self) -> bool:
        """Whether layers wait in the computer's memory."""
        return "groups" in self.savings

    @property
    def options(self) -> list[str]:
        """All of it but the device, as the engine's command line has it."""
        told = ["--dtype", self.dtype, *(["--offload"] if self.offload else [])]
        told += [part for saving in self.savings for part in ("--memory", saving)]
        return told + (["--compile"] if self.compiler else [])

    def would_make(
        self, device: str, dtype: str, memory: Collection[str], half: Literal["float16", "bfloat16"]
    ) -> bool:
        """Whether a clip that was made so has the pixels that this would make on the same device.

        Args:
            device, dtype: that it was made with, by torch's names.
            memory: what saved memory then: the savings, and ``offload``.
            half: the half precision of the model.
        """
        on_gpu = {half, "float16"}  # which of them is the GPU's matter, see half_on
        automatic = {"float32"} if device.startswith("cpu") else on_gpu
        wanted = automatic if self.dtype == "auto" else {self.dtype}
        return dtype in wanted and _CHANGES_PIXELS & {*memory} == _CHANGES_PIXELS & {*self.savings}

    @property
    def changes_loras(self) -> bool:
        """Whether LoRAs can be changed on a loaded model: peft would put new ones into eight bits as well,
        and what splits a model is not to be lost."""
        return "fp8" not in self.savings and len(self.devices) == 1

    def resolve(self, half: Literal["float16", "bfloat16"] = "float16"):
        """The torch device and dtype meant.

        Args:
            half: the half precision that the model runs in.

        Raises:
            EngineError: ``no_device`` for a device that this machine has not.
        """
        import torch

        device, dtype = self.devices[self.number], self.dtype
        if device == "auto":
            gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
            device = next((gpu for gpu, available in gpus.items() if available), "cpu")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError):
            raise EngineError(
                "no_device",
                f'torch finds no device "{device}" here: choose another one (--device, or Device in the '
                "add-on's preferences), or install a torch built for it.",
            ) from None
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else half_on(device, half)
        return torch.device(device), getattr(torch, dtype)


def half_on(device: str, half: Literal["float16", "bfloat16"]) -> Literal["float16", "bfloat16"]:
    """The half precision that a model runs in on a GPU: its own, or float16 where the GPU has no bfloat16.

    NVIDIA's have it from Ampere (compute capability 8) on; others would compute as if, many times slower.
    """
    import torch

    if half == "bfloat16" and device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] < 8:
        return "float16"
    return half


def shrink(pipe: Any, denoisers: Sequence[Any], placement: Placement, dtype: Any) -> None:
    """Have what waits take less memory; LoRAs that are on already stay as they are.

    Args:
        pipe: a pipeline of diffusers.
        denoisers: of the pipeline.
        placement: says what is wanted.
        dtype: that the denoisers compute in.

    Raises:
        EngineError: ``bad_option`` for a model that has no such option.
    """
    import torch

    if "tiles" in placement.savings:
        _require(hasattr(pipe.vae, "enable_tiling"), "tiles", pipe.vae)
        pipe.vae.enable_tiling()
    if "fp8" in placement.savings:
        for denoiser in denoisers:
            _require(hasattr(denoiser, "enable_layerwise_casting"), "fp8", denoiser)
            if is_quantised(denoiser):
                raise EngineError(
                    "bad_option", "The weights of this model take few bits as they are; leave fp8 out."
                )
            denoiser.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)


def place(pipe: Any, denoisers: Sequence[Any], placement: Placement, device: Any) -> None:
    """Bring a pipeline to its device, and have its denoisers compiled if that is wanted.

    Args:
        pipe: a pipeline of diffusers.
        denoisers: of the pipeline, that are to be compiled.
        placement: says what is wanted.
        device: a torch device.

    Raises:
        EngineError: ``bad_option`` for a model that has no such option.
    """
    if placement.by_groups:
        pipe.enable_group_offload(
            onload_device=device,
            offload_device="cpu",
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
        )
    elif placement.offload:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    if placement.compiler:
        for denoiser in denoisers:
            _require(bool(getattr(denoiser, "_repeated_blocks", None)), "compile", denoiser)
            denoiser.compile_repeated_blocks(backend=placement.compiler)


def _require(there: bool, option: str, part: Any) -> None:
    if not there:
        raise EngineError(
            "bad_option", f"diffusers has no such thing for a {type(part).__name__}; leave {option} out."
        )


def check_room(title: str, weights: Tiers | None, placement: Placement, dtype: str, free_gb: float) -> None:
    """Refuse before loading what a GPU cannot hold; nothing is said of models whose size is not known.

    Args:
        title: of the model.
        weights: what they take.
        placement: how it is to run.
        dtype: its precision, as torch calls it.
        free_gb: what the GPU has free, in GB (10^9 bytes).

    Raises:
        EngineError: ``out_of_memory``, with what would fit.
    """
    if weights is None or placement.by_groups:
        return
    each = 4 if dtype == "float32" else 2
    saving = next((known for known in _BYTES if known in placement.savings), None)
    taken = weights.offloaded if placement.offload else weights.on_device
    needs = taken(saving, each)
    if needs <= free_gb:
        return
    raise EngineError(
        "out_of_memory",
        f"The weights of {title} alone take {needs:.3g} GB, and the GPU has {free_gb:.3g} GB free; generate "
        f"with {_way_out(weights, placement, each, free_gb)}, or take a smaller model.",
    )


def _way_out(weights: Tiers, placement: Placement, each: int, free_gb: float) -> str:
    """Options with which weights fit that do not otherwise, and what they take then: a clip takes more."""
    sizes = {}
    if not placement.offload:
        if {"fp8", "nf4"}.isdisjoint(placement.savings):
            sizes["--memory fp8"] = weights.on_device("fp8", each)
        sizes["--offload"] = weights.offload * each / 2
    alone = " on one device" if len(placement.devices) > 1 else ""
    for option, size in sizes.items():
        if size <= free_gb:
            return f"{option}{alone} (weights of at most {size:.3g} GB, and what the clip itself takes)"
    others = {"nf4": "nf4" in placement.savings, "--offload": placement.offload}
    replaced = " and ".join(name for name, there in others.items() if there)
    return f"--memory groups{alone}" + (f" in the place of {replaced}" if replaced else "")
