# SPDX-License-Identifier: GPL-3.0-or-later
"""Many jobs: an engine a device takes them as they come, one bad job stops no other, and a report says how
it went.

A batch is never done twice: clips that are there, of the same jobs, models and versions, are kept. So a run
that was killed goes on where it was, and one that had failures makes those again alone. Imports no torch.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from .errors import EngineError, one_line, shown
from .existing import existing_clip
from .finishing import finish_take
from .inbox import read_request
from .job import Finish, load_job
from .models import ModelEntry
from .placement import Placement
from .weights import weights_of

_log = logging.getLogger(__name__)

Outcome = Literal["made", "kept", "failed", "left"]
"""Of a job: its clip was made now, or was there; it failed; or nobody came to it before the batch ended."""

STOP_SECONDS = 15.0
"""What an engine gets to end in once its input is closed."""
MOST_TRIES = 2
"""So often is a job tried whose engine dies, the second time in a fresh one, or whose folder is busy."""
BUSY_SECONDS = 5.0
"""How long the second try in a busy folder is put off at least: an engine whose batch was killed has ended by
then."""


@dataclass
class Task:
    """One job of a batch, and what became of it.

    Attributes:
        job: its folder.
        out: the folder of its clip.
        outcome: see :data:`Outcome`.
        seconds: that its clip took.
        device: that it was made on.
        code, message: of the error of one that failed.
        clip: the file, relative to ``out``.
    """

    job: Path
    out: Path
    outcome: Outcome = "left"
    seconds: float = 0.0
    device: str = ""
    code: str = ""
    message: str = ""
    clip: str = ""
    model: str = field(default="", repr=False)
    tries: int = field(default=0, repr=False)

    def fail(self, code: str, message: str) -> None:
        """It has no clip, for this reason."""
        self.outcome, self.code, self.message = "failed", code, shown(message)

    def described(self) -> dict[str, Any]:
        """As a report has it."""
        facts = asdict(self) | {"job": str(self.job), "out": str(self.out)}
        return {name: value for name, value in facts.items() if name not in {"tries", "model"}}


def tasks_of(jobs: Sequence[Path], out: Path | None) -> list[Task]:
    """A task for each job folder.

    Args:
        jobs: job folders; one that is given twice is one.
        out: gets the clip of one job, or of several a folder for each, named by the job's; None is beside
            each job.

    Raises:
        EngineError: ``one_folder`` for jobs whose clips would take each other's place.
    """
    jobs = list({job.resolve(): job for job in jobs}.values())
    if out is None:
        beside: dict[Path, Path] = {}
        for job in jobs:
            folder = job.resolve().parent
            if (other := beside.setdefault(folder, job)) is not job:
                raise EngineError(
                    "one_folder",
                    f"The clips of {other} and {job} would take each other's place in {folder}; give a "
                    "folder with --out, which gets one for each.",
                )
        return [Task(job, folder) for folder, job in beside.items()]
    if len(jobs) == 1:
        return [Task(jobs[0], out)]
    named: dict[str, Path] = {}
    for job in jobs:
        whole = job.resolve()
        name = whole.parent.name if whole.name == "job" else whole.name
        if (other := named.setdefault(name, job)) is not job:
            # a number behind the name would go by their order, and another time to another job
            raise EngineError(
                "one_folder",
                f"The clips of {other} and {job} would both be {out / name}; rename a folder, or make "
                "them in two batches with an --out each.",
            )
    return [Task(job, out / name) for name, job in named.items()]


def run(
    tasks: Sequence[Task],
    devices: Sequence[str],
    placement: Placement,
    force: bool,
    say: Callable[[str], None],
    watch: Callable[[dict[str, Any]], None] = lambda event: None,
):
    """Make the clips of all tasks, and note in each what became of it.

    Args:
        tasks: those of one model are made one after the other, so that it is loaded once.
        devices: an engine each, such as ``("cuda:0", "cuda:1")``.
        placement: how engines run models, besides the device.
        force: whether clips that are there are made again.
        say: gets a line about each job.
        watch: gets the events of the engines.

    Raises:
        KeyboardInterrupt: the rest is left; engines are ended.
    """
    remembered = cache(lambda source: weights_of(_entries[source]))
    _entries: dict[str, ModelEntry] = {}

    def weights(entry: ModelEntry) -> dict[str, str]:
        _entries[repr(entry)] = entry
        return remembered(repr(entry))

    waiting, unfinished = [], []
    for task in tasks:
        try:
            job, _ = load_job(task.job)
        except EngineError as error:
            task.fail(error.code, error.message)
            say(f"failed {task.job}: {task.message}")
            continue
        try:
            read_request(_request(task, "0"))
        except ValidationError:
            task.fail(
                "bad_path",
                f"{task.job} and {task.out} are no paths that an engine takes: rename their folders.",
            )
            say(f"failed {task.job}: {task.message}")
            continue
        task.model = job.model
        clip = None if force else existing_clip(task.job, task.out, weights, placement)
        if clip is not None:
            task.outcome, task.clip = "kept", clip.name
            say(f"kept {clip}")
        elif not force and existing_clip(task.job, task.out, weights, placement, finished=False):
            unfinished.append((task, job.finish))
        else:
            waiting.append(task)
    waiting.sort(key=lambda task: task.model)
    with _finishing(unfinished, say):
        if waiting:
            _Crew(devices[: len(waiting)], placement.options, waiting, say, watch).work()


@contextmanager
def _finishing(unfinished: Sequence[tuple[Task, Finish]], say: Callable[[str], None]) -> Iterator[None]:
    """Finish clips beside what is done within a block, which has the devices; then wait for the last.

    If the block raises, the rest is left.
    """
    stopped = threading.Event()

    def stop_if_left() -> None:
        if stopped.is_set():
            raise EngineError("cancelled", "The batch was ended.")

    def work() -> None:
        for task, finish in unfinished:
            if not stopped.is_set():
                _finish(task, finish, say, stop_if_left)

    thread = threading.Thread(target=work, name="finishing")
    thread.start()
    try:
        yield
        thread.join()
    finally:
        stopped.set()
        thread.join()


def _finish(task: Task, finish: Finish, say: Callable[[str], None], stop_if_left: Callable[[], None]) -> None:
    """Finish a clip that is there already, of a job whose finishing failed or was ended."""
    started = time.monotonic()
    try:
        clip = finish_take(task.out, finish, stop_if_left, folder=task.job)
    except EngineError as error:
        if error.code == "cancelled":
            return
        task.fail(error.code, error.message)
    except Exception as error:  # of ffmpeg, of imageio, of the disk: one bad job stops no other
        _log.error(shown(traceback.format_exc(), lines=True).rstrip())
        task.fail(
            "unexpected",
            f"The clip could not be finished ({type(error).__name__}: {one_line(error)}); please report it "
            "with the log.",
        )
    else:
        task.outcome, task.clip, task.seconds = "made", clip.name, round(time.monotonic() - started, 1)
        say(f"finished {clip}")
        return
    say(f"failed {task.job}: {task.message}")


class _Crew:
    """Engines, one a device, that share what waits."""

    def __init__(
        self,
        devices: Sequence[str],
        options: Sequence[str],
        waiting: list[Task],
        say: Callable[[str], None],
        watch: Callable[[dict[str, Any]], None],
    ):
        self._options, self._waiting, self._say, self._watch = options, waiting, say, watch
        self._heard: queue.Queue[tuple[_Engine, dict[str, Any] | None]] = queue.Queue()
        self._devices = list(devices)
        self._engines: list[_Engine] = []

    def work(self) -> None:
        """Go on until nothing waits or nobody is left to do it."""
        try:
            for device in self._devices:
                self._start(device)
            while self._engines:
                engine, event = self._heard.get()
                self._handle(engine, event)
        finally:
            for engine in self._engines:
                engine.stop()
        for task in self._waiting:
            task.fail("no_engine", "No engine is left that could make it: see the failures before it.")

    def _start(self, device: str) -> None:
        engine = _Engine(device, self._options, self._heard)
        self._engines.append(engine)

    def _handle(self, engine: _Engine, event: dict[str, Any] | None) -> None:
        task = engine.task
        if event is None:
            self._lost(engine)
            return
        self._watch(event)
        match event.get("event"):
            case "hello":
                if engine.device == "auto":
                    engine.computes_on = str(event["device"])
                self._next(engine)
            case "result" if task:
                task.outcome, task.seconds, task.device = "made", float(event["seconds"]), engine.computes_on
                task.clip = Path(event["clip"]).name
                self._say(f"made {event['clip']} in {task.seconds:.1f} s on {task.device}")
                self._next(engine)
            case "error" if task and event.get("id") and _is_busy(event) and task.tries < MOST_TRIES:
                self._say(f"later {task.job}: {shown(str(event['message']))}")
                self._waiting.append(task)
                if len(self._waiting) == 1:
                    time.sleep(BUSY_SECONDS)
                self._next(engine)
            case "error" if task and event.get("id"):
                task.device = engine.computes_on
                task.fail(str(event["code"]), str(event["message"]))
                self._say(f"failed {task.job}: {task.message}")
                self._next(engine)
            case "error":
                self._say(f"{engine.device}: {shown(str(event['message']))}")

    def _next(self, engine: _Engine) -> None:
        """Give an engine what waits; of the model that it has loaded first."""
        if not self._waiting:
            engine.stop()
            return
        own = next((task for task in self._waiting if task.model == engine.model), self._waiting[0])
        self._waiting.remove(own)
        own.tries += 1
        engine.ask(own)

    def _lost(self, engine: _Engine) -> None:
        """An engine has ended: as it was told to, or with its job."""
        self._engines.remove(engine)
        engine.process.wait()
        task = engine.task
        if task is None:
            return
        if task.tries < MOST_TRIES:
            self._waiting.insert(0, task)
        else:
            code = engine.process.returncode
            task.device = engine.computes_on
            task.fail(
                "engine_died",
                f"The engine ended with {code} while it made this, twice: less may help, such as a smaller "
                "size, fewer frames, or --offload.",
            )
            self._say(f"failed {task.job}: {task.message}")
        if self._waiting:
            self._start(engine.device)


def _is_busy(event: dict[str, Any]) -> bool:
    return event.get("code") == "busy_folder"


def _request(task: Task, known_as: str) -> bytes:
    """What is asked of an engine; paths are absolute, since it would look for names in its own folder."""
    return json.dumps(
        {
            "request": "generate",
            "id": known_as,
            "job": str(task.job.resolve()),
            "out": str(task.out.resolve()),
        }
    ).encode()


class _Engine:
    """An engine's process: one job at a time, its events to a queue, None as the last."""

    def __init__(self, device: str, options: Sequence[str], heard: queue.Queue):
        self.device, self.model = device, ""
        self.computes_on = device  # "auto" until the engine says what that is
        self.task: Task | None = None
        self._asked = 0
        start = Path(__file__).with_name("start.py")
        command = [sys.executable, "-I", str(start), "serve", "--device", device, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def _listen(self, heard: queue.Queue) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):  # what is no JSON is no event of ours: the engine is given up
            for line in self.process.stdout:
                heard.put((self, json.loads(line)))
        heard.put((self, None))

    def ask(self, task: Task) -> None:
        """Give it a job."""
        self.task, self.model = task, task.model
        self._asked += 1  # an id of its own: an engine may still know the job that it has just ended
        assert self.process.stdin is not None
        with suppress(OSError):  # it is gone, which its last event says
            self.process.stdin.write(_request(task, str(self._asked)) + b"\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Tell it to end, and see to it that it does."""
        self.task = None
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()


def exit_code(tasks: Iterable[Task]) -> int:
    """0: all clips are there; 3: some; 1: none."""
    there = [task.outcome in {"made", "kept"} for task in tasks]
    return 0 if all(there) else 3 if any(there) else 1


def report(tasks: Sequence[Task], begun: float) -> dict[str, Any]:
    """What became of a batch, as plain data."""
    counts = {
        name: sum(task.outcome == name for task in tasks) for name in ("made", "kept", "failed", "left")
    }
    return {
        **counts,
        "seconds": round(time.monotonic() - begun, 1),
        "jobs": [task.described() for task in tasks],
    }
