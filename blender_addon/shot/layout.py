# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a scene once into plain data, and write that as a job folder for the engine."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..engine import catalogue as models
from ..errors import PeekabooError
from ..masks import outlines as subjects
from ..masks import sampling
from . import phrases

SCHEMA_VERSION = 1

SEED_LIMIT = 2**31
"""Seeds are less than this: what an integer property of Blender's holds."""


Frame: TypeAlias = tuple[np.ndarray, list[float]]
"""Of one time: labels, uint8 (height, width), and the strength of each subject."""


@dataclass(frozen=True)
class Timing:
    """How a scene's frames map to a model's.

    Attributes:
        frame_start: first scene frame of the shot.
        frame_count: number of scene frames, which is also the clip's.
        fps: the scene's nominal frame rate.
        fps_base: divisor of it.
        scene_frames: the scene time of each model frame, may lie between frames.
    """

    frame_start: int
    frame_count: int
    fps: int
    fps_base: float
    scene_frames: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """Where the subjects are, seen through the camera.

    Attributes:
        subjects: name of the object and phrase of each subject; label k is ``subjects[k - 1]``.
        labels: uint8 (frames, height, width), 0 for the background; row 0 is the top.
        timing: what each frame stands for.
        strengths: how long each subject is held in each frame, float (subjects, frames) in 0..1; None where
            nobody asked.
    """

    subjects: tuple[tuple[str, str], ...]
    labels: np.ndarray
    timing: Timing
    strengths: np.ndarray | None = None


def timing_of(scene, num_frames: int) -> Timing:
    """Spread a model's frames over a scene's range, each sampled amid the scene frames that will show it.

    Scene frame ``f`` of ``D`` shows model frame ``f * N // D`` of ``N``. A time is in a scene frame until the
    next one begins, as for markers and keyed visibility, so that no model frame is seen through the camera
    of a shot that it is not shown in. Where a range has fewer frames than the model, those that no scene
    frame shows lie between the ones before and after.

    Raises:
        PeekabooError: the scene's frame range is empty.
    """
    start, count = scene.frame_start, scene.frame_end - scene.frame_start + 1
    if count < 1:
        raise PeekabooError(
            f'The scene "{scene.name}" ends at frame {scene.frame_end}, before its start at {start}: '
            "set its frame range."
        )
    times = tuple(start + _sampled_at(i, count, num_frames) for i in range(num_frames))
    return Timing(start, count, scene.render.fps, scene.render.fps_base, times)


