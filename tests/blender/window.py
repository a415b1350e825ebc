# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender with a window on a display of its own that plays a scenario."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from house.installed import Profile
from house.virtual_display import SIZE, display, missing

__all__ = ["DRIVER", "Play", "display", "missing"]

DRIVER = Path(__file__).with_name("drive.py")
BEGUN = "begun"
"""The file by which a scenario tells that Blender has its window."""
REFUSED, STARTS, START_SECONDS = "GLXBadContext", 3, 120.0
"""What an X server without a graphics card says where it has once refused a window its context, how often
Blender is started in all then, and how long it may take."""


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
        command = [
            os.environ["BLENDER"],
            *("--enable-event-simulate", "--window-geometry", "0", "0", *SIZE.split("x")),
            *("--python-exit-code", "3", "--python", str(DRIVER), "--", scenario, str(out)),
        ]
        environment = {**profile.variables, "DISPLAY": screen, **settings}
        for _ in range(STARTS):
            self._start(command, environment)
            if self._has_begun() or self.process.poll() is None:
                return
            if REFUSED not in self._log.read_text(errors="replace"):
                return

    def _start(self, command: list[str], environment: dict[str, str]) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _has_begun(self) -> bool:
        """Wait until the scenario has begun, or Blender has ended before."""
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if (self.out / BEGUN).exists():
                return True
            time.sleep(0.1)
        return (self.out / BEGUN).exists()

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
