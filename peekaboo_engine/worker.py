# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs from their folders to clips, with whatever goes wrong turned into one sentence."""

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from . import __version__
from .errors import EngineError
from .events import Events, JsonLines
from .inbox import Generate, Inbox
from .job import load_job
from .models import LoadedModel, ModelEntry, Placement, find_model, load_model


class Worker:
    """Runs jobs one after the other, and keeps the last model loaded between them.

    Args:
        placement: where and how models run.
        previews: whether to show what is being denoised now and then, in ``preview.png`` of the job folder.
    """

    def __init__(self, placement: Placement, previews: bool = False):
        self._placement = placement
        self._previews = previews
        self._model: LoadedModel | None = None

    def hello(self, events: Events) -> None:
        """Report versions and device.

        Raises:
            EngineError: ``no_device``.
        """
        device, _ = self._placement.resolve()
        versions = {name: version(name) for name in ("torch", "diffusers")}
        events.hello(engine=__version__, **versions, device=str(device))
        _quiet_libraries()

    def free(self) -> None:
        """Forget the loaded model, and give its memory back."""
        import gc

        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def run(self, folder: Path, out: Path, events: Events, cancelled: Callable[[], bool]) -> bool:
        """Generate the clip of a job folder.

        Args:
            folder: holds ``job.json`` and ``masks.npz``.
            out: takes ``clip.mp4`` and ``clip.json``; they replace earlier ones once they are whole.
            events: told of progress, and of the result or the error.
            cancelled: asked before and after loading, after every step, and before writing.

        Returns:
            Whether the clip is there.
        """
        return reporting(events, lambda: self._run(folder, out, events, partial(_stop_if, cancelled)))

    def _run(self, folder: Path, out: Path, events: Events, stop_if_cancelled: Callable[[], None]) -> None:
        from .generator import Clock, check_request, peak_memory_mb, write_result

        started = time.perf_counter()
        stop_if_cancelled()
        job, labels = load_job(folder)
        entry, clock = find_model(job.model), Clock()
        check_request(job, labels, out, entry)
        preview = folder.resolve() / "preview.png" if self._previews else None
        attempt = partial(self._attempt, entry, job, labels, events, stop_if_cancelled, clock, preview)
        try:
            frames, model = attempt(self._placement)
        except EngineError as error:
            if error.code != "out_of_memory" or self._placement.offload:
                raise
            frames = None
        if frames is None:  # out here, since the error's traceback holds on to the model
            self.free()
            events.notice(f"{entry.title} does not fit into the GPU's memory; trying again with offloading.")
            frames, model = attempt(replace(self._placement, offload=True))
        stop_if_cancelled()
        clip, info = write_result(out, job, labels, frames, model, events, clock)
        events.result(
            clip=clip.resolve(),
            info=info.resolve(),
            seconds=round(time.perf_counter() - started, 1),
            peak_memory_mb=peak_memory_mb(),
        )

    def _attempt(
        self, entry: ModelEntry, job, labels, events, stop_if_cancelled, clock, preview, placement: Placement
    ):
        """Frames, and the model that made them."""
        from .generator import generate

        model = self._load(entry, placement, events, clock)
        stop_if_cancelled()
        return generate(job, labels, model, events, stop_if_cancelled, clock, preview), model

    def _load(self, entry: ModelEntry, placement: Placement, events: Events, clock) -> LoadedModel:
        if self._model is None or self._model.entry != entry:
            self.free()
            events.phase("load")
            with clock.time("load"):
                self._model = load_model(entry, placement)
        return self._model


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise EngineError("cancelled", "The generation was cancelled; nothing was written.")


def reporting(events: Events, action: Callable[[], None]) -> bool:
    """Do something, and report whatever it raises as one sentence; returns whether it came to its end."""
    try:
        action()
    except EngineError as error:
        events.error(error.code, error.message)
    except KeyboardInterrupt:
        events.error("cancelled", "The generation was cancelled; nothing was written.")
    except Exception as error:  # a defect of ours or of a library: the log has the details
        traceback.print_exc()
        events.error(
            "unexpected",
            f"The engine failed ({type(error).__name__}: {error}); please report it with the log.",
        )
    else:
        return True
    return False


def serve(worker: Worker, events: JsonLines, inbox: Inbox, idle_seconds: float) -> None:
    """Run jobs as requests come in, until the other end closes or asks nothing for ``idle_seconds``.

    The events of a job carry its ``id``.
    """
    while (request := inbox.next(idle_seconds)) is not None:
        if isinstance(request, Generate):
            cancelled = partial(inbox.cancelled, request.id)
            worker.run(request.job, request.out, events.about(request.id), cancelled)
            inbox.finished(request.id)
        else:
            worker.free()
            events.freed()


def _quiet_libraries() -> None:
    """No progress bars and advice of libraries between our own lines; warnings still reach the log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
