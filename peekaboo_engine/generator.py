# SPDX-License-Identifier: GPL-3.0-or-later
"""Job in, clip out: runs the pipeline under the job's masks, step by step, cancellable."""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from .cancelling import stopping_between_blocks
from .control import Steering, peekaboo
from .control.labels import check_label_map
from .control.settings import check_for_family, check_times_phrases, preset
from .control.spans import find_phrases
from .control.timing import check_timed
from .drafts import clip_name
from .errors import EngineError
from .events import Events
from .existing import versions
from .finishing import size_within
from .given_clips import GivenClip
from .given_pictures import GivenPicture
from .job import Job
from .loading import LoadedModel, starting_from_clip, starting_from_picture
from .loras import Lora, check_source
from .models import ModelEntry
from .names import Method
from .pictures import shrink, write_png
from .placement import check_tiles
from .places import sha256_of
from .previews import Previews
from .sampling import Sampling, Shot, sample
from .schedules import NO_SCHEDULE, find_schedule, following
from .video import replacing, write_clip, write_picture


@dataclass
class Clock:
    """Seconds spent in each phase, and the memory that the process took at most."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, phase: str):
        """Count the block's wall time towards ``phase``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0) + time.perf_counter() - start, 3)


def peak_memory_mb() -> float | None:
    """Largest resident set of this process so far in MB, or None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def megabytes(peak: int, system: str = sys.platform) -> float:
    """A largest resident set: macOS counts it in bytes, others in kilobytes (getrusage(2))."""
    return round(peak / 2**20 if system == "darwin" else peak / 2**10, 1)


def check_request(job: Job, labels: np.ndarray, entry: ModelEntry, loras: Sequence[Lora]) -> None:
    """What can be known to be wrong before a model is loaded.

    Args:
        job, labels: what is asked for.
        entry: the model that the job asks for.
        loras: of the job, by whole paths.

    Raises:
        EngineError: for phrases that are not in the prompt or overlap, subjects without a pixel, options that
            do not go together, and LoRAs that are not there.
    """
    steering = steering_of(job, entry)
    check_for_family(steering, entry.family)
    entry.cells.check(job.num_frames, job.height, job.width)
    entry.check_pictures(job.first_frame is not None, job.last_frame is not None)
    entry.check_source(job.source_clip is not None)
    if job.num_frames == 1 and job.first_frame is not None:
        longer = entry.cells.frames_of(2)
        raise EngineError(
            "bad_size",
            "A clip of one frame that starts from a picture is that picture, and masks have nothing to hold "
            f"in it; take {longer} frames or more, or leave the picture out.",
        )
    if not steps_of(job, entry):
        raise EngineError(
            "bad_option",
            f"A source_strength of {job.source_strength:g} is no step of the sampling; take "
            f"{1 / settings_of(job, entry).num_inference_steps:.2f} or more.",
        )
    for lora in loras:
        check_source(lora)
    find_phrases(job.prompt, job.phrases)
    if job.timed_phrases:
        check_times_phrases(steering, entry.family)
        check_timed(job.prompt, job.phrases, job.timed, job.num_frames)
    check_label_map(labels, [subject.name for subject in job.subjects])


@dataclass(frozen=True)
class Settings:
    """Sampling settings of a job, with the model's defaults where it leaves them open.

    ``masked_steps`` is None where the masks of the method end at a noise level instead; ``schedule`` where
    the pipeline's own scheduler decides.
    """

    num_inference_steps: int
    guidance_scale: float
    masked_steps: int | None
    method: Method
    schedule: str | None = None


def settings_of(job: Job, entry: ModelEntry) -> Settings:
    """The settings that a job runs with on a model.

    Raises:
        EngineError: ``bad_option`` for a schedule that the model does not go with, or that has another number
            of steps.
    """

    def chosen(value, default):
        return default if value is None else value

    masks_some = job.control.blocks != "all"  # which is an option of Peekaboo
    method: Method = chosen(job.control.method, "peekaboo" if masks_some else entry.method)
    name = chosen(job.schedule, entry.schedule)
    schedule = find_schedule(name, entry.family)
    usual = schedule or entry
    steps = chosen(job.num_inference_steps, schedule.steps if schedule else entry.num_inference_steps)
    if schedule and steps != schedule.steps:
        raise EngineError(
            "bad_option",
            f"{schedule.title} has {schedule.steps} steps of its own, not {steps}; leave the steps open, or "
            f'take the schedule "{NO_SCHEDULE}".',
        )
    by_level = preset(method, entry.family).until is not None
    return Settings(
        num_inference_steps=steps,
        guidance_scale=chosen(job.guidance_scale, usual.guidance_scale),
        masked_steps=chosen(job.control.masked_steps, None if by_level else entry.masked_steps_of(steps)),
        method=method,
        schedule=name if schedule else None,
    )


def steps_of(job: Job, entry: ModelEntry) -> int:
    """How many steps of denoising a job is made in: from a clip, the last of them alone."""
    steps = settings_of(job, entry).num_inference_steps
    return steps if job.source_clip is None else int(steps * job.source_strength)


def steering_of(job: Job, entry: ModelEntry) -> Steering:
    """The job's preset with what the job itself says.

    Raises:
        EngineError: ``bad_option`` for blocks that the preset does not go with.
    """
    settings = settings_of(job, entry)
    said = job.control.model_dump(exclude_unset=True, exclude={"method", "masked_steps", "widen_small"})
    if settings.masked_steps is not None:
        said |= {"masked_steps": settings.masked_steps, "until": None}
    if job.control.widen_small:
        said["least_area"] = entry.smallest_subject
    if settings.masked_steps == 0:  # no control at all
        said["bound_until"] = 1.0
    if settings.method == "strong" and said.get("blocks", "all") != "all":
        raise EngineError(
            "bad_option", 'The method "strong" masks all blocks: choose those, or the method "peekaboo".'
        )
    steering = preset(settings.method, entry.family)
    if settings.method == "strong" and all(subject.outline == "SURFACE" for subject in job.subjects):
        steering = replace(steering, **entry.family.silhouettes)
        if not entry.redrawn or len(job.subjects) > 1:  # of several, more are lost by it than one may cost
            steering = replace(steering, redraws=0)
    return replace(steering, **said)


def stop_if(cancelled: Callable[[], bool]) -> None:
    """End what is being done if it was cancelled.

    Raises:
        EngineError: ``cancelled``.
    """
    if cancelled():
        raise EngineError("cancelled", "The generation was cancelled; nothing was written.")


@dataclass(frozen=True, eq=False)
class Generation:
    """What is known of one generation from its order to its clip.

    Args:
        job: what to make; None in it becomes the model's default.
        labels: uint8 (num_frames, height, width).
        entry: the model that it asks for.
        events: told of phases and steps.
        cancelled: asked whether to end.
        clock: takes the seconds of each phase.
        preview: where to show what is being denoised, now and then; nowhere when left out.
        first_frame, last_frame: the pictures that the job names.
        source_clip: the clip that it names.
        loras: those that it names, by whole paths.
    """

    job: Job
    labels: np.ndarray
    entry: ModelEntry
    events: Events
    cancelled: Callable[[], bool] = lambda: False
    clock: Clock = field(default_factory=Clock)
    preview: Path | None = None
    first_frame: GivenPicture | None = None
    last_frame: GivenPicture | None = None
    source_clip: GivenClip | None = None
    loras: Sequence[Lora] = ()

    def stop_if_cancelled(self) -> None:
        """End the generation if it was cancelled.

        Raises:
            EngineError: ``cancelled``.
        """
        stop_if(self.cancelled)


def generate(generation: Generation, model: LoadedModel) -> np.ndarray:
    """Run a loaded model under the job's masks.

    A cancel is heeded before every block and after every step.

    Returns:
        uint8 (num_frames, height, width, 3), sRGB.

    Raises:
        EngineError: ``cancelled``, and what :func:`.check_tiles`, :func:`.sample` and
            :func:`.control.peekaboo` raise.
    """
    job, events = generation.job, generation.events
    if generation.first_frame:
        model = starting_from_picture(model)
    if generation.source_clip:
        model = starting_from_clip(model)
    entry, pipe = model.entry, model.pipe
    check_tiles(entry.title, pipe.vae, job.height, job.width)
    settings = settings_of(job, entry)
    steps = steps_of(job, entry)
    grid = entry.cells.grid(job.num_frames, job.height, job.width)
    previews = Previews(model, grid, generation.preview, events)
    started = time.perf_counter()
    last_step = started

    def after_step(step: int) -> None:
        nonlocal last_step
        last_step = time.perf_counter()
        events.progress(step + 1, steps)
        generation.stop_if_cancelled()
        if step + 1 == steps:
            events.phase("decode")
        else:
            previews.offer()

    steering, shot = steering_of(job, entry), _shot_of(generation)
    schedule = find_schedule(settings.schedule, entry.family)
    how = Sampling(settings.num_inference_steps, settings.guidance_scale, schedule)
    if strange := entry.strange_words(job.phrases):
        named = " and ".join(f'"{word}"' for word in strange)
        events.notice(f"{entry.title} has not learnt {named}: it draws {entry.draws}.")
    if schedule and schedule.distils == "lora" and not model.loras:
        events.notice(f"{schedule.title} is for a LoRA that distils, and none is on: the clip may be a blur.")
    events.phase("denoise")
    followed = following(pipe, entry.family, schedule, model.loras, job.seed)
    steered = peekaboo(
        pipe,
        generation.labels,
        job.phrases,
        steering=steering,
        strengths=job.strengths,
        given=shot.given,
        timed=job.timed,
        notice=events.notice,
    )
    with followed, steered, previews, stopping_between_blocks(pipe, generation.stop_if_cancelled):
        frames = sample(model, shot, how, after_step)
    generation.clock.seconds["denoise"] = round(last_step - started, 3)
    generation.clock.seconds["decode"] = round(time.perf_counter() - last_step, 3)
    return frames


def _shot_of(generation: Generation) -> Shot:
    job, source = generation.job, generation.source_clip
    first, last = (
        picture.pixels if picture else None for picture in (generation.first_frame, generation.last_frame)
    )
    shot = Shot(job.prompt, job.num_frames, job.height, job.width, job.seed, job.negative_prompt, first, last)
    shot = replace(shot, rate=job.num_frames / job.timing.frame_count * float(job.timing.rate))
    return replace(shot, source=source.frames, source_strength=job.source_strength) if source else shot


COMPRESSED = 4
"""How many times smaller H.264 makes what it takes to be visually the same, or more."""


def needed_bytes(job: Job) -> int:
    """About the most that the results of a job take on disk: its frames uncompressed, clips as yuv420p."""
    pixels = job.num_frames * job.height * job.width
    if job.finish.wanted:  # a finished clip beside, with a picture for each frame
        width, height = size_within(job.width, job.height, job.finish)
        pixels += width * height * (job.timing.frame_count if job.num_frames > 1 else 1) // COMPRESSED
    return (pixels * 3 if job.num_frames == 1 else pixels * 3 // 2) + 64 * job.timing.frame_count + 2**21


def write_result(folder: Path, generation: Generation, frames: np.ndarray, model: LoadedModel) -> None:
    """Write ``clip.mp4`` at the scene's frame rate, its middle frame as ``thumbnail.png``, and ``clip.json``.

    One frame is a picture, ``clip.png``. With the job's masks, ``clip.json`` holds all that is needed to make
    the clip again.

    Args:
        folder: empty.
        generation: what was asked for; it may be cancelled meanwhile.
        frames: uint8 (num_frames, height, width, 3), sRGB.
        model: they were made with.

    Raises:
        EngineError: ``not_written``, ``cancelled``.
    """
    job = generation.job
    clip = folder / clip_name(job.num_frames)
    if job.num_frames == 1:
        write_picture(clip, frames[0])
    else:
        held = job.timing.held_frames(job.num_frames)
        write_clip(clip, frames, held, job.timing.rate, generation.stop_if_cancelled)
    with replacing(folder / "thumbnail.png") as picture:
        write_png(picture, shrink(frames[len(frames) // 2]))
    entry = model.entry
    settings = settings_of(job, entry)
    schedule = find_schedule(settings.schedule, entry.family)
    record = {
        "job": job.model_dump(exclude_unset=True),
        "clip_sha256": sha256_of(clip),
        **{
            name: {"name": picture.name, "sha256": picture.sha256}
            for name in ("first_frame", "last_frame", "source_clip")
            if (picture := getattr(generation, name))
        },
        **({"source_strength": job.source_strength} if generation.source_clip else {}),
        "labels_sha256": hashlib.sha256(generation.labels.tobytes()).hexdigest(),
        "settings": asdict(settings),
        "schedule": schedule.model_dump(mode="json") if schedule else None,
        "model": {"title": entry.title, "source": entry.source, "licence": entry.licence, **model.weights},
        "loras": model.described_loras(),
        "device": model.device if len(model.placement.devices) == 1 else model.placement.device,
        "dtype": model.dtype,
        "memory": [*model.placement.savings, *(["offload"] if model.placement.offload else [])],
        "versions": {"python": platform.python_version(), **versions()},
        "seconds": generation.clock.seconds,
        "peak_memory_mb": peak_memory_mb(),
    }
    with replacing(folder / "clip.json") as info:
        info.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
