# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs from their folders to clips, with whatever goes wrong turned into one sentence."""

import logging
import math
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .drafts import Draft, check_place, clip_name, drafting, writing_to
from .errors import EngineError, shown
from .events import Events, JsonLines
from .inbox import FinishTake, Generate, Inbox, Read
from .job import Finish, load_job
from .loading import LoadedModel, load_model, load_reader, wears, with_loras
from .loras import beside
from .model_files import check_fits
from .models import ModelEntry, find_model
from .placement import ClipSize, Placement
from .splitting import Companions, check_tokens

if TYPE_CHECKING:
    import numpy as np
    from diffusers import DiffusionPipeline

    from .generator import Generation

BACKEND, NATIVE = "DIFFUSERS_ATTN_BACKEND", "native"
"""The variable that names a backend of attention to diffusers, and the one that can be masked."""

_log = logging.getLogger(__name__)
"""Goes to stderr, of which whoever starts the engine makes a log."""


class Worker:
    """Runs jobs one after the other, and keeps the last model loaded between them.

    Args:
        placement: where and how models run.
        previews: whether to show what is being denoised now and then, in a draft's ``preview.png``.
    """

    def __init__(self, placement: Placement, previews: bool = False):
        self._placement = placement
        self._previews = previews
        self._model: LoadedModel | None = None
        self._reader: tuple[ModelEntry, DiffusionPipeline] | None = None
        first_of_several = len(placement.devices) > 1 and placement.number == 0
        self._companions = Companions(placement) if first_of_several else None

    def hello(self, events: Events) -> None:
        """Report versions and device.

        Raises:
            EngineError: ``no_device``; ``bad_option`` for a backend of attention that the environment names
                to diffusers, which reads it once, when it is imported.
        """
        if (backend := os.environ.get(BACKEND, NATIVE)).lower() != NATIVE:
            raise EngineError(
                "bad_option",
                f'{BACKEND} names the attention backend "{backend}", and masks act in the native one alone; '
                f'unset it, or set it to "{NATIVE}".',
            )
        device, _ = self._placement.resolve()
        versions = {name: version(name) for name in ("torch", "diffusers")}
        events.hello(engine=__version__, **versions, device=str(device))
        _quiet_libraries()

    def free(self) -> None:
        """Forget the loaded model, and give its memory back."""
        self.end()
        self._forget()

    def _forget(self) -> None:
        import gc

        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def end(self) -> None:
        """End the engines that make clips together with this one."""
        if self._companions:
            self._companions.stop()

    def read(self, model: str, prompt: str, events: JsonLines) -> None:
        """Tell how much of a prompt a model reads; nothing of one that is not there."""
        from .control.prompts import read_of

        read = None
        try:
            entry = find_model(model)
            read = read_of(self._reader_of(entry), prompt, entry.max_sequence_length)
        except EngineError as error:
            _log.info("%s", error.message)
        except Exception:  # of a library about a stranger's tokenizer, or ours: no job is to end for it
            _log.error(shown(traceback.format_exc(), lines=True).rstrip())
        events.read(*((read.tokens, read.most, read.end) if read else (None, None, None)))

    def _reader_of(self, entry: ModelEntry) -> "DiffusionPipeline":
        """A pipeline that has a model's tokenizers: the loaded model's, or one of them alone."""
        if self._model is not None and self._model.entry == entry:
            return self._model.pipe
        if self._reader is None or self._reader[0] != entry:
            self._reader = entry, load_reader(entry)
        return self._reader[1]

    def run(self, folder: Path, out: Path, events: Events, cancelled: Callable[[], bool]) -> bool:
        """Generate the clip of a job folder.

        Args:
            folder: holds ``job.json`` and ``masks.npz``.
            out: takes ``clip.mp4``, or ``clip.png`` of one frame, and ``clip.json``; they replace earlier
                ones once they are whole.
            events: told of progress, and of the result or the error.
            cancelled: asked all the time, from another thread, too.

        Returns:
            Whether the clip is there.
        """
        return reporting(events, lambda: self._run(folder, out, events, cancelled))

    def _run(self, folder: Path, out: Path, events: Events, cancelled: Callable[[], bool]) -> None:
        from .finishing import finish_clip
        from .generator import needed_bytes, peak_memory_mb, stop_if

        started = time.perf_counter()
        stop_if(cancelled)
        asked = self._asked(folder, events, cancelled)
        job = asked.job
        clip = out.resolve() / clip_name(job.num_frames)
        with drafting(out) as draft:
            check_place(draft, needed_bytes(job))
            if self._previews:
                asked = replace(asked, preview=draft.path.resolve() / "preview.png")
            if self._companions:
                frames = self._make_together(self._companions, folder, asked, draft)
            else:
                frames = self._make(asked, draft)
            if job.finish.wanted:
                events.phase("finish")
                clip = finish_clip(out.resolve(), frames, job.timing, job.finish, asked.stop_if_cancelled)
        events.result(
            clip=clip,
            info=out.resolve() / "clip.json",
            seconds=round(time.perf_counter() - started, 1),
            peak_memory_mb=peak_memory_mb(),
        )

    def _asked(self, folder: Path, events: Events, cancelled: Callable[[], bool]) -> "Generation":
        """What a job folder asks for, with the files that it names read; refused where it cannot work."""
        from .generator import Generation, check_request, stop_if
        from .given_clips import read_source
        from .given_pictures import read_picture

        job, labels = load_job(folder)
        entry = find_model(job.model)
        check_fits(job.num_frames, job.height, job.width)
        loras = beside(job.loras, folder)
        check_request(job, labels, entry, loras)
        grid = entry.cells.grid(job.num_frames, job.height, job.width)
        check_tokens(math.prod(grid), len(self._placement.devices))
        pictures = {
            which: read_picture(folder / name, job.width, job.height, events.notice)
            for which in ("first_frame", "last_frame")
            if (name := getattr(job, which))
        }
        size = job.num_frames, job.width, job.height
        source = (
            read_source(folder / job.source_clip, *size, lambda: stop_if(cancelled))
            if job.source_clip
            else None
        )
        return Generation(
            job,
            labels,
            entry,
            events,
            cancelled,
            first_frame=pictures.get("first_frame"),
            last_frame=pictures.get("last_frame"),
            source_clip=source,
            loras=loras,
        )

    def finish(self, request: FinishTake, events: Events, cancelled: Callable[[], bool]) -> None:
        """Finish the clip of a take, see :func:`.finish_take`; what there was is there still."""
        reporting(events, lambda: self._finish(request.take, request.finish, events, cancelled))

    def _finish(self, take: Path, finish: Finish, events: Events, cancelled: Callable[[], bool]) -> None:
        from .finishing import finish_take
        from .generator import peak_memory_mb, stop_if

        started = time.perf_counter()
        stop_if(cancelled)
        events.phase("finish")
        clip = finish_take(take.resolve(), finish, lambda: stop_if(cancelled))
        seconds = round(time.perf_counter() - started, 1)
        events.result(clip, take.resolve() / "clip.json", seconds, peak_memory_mb())

    def _make_together(
        self, companions: Companions, folder: Path, generation: "Generation", draft: Draft
    ) -> "np.ndarray":
        """:meth:`_make` with other devices; whatever goes wrong ends them, since they would wait.

        Raises:
            EngineError: ``device_lost``, where it went wrong with one of them.
        """
        from .cancelling import interruptible

        cancelled = generation.cancelled
        heeding = replace(generation, cancelled=lambda: cancelled() or bool(companions.lost))
        try:
            with interruptible(heeding.stop_if_cancelled, heeding.cancelled):
                companions.ask(folder)
            return self._make(heeding, draft)
        except BaseException:
            lost = companions.lost
            self.free()
            if lost:
                raise EngineError(
                    "device_lost",
                    f"One of the devices could not go on ({lost}); generate again, on fewer devices or a "
                    "smaller clip if it stays so.",
                ) from None
            raise

    def _make(self, generation: "Generation", draft: Draft) -> "np.ndarray":
        """Generate and write, at once or, where a GPU is too small, with offloading; returns the frames."""
        from .generator import write_result

        events = generation.events
        try:
            frames, model = self._attempt(generation, self._placement)
        except EngineError as error:
            whole = not (self._placement.offload or self._placement.by_groups or self._companions)
            if error.code != "out_of_memory" or not whole or self._placement.number:
                raise
            frames = None
        if frames is None:  # out here, since the error's traceback holds on to the model
            self.free()
            title = generation.entry.title
            events.notice(f"{title} does not fit into the GPU's memory; trying again with offloading.")
            frames, model = self._attempt(generation, replace(self._placement, offload=True))
        events.phase("write")
        with writing_to(draft.out):
            write_result(draft.path, generation, frames, model)
        generation.stop_if_cancelled()
        draft.publish()
        return frames

    def _attempt(self, generation: "Generation", placement: Placement):
        """Frames, and the model that made them."""
        from .cancelling import interruptible
        from .generator import generate

        with interruptible(generation.stop_if_cancelled, generation.cancelled):
            model = self._load(generation, placement)
        generation.stop_if_cancelled()
        return generate(generation, model), model

    def _load(self, generation: "Generation", placement: Placement) -> LoadedModel:
        kept, loras = self._model, generation.loras
        same = kept is not None and kept.entry == generation.entry
        if kept and same and wears(kept, loras):
            return kept
        generation.events.phase("load")
        with generation.clock.time("load"):
            if kept and same and kept.placement.changes_loras:
                self._model = None  # one whose LoRAs cannot be changed is in no state to be used
                self._model = with_loras(kept, loras)
            else:
                kept = None
                self._forget()
                self._model = load_model(generation.entry, placement, loras, _size_of(generation))
        title, half, taken = generation.entry.title, generation.entry.family.half, self._model.dtype
        if placement.dtype == "auto" and self._model.device != "cpu" and taken != half:
            generation.events.notice(
                f"This GPU has no {half}: {title} runs in {taken}; where frames come out black, take --dtype "
                "float32."
            )
        return self._model


