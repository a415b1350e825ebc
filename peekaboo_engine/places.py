# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that somebody else may have laid out: nothing is read but files, nothing follows a link.

A folder is opened once, and what is made in it is made relative to that (``dir_fd``), under names that must
not be there yet (``O_EXCL``, ``O_NOFOLLOW``): a link that was put in the way is refused, not followed. Where
the system has no ``dir_fd`` (Windows) the same is done by path, and a link is looked for first; a program
that swaps a folder for a link at that very moment is not caught there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_READ = os.O_RDONLY | _PLAIN | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _PLAIN
_BY_DESCRIPTOR = {os.open, os.mkdir, os.rename, os.unlink, os.stat} <= os.supports_dir_fd
_MAX_NAMES = 10_000  # of a folder that are looked at


class NotPlain(OSError):
    """A link, a pipe, a device or a folder where a file has to be, or a file that is too large."""

    def __init__(self, reason: str):
        super().__init__(errno.EINVAL, reason)


def open_file(path: Path, follow: bool = False) -> BufferedReader:
    """Open a regular file to read it; never waits, as opening a pipe would.

    Args:
        path: of the file.
        follow: whether the file may be a link, as those of a hub's cache are.

    Raises:
        NotPlain: it is something else.
        OSError: it cannot be opened; a path that cannot be one at all raises that, too.
    """
    try:
        _require_file(path.stat(follow_symlinks=follow).st_mode)
        descriptor = os.open(path, _READ | (0 if follow else _NOFOLLOW))
    except ValueError as error:  # a NUL byte
        raise NotPlain(str(error)) from None
    try:
        _require_file(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def sha256_of(path: Path, follow: bool = False) -> str:
    """SHA-256 of a file's content; arguments and errors as :func:`open_file`."""
    with open_file(path, follow) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_file(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    raise NotPlain(f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file")


def read_file(path: Path, most: int, follow: bool = False) -> bytes:
    """All bytes of a regular file, if they are not more than ``most``.

    Raises:
        OSError: as :func:`open_file`; :class:`NotPlain` for a file that is larger.
    """
    with open_file(path, follow) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise NotPlain(f"it has more than {most} bytes")
    return data


class Folder:
    """A folder that was opened once: what is done in it is done there, whatever becomes of its path.

    Args:
        path: for messages, and for programs that need one.
        descriptor: of the open folder; None where the system has no such thing.
    """

    def __init__(self, path: Path, descriptor: int | None):
        self.path, self._at = path, descriptor
        self._lock_file: int | None = None

    @classmethod
    @contextmanager
    def opened(cls, path: Path, make: bool = False) -> Iterator[Folder]:
        """Open a folder, making it first where it is not there if asked to.

        Raises:
            OSError: it is no folder, or cannot be opened or made.
        """
        try:
            if make:
                path.mkdir(parents=True, exist_ok=True)
            folder = cls(path, _open_folder(path))
        except ValueError as error:  # a NUL byte
            raise NotPlain(str(error)) from None
        try:
            yield folder
        finally:
            folder._close()

    @contextmanager
    def folder(self, name: str) -> Iterator[Folder]:
        """Open a folder within this one, which must not be a link.

        Raises:
            OSError: it is no folder, or a link to one.
        """
        if not stat.S_ISDIR(self.mode(name) or 0):
            raise NotPlain(f"{name} is no folder")
        inner = Folder(self.path / name, _open_folder(self._name(name), self._at, _NOFOLLOW))
        try:
            yield inner
        finally:
            inner._close()

    def make_folder(self, name: str) -> None:
        """Make a folder that only this user reads; raises FileExistsError for any name that is taken."""
        os.mkdir(self._name(name), 0o700, dir_fd=self._at)

    def create(self, name: str) -> BinaryIO:
        """Make a new file to write to; raises FileExistsError for any name that is taken, also by a link."""
        return os.fdopen(os.open(self._name(name), _CREATE, 0o666, dir_fd=self._at), "w+b")

    def move(self, name: str, into: Folder, new: str) -> None:
        """Move a file into a folder of the same disk, over what is there; a link there is replaced."""
        os.replace(self._name(name), into._name(new), src_dir_fd=self._at, dst_dir_fd=into._at)

    def keep(self, name: str, into: Folder, new: str) -> None:
        """Give a file a second name in another folder, or move it where a disk knows no second names."""
        if stat.S_ISDIR(self.mode(name) or 0):
            raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
        try:
            os.link(
                self._name(name),
                into._name(new),
                src_dir_fd=self._at,
                dst_dir_fd=into._at,
                follow_symlinks=False,
            )
        except (OSError, NotImplementedError):
            self.move(name, into, new)

    def remove(self, name: str) -> None:
        """Remove a file or a link."""
        os.unlink(self._name(name), dir_fd=self._at)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(self._name(name), dir_fd=self._at)

    def mode(self, name: str) -> int | None:
        """What is there under a name, as of ``stat``, links not followed; None if nothing is."""
        try:
            return os.stat(self._name(name), dir_fd=self._at, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """What is in the folder, so much of it as one would look at."""
        with os.scandir(self.path if self._at is None else self._at) as entries:
            return [entry.name for entry, _ in zip(entries, range(_MAX_NAMES), strict=False)]

    def lock(self) -> bool | None:
        """Keep other engines from working here until this is closed, also by the death of this process.

        Returns:
            Whether it is ours now; None where the disk knows no locks.
        """
        if self._at is None:
            return self._lock_by_file()
        import fcntl

        try:
            fcntl.flock(self._at, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # of a network, mostly
            return None
        return True

    def _lock_by_file(self) -> bool | None:
        # Windows does not lock folders, but removes this file when its process ends.
        temporary = getattr(os, "O_TEMPORARY", None)
        if temporary is None:
            return None
        try:
            self._lock_file = os.open(self.path / ".peekaboo-lock", _CREATE | temporary)
        except FileExistsError:
            return False
        except PermissionError:  # what Windows says of one that is open elsewhere
            return False if (self.path / ".peekaboo-lock").exists() else None
        return True

    def _name(self, name: str) -> str | Path:
        if name in {"", ".", ".."} or "\0" in name or Path(name).name != name:
            raise NotPlain(f"{name!r} is no name of a file")
        return name if self._at is not None else self.path / name

    def _close(self) -> None:
        for descriptor in (self._lock_file, self._at):
            if descriptor is not None:
                os.close(descriptor)


def _open_folder(path: str | Path, within: int | None = None, flags: int = 0) -> int | None:
    if not _BY_DESCRIPTOR:
        if flags and Path(path).is_symlink():
            raise NotPlain(f"{path} is a link")
        if not Path(path).is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return None
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | _PLAIN | flags, dir_fd=within)


def unused_name(prefix: str = "", suffix: str = "") -> str:
    """A name that nobody could have foreseen, so that nothing lies in wait under it."""
    return f"{prefix}{secrets.token_hex(8)}{suffix}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new empty file beside ``path`` that takes its place if the block succeeds, and is removed if not.

    Raises:
        OSError: the disk or the folder does not take it.
    """
    temporary = unused_name(f".{path.stem[:100]}.", path.suffix)
    with Folder.opened(path.parent, make=True) as folder:
        folder.create(temporary).close()
        try:
            yield folder.path / temporary
            folder.move(temporary, folder, path.name)
        finally:
            with suppress(OSError):
                folder.remove(temporary)
