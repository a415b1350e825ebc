# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories of Hugging Face's hub as they lie in its cache on this machine: whole, half, or not there.

What a download is to bring is written into the repository's folder before it begins (``RECORD``): so it is
known without a network what is missing, and what each file should be. A repository that another program
downloaded has no record; whether it is whole is then told by the lists that its own weights bring.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .documents import read_json
from .errors import EngineError
from .limits import MAX_MODEL_FILES, MAX_PATH
from .places import open_file

RECORD = "peekaboo.json"
"""File in a repository's folder of the cache which says what belongs to it; the add-on reads it, too."""
_BLOCK = 2**20
_PART = re.compile(r"\w[\w.+ -]*")
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<variant>[a-z]\w*))?(?:-\d{5}-of-\d{5})?\.(?P<kind>safetensors|bin)"
)
"""Names of weights as diffusers and transformers save them."""
_TEXT = {".json", ".txt", ".model", ".jinja"}
"""Ends of what else a component is read from: configurations, and tokens."""

State = Literal["downloaded", "half", "missing"]


def _inside(path: str) -> str:
    """A path of the hub, which has to lie in a repository's folder, or one down from it."""
    parts = path.split("/")
    if len(path) > MAX_PATH or len(parts) > 2 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError("no path of a model's file")
    return path


class File(BaseModel):
    """One file that a model needs.

    Args:
        path: below the repository, with forward slashes.
        size: in bytes.
        sha256: of its content, where the hub keeps it as a large file.
        git: otherwise, the SHA-1 that git gives it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, AfterValidator(_inside)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    git: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None

    @property
    def blob(self) -> str:
        """What the hub's cache calls its content."""
        return self.sha256 or self.git or ""