def _size_of(generation: "Generation") -> ClipSize:
    from .generator import settings_of

    job = generation.job
    guided = settings_of(job, generation.entry).guidance_scale > 1
    return ClipSize(job.num_frames, job.height, job.width, guided)


def reporting(events: Events, action: Callable[[], object]) -> bool:
    """Do something, and report whatever it raises as one sentence; returns whether it came to its end."""
    try:
        action()
    except EngineError as error:
        events.error(error.code, error.message)
    except KeyboardInterrupt:
        events.error("cancelled", "The generation was cancelled; nothing was written.")
    except Exception as error:  # a defect of ours or of a library: the log has the details
        _log.error(shown(traceback.format_exc(), lines=True).rstrip())
        events.error(
            "unexpected",
            shown(f"The engine failed ({type(error).__name__}: {error}); please report it with the log."),
        )
    else:
        return True
    return False


def serve(worker: Worker, events: JsonLines, inbox: Inbox, idle_seconds: float) -> None:
    """Run jobs as requests come in, until the other end closes or asks nothing for ``idle_seconds``.

    The events of a job carry its ``id``.
    """
    while (request := inbox.next(idle_seconds)) is not None:
        if isinstance(request, Generate | FinishTake):
            cancelled, told = partial(inbox.cancelled, request.id), events.about(request.id)
            if isinstance(request, Generate):
                worker.run(request.job, request.out, told, cancelled)
            else:
                worker.finish(request, told, cancelled)
            inbox.finished(request.id)
        elif isinstance(request, Read):
            reporting(events.about("read"), partial(worker.read, request.model, request.prompt, events))
        else:
            worker.free()
            events.freed()


def _quiet_libraries() -> None:
    """No progress bars and advice of libraries between our own lines; warnings still reach the log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
