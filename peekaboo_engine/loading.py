# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a base model as a diffusers pipeline, and a loaded one as another pipeline or with other LoRAs."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import EngineError, one_line
from .loras import Lora, LoraFile, find, put_on, take_off
from .model_files import check_tokenizers
from .models import ModelEntry
from .placement import ClipSize, Needs, Placement, check_room, place, shrink
from .quantised import as_nf4, gguf_of, network_class, read_gguf
from .splitting import split
from .weights import folder_of_adapter, local_folder, tiers_of_weights, weights_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline that is ready to run, and what tells its weights from any others.

    Args:
        entry: what was asked for.
        pipe: of the class that the entry names.
        weights: ``repository`` and ``commit``, or ``folder``, ``sha256`` of its weight files and
            ``configuration_sha256`` of what says how to run them, its own ``peekaboo.json`` among it.
        device, dtype: where and how it runs.
        placement: as it was asked for.
        loras: that are on it.
    """

    entry: ModelEntry
    pipe: "DiffusionPipeline"
    weights: dict[str, str]
    device: str
    dtype: str
    placement: Placement = field(default_factory=Placement)
    loras: tuple[LoraFile, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What tells all of its weights from any others."""
        return {**self.weights, **({"loras": self.described_loras()} if self.loras else {})}

    def described_loras(self) -> list[dict[str, Any]]:
        """The LoRAs that are on it, as plain data."""
        return [file.described() for file in self.loras]


def load_model(
    entry: ModelEntry, placement: Placement, loras: Sequence[Lora] = (), clip: ClipSize | None = None
) -> LoadedModel:
    """Load a model, from its folder or from the hub's cache.

    Args:
        entry: which one.
        placement: where and how it runs.
        loras: what comes on top of its own.
        clip: that is to be made first; what it takes of a GPU is foreseen before the weights are loaded.

    safetensors are taken where there are any; older ``.bin`` weights are read by diffusers and transformers
    with ``torch.load(weights_only=True)``, which runs no code of the file.

    Raises:
        EngineError: ``model_not_loaded``, naming the model and the reason; ``bad_model``; ``not_downloaded``,
            ``half_downloaded``; ``out_of_memory``; ``no_device``; what :func:`.loras.find` and
            :func:`.loras.put_on` raise.
    """
    import torch

    family = entry.family
    device, dtype = placement.resolve(family.half)
    if entry.embedded and not entry.folder:
        raise EngineError(
            "model_not_loaded", f"The embedded model {entry.title} is missing; install the engine again."
        )
    files = [find(lora) for lora in (*entry.own_loras, *loras)]
    try:
        folder, weights = local_folder(entry), weights_of(entry)
        check_tokenizers(folder, family.text.tokenizers)
        if device.type == "cuda":
            free, tiers = torch.cuda.mem_get_info(device)[0] / 1e9, tiers_of_weights(entry, folder)
            needs = needs_of(entry, folder, clip, dtype) if clip else None
            check_room(entry.title, tiers, placement, str(dtype).removeprefix("torch."), free, needs)
        pipe = _read(entry, folder, placement, device, dtype)
        _make_ready(entry, pipe, files, placement, device, dtype)
    except EngineError:
        raise
    except torch.OutOfMemoryError as error:
        raise out_of_memory(entry, str(device), placement) from error
    except Exception as error:  # diffusers, transformers, safetensors, the hub and httpx each have their own
        raise _not_loaded(entry, error) from error
    name = str(dtype).removeprefix("torch.")
    return LoadedModel(entry, pipe, weights, str(device), name, placement, tuple(files))


def _read(entry: ModelEntry, folder: Path, placement: Placement, device, dtype) -> "DiffusionPipeline":
    """A model's folder as its pipeline, in the computer's memory."""
    import torch

    family = entry.family
    made = _adapted(entry, folder, dtype) | _from_gguf(entry, folder, dtype)
    if "nf4" in placement.savings:
        parts = [part for part in family.denoisers if part not in made]
        made["quantization_config"] = as_nf4(parts, dtype, device)
    dtypes = {"default": dtype, **dict.fromkeys(family.single, torch.float32)} if family.single else dtype
    return _pipeline_class(entry.pipeline).from_pretrained(
        folder,
        dtype=dtypes,
        variant=_variant(entry, folder),
        local_files_only=True,
        trust_remote_code=False,
        **made,
    )


