# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a model's folder of one file, as ComfyUI takes it: its denoiser, and the rest of the model it is of.

Such a file holds a transformer under the names of its makers, and neither text encoder, tokenizer nor
scheduler. diffusers renames the weights (``from_single_file``, over the configuration of a model that is
here, so that nothing is asked of the network); what it cannot place it drops, and what is not in the file it
leaves empty. So the numbers of both have to be equal before anything is written.

A Stable Diffusion in one file is more than its denoiser: its autoencoder and text encoders are its own, and
are taken as well.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .errors import EngineError, one_line
from .models import ModelEntry, known_model
from .places import open_file
from .quantised import GGUF, count_numbers, held_numbers, network_class, read_gguf
from .weights import local_folder

SUFFIX = ".safetensors"
_TYPES = {"F32", "F16", "BF16"}
_OF_OTHER_PARTS = ("vae.", "first_stage_model.", "cond_stage_model.", "text_encoders.", "conditioner.")
"""How the names of weights begin that are not of the denoiser."""
_OF_WHOLE = {
    "unet": ("model.diffusion_model.",),
    "vae": ("first_stage_model.",),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
}
"""The same of each part of a Stable Diffusion."""
_OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.1.model.")
"""Text encoders that hold more there than the pipelines use, such as a last layer."""
_TEXT_ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection")
_DENOISERS = ("transformer", "transformer_2", "unet")
_STATED = (
    "width", "height", "num_frames", "most_frames", "fps", "num_inference_steps", "guidance_scale", "method",
    "masked_steps", "max_sequence_length", "first_frame", "last_frame", "limits", "variant",
)  # fmt: skip


def assemble(file: Path, base: str, part: str | None, out: Path) -> None:
    """Write a folder in diffusers' format with what a file holds and all else of a model that is here.

    Args:
        file: ``.safetensors``, weights of half or single precision, or ``.gguf``.
        base: the model that it was made from: a name in the catalogue, downloaded, or a folder.
        part: which denoiser it replaces, of a model that has two; by default the first.
        out: the folder; must not be there yet.

    Raises:
        EngineError: ``bad_checkpoint``, ``no_gguf``, ``not_downloaded``, ``not_written``, and what
            :func:`.known_model` raises.
    """
    if out.exists():
        raise EngineError("not_written", f"{out} is there already; give the name of a new folder.")
    entry = known_model(base)
    folder = local_folder(entry)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    denoisers = [name for name in _DENOISERS if isinstance(index.get(name), list) and index[name][0]]
    part = part or next(iter(denoisers), "")
    if part not in denoisers:
        raise _bad(file, f"{entry.title} has no {part or 'denoiser'}", f"take one of {', '.join(denoisers)}")
    counts = _counts(file, index, part)
    networks = {name: _read(file, folder, index[name], name, entry.family.half) for name in counts}
    for name, network in networks.items():
        missing = any(weights.is_meta for weights in network.parameters())
        if missing or counts[name] not in (None, held_numbers(network)):
            raise _bad(file, f"its weights are not those of a {index[name][1]} of {entry.title}", _OTHER_BASE)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as place:
            draft = Path(place) / out.name
            _share(folder, draft, without=[*networks, "peekaboo.json"])
            if file.suffix == GGUF:  # which stays as it is, and is spread out while it is used
                (draft / part).mkdir()
                shutil.copy(folder / part / "config.json", draft / part)
                _link(file, draft / part / f"{part}{GGUF}")
            else:
                for name, network in networks.items():
                    network.save_pretrained(draft / name)
            (draft / "peekaboo.json").write_text(_stated(entry, file), encoding="utf-8")
            draft.rename(out)
    except OSError as error:
        raise EngineError(
            "not_written",
            f"{out} cannot be written ({error.strerror or one_line(error)}); take another place.",
        ) from None


_OTHER_BASE = "name the model that it was made from with --base"


def _bad(file: Path, reason: str, remedy: str) -> EngineError:
    return EngineError("bad_checkpoint", f"{file} cannot be used ({reason}); {remedy}.")


