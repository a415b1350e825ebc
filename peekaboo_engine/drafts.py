# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that a job works in until its clip is whole: one of its own, within the output folder.

Nothing of it is seen beside an earlier clip before all of it is there. Its files then take their places
together: the folder is renamed to say that it is whole, and its files are moved. If one cannot be moved,
earlier ones are moved back. If the engine is killed meanwhile, the next one that works there, or in a take
beside it, goes on with either; a draft that was not whole it removes.
"""

from __future__ import annotations

import errno
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .errors import EngineError, one_line
from .places import Folder, unused_name

_CLIPS = ("clip.mp4", "clip.png")
KINDS = ("smooth", "enlarged", "smooth_enlarged")
"""What finished clips and pictures are called: one by each way to finish them, and one by both."""
FINISHED = tuple(f"{kind}.{ending}" for kind in (*KINDS, "finished") for ending in ("mp4", "png"))
"""Their files, and those of before, whatever was done to them; they are made of a clip that is there."""
_RECORDS = ("clip.json", "thumbnail.png")
RESULTS = (*_CLIPS, *_RECORDS)
"""What a job may leave: one of the first two, which another program is most likely to hold open, and the
others."""
_PREFIX, _OLD = ".peekaboo-", "old-"
_WHOLE, _UNDONE = ".whole", ".undone"  # what the folder's name ends with while its files move, or move back
_PATIENCE = 5, 0.1  # times and seconds that a lock is tried, since who cleans takes it for a moment
_MAX_SIBLINGS = 1000  # takes beside this one that are looked through


def clip_name(num_frames: int) -> str:
    """What a clip of so many frames is called: one is a picture."""
    return _CLIPS[num_frames == 1]


class Draft:
    """Where a job writes; made at the first use of :attr:`path`.

    Args:
        out: the output folder, opened and locked.
    """

    def __init__(self, out: Folder):
        self._out, self._name = out, ""
        self._open = ExitStack()
        self._folder: Folder | None = None

    @property
    def out(self) -> Path:
        """The output folder."""
        return self._out.path

    @property
    def path(self) -> Path:
        """The folder; made anew if somebody removed it.

        Raises:
            OSError: it cannot be made.
        """
        if self._folder is None or self._out.mode(self._name) is None:
            self._open.close()
            name = unused_name(_PREFIX)
            self._out.make_folder(name)
            self._name = name
            self._folder = self._open.enter_context(self._out.folder(name))
        return self._folder.path

    def publish(self) -> None:
        """Move the results out, over earlier ones: all of them or, if that fails, none.

        Raises:
            EngineError: ``not_written``.
        """
        with writing_to(self.out):
            if self._folder is None:
                raise FileNotFoundError(errno.ENOENT, "there is nothing to move there")
            for name in self._folder.names():
                if name not in RESULTS:
                    _remove(self._folder, name)
            if missing := {*_results_of(self._folder, self._folder)} - {*self._folder.names()}:
                raise FileNotFoundError(errno.ENOENT, f"{min(missing)} is gone")
            whole = self._name + _WHOLE
            self._out.move(self._name, self._out, whole)
            self._name, self._folder.path = "", self.out / whole  # not to be removed before it is settled
            try:
                self._name, error = _settle(self._folder, self._out, whole)
            except KeyboardInterrupt:  # too late: it is whole, and the moves take no time
                self._name, error = _settle(self._folder, self._out, whole)
            if error is not None:
                raise self._kept(self._folder, error)

    def _kept(self, folder: Folder, error: OSError) -> OSError:
        """Keep results that could not take their places, under a name that nobody cleans; says it."""
        if any(folder.mode(result) is None for result in _results_of(folder, folder)):
            return error
        name = unused_name("clip-")
        self._out.move(self._name, self._out, name)
        self._name = ""
        return OSError(error.errno, f"{error.strerror}; the new clip is kept in {self._out.path / name}")

    def close(self) -> None:
        """Remove the folder with what is left in it."""
        self._open.close()
        self._folder = None
        if self._name:
            _remove(self._out, self._name)
        self._name = ""

    def holds_folder(self, name: str) -> bool:
        """Whether a name of the output folder is taken by a folder."""
        return stat.S_ISDIR(self._out.mode(name) or 0)


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turn what the disk says into a sentence; raises EngineError ``not_written``."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            "not_written",
            f"The clip was not written to {out} ({error.strerror or one_line(error)}); free some space or "
            "choose another folder.",
        ) from error


@contextmanager
def drafting(path: Path) -> Iterator[Draft]:
    """Work in an output folder, which is made if it is not there; no other engine does meanwhile.

    What a killed engine left there, and in takes beside it, is put right first.

    Raises:
        EngineError: ``busy_folder`` if another engine works there; ``not_written`` for a folder that cannot
            be made or opened.
    """
    with ExitStack() as stack:
        with writing_to(path):
            out = stack.enter_context(Folder.opened(path, make=True))
            held = _locked(out)
        if held is False:
            raise EngineError(
                "busy_folder",
                f"Another engine is making a clip in {path}; wait for it, or choose another folder.",
            )
        if held:
            with suppress(OSError):
                _clean(out)
                _clean_siblings(path)
        draft = Draft(out)
        stack.callback(draft.close)
        yield draft


def _locked(folder: Folder) -> bool | None:
    times, seconds = _PATIENCE
    for _ in range(times):
        if (held := folder.lock()) is not False:
            return held
        time.sleep(seconds)
    return False


def check_place(draft: Draft, needed: int) -> None:
    """Say before the work that a clip could not be written after it.

    Args:
        draft: of the output folder.
        needed: bytes that the results may take.

    Raises:
        EngineError: ``not_written`` for a folder that cannot be written to, too little space, or a folder in
            the place of a file.
    """
    out = draft.out
    with writing_to(out):
        (draft.path / "empty").touch()
        draft.close()
        free = shutil.disk_usage(out).free
    if free < needed:
        raise EngineError(
            "not_written",
            f"{out} has {free / 1e6:.0f} MB free, and the clip may take {needed / 1e6:.0f} MB; free some "
            "space or choose another folder.",
        )
    for name in RESULTS:
        if draft.holds_folder(name):
            raise EngineError(
                "not_written", f"{out / name} is a folder, where a file goes; move it or choose another one."
            )


def _clean_siblings(out: Path) -> None:
    """Clean takes beside this one: an engine's next job has a folder of its own."""
    with suppress(OSError):
        beside = [path for path, _ in zip(out.resolve().parent.iterdir(), range(_MAX_SIBLINGS), strict=False)]
        for path in beside:
            if (path / "job").is_dir() and not path.is_symlink():
                with suppress(OSError), Folder.opened(path) as take:
                    if any(name.startswith(_PREFIX) for name in take.names()) and take.lock():
                        _clean(take)


