# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a scene once into plain data: where its subjects are, frame by frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import PeekabooError
from ..masks import cameras, sampling
from ..masks.cast import Role, names_of
from . import prompt, settings, shots, stating, subjects
from .shots import Shot
from .size import size_of


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
class Subject:
    """A subject as a layout has it.

    Attributes:
        name: of its object, see :func:`names_of`.
        stated: what a job says of its settings, see :data:`.settings.SUBJECT`.
    """

    name: str
    stated: Mapping[str, Any]

    @property
    def phrase(self) -> str:
        """The words of the prompt that name it."""
        return self.stated["phrase"]


@dataclass(frozen=True)
class Layout:
    """Where the subjects are, seen through the camera.

    Attributes:
        subjects: label k is ``subjects[k - 1]``.
        labels: uint8 (frames, height, width), 0 for the background; row 0 is the top.
        timing: what each frame stands for.
        strengths: how long each subject is held in each frame, float (subjects, frames) in 0..1; None where
            nobody asked.
        extents: how many pixels each subject would have in each frame if nothing hid it, int (subjects,
            frames); None likewise.
        cuts: scene frames at which the camera changes.
        cropped: sides at which the camera sees more than the clip shows, see :func:`cameras.cropped_sides`.
    """

    subjects: tuple[Subject, ...]
    labels: np.ndarray
    timing: Timing
    strengths: np.ndarray | None = None
    extents: np.ndarray | None = None
    cuts: tuple[int, ...] = ()
    cropped: frozenset[str] = frozenset()


class Reading:
    """What is read of a scene for a layout, one time after the other; its length is how many times were.

    The label maps are in one array from the beginning: stacked in the end, they would take twice the room.
    """

    def __init__(self, times: Sequence[float], width: int, height: int):
        """Begin to read a scene at so many times, in maps of so many pixels."""
        self._times = times
        self.labels = np.empty((len(times), height, width), np.uint8)
        self.extents: list[np.ndarray] = []
        self.strengths: list[list[float]] = []

    def __len__(self) -> int:
        return len(self.strengths)

    @property
    def is_done(self) -> bool:
        """Whether all times were read."""
        return len(self) == len(self._times)

    def read_next(self, sampler: sampling.Sampler) -> None:
        """Read the next time; errors as :meth:`sampling.Sampler.labelled`."""
        time, (height, width) = self._times[len(self)], self.labels.shape[1:]
        seen, strengths = sampler.labelled(time, width, height), sampler.strengths(time)
        self.labels[len(self)] = seen.labels
        self.extents.append(seen.extents)
        self.strengths.append(strengths)


def timing_of(scene, num_frames: int, shot: Shot | None = None) -> Timing:
    """Spread a model's frames over a shot, each sampled amid the scene frames that will show it.

    Without a shot it is the scene's whole range.

    Scene frame ``f`` of ``D`` shows model frame ``f * N // D`` of ``N``. A time is in a scene frame until the
    next one begins, as for markers and keyed visibility, so that no model frame is seen through the camera
    of a shot that it is not shown in. Where a range has fewer frames than the model, those that no scene
    frame shows lie between the ones before and after. A picture, one model frame for all, shows the scene's
    current frame, as *Render Image* does, or the end of the range that is nearest to it.

    Raises:
        PeekabooError: that range is empty.
    """
    start, end = (shot.first, shot.last) if shot is not None else shots.range_of(scene)
    count = end - start + 1
    if num_frames == 1:
        times = (float(min(max(scene.frame_current, start), end)),)
    else:
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
    if num_frames == 1:
        held = f", held for {count} scene frames" if count > 1 else ""
        return f"scene frame {timing.scene_frames[0]:g} → a picture{held}"
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
    on_play: Callable[[int, int], None] | None = None,
    shot: Shot | None = None,
) -> Layout:
    """Project a scene's subjects through its camera, for each frame of a model.

    Args:
        scene: with subjects and a camera.
        width: of the label maps, in pixels.
        height: of the label maps, in pixels.
        num_frames: that the model makes.
        on_frame: called after each frame with its number, from 1, and the number of frames.
        timing: the times to sample, instead of ``num_frames`` spread over the scene's range.
        on_play: called likewise for each frame that is played for the sake of simulations, before all others.
        shot: of the scene, which is one by default.

    Raises:
        PeekabooError: what keeps the scene from being projected.
    """
    timing = timing or timing_of(scene, num_frames, shot)
    times = timing.scene_frames
    roles = subjects.roles_of(scene, shot)

    reading = Reading(times, width, height)

    def read(sampler: sampling.Sampler) -> None:
        while not reading.is_done:
            reading.read_next(sampler)
            if on_frame is not None:
                on_frame(len(reading), len(times))

    sampling.sample_played(scene, roles, times, read, on_play)
    return put_together(scene, roles, timing, reading)