def _counts(file: Path, index: dict[str, Any], part: str) -> dict[str, int | None]:
    """How many numbers a file holds for each part of a model; None where it may hold more than that needs."""
    from safetensors import SafetensorError, safe_open

    if file.suffix not in (SUFFIX, GGUF):
        raise _bad(file, "it is no .safetensors or .gguf file", "take one of these, which can run nothing")
    try:
        if file.suffix == GGUF:
            return {part: count_numbers(file)}
        open_file(file, follow=True).close()
        with safe_open(file, "pt") as tensors:
            held = _held(list(tensors.keys()), index, part)
            sizes: dict[str, int | None] = {}
            for name, keys in held.items():
                slices = [tensors.get_slice(key) for key in keys]
                if others := {each.get_dtype() for each in slices} - _TYPES:
                    raise _bad(
                        file,
                        f"it has weights of the type {', '.join(sorted(others))}",
                        "take the file in fp16 or bf16",
                    )
                sizes[name] = sum(math.prod(each.get_shape()) for each in slices)
                if keys and keys[0].startswith(_OPEN_CLIP):
                    sizes[name] = None
            return sizes
    except (OSError, ValueError, SafetensorError) as error:
        raise _bad(file, one_line(error), "download it anew") from None


def _held(names: list[str], index: dict[str, Any], part: str) -> dict[str, list[str]]:
    """The names of a file's weights by the part of a model that they are of."""
    if part != "unet":
        return {part: [name for name in names if not name.startswith(_OF_OTHER_PARTS)]}
    held = {
        known: [name for name in names if name.startswith(begin) and not name.endswith(".position_ids")]
        for known, begin in _OF_WHOLE.items()
        if known == part or (index.get(known) or [None])[0]
    }
    return {known: found for known, found in held.items() if found or known == part}


def _read(file: Path, folder: Path, kind: list[str], part: str, dtype: str) -> Any:
    import torch

    half = getattr(torch, dtype)
    try:
        if kind[0] == "transformers" and kind[1] in _TEXT_ENCODERS:
            return _text_encoder(file, folder, kind[1], part, half)
        network = network_class(kind)
    except ValueError as error:
        raise _bad(file, one_line(error), "give a folder in diffusers' format") from None
    try:
        if file.suffix == GGUF:
            return read_gguf(file, network, folder, part, half)
        return network.from_single_file(
            str(file.absolute()),
            config=str(folder),
            subfolder=part,
            dtype=half,
            local_files_only=True,
            trust_remote_code=False,
        )
    except EngineError:
        raise
    except Exception as error:  # diffusers, safetensors, gguf and torch each have their own
        raise _bad(file, one_line(error), _OTHER_BASE) from error


def _text_encoder(file: Path, folder: Path, name: str, part: str, dtype: Any) -> Any:
    """A text encoder of transformers, which reads no single files by itself."""
    import transformers
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
    from safetensors.torch import load_file

    try:
        return create_diffusers_clip_model_from_ldm(
            getattr(transformers, name),
            checkpoint=load_file(file),
            subfolder=part,
            config=str(folder),
            torch_dtype=dtype,
            local_files_only=True,
        )
    except Exception as error:  # as above; what the file lacks stays empty, which torch refuses to convert
        raise _bad(file, f"it holds no {name} of such a model", _OTHER_BASE) from error


def _share(folder: Path, draft: Path, without: Collection[str]) -> None:
    """The same files as in a folder, but for some that lie in it; weights are shared if the disk can."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.parts[0] in without or not path.is_file():
            continue
        target = draft / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (SUFFIX, GGUF):
            _link(path, target)
        else:
            shutil.copy(path, target)


def _link(path: Path, target: Path) -> None:
    """The same file in another place, which takes no room if the disk can do that."""
    try:
        os.link(path.resolve(), target)
    except OSError:  # another disk, or one without such links
        shutil.copy(path, target)


def _stated(entry: ModelEntry, file: Path) -> str:
    """What ``peekaboo.json`` says of the new folder: its base's defaults."""
    stated = {key: getattr(entry, key) for key in _STATED}
    whole = {key: value for key, value in stated.items() if value is not None}
    whole |= {"title": file.stem, "licence": f"of {file.name} unknown; its base: {entry.licence}"}
    return json.dumps(whole, indent=2) + "\n"
