# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes and measures the clips of all scenes under all controls; a run that was cut short goes on."""

from __future__ import annotations

import hashlib
import inspect
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import control as control_package
from ..errors import EngineError, one_line
from ..loading import LoadedModel
from ..sampling import Sampling
from .clips import ClipStore, Stopped, make_clip
from .consistency import background_consistency
from .controls import NONE, Control
from .detection import Detector
from .forms import FormScore, score_form
from .layouts import spread
from .metrics import Binding, Box, TrackScore, score_binding, score_track
from .quality import are_features_of, samples_of
from .scenes import Scene
from .segmenter import Segmenter
from .text_agreement import TextAgreement


@dataclass(frozen=True)
class MeasuredTrack:
    """One subject of a clip: where it was wanted and found, frame by frame, and the measures of that."""

    phrase: str
    wanted: Sequence[Box | None]
    found: Sequence[Box | None]
    score: TrackScore
    binding: Binding
    form: FormScore | None = None  # where its mask is a silhouette, and the detector marks pixels


@dataclass(frozen=True)
class MeasuredClip:
    """One clip with its measures."""

    scene: str
    control: str
    prompt: str
    seconds: float
    tracks: list[MeasuredTrack]
    background_consistency: float | None  # None without an unmasked clip to compare with
    samples: np.ndarray | None = None  # of :mod:`.quality`, of a detector that has features
    text_agreement: float | None = None  # where there is a CLIP


@dataclass(frozen=True)
class Failure:
    """A clip that could not be made or measured, and why."""

    scene: str
    control: str
    error: str


@dataclass
class Outcome:
    """All that came of a comparison."""

    clips: list[MeasuredClip] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stopped: bool = False

    def keep_compared(self, controls: int) -> None:
        """Drop clips of scenes that do not have one under each of so many controls: rows then speak of the
        same scenes."""
        made = Counter(clip.scene for clip in self.clips)
        self.clips = [clip for clip in self.clips if made[clip.scene] == controls]

    def complete(self, controls: Sequence[str], count: int) -> list[list[MeasuredClip]]:
        """Clips of `count` layouts at most, evenly spread over those that have one under each control."""
        by_scene: dict[str, dict[str, MeasuredClip]] = {}
        for clip in self.clips:
            by_scene.setdefault(clip.scene, {})[clip.control] = clip
        complete = [clips for clips in by_scene.values() if len(clips) == len(controls)]
        return [[clips[control] for control in controls] for clips in spread(complete, count)]