def _sampled_at(index: int, count: int, num_frames: int) -> float:
    """When a model frame is sampled, in scene frames from the start; see :func:`timing_of`."""
    first = -(-index * count // num_frames)  # that shows it, rounded up
    past = -(-(index + 1) * count // num_frames)
    if first < past:
        return (first + past - 1) / 2
    before = past - 1  # the last that shows an earlier one
    return before + (index - before * num_frames // count) * count / num_frames


def timing_of_each_frame(scene) -> Timing:
    """Take each frame of a scene's range by the scene's step; raises as :func:`timing_of`."""
    timing = timing_of(scene, 1)
    times = range(timing.frame_start, timing.frame_start + timing.frame_count, scene.frame_step)
    return dataclasses.replace(timing, scene_frames=tuple(map(float, times)))


def mapping_in_words(timing: Timing, num_frames: int) -> str:
    """Say how frames map: ``48 scene frames at 24 fps → 16 model frames, each held 3``."""
    count, rate = timing.frame_count, f"{timing.fps / timing.fps_base:.4g}"
    least, most = count // num_frames, -(-count // num_frames)
    if least == 0:
        held = f"of which {count} are used"
    else:
        held = f"each held {least}" if least == most else f"each held {least} or {most}"
    frames = "frame" if count == 1 else "frames"
    return f"{count} scene {frames} at {rate} fps → {num_frames} model frames, {held}"


def read_layout(
    scene,
    width: int,
    height: int,
    num_frames: int,
    on_frame: Callable[[int, int], None] | None = None,
    timing: Timing | None = None,
) -> Layout:
    """Project a scene's subjects through its camera, for each frame of a model.

    Args:
        scene: with subjects and a camera.
        width: of the label maps, in pixels.
        height: of the label maps, in pixels.
        num_frames: that the model makes.
        on_frame: called after each frame with its number, from 1, and the number of frames.
        timing: the times to sample, instead of ``num_frames`` spread over the scene's range.

    Raises:
        PeekabooError: what keeps the scene from being projected.
    """
    timing = timing or timing_of(scene, num_frames)
    times = timing.scene_frames
    objects = subjects.subjects_of(scene)
    frames = []
    with sampling.Sampler(scene, objects, times) as sampler:
        for time in times:
            frames.append(read_frame(sampler, time, width, height))
            if on_frame is not None:
                on_frame(len(frames), len(times))
    return put_together(objects, timing, frames)


def read_frame(sampler: sampling.Sampler, time: float, width: int, height: int) -> Frame:
    """Read what a layout has of one time; arguments and errors as :meth:`sampling.Sampler.label_map`."""
    return sampler.label_map(time, width, height), sampler.strengths(time)


def put_together(objects: list, timing: Timing, frames: list[Frame]) -> Layout:
    """Make the layout of a scene's subjects from what :func:`read_frame` has read at each time."""
    labels, strengths = zip(*frames, strict=True)
    names = tuple((obj.name, obj.peekaboo.phrase) for obj in objects)
    return Layout(names, np.stack(labels), timing, np.array(strengths).T)


def check_in_view(scene, layout: Layout) -> None:
    """Make sure that each subject is seen in some frame of a scene's layout.

    Raises:
        PeekabooError: one is not.
    """
    present = np.bincount(layout.labels.ravel(), minlength=len(layout.subjects) + 1) > 0
    first, last = layout.timing.frame_start, layout.timing.frame_start + layout.timing.frame_count - 1
    for (name, _), seen in zip(layout.subjects, present[1:], strict=True):
        if not seen:
            hidden = ", turn off Occluded by Scene" if scene.peekaboo.occluded_by_scene else ""
            raise PeekabooError(
                f'The subject "{name}" is never in view of the camera between frames {first} and {last}: '
                f"move it into view, give it a size{hidden}, or disable it."
            )


def check_prompt(scene) -> None:
    """Make sure that a scene's prompt names each of its subjects.

    Raises:
        PeekabooError: the prompt is empty, a phrase is not in it, or phrases overlap.
    """
    prompt = scene.peekaboo.prompt
    if not prompt.strip():
        raise PeekabooError(
            f'The scene "{scene.name}" has no prompt: say what the clip shows, with the phrase of '
            "each subject in it."
        )
    named = [(obj.name, obj.peekaboo.phrase) for obj in subjects.subjects_of(scene)]
    if problem := phrases.phrase_problem(prompt, named):
        raise PeekabooError(problem)


def next_seed(scene) -> int:
    """The seed of a scene's next clip: the one that is set, or with random seeds a new one each time."""
    settings = scene.peekaboo
    return random.randrange(SEED_LIMIT) if settings.seed_mode == "RANDOM" else settings.seed


def make_job(scene, layout: Layout, seed: int | None = None) -> dict:
    """Describe the clip that a scene's settings ask for, as ``job.json`` states it.

    Args:
        scene: with the settings.
        layout: of the scene.
        seed: of the clip; :func:`next_seed` when left out.
    """
    settings, timing = scene.peekaboo, layout.timing
    num_frames, height, width = layout.labels.shape
    return {
        "schema_version": SCHEMA_VERSION,
        "prompt": settings.prompt,
        "negative_prompt": settings.negative_prompt,
        "subjects": _subjects_of_job(layout),
        "model": models.located(settings.model),
        "width": width,
        "height": height,
        "num_frames": num_frames,
        "timing": {
            "frame_start": timing.frame_start,
            "frame_count": timing.frame_count,
            "fps": timing.fps,
            "fps_base": timing.fps_base,
            "scene_frames": list(timing.scene_frames),
        },
        "seed": next_seed(scene) if seed is None else seed,
        "num_inference_steps": settings.num_inference_steps or None,
        "guidance_scale": settings.guidance_scale or None,
        "control": {
            "method": None if settings.method == "auto" else settings.method,
            "masked_steps": None if settings.masked_steps < 0 else settings.masked_steps,
            "blocks": settings.blocks,
            "special_tokens": settings.special_tokens,
            "gate_second_temporal": settings.gate_second_temporal,
        },
    }


def _subjects_of_job(layout: Layout) -> list[dict]:
    """Name, phrase, and the strength where it is not whole throughout."""
    stated = [{"name": name, "phrase": phrase} for name, phrase in layout.subjects]
    if layout.strengths is None:
        return stated
    for subject, strength in zip(stated, layout.strengths, strict=True):
        if (strength < 1).any():
            subject["strength"] = [round(float(share), 4) for share in strength]
    return stated


def write_job(job: dict, labels: np.ndarray, folder: Path) -> None:
    """Write a job folder: whole or not at all, replacing an earlier one.

    Args:
        job: as :func:`make_job` makes it.
        labels: uint8 (frames, height, width).
        folder: the job folder.

    Raises:
        PeekabooError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            (draft / "job.json").write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")
            np.savez_compressed(draft / "masks.npz", labels=labels)
            folder.mkdir(exist_ok=True)
            for name in ("masks.npz", "job.json"):
                (draft / name).replace(folder / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise PeekabooError(
            f'The job cannot be written to "{folder}" ({error.strerror or error}): choose a folder '
            "that can be written."
        ) from None


def read_shot(scene, on_frame: Callable[[int, int], None] | None = None) -> Layout:
    """Project a scene at the size of its model, after checking its prompt.

    Raises:
        PeekabooError: what keeps the shot from being made.
    """
    check_prompt(scene)
    layout = read_layout(scene, *models.model_size(scene.peekaboo.model), on_frame)
    check_in_view(scene, layout)
    return layout
