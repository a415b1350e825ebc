# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the weights of a base model lie on this machine, and what tells them from any others."""

import hashlib
import math
from pathlib import Path

from .documents import parse_json
from .errors import EngineError
from .limits import MAX_TENSORS, MAX_TENSORS_HEADER
from .models import ModelEntry, adapter_repository, catalogue, tiers_of
from .placement import Tiers
from .places import open_file


def weights_of(entry: ModelEntry) -> dict[str, str]:
    """What tells a model's weights from any others; see :class:`.loading.LoadedModel`.

    Raises:
        EngineError: ``not_downloaded``, ``half_downloaded``.
    """
    if entry.folder:
        told = {
            "folder": entry.folder.name,
            "sha256": hash_weights(entry.folder),
            "configuration_sha256": hash_files(entry.folder, "*.json"),
        }
    else:
        told = {
            "repository": entry.source,
            "commit": _snapshot(entry).name,
        }  # the cache's folder is the commit
    if named := entry.motion_adapter:
        adapter = folder_of_adapter(named)
        if Path(named).is_dir():
            told |= {"motion_adapter": adapter.name, "motion_adapter_sha256": hash_weights(adapter)}
        else:
            told |= {"motion_adapter": named, "motion_adapter_commit": adapter.name}
    return told


def local_folder(entry: ModelEntry) -> Path:
    """The folder that a model is loaded from.

    Raises:
        EngineError: ``not_downloaded``, ``half_downloaded``.
    """
    return entry.folder or _snapshot(entry)


def _snapshot(entry: ModelEntry) -> Path:
    """The folder of a repository in the hub's cache; nothing is downloaded by the way.

    Raises:
        EngineError: ``not_downloaded``, ``half_downloaded``, with the command that mends it.
    """
    state, folder = entry.state(), entry.repositories[0].folder()
    if state == "downloaded" and folder is not None:
        return folder
    name = next((name for name, known in catalogue().items() if known == entry), entry.source)
    how = (
        f"run python -m peekaboo_engine models download {name} --accept-licence, or in Blender press "
        "Download below the model"
    )
    if state == "half":
        raise EngineError("half_downloaded", f"{entry.title} is here only in part; to get the rest {how}.")
    raise EngineError("not_downloaded", f"{entry.title} is not on this machine; to download it {how}.")


def folder_of_adapter(named: str) -> Path:
    """The folder of a motion adapter, by the folder or the repository that an entry names."""
    own = Path(named)
    return own if own.is_dir() else adapter_repository(named).folder() or own  # _snapshot has looked for it


def tiers_of_weights(entry: ModelEntry, folder: Path) -> Tiers | None:
    """What a model's weights take: as its entry says, else as the headers of its safetensors do.

    Args:
        entry: of the model.
        folder: where its weights lie.

    Returns:
        None where neither says it.
    """
    if entry.weights_gb:
        return entry.weights_gb
    parameters = parameters_of(folder)
    if entry.motion_adapter and (adapter := _parameters(folder_of_adapter(entry.motion_adapter))):
        parameters["motion_adapter"] = adapter
    return tiers_of({name: count / 1e9 for name, count in parameters.items()}) if parameters else None


def parameters_of(folder: Path) -> dict[str, int]:
    """How many parameters each component of a model's folder has, by the headers of its safetensors."""
    counts = {part.name: _parameters(part) for part in sorted(folder.iterdir()) if part.is_dir()}
    return {name: count for name, count in counts.items() if count}


def _parameters(component: Path) -> int:
    """Numbers in the tensors of a component's files; variants of a file hold the same tensors."""
    sizes: dict[str, int] = {}
    for path in sorted(component.glob("*.safetensors")):
        with open_file(path, follow=True) as file:
            length = min(int.from_bytes(file.read(8), "little"), MAX_TENSORS_HEADER)
            header = parse_json(file.read(length), keys=MAX_TENSORS)
        for name, told in header.items():
            if name != "__metadata__":
                sizes[name] = math.prod(told["shape"])
    return sum(sizes.values())


def hash_weights(folder: Path) -> str:
    """SHA-256 over names and contents of a folder's weight files."""
    return hash_files(folder, "*.safetensors", "*.bin", "*.gguf")


def hash_files(folder: Path, *patterns: str) -> str:
    """SHA-256 over names and contents of the files below a folder whose names fit a pattern."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in folder.rglob(pattern)):
        digest.update(path.relative_to(folder).as_posix().encode())
        with open_file(path, follow=True) as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
