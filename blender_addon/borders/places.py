# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that somebody else may have laid out; imports no bpy.

Only regular files are read, without ever waiting for one, and no more of them than stated. What is written
follows no link: it is made under a new name in a folder that is opened once, and then takes its place there.
Windows has no such opened folders (``dir_fd``): there a link is looked for first, and a program that puts one
in its place at that very moment is not caught.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

DEVICES = re.compile("CON|PRN|AUX|NUL|(COM|LPT)[0-9\u00b9\u00b2\u00b3]", re.IGNORECASE)
"""Names that stand for devices on Windows, also with an ending, and for no file."""

_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | _PLAIN | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN | _NO_LINK
_HAS_OPENED_FOLDERS = {os.open, os.rename, os.unlink} <= os.supports_dir_fd


def machine_of(path: str) -> str:
    r"""The other machine that a path is on, which Windows would log in to: of ``\\server`` or ``//server``.

    Returns:
        Its name in lower case; empty for a path on this one.
    """
    found = re.match(r"[\\/]{2}([^\\/]*)", path)
    return (found[1].lower() or "?") if found else ""


class NotPlain(OSError):
    """A link, a pipe, a device or a folder where a file should be; ``strerror`` says which."""

    def __init__(self, reason: str):
        super().__init__(0, reason)


def open_file(path: Path, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading, also where opening something else would wait.

    Args:
        path: of the file.
        follow: whether it may be a link to one.

    Raises:
        NotPlain: it is a link, or no regular file.
        OSError: there is none, or it cannot be opened.
    """
    try:
        _check(path.stat(follow_symlinks=follow).st_mode)
        descriptor = os.open(path, _READ if follow else _READ | _NO_LINK)
    except ValueError as error:  # no path at all: a NUL byte, half a character
        raise NotPlain(str(error)) from None
    try:
        _check(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
        raise NotPlain(f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file")


def read_file(path: Path, most: int, follow: bool = False) -> bytes:
    """Read a regular file of at most so many bytes; see :func:`open_file`.

    Raises:
        OSError: as :func:`open_file`, or the file is larger.
    """
    with open_file(path, follow) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise NotPlain(f"it has more than {most} bytes")
    return data


def is_file(path: Path) -> bool:
    """Whether there is a file; False too for what can be no path."""
    return _is(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False too for what can be no path."""
    return _is(path, stat.S_ISDIR)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_link(path: Path) -> bool:
    """Whether a name leads elsewhere, also as a junction of Windows; False where there is nothing."""
    try:
        state = path.lstat()
    except (OSError, ValueError):
        return False
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(state.st_mode) or getattr(state, "st_reparse_tag", None) in {junction} - {None}


def check_writable(folder: Path) -> None:
    """Make sure that files can be made in a folder, by making one: no permissions tell that of every disk.

    Args:
        folder: one that is not there is left so, and whether a folder can be made in the nearest above it is
            looked at: at the top of a Windows disk, users may make those and no files.

    Raises:
        OSError: they cannot.
    """
    above = folder
    while not above.exists() and above != above.parent:
        above = above.parent
    probe = above / f".peekaboo-{secrets.token_hex(8)}"
    if above == folder:
        os.close(os.open(probe, _CREATE, 0o600))
        probe.unlink()
    else:
        probe.mkdir()
        probe.rmdir()


class Folder:
    """A folder to write into: no link, made if need be, and opened once."""

    def __init__(self, path: Path, descriptor: int | None):
        """See :func:`opened`, which makes them."""
        self._path, self._descriptor = path, descriptor

    def write(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Make a file, whole or not at all; it replaces a file or a link of its name.

        Args:
            name: of the file.
            write: is called with the new file, open.

        Raises:
            OSError: it cannot be written.
        """
        draft = f".{name}.{secrets.token_hex(8)}"
        try:
            with self._create(draft) as file:
                write(file)
            os.replace(
                self._at(draft), self._at(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor
            )
        except BaseException:
            with suppress(OSError):
                os.unlink(self._at(draft), dir_fd=self._descriptor)
            raise

    def claim(self, name: str, data: bytes) -> bool:
        """Make a file where there is none: of several that try at once, one does.

        On disks without hard links the others may for a moment read less than there will be.

        Returns:
            Whether this one did.

        Raises:
            OSError: it cannot be written.
        """
        draft, own = f".{name}.{secrets.token_hex(8)}", self._descriptor
        try:
            with self._create(draft) as file:
                file.write(data)
            try:
                os.link(self._at(draft), self._at(name), src_dir_fd=own, dst_dir_fd=own)
            except FileExistsError:
                return False
            except (OSError, NotImplementedError):
                return self._claim_in_place(name, data)
            return True
        finally:
            with suppress(OSError):
                os.unlink(self._at(draft), dir_fd=own)

    def _claim_in_place(self, name: str, data: bytes) -> bool:
        try:
            file = self._create(name)
        except FileExistsError:
            return False
        try:
            with file:
                file.write(data)
        except BaseException:  # half of it would keep the place for nobody
            with suppress(OSError):
                os.unlink(self._at(name), dir_fd=self._descriptor)
            raise
        return True

    def begin(self, name: str) -> BinaryIO:
        """Open an empty file that is written bit by bit, such as a log; it replaces a file or a link.

        Raises:
            OSError: it cannot be made.
        """
        with suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._descriptor)
        return self._create(name)

    def _create(self, name: str) -> BinaryIO:
        return os.fdopen(os.open(self._at(name), _CREATE, 0o666, dir_fd=self._descriptor), "wb")

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._path / name)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Open a folder to write into; it is made where there is none. The folders above it may be links.

    Raises:
        NotPlain: it is a link.
        OSError: it is no folder, or cannot be made or opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir()
    if is_link(path):
        raise NotPlain("it is a link to another folder")
    if not _HAS_OPENED_FOLDERS:
        yield Folder(path, None)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK | _PLAIN)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)
