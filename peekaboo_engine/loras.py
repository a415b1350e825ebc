# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRAs: small weights that change what a model does, found, looked through, put on a pipeline and taken off.

diffusers loads them, by way of peft. What it cannot use of a file it mostly passes over with a warning, and a
model of few steps without its LoRA makes grey mush: so a LoRA that is loaded is not believed to act until its
weights have been found in the model, all of them, and not zero.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .documents import leading_nowhere, parse_json, without_controls
from .errors import EngineError, one_line
from .families import Family
from .limits import MAX_LORA_WEIGHT, MAX_PATH, MAX_TENSORS, MAX_TENSORS_HEADER
from .model_files import memory_bytes
from .names import Expert
from .places import open_file, sha256_of

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline
    from torch import nn

_IN_REPOSITORY = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)/(.+\.safetensors)")


class Lora(BaseModel):
    """A LoRA as a job or the catalogue asks for it.

    Args:
        source: a file, a folder that holds one, or ``owner/name/file.safetensors`` of a repository.
        weight: how strongly it acts; 0 is not at all.
        expert: which denoiser it is for, of a model that has one for high noise levels and one for low.
        distils: whether it is what makes few steps possible; a guided head (:mod:`.schedules`) leaves it off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    source: Annotated[
        str,
        Field(min_length=1, max_length=MAX_PATH),
        AfterValidator(without_controls),
        AfterValidator(leading_nowhere),
    ]
    weight: Annotated[float, Field(ge=-MAX_LORA_WEIGHT, le=MAX_LORA_WEIGHT)] = 1.0
    expert: Expert = "both"
    distils: bool = False


@dataclass(frozen=True)
class LoraFile:
    """A LoRA that was found.

    Args:
        lora: what was asked for.
        path: its file.
        origin: ``file``, or ``repository``, ``file`` and ``commit``.
        sha256: of the file.
    """

    lora: Lora
    path: Path
    origin: dict[str, str]
    sha256: str

    def described(self) -> dict[str, Any]:
        """What tells it from any other, as plain data."""
        return {
            **self.origin,
            "sha256": self.sha256,
            "weight": self.lora.weight,
            "expert": self.lora.expert,
            "distils": self.lora.distils,
        }


def beside(loras: Sequence[Lora], folder: Path) -> tuple[Lora, ...]:
    """The LoRAs of a job with their files by whole paths, whatever folder the engine was started in.

    A relative path is that of a file in the job's folder; what has none there and reads like one in a
    repository is that.

    Args:
        loras: as the job states them.
        folder: of the job.
    """
    return tuple(lora.model_copy(update={"source": _beside(lora.source, folder)}) for lora in loras)


def _beside(source: str, folder: Path) -> str:
    there = folder.absolute() / source  # which is the source where that is a whole path
    return source if in_repository(source) and not there.exists() else str(there)


def check_source(lora: Lora) -> None:
    """Refuse a LoRA that is neither a file that can be read nor the name of one in a repository.

    Raises:
        EngineError: ``bad_lora``.
    """
    path = _on_this_machine(lora)
    if path is not None:
        _check_file(path)


def find(lora: Lora) -> LoraFile:
    """Find the file of a LoRA: on this machine, or of a repository in the hub's cache.

    Raises:
        EngineError: ``bad_lora``.
    """
    path = _on_this_machine(lora)
    origin = {"file": path.name} if path is not None else {}
    if path is None:
        path, origin = _in_cache(lora.source)
    _check_file(path)
    return LoraFile(lora, path, origin, sha256_of(path, follow=True))


def _on_this_machine(lora: Lora) -> Path | None:
    """The file that is meant; None for a name in a repository."""
    if in_repository(lora.source):
        return None
    path = Path(lora.source)
    try:
        if path.is_dir():
            found = sorted(path.glob("*.safetensors"))
            if len(found) == 1:
                return found[0]
            raise _bad(
                lora.source, f"the folder holds {len(found)} .safetensors files", "give the file itself"
            )
        if path.exists():
            return path
    except (OSError, ValueError) as error:
        raise _bad(lora.source, one_line(error), "give another file") from None
    raise _bad(
        lora.source, "there is no such file", "give a .safetensors file, or owner/name/file.safetensors"
    )


def in_repository(source: str) -> tuple[str, str] | None:
    """The repository and the file in it that a source names; None for a path."""
    match = _IN_REPOSITORY.fullmatch(source)
    return (match[1], match[2]) if match else None


def _in_cache(source: str) -> tuple[Path, dict[str, str]]:
    from huggingface_hub import hf_hub_download

    named = in_repository(source)
    assert named
    repository, name = named
    try:
        path = Path(hf_hub_download(repository, name, local_files_only=True))
    except Exception as error:  # of the hub, each its own
        raise _bad(
            source,
            "it is not on this machine",
            f'run python -m peekaboo_engine models download "{source}", which says its licence, or press '
            "Download below it in Blender",
        ) from error
    commit = path.parents[len(Path(name).parts) - 1].name  # the cache's folder
    return path, {"repository": repository, "file": name, "commit": commit}


def _check_file(path: Path) -> None:
    """Refuse what is no safetensors file, by its header: pickles are never opened."""
    memory = memory_bytes()
    try:
        with open_file(path, follow=True) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_TENSORS_HEADER):
                raise ValueError("it is no .safetensors file")
            if memory is not None and size > memory:
                raise ValueError(f"it has {size / 1e9:.0f} GB, more than the memory of this machine")
            parse_json(file.read(length), keys=MAX_TENSORS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise _bad(path, reason, "get it as a whole .safetensors file") from None


def _bad(source: str | Path, reason: str, way_out: str) -> EngineError:
    return EngineError("bad_lora", f"The LoRA {source} cannot be used ({reason.rstrip('.')}); {way_out}.")


def put_on(pipe: DiffusionPipeline, family: Family, files: Sequence[LoraFile], dtype: torch.dtype) -> None:
    """Put LoRAs on a pipeline that has none; the order does not matter, since what they add is added up.

    Args:
        pipe: a pipeline of the family, nothing of it compiled or fused.
        files: each is on with its weight; one whose weight is 0 is left out.
        dtype: that the denoisers compute in.

    Raises:
        EngineError: ``bad_lora`` if one is of another model, not all of it is used, or it changes nothing.
            What is on the pipeline then is not said; :func:`take_off` takes it off.
    """
    import torch

    if not _named(files):
        return
    if importlib.util.find_spec("peft") is None:
        raise EngineError("no_peft", "LoRAs need the Python package peft: set up the engine again.")
    for name, file in _named(files):
        try:
            for denoiser in _targets(pipe, family, file):
                _load(pipe, denoiser, file, name, dtype)
        except (EngineError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # diffusers, peft and torch each have their own for another model's
            raise _bad(
                file.path, f"it does not fit this model: {one_line(error)}", "take one made for it"
            ) from error
    activate(pipe, files)


def take_off(pipe: DiffusionPipeline) -> None:
    """Take all LoRAs off a pipeline: its weights are then to the bit what they were before."""
    if importlib.util.find_spec("peft") is None:
        return
    if _loads(pipe):
        pipe.unload_lora_weights()
        return
    for name in _DENOISERS:
        part: Any = getattr(pipe, name, None)
        if getattr(part, "peft_config", None):
            part.unload_lora()


def _loads(pipe: Any) -> bool:
    """Whether diffusers loads LoRAs into a pipeline; of HunyuanVideo 1.5 it does into the denoiser."""
    return hasattr(pipe, "load_lora_weights")


_DENOISERS = ("transformer",)
"""Where LoRAs are of a pipeline that loads none by itself."""


def _places(pipe: Any) -> Sequence[str]:
    """The components of a pipeline that LoRAs may be in."""
    return pipe._lora_loadable_modules if _loads(pipe) else _DENOISERS


def _targets(pipe: DiffusionPipeline, family: Family, file: LoraFile) -> list[str]:
    """The denoisers that a LoRA is for, by their names in the pipeline."""
    held = [name for name in family.denoisers if getattr(pipe, name, None) is not None]
    if not _loads(pipe) and not all(hasattr(getattr(pipe, name), "load_lora_adapter") for name in held):
        raise _bad(file.path, f"diffusers loads none into a {type(pipe).__name__}", "take it off")
    if file.lora.expert == "both":
        return held
    if len(held) != 2:
        raise _bad(
            file.path, f'this model has one denoiser, not one for "{file.lora.expert}" noise', 'take "both"'
        )
    return [held[file.lora.expert == "low"]]


def _load(pipe: Any, denoiser: str, file: LoraFile, name: str, dtype: torch.dtype) -> None:
    """Load one LoRA into one denoiser, and make sure that it acts there."""
    from safetensors.torch import load_file

    read = load_file(file.path)
    weights = {
        key: value.to(dtype) if value.is_floating_point() and not key.endswith("alpha") else value
        for key, value in read.items()
    }
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise _bad(file.path, "it holds numbers that are not finite", "get it anew")
    if _loads(pipe):
        other = {"load_into_transformer_2": True} if denoiser == "transformer_2" else {}
        pipe.load_lora_weights(weights, adapter_name=name, **other)
    elif any(key.endswith("alpha") for key in weights):  # which nothing would read
        raise _bad(
            file.path,
            f"a {type(pipe).__name__} takes none with scales",
            "get it in the form of diffusers",
        )
    else:
        getattr(pipe, denoiser).load_lora_adapter(dict(weights), prefix=denoiser, adapter_name=name)
    parts = dict(_adapted(pipe, name))
    if denoiser not in parts:
        raise _bad(file.path, "nothing in it is of this model", "take one made for it")
    if left := _unused(pipe, denoiser, parts, weights, name):
        raise _bad(
            file.path,
            f"{left} of its {len(weights)} weights have no place in this model, or are of a kind that "
            "diffusers does not load",
            "take one made for it",
        )
    if not any(_acts(layer, name) for part in parts.values() for layer in _layers(part, name)):
        raise _bad(file.path, "all that it adds is zero", "take another one")


def _adapted(pipe: Any, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The components of a pipeline that hold a LoRA of that name."""
    for part in _places(pipe):
        module = getattr(pipe, part, None)
        if module is not None and name in getattr(module, "peft_config", {}):
            yield part, module