class Record(BaseModel):
    """What a download is to bring.

    Args:
        commit: of the repository.
        files: all that the model needs of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: Annotated[tuple[File, ...], Field(min_length=1, max_length=MAX_MODEL_FILES)]


@dataclass(frozen=True)
class Repository:
    """A repository that holds a pipeline as diffusers saves it, or single files that are wanted.

    Args:
        name: ``owner/name``.
        revision: commit; None follows the main branch.
        variant: of the weight files of a pipeline.
        parts: its components that have weights.
        only: the files that are wanted, in the place of a pipeline's.
    """

    name: str
    revision: str | None = None
    variant: str | None = None
    parts: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def cache(self) -> Path:
        """Its folder in the hub's cache, which need not be there."""
        # here, since it takes a third of a second, which whoever asks for help need not wait
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        folder = repo_folder_name(repo_id=self.name, repo_type="model")
        return Path(constants.HF_HUB_CACHE).expanduser() / folder

    def snapshot(self, commit: str) -> Path:
        """The folder of a commit, which need not be there."""
        return self.cache / "snapshots" / commit

    def record(self) -> Record | None:
        """What a download of ours was to bring; None where there was none, or of another commit."""
        try:
            record = Record.model_validate(read_json(self.cache / RECORD, keys=MAX_MODEL_FILES))
        except (OSError, ValueError, ValidationError):
            return None
        return None if self.revision and record.commit != self.revision else record

    def folder(self) -> Path | None:
        """The folder of the commit that would be loaded; None where nothing was ever downloaded."""
        record = self.record()
        if record is not None:
            return self.snapshot(record.commit)
        try:
            commit = self.revision or (self.cache / "refs" / "main").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return self.snapshot(commit) if _PART.fullmatch(commit) else None

    def needed(self, paths: Iterable[str], index: Any) -> list[str]:
        """Those of all its files that are wanted; see :func:`needed`."""
        paths = list(paths)
        if not self.only:
            return needed(paths, index, self.variant)
        if absent := [path for path in self.only if path not in paths]:
            raise ValueError(f"it has no {absent[0]}")
        return list(self.only)

    def state(self) -> State:
        """Whether all that the model needs is there, by names and sizes."""
        folder, record = self.folder(), self.record()
        if folder is None or not self.cache.is_dir():
            return "missing"
        if self.only:
            whole = all((folder / path).is_file() for path in self.only)
        elif record is not None:
            whole = all(_has_size(folder / file.path, file.size) for file in record.files)
        else:
            whole = (folder / "model_index.json").is_file() and all(
                _has_weights(folder / part, self.variant) for part in self.parts
            )
        return "downloaded" if whole else "half"

    def faults(self, record: Record, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator["Fault"]:
        """The files that are not what they should be.

        Args:
            record: what they should be.
            on_bytes: told how much more was read; may raise to end it.
        """
        for file in record.files:
            path = self.snapshot(record.commit) / file.path
            try:
                size = path.stat().st_size
            except OSError:
                yield Fault(file, "is missing")
                continue
            if size != file.size:
                yield Fault(file, f"has {size} bytes and not {file.size}")
            elif not is_right(path, file, on_bytes):
                yield Fault(file, "is corrupt: its hash differs")

    def drop(self, commit: str, file: File) -> None:
        """Remove a file of a commit, and its content."""
        (self.snapshot(commit) / file.path).unlink(missing_ok=True)
        (self.cache / "blobs" / file.blob).unlink(missing_ok=True)

    def remove(self) -> int:
        """Remove all of it from the cache, other commits included; returns the bytes that this frees.

        Raises:
            EngineError: ``not_downloaded``; ``not_removed``, with the reason.
        """
        if not self.cache.is_dir() or self.cache.is_symlink():
            raise EngineError("not_downloaded", f"{self.name} is not on this machine; nothing was removed.")
        files = [path for path in self.cache.rglob("*") if path.is_file() and not path.is_symlink()]
        freed = sum(path.stat().st_size for path in files)
        try:
            shutil.rmtree(self.cache)
        except OSError as error:
            raise EngineError(
                "not_removed",
                f"{self.cache} cannot be removed ({error.strerror}); end what uses it, and try again.",
            ) from None
        return freed


class Progress:
    """Where a download tells how far it is, and asks whether to go on; by itself it does neither."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins: ``download`` or ``verify``, of so many bytes."""

    def advance(self, count: int) -> None:
        """So many bytes more; may raise to end the download."""


@dataclass(frozen=True)
class Fault:
    """A file, and what is wrong with it."""

    file: File
    what: str

    def __str__(self) -> str:
        return f"{self.file.path} {self.what}"


def is_right(path: Path, file: File, on_bytes: Callable[[int], None] = lambda _: None) -> bool:
    """Whether a file's content has the hash that it should have.

    Args:
        path: where it is.
        file: what it should be.
        on_bytes: told how much more was read; may raise to end it.
    """
    digest: Any = hashlib.sha256()
    if not file.sha256:  # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        digest = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with open_file(path, follow=True) as content:
        while block := content.read(_BLOCK):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest() == file.blob


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _has_weights(folder: Path, variant: str | None) -> bool:
    """Whether a component's weights are there, all parts of them where a list names some."""
    if not folder.is_dir():
        return False
    present = {path.name for path in folder.iterdir() if path.is_file()}
    chosen = _weights(present, variant)
    if not chosen:
        return False
    for name in _lists(present, chosen):
        try:
            wanted = set(read_json(folder / name, keys=10**6, follow=True)["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        if not wanted <= present:
            return False
    return True


def needed(paths: Iterable[str], index: Any, variant: str | None = None) -> list[str]:
    """The files of a repository that a pipeline is loaded from: safetensors where there are any.

    Code, other formats and other precisions are left out.

    Args:
        paths: of all its files, with forward slashes.
        index: what its ``model_index.json`` says.
        variant: of the weights; a component without it is taken as it is.

    Raises:
        ValueError: a component is not there, or has no weights that may be read.
    """
    paths = list(paths)
    chosen = ["model_index.json"]
    for part, kind in index.items():
        if part.startswith("_") or not isinstance(kind, list) or len(kind) != 2 or kind[0] is None:
            continue
        names = {path.removeprefix(f"{part}/") for path in paths if path.startswith(f"{part}/")}
        weights = _weights(names, variant)
        texts = {name for name in names if Path(name).suffix in _TEXT and ".index." not in name}
        if not texts | weights:
            raise ValueError(f"it has no {part}")
        if not weights and any(Path(name).suffix in _OTHER_WEIGHTS for name in names):
            raise ValueError(f"its {part} has no weights in the format safetensors")
        chosen += sorted(f"{part}/{name}" for name in texts | weights | _lists(names, weights))
    return chosen


_OTHER_WEIGHTS = {".ckpt", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".pb", ".gguf"}


def _weights(names: set[str], variant: str | None) -> set[str]:
    """The weight files of a component that are loaded: of the variant if there are any."""
    found: dict[tuple[str, str | None], set[str]] = {}
    for name in names:
        if match := _WEIGHTS.fullmatch(name):
            found.setdefault((match["kind"], match["variant"]), set()).add(name)
    wanted = (("safetensors", variant), ("safetensors", None), ("bin", variant), ("bin", None))
    return next((found[each] for each in wanted if each in found), set())


def _lists(names: set[str], weights: set[str]) -> set[str]:
    """The lists of the parts that these weights come in."""
    split = {match for name in weights if "-of-" in name and (match := _WEIGHTS.fullmatch(name))}
    endings = {
        f".{match['kind']}.index{'.' + match['variant'] if match['variant'] else ''}.json" for match in split
    }
    return {name for name in names if any(name.endswith(ending) for ending in endings)}