def put_together(scene, roles: Sequence[Role], timing: Timing, reading: Reading) -> Layout:
    """Make the layout of a scene's subjects, all times of which were read."""
    named = tuple(
        Subject(name, stating.stated(role.objects[0].peekaboo, settings.SUBJECT))
        for name, role in zip(names_of(roles), roles, strict=True)
    )
    cuts = cameras.cuts(scene, timing.frame_start, timing.frame_start + timing.frame_count - 1)
    height, width = reading.labels.shape[1:]
    return Layout(
        named,
        reading.labels,
        timing,
        np.array(reading.strengths).T,
        np.array(reading.extents).T,
        cuts,
        cameras.cropped_sides(scene.render, width / height),
    )


def clip_timing(scene, num_frames: int, shot: Shot | None = None) -> Timing:
    """The timing of what is to be a clip, or a picture where a model makes one frame; see :func:`timing_of`.

    Raises:
        PeekabooError: as that, or a clip would have one frame; a shot between markers is looked at before.
    """
    timing = timing_of(scene, num_frames, shot)
    if timing.frame_count < shots.LEAST_FRAMES and num_frames > 1:
        raise PeekabooError(
            f"There is one frame to make a clip of, {timing.frame_start}, and a clip needs "
            f"{shots.LEAST_FRAMES}: set the scene's frame range."
        )
    return timing


def check_in_view(scene, layout: Layout) -> None:
    """Make sure that each subject is seen in some frame of a scene's layout.

    Raises:
        PeekabooError: one is not.
    """
    present = np.bincount(layout.labels.ravel(), minlength=len(layout.subjects) + 1) > 0
    first, last = layout.timing.frame_start, layout.timing.frame_start + layout.timing.frame_count - 1
    for subject, seen in zip(layout.subjects, present[1:], strict=True):
        if not seen:
            hidden = ", turn off Occluded by Scene" if scene.peekaboo.occluded_by_scene else ""
            others = ", give the shot a prompt without it" if cameras.bound_markers(scene) else ""
            more = ", of whose picture the clip's shape leaves out a part," if layout.cropped else ""
            shape = ", change Framing or Size" if layout.cropped else ""
            raise PeekabooError(
                f'The subject "{subject.name}" is never in view of the camera{more} between frames {first} '
                f"and {last}: move it into view, give it a size{shape}{hidden}{others}, or disable it."
            )


def read_shot(
    scene,
    on_frame: Callable[[int, int], None] | None = None,
    on_play: Callable[[int, int], None] | None = None,
    shot: Shot | None = None,
) -> Layout:
    """Project a shot at the size of its model, after checking its prompt; see :func:`read_layout`.

    Raises:
        PeekabooError: what keeps the shot from being made.
    """
    prompt.check_prompt(scene, shot)
    size = size_of(scene, shot)
    layout = read_layout(scene, *size, on_frame, clip_timing(scene, size[2], shot), on_play, shot)
    check_in_view(scene, layout)
    return layout
