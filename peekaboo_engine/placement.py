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

    def denoiser(self, saving: Saving | None = None, each: int = 2) -> float:
        """A denoiser by itself, which a text encoder may be larger than; of two that differ at most.

        Args:
            saving, each: as :meth:`on_device` has them.
        """
        return _BYTES.get(saving, each) * min(self.offload / 2, self.bf16 - self.fp8)


@dataclass(frozen=True)
class ClipSize:
    """A clip whose memory is asked for: its size in frames and pixels, and whether its steps are guided."""

    frames: int
    height: int
    width: int
    guided: bool


@dataclass(frozen=True)
class Needs:
    """What a clip takes besides the weights of its model, in GB (10^9 bytes), foreseen by :mod:`.memory`.

    Args:
        denoising: a step of it.
        decoding: its pictures.
        decoding_tiled: the same in tiles; None where the autoencoder has none.
        decoder: weights of the autoencoder, which is by itself on the device where others wait elsewhere.
    """

    denoising: float
    decoding: float
    decoding_tiled: float | None
    decoder: float


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


def check_tiles(title: str, vae: Any, height: int, width: int) -> None:
    """Refuse a size of which the last tile would be a single row or column of latents.

    An autoencoder that pads with what lies beside the edge, as LTX-2's, fails on it (``tiled_decode``).

    Args:
        title: of the model.
        vae: its autoencoder.
        height, width: of the clip, in pixels.

    Raises:
        EngineError: ``bad_option``, with sizes that can be made.
    """
    if not getattr(vae, "use_tiling", False) or vae.config.get("decoder_spatial_padding_mode") != "reflect":
        return
    if height <= vae.tile_sample_min_height and width <= vae.tile_sample_min_width:
        return
    ratio = vae.spatial_compression_ratio
    sides = (height, vae.tile_sample_stride_height), (width, vae.tile_sample_stride_width)
    for name, (size, stride) in zip(("height", "width"), sides, strict=True):
        if (size // ratio - 1) % (stride // ratio) == 0:
            raise EngineError(
                "bad_option",
                f"{title} cannot decode a {name} of {size} in tiles, of which the last would be too small; "
                f"take {size - ratio} or {size + ratio}, or leave --memory tiles out.",
            )


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


TOLERANCE = 0.05
"""Nothing is refused that takes so much more than is free: estimates of whole clips were off by less
(docs/reference/engine.md)."""


def check_room(
    title: str,
    weights: Tiers | None,
    placement: Placement,
    dtype: str,
    free_gb: float,
    clip: Needs | None = None,
) -> None:
    """Refuse before loading what a GPU cannot hold; nothing is said of models whose size is not known.

    Args:
        title: of the model.
        weights: what they take.
        placement: how it is to run.
        dtype: its precision, as torch calls it.
        free_gb: what the GPU has free, in GB (10^9 bytes).
        clip: what the clip takes besides; None where that cannot be foreseen.

    Raises:
        EngineError: ``out_of_memory``, with what would fit.
    """
    each = 4 if dtype == "float32" else 2
    if weights is None or (clip is None and placement.by_groups):
        return
    taken = taken_gb(weights, placement, each, clip)
    if taken <= free_gb * (1 + TOLERANCE * (clip is not None)):
        return
    what = (
        f"The weights of {title} alone take {taken:.3g} GB"
        if clip is None
        else f"{title} and a clip of this size take about {taken:.3g} GB"
    )
    way = _way_out(weights, placement, each, free_gb, clip)
    raise EngineError("out_of_memory", f"{what}, and the GPU has {free_gb:.3g} GB free; {way}.")


def taken_gb(weights: Tiers, placement: Placement, each: int, clip: Needs | None) -> float:
    """The most that a model and a clip take on the device at a time, in GB.

    Args:
        weights, clip: what each takes.
        placement: how it runs.
        each: bytes of a parameter that is not saved.
    """
    saving = next((known for known in _BYTES if known in placement.savings), None)
    clip = clip or Needs(0, 0, 0, 0)
    tiles = "tiles" in placement.savings and clip.decoding_tiled is not None
    decoding = clip.decoding_tiled if tiles and clip.decoding_tiled is not None else clip.decoding
    denoising = clip.denoising / len(placement.devices)  # each has a share of the tokens, and all the rest
    if placement.by_groups:
        return max(denoising, decoding)
    if placement.offload:
        # A text encoder may be the largest, and is off the device again when denoising begins.
        at_once = weights.denoiser(saving, each) + denoising, clip.decoder + decoding
        return max(weights.offloaded(saving, each), *at_once)
    return weights.on_device(saving, each) + max(denoising, decoding)


_OPTIONS = {
    "tiles": "--memory tiles",
    "fp8": "--memory fp8",
    "nf4": "--memory nf4",
    "offload": "--offload",
    "groups": "--memory groups",
}
"""How each way to save memory is asked for."""


def _way_out(weights: Tiers, placement: Placement, each: int, free_gb: float, clip: Needs | None) -> str:
    """What to do: the first of other ways to run with which it fits, or a smaller clip."""
    given = {*placement.savings, *(["offload"] if placement.offload else [])}
    alone = " on one device" if len(placement.devices) > 1 else ""
    tiles = clip is not None and clip.decoding_tiled is not None
    for way in _ways(given, tiles):
        offload = "offload" in way
        # Of what is offloaded, few bits help the denoiser, and what else is there may be as large.
        savings: Any = tuple(way - ({"offload", "fp8", "nf4"} if offload else set()))
        taken = taken_gb(weights, Placement(offload=offload, savings=savings), each, clip)
        if taken > free_gb:
            continue
        added = " ".join(told for name, told in _OPTIONS.items() if name in way - given)
        left = " and ".join("--offload" if name == "offload" else name for name in sorted(given - way))
        told = f" (about {taken:.3g} GB)"
        if clip is None:
            told = f" (weights of at most {taken:.3g} GB, and what the clip itself takes)" if taken else ""
        return (
            f"generate with {added}{alone}{f' in the place of {left}' if left else ''}{told}, or take a "
            "smaller model"
        )
    return "take fewer frames, a smaller picture, or a smaller model"


def _ways(given: set[str], tiles: bool) -> list[set[str]]:
    """Other ways to run than the given one, from the fastest on, each without and with tiles if there are."""
    kept, bits = given & {"tiles"}, given & {"fp8", "nf4"}
    ways = [given]
    if not given - {"tiles"}:
        ways.append(given | {"fp8"})
    ways += [{"offload"} | kept | bits, {"groups"} | kept | bits - {"nf4"}]
    return [each for way in ways for each in (way, way | {"tiles"} if tiles else way) if each != given]
