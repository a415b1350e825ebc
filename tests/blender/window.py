# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender with a window on a display of its own that plays a scenario."""

import json
import os
import signal
import subprocess
from pathlib import Path

from house.installed import Profile
from house.virtual_display import SIZE, display, missing

__all__ = ["DRIVER", "Play", "display", "missing"]

DRIVER = Path(__file__).with_name("drive.py")


class Play:
    """A Blender that plays a scenario of ``drive.py``.

    Attributes:
        process: the program, whose pid is Blender's own.
        out: the folder that the scenario writes to.
    """

    def __init__(self, profile: Profile, screen: str, scenario: str, out: Path, **settings: str):
        """Start it; ``settings`` are environment variables."""
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self._log = out / "blender.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    os.environ["BLENDER"],
                    *("--enable-event-simulate", "--window-geometry", "0", "0", *SIZE.split("x")),
                    *("--python-exit-code", "3", "--python", str(DRIVER), "--", scenario, str(out)),
                ],
                env={**profile.variables, "DISPLAY": screen, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def facts(self, seconds: float) -> dict:
        """Wait until the scenario has ended, and take what it found."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            self.kill()
        log = self._log.read_text(errors="replace")
        print(log[-6000:])
        assert code == 0, f"the scenario ended with {code}"
        return json.loads((self.out / "facts.json").read_text())

    def kill(self) -> None:
        """Kill Blender, as a crash would end it."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