def _layers(module: nn.Module, name: str) -> Iterator[Any]:
    """The layers of a component that hold a LoRA of that name."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in module.modules():
        if isinstance(layer, BaseTunerLayer) and name in layer._get_available_adapters():
            yield layer


def _unused(
    pipe: Any, denoiser: str, parts: dict[str, nn.Module], weights: dict[str, torch.Tensor], name: str
) -> int:
    """How many weights of a file are not in the model.

    diffusers renames what other programs wrote, and leaves out what it has no name for. A weight that is left
    out and zero is no loss: some LoRAs of Wan hold such ones for its norms.
    """
    from peft.utils import get_peft_model_state_dict

    renamed = _renamed(pipe, weights)
    dropped = _meant(weights) - len(renamed)
    if dropped > 0:
        some = {key: value for key, value in weights.items() if _MATRIX.search(key) or value.any()}
        dropped = _meant(some) - len(_renamed(pipe, some))
    on = {
        f"{'transformer' if part == denoiser == 'transformer_2' else part}.{key}": value
        for part, module in parts.items()
        for key, value in get_peft_model_state_dict(
            module, adapter_name=name, save_embedding_layers=False
        ).items()
    }
    lost = len(renamed) - len(on)
    if all(".lora_A." in key or ".lora_B." in key for key in renamed):  # else they are renamed once more
        lost = sum(key not in on or on[key].shape != value.shape for key, value in renamed.items())
    return max(0, dropped) + max(0, lost)


_MATRIX = re.compile(r"lora|lokr|alpha")


def _meant(weights: dict[str, torch.Tensor]) -> int:
    return sum(not key.endswith("alpha") for key in weights)


def _renamed(pipe: Any, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a file by diffusers' names, without the scales of its matrices."""
    if not _loads(pipe):
        return weights
    converted = pipe.lora_state_dict({key: value.clone() for key, value in weights.items()})
    named = converted[0] if isinstance(converted, tuple) else converted
    return {key: value for key, value in named.items() if not key.endswith("alpha")}


def _acts(layer: Any, name: str) -> bool:
    """Whether a LoRA changes what a layer does."""
    import torch

    with torch.no_grad():
        return bool(layer.get_delta_weight(name).any())


def activate(pipe: Any, files: Sequence[LoraFile], distilled: bool = True) -> None:
    """Have the LoRAs of a pipeline act, each with its weight.

    Args:
        pipe: with LoRAs that :func:`put_on` put there.
        files: the same as there.
        distilled: False has those that distil not act.
    """
    from diffusers.utils import set_weights_and_activate_adapters

    acting = {name: file.lora.weight for name, file in _named(files) if distilled or not file.lora.distils}
    for part in _places(pipe):
        module = getattr(pipe, part, None)
        if held := getattr(module, "peft_config", {}):
            names = [name for name in acting if name in held]
            set_weights_and_activate_adapters(module, names, [acting[name] for name in names])


def _named(files: Sequence[LoraFile]) -> list[tuple[str, LoraFile]]:
    """LoRAs by the names that peft knows them by, without those that have no weight."""
    return [(f"lora_{number}", file) for number, file in enumerate(files) if file.lora.weight]
