# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a model's folder of one file, as ComfyUI takes it: its denoiser, and the rest of the model it is of.

Such a file holds a transformer under the names of its makers, and neither text encoder, tokenizer nor
scheduler. diffusers renames the weights (``from_single_file``, over the configuration of a model that is
here, so that nothing is asked of the network); what it cannot place it drops, and what is not in the file it
leaves empty. So the numbers of both have to be equal before anything is written.
"""

import json
import os
import shutil
import tempfile
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
_DENOISERS = ("transformer", "transformer_2", "unet")
_STATED = (
    "width", "height", "num_frames", "most_frames", "fps", "num_inference_steps", "guidance_scale", "method",
    "masked_steps", "max_sequence_length", "first_frame", "last_frame", "limits",
)  # fmt: skip


def assemble(file: Path, base: str, part: str | None, out: Path) -> None:
    """Write a folder in diffusers' format with the denoiser of a file and all else of a model that is here.

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
    count = _count(file)
    network = _read(file, folder, index[part], part)
    missing = sum(weights.numel() for weights in network.parameters() if weights.is_meta)
    if missing or held_numbers(network) != count:
        raise _bad(file, f"its weights are not those of a {index[part][1]} of {entry.title}", _OTHER_BASE)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as place:
            draft = Path(place) / out.name
            _share(folder, draft, without=part)
            if file.suffix == GGUF:  # which stays as it is, and is spread out while it is used
                (draft / part).mkdir()
                shutil.copy(folder / part / "config.json", draft / part)
                _link(file, draft / part / f"{part}{GGUF}")
            else:
                network.save_pretrained(draft / part)
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


def _count(file: Path) -> int:
    """How many numbers the file holds for a denoiser."""
    from safetensors import SafetensorError, safe_open

    if file.suffix not in (SUFFIX, GGUF):
        raise _bad(file, "it is no .safetensors or .gguf file", "take one of these, which can run nothing")
    try:
        if file.suffix == GGUF:
            return count_numbers(file)
        open_file(file, follow=True).close()
        with safe_open(file, "pt") as tensors:
            names = [name for name in tensors.keys() if not name.startswith(_OF_OTHER_PARTS)]  # noqa: SIM118
            slices = [tensors.get_slice(name) for name in names]
            kinds = {each.get_dtype() for each in slices}
            if kinds - _TYPES:
                raise _bad(
                    file,
                    f"it has weights of the type {', '.join(sorted(kinds - _TYPES))}",
                    "take the file in fp16 or bf16",
                )
            return sum(_numbers(each.get_shape()) for each in slices)
    except (OSError, ValueError, SafetensorError) as error:
        raise _bad(file, one_line(error), "download it anew") from None


def _numbers(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _read(file: Path, folder: Path, kind: list[str], part: str) -> Any:
    import torch

    try:
        network = network_class(kind)
    except ValueError as error:
        raise _bad(file, str(error), "give a folder in diffusers' format") from None
    try:
        if file.suffix == GGUF:
            return read_gguf(file, network, folder, part, torch.bfloat16)
        return network.from_single_file(
            str(file.absolute()),
            config=str(folder),
            subfolder=part,
            dtype=torch.bfloat16,
            local_files_only=True,
            trust_remote_code=False,
        )
    except EngineError:
        raise
    except Exception as error:  # diffusers, safetensors, gguf and torch each have their own
        raise _bad(file, one_line(error), _OTHER_BASE) from error


def _share(folder: Path, draft: Path, without: str) -> None:
    """The same files as in a folder, without one of its components; weights are shared if the disk can."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.parts[0] in (without, "peekaboo.json") or not path.is_file():
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