def _clean(out: Folder) -> None:
    """Go on with drafts that were moved out or back, remove the others."""
    for name in out.names():
        if name.startswith(_PREFIX) and stat.S_ISDIR(out.mode(name) or 0):
            with suppress(OSError):  # it stays for the next one
                _remove(out, _settled(out, name))


def _settled(out: Folder, name: str) -> str:
    """Bring the files of a draft to where they belong; returns what the draft is called then."""
    with out.folder(name) as draft:
        if name.endswith(_WHOLE):
            name, _ = _settle(draft, out, name)
        elif name.endswith(_UNDONE):
            _move_back(draft, out)
    return name


def _results_of(draft: Folder, out: Folder) -> tuple[str, ...]:
    """The names of a draft's results, some of which may be out already.

    An earlier clip of the other kind goes before the new one comes out, so there is no doubt which is which.
    """
    clips = (name for folder in (draft, out) for name in _CLIPS if stat.S_ISREG(folder.mode(name) or 0))
    return (next(clips, _CLIPS[0]), *_RECORDS)


def _settle(draft: Folder, out: Folder, name: str) -> tuple[str, OSError | None]:
    """Move results out or, if one cannot be moved, all back; it may have been begun by a dead process.

    An earlier clip of the other kind, a picture where this one moves, is moved away, and what was made of an
    earlier one: they are not what the new record is about.

    Returns:
        What the draft is called then, and why results were moved back, if they were.

    Raises:
        OSError: they could not even be moved back.
    """
    results = _results_of(draft, out)
    try:
        for other in {*_CLIPS, *FINISHED} - {results[0]}:
            earlier = out.mode(other)
            if earlier is not None and not stat.S_ISDIR(earlier) and draft.mode(results[0]) is not None:
                out.move(other, draft, _OLD + other)
        for result in results:
            if stat.S_ISREG(draft.mode(result) or 0):
                if out.mode(result) is not None and draft.mode(_OLD + result) is None:
                    out.keep(result, draft, _OLD + result)
                draft.move(result, out, result)
    except OSError as error:
        for result in results:
            if draft.mode(result) is None and out.mode(result) is not None:
                out.move(result, draft, result)  # the new one; an old one then takes its place again
        undone = name.removesuffix(_WHOLE) + _UNDONE
        out.move(name, out, undone)
        _move_back(draft, out)
        return undone, error
    return name, None


def _move_back(draft: Folder, out: Folder) -> None:
    for result in (*RESULTS, *FINISHED):
        if draft.mode(_OLD + result) is not None:
            draft.move(_OLD + result, out, result)


def _remove(folder: Folder, name: str) -> None:
    """Remove a file, a link, or a folder with all that is in it, as far as that is possible."""
    with suppress(OSError):
        if not stat.S_ISDIR(folder.mode(name) or 0):
            folder.remove(name)
            return
        with folder.folder(name) as inner:
            for left in inner.names():
                _remove(inner, left)
        folder.remove_folder(name)
