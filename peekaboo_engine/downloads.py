# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a model from Hugging Face's hub into its cache: only what is needed, resumed, and checked by hash.

The hub's own library finds files, follows redirections and hands out the token; since version 2 it begins a
file anew that was cut off, so the bytes are kept here. Files are fetched by plain HTTP one after the other,
as their parts can be resumed at any byte.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from filelock import FileLock, Timeout
from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers
from pydantic import ValidationError

from .documents import read_json
from .errors import EngineError, one_line, shown
from .repositories import RECORD, File, Progress, Record, Repository, is_right

_SPARE = 64 * 2**20
"""Bytes that stay free on the disk."""
_CHUNK = 2**20
"""Bytes that are written at a time, and lost where a connection breaks off: of the library's own 10 MB a slow
line would need a minute."""
_ATTEMPTS = 5
"""How often in a row a connection may break off without a byte."""


@dataclass(frozen=True)
class Plan:
    """What a download would do.

    Args:
        record: what the model needs.
        missing: bytes that still have to come.
        licence: that the repository's page states, if it does.
    """

    record: Record
    missing: int
    licence: str = ""


def plan(repository: Repository) -> Plan:
    """Ask the hub what a model needs, and see how much of it is here.

    Raises:
        EngineError: ``not_online``, ``no_connection``, ``gated``, ``not_on_hub``, ``hub_failed``, or
            ``bad_repository`` where it holds no pipeline that can be read.
    """
    with _in_sentences(repository):
        info = HfApi().model_info(repository.name, revision=repository.revision, files_metadata=True)
        listed = {each.rfilename: each for each in info.siblings or []}
        index = None
        if not repository.only:
            index = Path(hf_hub_download(repository.name, "model_index.json", revision=info.sha))
        try:
            paths = repository.needed(listed, index and read_json(index, follow=True))
            files = tuple(_file(listed[path]) for path in paths)
            record = Record(commit=info.sha or "", files=files)
        except (ValueError, ValidationError, KeyError, AttributeError, TypeError) as error:
            reason = "a file of it cannot be named" if isinstance(error, ValidationError) else one_line(error)
            raise EngineError(
                "bad_repository",
                f"{repository.name} is no model that can be downloaded ({reason}); take another one.",
            ) from None
    return Plan(record, _missing(repository, record), _licence(info))


def _licence(info: Any) -> str:
    """What a page states among its tags, where the hub puts it whatever the page has it in."""
    stated = (tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:"))
    return shown(next(stated, ""))


def _file(listed: Any) -> File:
    sha256 = listed.lfs.sha256 if listed.lfs else None
    return File(
        path=listed.rfilename, size=listed.size, sha256=sha256, git=None if sha256 else listed.blob_id
    )


def _part_of(repository: Repository, file: File) -> Path:
    """Where the bytes of a file are kept until all have come."""
    return repository.cache / "blobs" / f"{file.blob}.peekaboo"


def _missing(repository: Repository, record: Record) -> int:
    """Bytes that still have to come; of files with the same content only once."""
    wanted = {file.blob: file.size for file in record.files if not _is_here(repository, record.commit, file)}
    for file in record.files:
        if file.blob in wanted and (part := _part_of(repository, file)).exists():
            wanted[file.blob] = max(0, file.size - part.stat().st_size)
    return sum(wanted.values())


def _is_here(repository: Repository, commit: str, file: File) -> bool:
    places = (repository.snapshot(commit) / file.path, repository.cache / "blobs" / file.blob)
    return any(place.exists() for place in places)


def fetch(repository: Repository, planned: Plan, progress: Progress) -> Path:
    """Make a model whole: check what is there, fetch what is not, and check that.

    What has come stays when it ends early, and the next call goes on from there.

    Returns:
        The folder of the commit.

    Raises:
        EngineError: as :func:`plan`; ``no_space``, ``not_written``, ``corrupt``, ``busy``.
    """
    record = planned.record
    with _in_sentences(repository), _alone(repository):
        (repository.cache / "blobs").mkdir(parents=True, exist_ok=True)
        _check_here(repository, record, progress)
        missing = _missing(repository, record)
        check_space(repository, missing)
        _write(repository, record)
        progress.phase("download", missing)
        for file in record.files:
            _fetch_file(repository, record.commit, file, progress)
        if repository.revision is None:  # for those who look it up by its branch
            branch = repository.cache / "refs" / "main"
            branch.parent.mkdir(exist_ok=True)
            branch.write_text(record.commit, encoding="utf-8")
    return repository.snapshot(record.commit)


def _write(repository: Repository, record: Record) -> None:
    """Write down what the download is to bring, beside what others brought of the same commit."""
    old = repository.record()
    if old is not None and old.commit == record.commit:
        files = {file.path: file for file in (*old.files, *record.files)}
        record = record.model_copy(update={"files": tuple(files.values())})
    draft = repository.cache / f"{RECORD}.draft"
    draft.write_text(record.model_dump_json(exclude_none=True), encoding="utf-8")
    draft.replace(repository.cache / RECORD)


@contextmanager
def _alone(repository: Repository) -> Iterator[None]:
    """Nobody else downloads the repository meanwhile."""
    folder = repository.cache.parent / ".locks" / repository.cache.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "peekaboo.lock", timeout=0):
            yield
    except Timeout:
        raise EngineError("busy", f"{repository.name} is being downloaded already; wait for that.") from None


def _check_here(repository: Repository, record: Record, progress: Progress) -> None:
    """Drop what is here and is not what it should be, so that it comes anew."""
    here = [file for file in record.files if (repository.snapshot(record.commit) / file.path).exists()]
    if here:
        progress.phase("verify", sum(file.size for file in here))
        for fault in repository.faults(Record(commit=record.commit, files=tuple(here)), progress.advance):
            repository.drop(record.commit, fault.file)


