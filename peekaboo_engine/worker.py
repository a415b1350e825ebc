# SPDX-License-Identifier: GPL-3.0-or-later
"""One job from its folder to a clip, with whatever goes wrong turned into one sentence."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path

from . import __version__
from .errors import EngineError
from .events import Events
from .job import load_job
from .models import Placement, find_model, load_model


def run_job(
    folder: Path, out: Path, placement: Placement, events: Events, cancelled: Callable[[], bool]
) -> bool:
    """Generate the clip of a job folder.

    Args:
        folder: holds ``job.json`` and ``masks.npz``.
        out: takes ``clip.mp4`` and ``clip.json``; replaces an earlier clip once the new one is whole.
        placement: where and how the model runs.
        events: told of progress, and of the result or the error.
        cancelled: asked after every step.

    Returns:
        Whether the clip is there.
    """
    try:
        _run(folder, out, placement, events, cancelled)
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


def _quiet_libraries() -> None:
    """No progress bars and advice of libraries between our own lines; warnings still reach the log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _run(folder, out, placement, events, cancelled) -> None:
    import diffusers
    import torch

    _quiet_libraries()
    from .generator import Clock, check_request, generate, peak_memory_mb, write_result

    started = time.perf_counter()
    device, _ = placement.resolve()
    events.hello(
        engine=__version__, torch=torch.__version__, diffusers=diffusers.__version__, device=str(device)
    )
    job, labels = load_job(folder)
    check_request(job, labels)
    entry = find_model(job.model)
    clock = Clock()
    events.phase("load")
    with clock.time("load"):
        model = load_model(entry, placement)
    frames = generate(job, labels, model, events, cancelled, clock)
    clip, info = write_result(out, job, frames, model, events, clock)
    events.result(
        clip=clip.resolve(),
        info=info.resolve(),
        seconds=round(time.perf_counter() - started, 1),
        peak_memory_mb=peak_memory_mb(),
    )
