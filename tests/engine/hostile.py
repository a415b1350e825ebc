# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers may send, and a small world in which it is tried: nothing outside of `out` may change."""

import contextlib
import io
import json
import os
import shutil
import signal
import stat
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from test_places import array_of
from tiny import unet3d as tiny_models

from peekaboo_engine.drafts import RESULTS, clip_name
from peekaboo_engine.errors import shown
from peekaboo_engine.limits import MAX_MESSAGE
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

CANCEL_SECONDS = 2.0
"""Of computing after which the fuzz cancels a job, as somebody would who waits."""
ANSWER_SECONDS = 10.0
"""Of computing within which there is an answer. The processor's time, since the machine may be busy."""
HANG_SECONDS = 120
"""After which a case that waits counts as hanging."""

FRAMES, HEIGHT, WIDTH = 2, 32, 32
JOB = {
    "schema_version": 1,
    "prompt": tiny_models.PROMPT,
    "negative_prompt": "the panda",
    "subjects": [
        {"name": "Ball", "phrase": "a red ball", "strength": [1.0, 0.5]},
        {"name": "Cube", "phrase": "a blue cube"},
    ],
    "model": "",
    "width": WIDTH,
    "height": HEIGHT,
    "num_frames": FRAMES,
    "timing": {"frame_start": 1, "frame_count": 4, "fps": 24, "fps_base": 1.0, "scene_frames": [1.0, 3.0]},
    "seed": 7,
    "num_inference_steps": 1,
    "guidance_scale": 5.0,
    "control": {"masked_steps": 1, "blocks": "all", "special_tokens": "background"},
}


def labels() -> np.ndarray:
    """Two subjects in each frame."""
    drawn = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    drawn[:, 4:16, 4:16], drawn[:, 18:30, 16:30] = 1, 2
    return drawn


class Answer:
    """Keeps what the engine says of a job."""

    def __init__(self):
        self.code, self.message, self.kinds = "", "", Counter()

    def error(self, code: str, message: str) -> None:
        self.code, self.message = code, message

    def result(self, **_fields) -> None:
        self.code = "result"

    def __getattr__(self, kind):
        return lambda *_, **__: self.kinds.update([kind])


class Memory:
    """How much a process takes at most from here on, beyond what it has now."""

    def __init__(self):
        self._before = resident_mb("VmRSS")
        with contextlib.suppress(OSError):  # Linux forgets the highest until now
            Path("/proc/self/clear_refs").write_text("5")

    def added_mb(self) -> float:
        """Of the highest since then."""
        return max(0.0, resident_mb("VmHWM") - self._before)


def resident_mb(name: str) -> float:
    """What Linux says of this process's memory; 0 elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 2**10
    return 0.0


class World:
    """Folders of a user with a victim beside them, an engine, and what came of all cases.

    Args:
        root: an empty folder; all that temporary files may be made in.
        model: of a tiny pipeline.
    """

    def __init__(self, root: Path, model: Path):
        self.root, self.model = root, model
        self.job, self.out = root / "take" / "job", root / "out"
        self.victims = root / "victims"
        self.codes: Counter[str] = Counter()
        self.slowest = 0.0
        self.most_mb = 0.0
        self.baseline_mb = 0.0
        self.good_masks = root / "good.npz"
        np.savez_compressed(self.good_masks, labels=labels())
        self.worker = Worker(Placement(device="cpu"), previews=True)

    def fresh(self) -> None:
        """Lay out a good job, an empty output folder, and victims."""
        for folder in (self.job, self.out, self.victims):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for name in RESULTS:
            (self.victims / name).write_text("mine")
        self.write_job(JOB | {"model": str(self.model)})
        shutil.copy(self.good_masks, self.job / "masks.npz")

    def write_job(self, job) -> None:
        """Write job.json, also with what is no JSON."""
        (self.job / "job.json").write_text(json.dumps(job))

    def outside(self) -> dict[str, tuple]:
        """All that is there but for the output folder, as far as a change would show."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            if Path(folder) == self.out:
                folders.clear()
                continue
            for name in (*folders, *files):
                path = Path(folder) / name
                state = path.lstat()
                if path != self.out:
                    found[str(path)] = (state.st_mode, state.st_size, state.st_mtime_ns, state.st_ino)
        for path, (mode, *_) in found.items():
            if stat.S_ISDIR(mode):
                found[path] = (mode,)  # its entries are in the list
        return found

    def play(self, patience: float = CANCEL_SECONDS) -> Answer:
        """Run the job that is laid out, as a user who loses patience, and hold the engine to its promises."""
        before, present = self.outside(), self.present()
        answer, log, begun = Answer(), io.StringIO(), time.process_time()
        memory = Memory()
        with contextlib.redirect_stderr(log), hanging_fails():
            self.worker.run(self.job, self.out, answer, lambda: time.process_time() - begun > patience)
        self.check(answer, log.getvalue(), time.process_time() - begun if patience < ANSWER_SECONDS else 0)
        self.most_mb = max(self.most_mb, memory.added_mb())
        assert self.baseline_mb == 0 or self.most_mb < self.baseline_mb, "it takes twice the memory"
        assert self.outside() == before, "something outside of the output folder has changed"
        new = self.present() - present
        assert new <= set(RESULTS), new
        if answer.code == "result":
            clips = [name for name in map(clip_name, (1, 16)) if os.path.lexists(self.out / name)]
            assert len(clips) == 1, clips
            for path in (self.out / name for name in (*clips, "clip.json", "thumbnail.png")):
                assert path.is_file() and not path.is_symlink() and path.stat().st_size, path
        return answer

    def present(self) -> set[str]:
        """What the output folder holds."""
        return {path.name for path in self.out.iterdir()}

    def check(self, answer: Answer, log: str, seconds: float) -> None:
        """Whether there is one answer, in time, in a sentence that a terminal may get."""
        assert "Traceback" not in log, log
        assert answer.code and answer.code != "unexpected", answer.message
        assert answer.message == shown(answer.message) and len(answer.message) < 2 * MAX_MESSAGE
        assert seconds < ANSWER_SECONDS, (seconds, answer.code)
        self.codes[answer.code] += 1
        self.slowest = max(self.slowest, seconds)


