# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders: clips that wait for the engine, the one that it makes, and how they ended; imports no bpy.

The engine is given one at a time, so that its end costs no more than that one.
"""

from __future__ import annotations

import math
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

from ..errors import PeekabooError, shown
from .keeper import Keeper
from .messages import Event, Failure, Notice, Phase, Preview, Progress, Result
from .process import EngineSettings

PHASES = {
    "start": "Starting the engine",
    "load": "Loading the model",
    "denoise": "Generating",
    "decode": "Decoding",
    "write": "Writing the clip",
    "finish": "Finishing the clip",
}

MOST_TIMES = 1.75
"""A step that takes so many times as long as most is none to go by."""

RECORD = "clip.json"
"""What the engine puts beside a clip, as the last of its files."""
CANCEL_SECONDS, CANCEL_STEPS = 60.0, 3
"""An engine heeds a cancel at the end of its step at the latest: it gets so long, or so many steps."""
FIRST_CANCEL_SECONDS = 900.0
"""What it gets as long as nobody knows how long a step takes: the first may take minutes, and load much."""


@dataclass
class Order:
    """A clip that waits to be made, is being made, or waits to be put into its scene.

    Attributes:
        scene: ``session_uid`` of the scene that gets the clip; an undo frees what a reference points to.
        title: what a list shows of it.
        job: what is asked for, as ``job.json`` states it.
        folder: of the take; ``job/`` in it is there already.
        frame_start: where the clip goes, if not where the job says.
        shot: title of the shot that it is a take of; empty for the scene's.
        finish: how the clip that is in the folder is to be finished, as a job states it; None to make one.
        keeps_folder: whether the folder stays if there will be no clip: the user has chosen it.
        id: its name in the conversation with the engine.
        phase: a key of :data:`PHASES`.
        step: how many steps of the phase are done.
        total: of how many; 0 while that is not known.
        asked: when an engine was first asked for it, in seconds of :func:`time.monotonic`; None before.
        finished: the steps that are done, and when each was.
        attempts: how often an engine was asked for it.
        heard: whether an engine has said anything about it.
        loaded: whether its model was loaded for it, which the engine had not.
        preview: a picture of what is being denoised, once there is one.
        previews: how many there were; each is in the place of the one before.
        notice: what the engine wants the user to know.
        clip: the result, once it is there.
        unfinished: why the clip comes as the model made it, where it was to be finished; empty otherwise.
        cancelled: when it was cancelled, in seconds of :func:`time.monotonic`.
        ended: when its clip was there, in the same seconds.
        usual_rest: seconds that such a clip usually takes from its last step on; 0 while that is not known.
    """

    scene: int
    title: str
    job: dict
    folder: Path
    frame_start: int | None = None
    keeps_folder: bool = False
    shot: str = ""
    finish: dict | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    phase: str = "start"
    step: int = 0
    total: int = 0
    asked: float | None = None
    finished: list[tuple[int, float]] = field(default_factory=list)
    attempts: int = 0
    heard: bool = False
    loaded: bool = False
    preview: Path | None = None
    previews: int = 0
    notice: str = ""
    clip: Result | None = None
    unfinished: str = ""
    cancelled: float | None = None
    ended: float | None = None
    usual_rest: float = 0.0

    def __post_init__(self):
        """Let the title be one line, whatever shots and scenes are called."""
        self.title = shown(self.title)

    @property
    def frames(self) -> range:
        """The frames of the scene that the clip will have."""
        timing = self.job["timing"]
        first = timing["frame_start"] if self.frame_start is None else self.frame_start
        return range(first, first + timing["frame_count"])

    @property
    def factor(self) -> float:
        """How much of the denoising is done, 0..1."""
        if self.phase in {"decode", "write", "finish"}:
            return 1.0
        return self.step / self.total if self.total else 0.0

    @property
    def text(self) -> str:
        """Phase, step and time left, for the progress bar."""
        if self.cancelled is not None:
            return "Cancelling, after this step" if self.phase != "finish" else "Cancelling the finishing"
        text = PHASES.get(self.phase, self.phase)
        if self.total:
            text = f"{text}, step {self.step} of {self.total}"
        left = self.seconds_left
        return text if left is None else f"{text}, {duration(left)} left"

    @property
    def seconds_of_step(self) -> float | None:
        """How long a step takes, from those that are finished; None before the second.

        The first is left out, since it also takes what is done once, such as compiling and filling caches;
        and so are those that took far longer than most, such as that before the first preview.
        """
        each = [(end - start) / (step - before) for (before, start), (step, end) in pairwise(self.finished)]
        if not each:
            return None
        most = MOST_TIMES * median(each) if len(each) > 2 else math.inf
        return fmean(seconds for seconds in each if seconds <= most)

    @property
    def steps(self) -> int:
        """How many steps of the denoising were finished."""
        return self.finished[-1][0] if self.finished else 0

    @property
    def seconds_left(self) -> float | None:
        """How long it will still take until the clip is there; None while that cannot be told.

        Without what such a clip usually takes after its steps, until those are done.
        """
        if (each := self.seconds_of_step) is None:
            return None
        passed = time.monotonic() - self.finished[-1][1]
        if self.phase == "denoise":
            return max(0.0, each * (self.total - self.step) - passed) + self.usual_rest
        is_known = self.usual_rest and self.phase in {"decode", "write"}
        return max(0.0, self.usual_rest - passed) if is_known else None

    @property
    def seconds_of_rest(self) -> float | None:
        """How long it took from the last step until the clip was there; None while it is not."""
        return None if not self.finished or self.ended is None else self.ended - self.finished[-1][1]

    @property
    def seconds(self) -> float:
        """How long the order has taken, with the start of the engine and the loading of the model.

        A clip may wait for long until it can be put into its scene, which does not count.
        """
        if self.asked is None:
            return 0.0
        return (time.monotonic() if self.ended is None else self.ended) - self.asked

    def apply(self, event: Event) -> None:
        """Follow an event about this order."""
        self.heard = True
        match event:
            case Phase(phase):
                self.phase, self.step, self.total = phase, 0, 0
                self.loaded |= phase == "load"
                if phase == "denoise":  # afterwards they tell how long it took
                    self.finished = []
            case Progress():
                self._follow_step(event)
            case Preview(path):
                self.preview, self.previews = path, self.previews + 1
            case Notice(message):
                self.notice = message
            case Result():
                self.clip, self.ended = event, time.monotonic()

    def _follow_step(self, done: Progress) -> None:
        if done.step > self.steps:
            self.finished.append((done.step, time.monotonic() if done.at is None else done.at))
        self.step, self.total = done.step, done.total


@dataclass(frozen=True)
class Outcome:
    """How an order ended.

    Attributes:
        text: a sentence for the panel.
        failed: whether that is an error.
        folder: of the clip, if there is one.
    """

    text: str
    failed: bool = False
    folder: Path | None = None


class Queue:
    """Orders, first come first served.

    Attributes:
        waiting: for the engine, in their order.
        running: the one that the engine works on.
        arrived: those whose clips wait for being put into their scenes.
        outcomes: of the orders since the queue was last empty, and of the engine.
    """

    def __init__(self):
        self.waiting: list[Order] = []
        self.running: Order | None = None
        self.arrived: list[Order] = []
        self.outcomes: list[Outcome] = []
        self.keeper = Keeper()
        self._has: tuple[object, str] | None = None  # an engine, and the model of its last clip

    def has_loaded(self, model: str) -> bool:
        """Whether the engine is up and has this model, so that a clip of it begins at once."""
        return self.keeper.engine is not None and self._has == (self.keeper.engine, model)

    @property
    def busy(self) -> bool:
        """Whether there is an order that has not ended."""
        return bool(self.waiting or self.running or self.arrived)

    def add(self, order: Order) -> None:
        """Put an order at the end."""
        if not self.busy:
            self.outcomes.clear()
        self.waiting.append(order)

    def cancel(self, order: Order) -> None:
        """End an order and keep nothing of it; a clip that is there is kept, and comes as it is.

        The engine ends the order with its step and keeps its model. A second time it is not waited for.
        """
        if order in self.waiting:
            self.waiting.remove(order)
            _discard(order)
        elif order is self.running and order.cancelled is None:
            order.cancelled = time.monotonic()
            if self.keeper.engine is not None:
                self.keeper.engine.cancel_job(order.id)
        elif order is self.running:
            self._release(order)

    def cancel_all(self) -> None:
        """End all orders."""
        for order in [*self.waiting, *([self.running] if self.running else [])]:
            self.cancel(order)

    def advance(self, settings: Callable[[], EngineSettings], logs: Path) -> list[Event]:
        """Take in what the engine says, and give it the next order when it has none; never waits.

        Args:
            settings: gives those of the engine when one is wanted; may raise PeekabooError.
            logs: the folder for engines' logs.

        Returns:
            What the engine has said.
        """
        events = self.keeper.poll()
        for event in events:
            self._handle(event)
        self.keeper.reap()
        self._release_deaf()
        if self.running is None and self.waiting:
            self._begin(settings, logs)
        return events

    def abandon(self, message: str) -> None:
        """End all orders that have no clip yet, and the engine, after a fault of ours; never waits."""
        self.keeper.release()
        abandoned = [*self.waiting, *([self.running] if self.running else [])]
        self.waiting, self.running = [], None
        for order in abandoned:
            self._fail(order, message)
        if not abandoned:
            self._tell(message)

    def leave(self, patience: float) -> None:
        """End the engine within about that many seconds, and with it all orders that have no clip yet."""
        self.keeper.end(patience)
        for order in [*self.waiting, *([self.running] if self.running else [])]:
            _discard(order)
        self.waiting, self.running = [], None

    def _begin(self, settings: Callable[[], EngineSettings], logs: Path) -> None:
        self.waiting[0].asked = self.waiting[0].asked or time.monotonic()
        try:
            engine = self.keeper.get(settings(), logs)
        except PeekabooError as error:
            self._fail(self.waiting.pop(0), str(error))
            return
        if engine is not None:
            order = self.running = self.waiting.pop(0)
            order.attempts += 1
            if order.finish is None:
                engine.generate(order.id, order.folder / "job", order.folder)
            else:
                engine.finish(order.id, order.folder, order.finish)

    def _handle(self, event: Event) -> None:
        order = self.running
        about = getattr(event, "job", None)
        if isinstance(event, Failure) and about is None:
            self._engine_is_gone(event)
        elif order is not None and about == order.id:
            order.apply(event)
            if isinstance(event, Failure):
                self.running = None
                self._fail(order, self._with_log(event))
            elif order.clip is not None:
                self.running = None
                if order.finish is None:
                    self._has = self.keeper.engine, order.job.get("model", "")
                self.arrived.append(order)

    def _with_log(self, failure: Failure) -> str:
        """The sentence of a failure; it names the log where that has a traceback, which the engine cannot."""
        if failure.code != "unexpected" or self.keeper.engine is None:
            return failure.message
        return f'{failure.message.rstrip(".")}: "{self.keeper.engine.log}".'

    def _engine_is_gone(self, failure: Failure) -> None:
        order, self.running = self.running, None
        if order is None:
            if failure.code != "left":  # by itself, when it had nothing to do for long
                self.outcomes.append(Outcome(failure.message, failed=True))
        elif failure.code == "left" and not order.heard and order.attempts == 1 and order.cancelled is None:
            self.waiting.insert(0, order)  # it left just when the order came
        else:
            self._fail(order, failure.message)

    def _release_deaf(self) -> None:
        """Release an engine that does not stop an order when it is asked to."""
        order = self.running
        if order is None or order.cancelled is None:
            return
        each = order.seconds_of_step
        patience = FIRST_CANCEL_SECONDS if each is None else max(CANCEL_SECONDS, CANCEL_STEPS * each)
        if time.monotonic() > order.cancelled + patience:
            self._release(order)

    def _release(self, order: Order) -> None:
        """End the engine that works on an order, and the order."""
        self.keeper.release(patience=0)
        self.running = None
        self._fail(order, "")

    def _fail(self, order: Order, message: str) -> None:
        if _is_made(order):
            order.clip = Result(order.folder / clip_name(order.job), order.folder / RECORD, order.seconds)
            order.ended = time.monotonic()
            order.unfinished = message if order.cancelled is None else "Its finishing was cancelled."
            self.arrived.append(order)
            return
        _discard(order)
        if order.cancelled is not None:
            kept = "nothing was kept of it" if order.finish is None else "the take is as it was"
            self.outcomes.append(Outcome(f"The generation was cancelled; {kept}."))
        else:
            self._tell(message)

    def _tell(self, message: str) -> None:
        if all(outcome.text != message for outcome in self.outcomes):
            self.outcomes.append(Outcome(message, failed=True))


def _discard(order: Order) -> None:
    """Remove the folder of an order that has no clip; one that only its finishing failed of has."""
    if not order.keeps_folder and not _is_made(order):
        shutil.rmtree(order.folder, ignore_errors=True)


def _is_made(order: Order) -> bool:
    """Whether the engine has put the clip of an order where it belongs, so that only its finishing is left.

    A folder that the user has chosen may have had another clip before.
    """
    if order.finish is not None:
        return False
    return order.phase == "finish" or (not order.keeps_folder and (order.folder / RECORD).is_file())


def clip_name(job: dict) -> str:
    """What the engine calls the clip of a job as the model made it."""
    return "clip.png" if job.get("num_frames") == 1 else "clip.mp4"


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