def _make_ready(
    entry: ModelEntry, pipe: Any, files: Sequence[LoraFile], placement: Placement, device, dtype
) -> None:
    """Put LoRAs on a pipeline, and bring it to where it runs."""
    pipe.set_progress_bar_config(disable=True)
    family = entry.family
    family.prepare(pipe)
    denoisers = [part for each in family.denoisers if (part := getattr(pipe, each, None)) is not None]
    put_on(pipe, family, files, dtype)
    shrink(pipe, denoisers, placement, dtype)
    place(pipe, denoisers, placement, device)
    if len(placement.devices) > 1:
        split(entry.title, denoisers, placement)


def needs_of(entry: ModelEntry, folder: Path, clip: ClipSize, dtype: Any) -> Needs | None:
    """What a clip takes besides the weights of a model, as :func:`.memory.foresee` has it.

    Args:
        entry: the model.
        folder: where it lies.
        clip: its size.
        dtype: torch's, that denoisers run in.
    """
    from .memory import foresee

    adapter = folder_of_adapter(entry.motion_adapter) if entry.motion_adapter else None
    grid = entry.cells.grid(clip.frames, clip.height, clip.width)
    return foresee(entry.family, folder, grid, clip.guided, dtype, adapter)


def load_reader(entry: ModelEntry) -> "DiffusionPipeline":
    """A model's pipeline with its tokenizers and no weights, to tell how it reads a prompt.

    Raises:
        EngineError: ``model_not_loaded``, ``bad_model``, ``not_downloaded``, ``half_downloaded``.
    """
    import diffusers
    import torch

    cls = _pipeline_class(entry.pipeline)
    parts = {
        name
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if parameter.default is parameter.empty or name in cls._optional_components
    }
    without = parts - {"self", "scheduler", "vae", *entry.family.text.tokenizers}
    try:
        folder = local_folder(entry)
        check_tokenizers(folder, entry.family.text.tokenizers)
        vae = getattr(diffusers, cls.load_config(folder)["vae"][1])
        if not issubclass(vae, diffusers.ModelMixin):
            raise TypeError(f"{vae.__name__} is no autoencoder")
        with torch.device("meta"):  # its form alone, which some pipelines ask for
            form = vae.from_config(vae.load_config(folder, subfolder="vae"))
        return cls.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, vae=form, **dict.fromkeys(without)
        )
    except EngineError:
        raise
    except Exception as error:  # as above
        raise _not_loaded(entry, error) from error


def wears(model: LoadedModel, loras: Sequence[Lora]) -> bool:
    """Whether a loaded model has just these LoRAs beside its own; raises what :func:`.loras.find` does."""
    files = [find(lora) for lora in (*model.entry.own_loras, *loras)]
    return [file.described() for file in files] == model.described_loras()


def with_loras(model: LoadedModel, loras: Sequence[Lora]) -> LoadedModel:
    """A loaded model with other LoRAs beside its own; its weights are not loaded again.

    Args:
        model: is not to be used any more, least of all if this fails. Its placement changes LoRAs.
        loras: what comes on top of its own.

    Raises:
        EngineError: ``out_of_memory``, and what :func:`.loras.find` and :func:`.loras.put_on` raise.
    """
    import torch

    files = tuple(find(lora) for lora in (*model.entry.own_loras, *loras))
    device, dtype = model.placement.resolve(model.entry.family.half)
    try:
        model.pipe.remove_all_hooks()  # diffusers would offload to the first GPU again, whichever it was
        take_off(model.pipe)
        put_on(model.pipe, model.entry.family, files, dtype)
        if not model.placement.by_groups:  # which diffusers brings back by itself
            place(model.pipe, [], model.placement, device)
    except torch.OutOfMemoryError as error:
        raise out_of_memory(model.entry, str(device), model.placement) from error
    return replace(model, loras=files)