class Comparison:
    """A model, a detector and a store, through which scenes are run.

    Args:
        model: a loaded pipeline.
        detector: finds the subjects.
        sampling: how clips are made.
        store: keeps them.
        agreement: holds them against their prompts, if that is wanted.
    """

    def __init__(
        self,
        model: LoadedModel,
        detector: Detector,
        sampling: Sampling,
        store: ClipStore,
        agreement: TextAgreement | None = None,
    ):
        self._model, self._detector, self._sampling, self._store = model, detector, sampling, store
        self._agreement = agreement
        self._code = _digest(sorted(Path(control_package.__file__).parent.glob("*.py")))
        measuring = (type(detector), background_consistency, score_form, samples_of)
        self._measuring = _digest([Path(inspect.getfile(part)) for part in measuring])

    def run(
        self,
        scenes: list[Scene],
        controls: list[Control],
        done: Callable[[Scene, Control, Failure | None], None],
        stop_if_asked: Callable[[], None],
    ) -> Outcome:
        """Make and measure all clips that the store does not hold yet.

        A failure of one clip does not end the run. ``none`` is to come first among the controls.

        Args:
            scenes, controls: each with each.
            done: told of every clip, with what went wrong with it.
            stop_if_asked: called after every step and clip; raises Stopped to end the run, which then comes
                out with the scenes that are done.
        """
        outcome = Outcome()
        try:
            self._run(outcome, scenes, controls, done, stop_if_asked)
        except Stopped:
            outcome.stopped = True
            outcome.keep_compared(len(controls))
        return outcome

    def _run(
        self,
        outcome: Outcome,
        scenes: list[Scene],
        controls: list[Control],
        done: Callable[[Scene, Control, Failure | None], None],
        stop_if_asked: Callable[[], None],
    ) -> None:
        for scene in scenes:
            unmasked = None
            for control in controls:
                failure = None
                try:
                    clip = self._measured(scene, control, unmasked, stop_if_asked)
                    unmasked = clip if control is NONE else unmasked
                    outcome.clips.append(clip)
                except EngineError as error:
                    failure = Failure(scene.id, control.name, error.message)
                except Exception as error:  # of a library: the log has the details
                    traceback.print_exc()
                    failure = Failure(scene.id, control.name, f"{type(error).__name__}: {one_line(error)}")
                if failure:
                    outcome.failures.append(failure)
                done(scene, control, failure)
                stop_if_asked()

    def _measured(
        self,
        scene: Scene,
        control: Control,
        unmasked: MeasuredClip | None,
        stop_if_asked: Callable[[], None],
    ) -> MeasuredClip:
        record = self._store.record(scene, control)
        settings = self._settings(scene, control)
        if record.get("settings") != settings:
            frames, seconds = make_clip(self._model, scene, control, self._sampling, stop_if_asked)
            self._store.write_clip(scene, control, frames)
            record = {"settings": settings, "seconds": round(seconds, 3)}
            self._store.write_record(scene, control, record)
        measured_with = {
            "detector": self._detector.identity(),
            "code": self._measuring,
            "compared": unmasked is not None,
            **({"clip": self._agreement.identity()} if self._agreement else {}),
        }
        if record.get("measured_with") != measured_with:
            frames = self._store.frames(scene.id, control.name)
            found = [self._detector.find(frames, phrase) for phrase in scene.phrases]
            record |= {
                "measured_with": measured_with,
                "found": found,
                "background_consistency": self._consistency(scene, frames, found, unmasked),
                **self._of_pixels(scene, frames),
            }
            if self._agreement:
                record["text_agreement"] = self._agreement.score(frames, scene.prompt)
            self._store.write_record(scene, control, record)
        return _measured_clip(scene, control, record)

    def _of_pixels(self, scene: Scene, frames: np.ndarray) -> dict[str, Any]:
        """What a detector that knows pixels tells besides."""
        if not isinstance(self._detector, Segmenter):
            return {}
        told: dict[str, Any] = {}
        if scene.silhouettes:
            told["forms"] = [
                asdict(score_form(scene.labels == label, self._detector.find_blobs(frames, phrase)))
                for label, phrase in enumerate(scene.phrases, start=1)
            ]
        if are_features_of(self._detector.identity()["sha256"]):
            told["samples"] = samples_of(self._detector.features(frames)).round(4).tolist()
        return told

    def _settings(self, scene: Scene, control: Control) -> dict[str, Any]:
        """All that a clip depends on, in the form in which JSON gives it back."""
        return {
            "model": self._model.identity,
            "device": self._model.device.partition(":")[0],
            "dtype": self._model.dtype,
            "code": self._code if control.options is not None else None,
            "sampling": self._sampling.described(),
            "options": None if control.options is None else dict(control.options),
            "prompt": scene.prompt,
            "phrases": scene.phrases,
            "seed": scene.seed,
            "labels": hashlib.sha256(scene.labels.tobytes()).hexdigest(),
        }

    def _consistency(
        self, scene: Scene, frames: np.ndarray, found: list, unmasked: MeasuredClip | None
    ) -> float | None:
        if unmasked is None:
            return None
        seen_before = [track.found for track in unmasked.tracks]
        covered = [*scene.wanted, *(_track_of(boxes) for boxes in [*found, *seen_before])]
        return background_consistency(frames, self._store.frames(scene.id, NONE.name), covered)


def _digest(sources: Sequence[Path]) -> str:
    """Of source files: what another version of them made or measured is made or measured anew."""
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _track_of(boxes: Sequence[Box | None]) -> np.ndarray:
    return np.array([[np.nan] * 4 if box is None else box for box in boxes])


def _measured_clip(scene: Scene, control: Control, record: dict[str, Any]) -> MeasuredClip:
    _, height, width = scene.labels.shape
    tracks, all_found = [], record["found"]
    all_wanted = [[None if np.isnan(b).any() else tuple(b.tolist()) for b in track] for track in scene.wanted]
    bindings = score_binding(all_wanted, all_found)
    forms: list[FormScore | None] = [FormScore(**form) for form in record.get("forms", [])]
    forms = forms or [None] * len(all_found)
    for phrase, wanted, found, binding, form in zip(
        scene.phrases, all_wanted, all_found, bindings, forms, strict=True
    ):
        # Frames in which the subject is not to be seen do not count.
        pairs = [(w, f) for w, f in zip(wanted, found, strict=True) if w is not None]
        score = score_track([w for w, _ in pairs], [f for _, f in pairs], width / height)
        tracks.append(MeasuredTrack(phrase, wanted, found, score, binding, form))
    return MeasuredClip(
        scene.id,
        control.name,
        scene.prompt,
        record["seconds"],
        tracks,
        record["background_consistency"],
        np.array(record["samples"]) if "samples" in record else None,
        record.get("text_agreement") if "clip" in record["measured_with"] else None,
    )
