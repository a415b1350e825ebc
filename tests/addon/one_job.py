# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's command ``generate``, watched as the warm engine is."""

from collections.abc import Callable
from pathlib import Path

from blender_addon.engine.process import EngineProcess, Event, Failure, Result
from blender_addon.errors import PeekabooError


class Engine(EngineProcess):
    """One run of the engine on one job."""

    def __init__(
        self,
        job_folder: Path,
        out_folder: Path,
        python: Path,
        log: Path | None = None,
        online: bool = True,
    ):
        """Start the engine; raises as :class:`EngineProcess`.

        Args:
            job_folder: with ``job.json`` and ``masks.npz``.
            out_folder: where the clip goes.
            python: the interpreter that has the engine's requirements.
            log: where the engine's stderr goes; ``engine.log`` in ``job_folder`` when left out.
            online: whether the engine may download a model.
        """
        arguments = ["generate", str(job_folder), "--out", str(out_folder), "--events"]
        super().__init__(arguments, python, log or job_folder / "engine.log", online)

    def run(self, on_event: Callable[[Event], None]) -> Result:
        """Wait until the clip is there.

        Args:
            on_event: called with each event.

        Raises:
            PeekabooError: there will be no clip.
        """
        try:
            for event in self.events():
                on_event(event)
                if isinstance(event, Failure):
                    raise PeekabooError(event.message)
                if isinstance(event, Result):
                    return event
        finally:
            self.cancel()
        raise PeekabooError(f'The engine was stopped; its log is "{self.log}".')
