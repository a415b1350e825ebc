# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in the making: what is asked for, and how far it has come; imports no bpy."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from . import process as engine_client

PHASES = {
    "start": "Starting the engine",
    "load": "Loading the model",
    "denoise": "Generating",
    "decode": "Decoding",
    "write": "Writing the clip",
}


@dataclass
class Job:
    """A clip that waits to be made, is being made, or waits to be imported.

    Attributes:
        scene: ``session_uid`` of the scene that gets the clip; an undo frees what a reference points to.
        title: what a list shows of it.
        request: as ``job.json`` states it.
        folder: of the take.
        frame_start: where the clip goes, if not where the request says.
        id: its name in the conversation with the engine.
        phase: a key of :data:`PHASES`.
        step: how many steps of the phase are done.
        total: of how many; 0 while that is not known.
        phase_began: when, in seconds of :func:`time.monotonic`.
        attempts: how often an engine was asked for it.
        heard: whether an engine has said anything about it.
        preview: a picture of what is being denoised, once there is one.
        previews: how many there were.
        notice: what the engine wants the user to know.
        clip: the result, once it is there.
        cancelled: when it was cancelled, in seconds of :func:`time.monotonic`.
    """

    scene: int
    title: str
    request: dict
    folder: Path
    frame_start: int | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    phase: str = "start"
    step: int = 0
    total: int = 0
    phase_began: float = field(default_factory=time.monotonic)
    attempts: int = 0
    heard: bool = False
    preview: Path | None = None
    previews: int = 0
    notice: str = ""
    clip: engine_client.Result | None = None
    cancelled: float | None = None

    @property
    def factor(self) -> float:
        """How much of the denoising is done, 0..1."""
        if self.phase in {"decode", "write"}:
            return 1.0
        return self.step / self.total if self.total else 0.0

    @property
    def text(self) -> str:
        """Phase, step and time left, for the progress bar."""
        if self.cancelled is not None:
            return "Cancelling"
        text = PHASES.get(self.phase, self.phase)
        if not self.total:
            return text
        text = f"{text}, step {self.step} of {self.total}"
        if not self.step:
            return text
        left = (time.monotonic() - self.phase_began) / self.step * (self.total - self.step)
        return f"{text}, {duration(left)} left"

    def take(self, event: engine_client.Event) -> None:
        """Follow an event about this job."""
        self.heard = True
        match event:
            case engine_client.Phase(phase):
                self.phase, self.step, self.total = phase, 0, 0
                self.phase_began = time.monotonic()
            case engine_client.Progress(step, total):
                self.step, self.total = step, total
            case engine_client.Preview(path):
                self.preview, self.previews = path, self.previews + 1
            case engine_client.Notice(message):
                self.notice = message
            case engine_client.Result():
                self.clip = event


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
