# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the weights of a base model lie on this machine, and what tells them from any others."""

import hashlib
from pathlib import Path

from .errors import EngineError
from .models import ModelEntry, adapter_repository, catalogue
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