def starting_from_picture(model: LoadedModel) -> LoadedModel:
    """A loaded model as the pipeline that starts from a picture, made of the same components."""
    return _as_pipeline(model, model.entry.family.from_picture)


def starting_from_clip(model: LoadedModel) -> LoadedModel:
    """A loaded model as the pipeline that starts from a clip, made of the same components."""
    return _as_pipeline(model, model.entry.family.from_clip)


def _as_pipeline(model: LoadedModel, classes: Mapping[str, str]) -> LoadedModel:
    pipe = model.pipe
    name = classes.get(type(pipe).__name__)
    if name is None:
        return model
    cls = _pipeline_class(name)
    known = {**pipe.config, **pipe.components}
    other = cls(**{key: known[key] for key in inspect.signature(cls.__init__).parameters if key in known})
    other.set_progress_bar_config(disable=True)
    model.entry.family.prepare(other)
    if model.placement.offload:  # what moves components to and fro belongs to a pipeline
        other.enable_model_cpu_offload(device=model.device)
    return replace(model, pipe=other)


def _pipeline_class(name: str):
    import diffusers

    return getattr(diffusers, name)


def _adapted(entry: ModelEntry, folder: Path, dtype) -> dict[str, Any]:
    """The components that a motion adapter makes of a model's.

    Raises:
        EngineError: ``bad_model`` for a model that has an adapter and no use for it, or the reverse.
    """
    make, named = entry.family.adapted, entry.motion_adapter
    if bool(make) != bool(named or (folder / "motion_adapter").is_dir()):
        raise EngineError(
            "bad_model",
            f"{entry.source} is loaded as a {entry.pipeline} and has {'no' if make else 'a'} motion adapter; "
            'state both "pipeline": "AnimateDiffPipeline" and "motion_adapter" in its peekaboo.json.',
        )
    if make is None or named is None:
        return {}
    return make(folder, folder_of_adapter(named), dtype)


def _from_gguf(entry: ModelEntry, folder: Path, dtype) -> dict[str, Any]:
    """The denoisers of a model's folder that are GGUF files, loaded."""
    files = {part: file for part in entry.family.denoisers if (file := gguf_of(folder, part))}
    if not files:
        return {}
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return {
        part: read_gguf(file, network_class(index[part]), folder, part, dtype) for part, file in files.items()
    }


def _variant(entry: ModelEntry, folder: Path) -> str | None:
    """The variant of the weights in a folder, which another program may have downloaded without it."""
    there = entry.variant and next(folder.glob(f"*/*.{entry.variant}*.safetensors"), None)
    return entry.variant if there else None


_SHOWN = 300
"""Characters of what a library says, which may list all that it knows."""


def _not_loaded(entry: ModelEntry, error: Exception) -> EngineError:
    reason, remedy = one_line(error), "check files and network"
    if any("Weights only load failed" in str(each) for each in _causes(error)):  # torch says how to run it
        reason, remedy = "its weights hold code, which is not run", "get it as .safetensors from its maker"
    if len(reason) > _SHOWN:
        reason = f"{reason[:_SHOWN]} …"
    return EngineError(
        "model_not_loaded", f"The model {entry.source} could not be loaded ({reason}); {remedy}."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def out_of_memory(entry: ModelEntry, device: str, placement: Placement) -> EngineError:
    """The error of a model that a GPU's memory does not hold, run so."""
    way_out = "generate again with --offload, or --memory groups"
    if len(placement.devices) > 1:
        way_out = f"each device holds the whole model, so {way_out}, on one of them alone"
    elif placement.by_groups:
        way_out = "take fewer frames or a smaller picture, or let it decode in parts with --memory tiles"
    elif placement.offload:
        way_out = "generate again with --memory groups in the place of --offload"
    return EngineError("out_of_memory", f"{entry.title} ran out of memory on {device}; {way_out}.")
