# SPDX-License-Identifier: GPL-3.0-or-later
"""A display without a screen, and a Blender with a window on it that plays a scenario."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installed import Profile

SIZE = "1280x800"
READY_SECONDS = 60
DRIVER = Path(__file__).with_name("drive.py")


def missing() -> str | None:
    """Say why windows cannot be tested here; None where they can."""
    if _tools() is None and shutil.which("Xvfb") is None:
        return "needs Xvfb (on Debian: apt-get install xvfb imagemagick)"
    return None


def _tools() -> str | None:
    """The command that starts programs beside a Blender which lives in a Debian root of its own."""
    beside = Path(os.environ.get("BLENDER", "")).resolve().parent / "inroot"
    return str(beside) if beside.is_file() else None


@contextmanager
def display() -> Iterator[str]:
    """Start an X server of its own and give its name, such as ``:7``."""
    read, write = os.pipe()
    prefix = [_tools()] if _tools() else []
    server = subprocess.Popen(
        [*prefix, "Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


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