def check_space(repository: Repository, missing: int) -> None:
    """Refuse a download that the disk has no room for.

    Raises:
        EngineError: ``no_space``.
    """
    place = repository.cache
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if missing + _SPARE > free:
        raise _no_space(repository, missing, free)


def _no_space(repository: Repository, missing: int, free: int) -> EngineError:
    return EngineError(
        "no_space",
        f"{repository.name} takes {(missing + _SPARE) / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free in "
        f"{repository.cache.parent}; make room there, or set HF_HUB_CACHE to a folder on another disk.",
    )


def _fetch_file(repository: Repository, commit: str, file: File, progress: Progress) -> None:
    if (repository.snapshot(commit) / file.path).exists():
        return
    blob, part = repository.cache / "blobs" / file.blob, _part_of(repository, file)
    if not blob.exists() or not is_right(blob, file):  # it may be of another commit, and old
        _fetch_bytes(repository, commit, file, part, progress)
        if not is_right(part, file):
            part.unlink()
            raise EngineError(
                "corrupt",
                f"{file.path} of {repository.name} did not arrive as the hub has it (its hash differs) "
                "and was dropped: download it again; if that stays so, ask who runs the network in between.",
            )
        part.replace(blob)
    hf_hub_download(repository.name, file.path, revision=commit)  # the link to it, and nothing else


def _fetch_bytes(repository: Repository, commit: str, file: File, part: Path, progress: Progress) -> None:
    """Fetch what is missing of a file, again and again as long as something comes."""
    url = hf_hub_url(repository.name, file.path, revision=commit)
    constants.DOWNLOAD_CHUNK_SIZE = min(_CHUNK, constants.DOWNLOAD_CHUNK_SIZE)
    fruitless = 0
    with part.open("r+b" if part.exists() else "w+b") as content:
        while True:
            begun = min(content.seek(0, 2), file.size)
            content.truncate(begun)
            content.seek(begun)
            try:
                http_get(
                    url,
                    content,
                    resume_size=begun,
                    headers=build_hf_headers() | {"Accept-Encoding": "identity"},
                    expected_size=file.size,
                    tqdm_class=_meter(progress),
                )
                return
            except (
                httpx2.ReadError
            ):  # the library goes on after the other ways in which a connection breaks off
                fruitless = 0 if content.seek(0, 2) > begun else fruitless + 1
                if fruitless == _ATTEMPTS:
                    raise


def _meter(progress: Progress) -> Any:
    """What the hub's library takes for a progress bar."""

    class Meter:
        def __init__(self, **_: object):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: float | None = 1) -> None:
            progress.advance(int(count or 0))

    return Meter


@contextmanager
def _in_sentences(repository: Repository) -> Iterator[None]:
    """Whatever the hub, the network and the disk do, as one sentence."""
    try:
        yield
    except EngineError:
        raise
    except (httpx2.HTTPError, OSError) as error:
        raise _sentence(repository, error) from error


def _sentence(repository: Repository, error: Exception) -> EngineError:
    name, page = repository.name, f"{constants.ENDPOINT}/{repository.name}"
    match error:
        case LocalEntryNotFoundError() if isinstance(error.__cause__, Exception):  # what it was is behind it
            return _sentence(repository, error.__cause__)
        case OfflineModeIsEnabled():
            return not_online(name)
        case GatedRepoError():
            return EngineError(
                "gated",
                f"The hub gives {name} only to those who have accepted its conditions: accept them at {page} "
                "with an account there, set HF_TOKEN to a token of that account, and download again.",
            )
        case RepositoryNotFoundError() | RevisionNotFoundError():
            return EngineError(
                "not_on_hub",
                f"The hub has no {name} for everybody (or no longer, or not at this commit); look at {page}.",
            )
        case HfHubHTTPError():
            return _of_status(name, page, error.response.status_code)
        case httpx2.HTTPError():
            return EngineError(
                "no_connection",
                f"The connection to {constants.ENDPOINT} failed ({one_line(error)}); what has arrived of "
                f"{name} is kept: check the network, and download again to go on.",
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            return EngineError(
                "no_space",
                f"The disk of {repository.cache.parent} is full; what has arrived of {name} is kept: make "
                "room, and download again to go on.",
            )
    return EngineError(
        "not_written",
        f"{name} cannot be written to {repository.cache.parent} ({one_line(error)}); mend that, or set "
        "HF_HUB_CACHE to another folder.",
    )


def _of_status(name: str, page: str, status: int) -> EngineError:
    if status == 404:
        return EngineError("not_on_hub", f"A file of {name} is not on the hub any more; look at {page}.")
    if status in (401, 403):
        return EngineError(
            "gated", f"The hub refuses {name} ({status}); look at {page} with your account, and set HF_TOKEN."
        )
    if status == 429:
        return EngineError(
            "hub_failed",
            f"The hub takes no more requests from here for now (429); wait some minutes and download {name} "
            "again, with a token in HF_TOKEN if you have one.",
        )
    return EngineError(
        "hub_failed", f"The hub failed ({status}); download {name} again later, which goes on where it was."
    )


def not_online(name: str) -> EngineError:
    """The error of what is not on this machine while nothing may be downloaded."""
    return EngineError(
        "not_online",
        f"{name} is not on this machine, and nothing may be downloaded: allow online access (in Blender's "
        "System preferences, or by --online-mode before --command; elsewhere unset HF_HUB_OFFLINE).",
    )