@contextlib.contextmanager
def hanging_fails():
    """Fail a block that waits for ever; not on Windows, which has no such timer."""
    if sys.platform == "win32":
        yield
        return

    def fail(*_):
        raise AssertionError(f"no answer within {HANG_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


SPECIAL = [
    "\0",
    "\x1b[31m",
    "\x9b2J",
    "\u202e",
    "\ud800",
    "../..",
    "/",
    "\\",
    "a red ball",
    "x" * 300,
    "%s{}",
    "",
]
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(SPECIAL), st.just("y" * 200_000))
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([0, -4, 8, 2048, 2056, 10**8, 3 * 10**9, 2**63, -(2**63), 2**70, 1e999, -1e999, 1e-320]),
    st.floats(),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=6,
)
BIG = st.sampled_from(
    [
        [0.5] * 100_000,
        [[]] * 100_000,
        [{"name": "a", "phrase": "a red ball"}] * 1000,
        {str(number): number for number in range(5000)},
        json.loads("[" * 200 + "]" * 200),
    ]
)


def places(data, way=()):
    """Each place of a document: a tuple of keys and indices."""
    yield way
    if isinstance(data, dict | list):
        for key, inner in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(inner, (*way, key))


def changed(data, way: tuple, change: str, value):
    """A copy of a document with one place set, removed, or given another key."""
    if not way:
        return value if change == "set" else data
    copy = data.copy()
    if way[0] not in (copy if isinstance(copy, dict) else range(len(copy))):
        return copy  # an earlier change took it away
    if len(way) > 1 and isinstance(copy[way[0]], dict | list):
        copy[way[0]] = changed(copy[way[0]], way[1:], change, value)
    elif change == "remove":
        del copy[way[0]]
    elif change == "add" and isinstance(copy, dict):
        copy["colour"] = value
    else:
        copy[way[0]] = value
    return copy


def documents(good) -> st.SearchStrategy:
    """A JSON document with up to three changes."""
    change = st.tuples(
        st.sampled_from(sorted(places(good), key=str)),
        st.sampled_from(["set", "set", "set", "remove", "add"]),
        st.one_of(VALUES, BIG),
    )

    def apply(changes):
        document = good
        for way, how, value in changes:
            document = changed(document, way, how, value) if isinstance(document, dict) else document
        return document

    return st.lists(change, min_size=1, max_size=3).map(apply)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with some of them changed, cut off, or repeated."""
    edit = st.tuples(st.integers(0, max(0, len(data) - 1)), st.binary(min_size=1, max_size=8))

    def overwrite(edits):
        copy = bytearray(data)
        for place, new in edits:
            copy[place : place + len(new)] = new
        return bytes(copy)

    return st.one_of(
        st.lists(edit, min_size=1, max_size=4).map(overwrite),
        st.integers(0, len(data)).map(lambda length: data[:length]),
        st.integers(0, len(data)).map(lambda length: data + data[:length]),
        st.binary(max_size=64),
    )


def not_a_file(path: Path, kind: str, victim: Path) -> None:
    """Put something else in the place of a file."""
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "link":
            path.symlink_to(victim)
        case "loop":
            path.symlink_to(path)
        case "folder":
            path.mkdir()
        case "nothing":
            pass


KINDS = st.sampled_from(["pipe", "device", "link", "loop", "folder", "nothing"])

SHAPES = st.one_of(
    st.tuples(st.just(FRAMES), st.just(HEIGHT), st.just(WIDTH)),
    st.lists(st.sampled_from([-1, 0, 1, 2, 16, 32, 4096, 2**31, 2**62]), max_size=5).map(tuple),
)
ARRAYS = st.builds(
    array_of,
    SHAPES,
    st.sampled_from([b"", bytes(FRAMES * HEIGHT * WIDTH), b"\xff" * (FRAMES * HEIGHT * WIDTH), bytes(2**22)]),
    st.sampled_from(["|u1", "|u1", "|i1", "<f8", "|O", "<U9999999", "|V4"]),
)
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["labels.npy", "labels.npy", "../../labels.npy", "other.npy", "labels"]), ARRAYS
    ),
    max_size=3,
)
METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])


def archives() -> st.SearchStrategy[bytes]:
    """Archives that are whole, of arrays that need not be what they say."""

    def build(members, method):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return stream.getvalue()

    return st.builds(build, MEMBERS, METHODS).filter(bool)
