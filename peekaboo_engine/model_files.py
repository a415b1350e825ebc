# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's folder from somebody else, looked through before any library reads it.

Only what is certain is refused: files that are none, configurations that are too deep or state a width of
nothing, and weights or clips that cannot fit into the memory of this machine whatever it does.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .documents import parse_json
from .errors import EngineError
from .limits import MAX_FRAMES, MAX_JSON_BYTES, MAX_MODEL_FILES, MAX_SIDE, MAX_STEPS
from .places import open_file, read_file

_READ = {".json", ".txt", ".model", ".safetensors", ".bin", ".gguf"}
"""Ends of the names of files that a library may read."""
_MOST = 10**7
_POSITIVE = {
    "width": MAX_SIDE,
    "height": MAX_SIDE,
    "num_frames": MAX_FRAMES,
    "num_inference_steps": MAX_STEPS,
    "attention_head_dim": _MOST,
    "block_out_channels": _MOST,
    "cross_attention_dim": _MOST,
    "dim_mult": _MOST,
    "hidden_size": _MOST,
    "in_channels": _MOST,
    "intermediate_size": _MOST,
    "latent_channels": _MOST,
    "layers_per_block": _MOST,
    "max_position_embeddings": _MOST,
    "norm_num_groups": _MOST,
    "num_attention_heads": _MOST,
    "num_hidden_layers": _MOST,
    "num_layers": _MOST,
    "num_train_timesteps": _MOST,
    "out_channels": _MOST,
    "sample_size": _MOST,
    "scaling_factor": _MOST,
    "size_multiple": _MOST,
    "temporal_compression": _MOST,
    "vocab_size": _MOST,
    "z_dim": _MOST,
}
"""Numbers of configurations, and lists of them, that are more than nothing and at most so many."""
_BYTES_PER_PIXEL = 3 * (4 + 4 + 1)
"""Of a clip in memory when its frames become pixels: two arrays in single precision, one of bytes."""


def is_model_folder(folder: Path) -> bool:
    """Whether there is a pipeline as diffusers saves it; False for what cannot be a path."""
    try:
        return (folder / "model_index.json").exists()
    except (OSError, ValueError):
        return False


_VOCABULARIES = (
    {"tokenizer.json"},
    {"spiece.model"},
    {"tokenizer.model"},
    {"vocab.json", "merges.txt"},
)
"""Files in one of which, or a few together, a tokenizer has its words."""


def check_tokenizers(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder that lacks the words of a tokenizer: transformers makes one that knows none, unasked.

    Args:
        folder: of the model.
        names: of tokenizers that its class has, where the model has them.

    Raises:
        EngineError: ``bad_model``.
    """
    index = parse_json(read_file(folder / "model_index.json", MAX_JSON_BYTES, follow=True), keys=_MOST)
    for name in names:
        there = {path.name for path in _entries(folder / name)} if (folder / name).is_dir() else set()
        stated = index.get(name)
        if stated and stated[0] and not any(files <= there for files in _VOCABULARIES):
            raise _bad(folder / name, "there are no words in it")


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that would hang, fill the memory, or fail far from its cause.

    Raises:
        EngineError: ``bad_model``; names the file.
    """
    memory = memory_bytes()
    for path in _files(folder):
        try:
            if path.suffix == ".json" and not path.name.startswith(("tokenizer", "vocab")):
                _check_json(parse_json(read_file(path, MAX_JSON_BYTES, follow=True), keys=_MOST))
                continue
            with open_file(path, follow=True) as file:
                size = os.fstat(file.fileno()).st_size
            if memory is not None and size > memory:
                raise ValueError(f"it has {size / 1e9:.0f} GB, more than the memory of this machine")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise _bad(path, str(reason)) from None


def _files(folder: Path) -> Iterator[Path]:
    """What a library may read, two levels down, as pipelines are saved."""
    seen = 0
    for place in (folder, *(entry for entry in _entries(folder) if entry.is_dir())):
        for path in _entries(place):
            seen += 1
            if seen > MAX_MODEL_FILES:
                raise _bad(folder, f"it holds more than {MAX_MODEL_FILES} files")
            if path.suffix in _READ and not path.is_dir():
                yield path


def _entries(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield folder / entry.name
    except OSError as error:
        raise _bad(folder, error.strerror or "it cannot be read") from None


def _check_json(data: Any) -> None:
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        most = _POSITIVE.get(key)
        for number in value if isinstance(value, list) else [value]:
            if most is not None and isinstance(number, int | float) and not 0 < number <= most:
                raise ValueError(f"{key} is {number}, and has to be between 0 and {most}")


def _bad(path: Path, reason: str) -> EngineError:
    return EngineError(
        "bad_model", f"{path} cannot be read as part of a model ({reason}); get the model anew."
    )


def check_fits(frames: int, height: int, width: int) -> None:
    """Refuse a clip whose pixels alone do not fit into the memory of this machine.

    Raises:
        EngineError: ``too_large``.
    """
    needed = frames * height * width * _BYTES_PER_PIXEL
    memory = memory_bytes()
    if memory is not None and needed > memory:
        raise EngineError(
            "too_large",
            f"{frames} frames of {width} x {height} take {needed / 1e9:.0f} GB at least, and "
            f"this machine has {memory / 1e9:.0f}; make a smaller or shorter clip.",
        )


def memory_bytes() -> int | None:
    """Physical memory of this machine; None where the system does not tell (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
