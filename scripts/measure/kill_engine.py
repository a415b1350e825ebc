# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill the engine at random moments, and look at what it leaves.

    python scripts/measure/kill_engine.py --job JOB [--kills 200] [--out docs/reference/kills.json]

Each engine is a process of its own that runs the ``generate`` command on a job folder, killed by SIGKILL,
SIGTERM, SIGINT or SIGSEGV at a moment drawn from 0 to a little more than a whole run takes. It is forked from
one that has imported torch, so that all moments are of the work and none of the imports (POSIX only). Every
second output folder holds an earlier clip. After each death the next engine's start in the take beside it is
the only thing that cleans. Then must hold: the clip, its record and its picture are all old, all new or all
absent, and the record's ``clip_sha256`` is the clip's; nothing else is there; the job folder is as it was; no
process of the engine's lives on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from peekaboo_engine.drafts import RESULTS, drafting  # noqa: E402

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV)
ORPHAN_SECONDS = 10.0
"""How long a process that the engine started may take to end after it."""


def main() -> None:
    """Kill so many engines; the exit code is 1 if one left what it should not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=Path, required=True, help="job folder of a small model")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "reference" / "kills.json")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    import_all()
    with tempfile.TemporaryDirectory() as temporary:
        takes = Takes(Path(temporary), asked.job)
        whole = max(takes.whole_run() for _ in range(2))
        outcomes = Counter(takes.kill(number, draw, 1.05 * whole) for number in range(asked.kills))
    wrong = [f"{how} in {phase}: {left}" for phase, how, left in outcomes if left.startswith("WRONG")]
    record = {
        "command": f"python scripts/measure/kill_engine.py --job JOB --kills {asked.kills}",
        "seconds_of_a_whole_run": round(whole, 2),
        "kills": sum(outcomes.values()),
        "wrong": wrong,
        "by_signal": dict(Counter(how for _, how, _ in outcomes.elements())),
        "by_phase": nested((phase, left) for phase, _, left in outcomes.elements()),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    asked.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    raise SystemExit(bool(wrong))


def nested(pairs) -> dict[str, dict[str, int]]:
    """How often each second stands with each first."""
    counts: dict[str, dict[str, int]] = {}
    for first, second in pairs:
        inner = counts.setdefault(first, {})
        inner[second] = inner.get(second, 0) + 1
    return counts


def import_all() -> None:
    """Import what the engine imports in the course of a job, here where nothing is computed."""
    import diffusers
    import torch
    import transformers

    from peekaboo_engine import __main__, cancelling, generator

    torch.set_num_threads(1)
    assert diffusers.TextToVideoSDPipeline and transformers.CLIPTextModel
    assert __main__ and cancelling and generator


class Takes:
    """Output folders beside each other, a job, and an earlier clip.

    Args:
        root: an empty folder.
        job: a job folder that works; it is copied.
    """

    def __init__(self, root: Path, job: Path):
        self.root = root
        shutil.copytree(job, root / "job")
        self.job = root / "job"
        self.earlier = root / "earlier"

    def whole_run(self) -> float:
        """Make a clip, which is the earlier one from then on; returns the seconds."""
        begun = time.monotonic()
        process, _ = self.start(self.earlier)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, "the job does not work"
        return time.monotonic() - begun

    def start(self, out: Path) -> tuple[int, int]:
        """Fork an engine; returns its process and the pipe of its events."""
        read_events, write_events = os.pipe()
        process = os.fork()
        if process:
            os.close(write_events)
            os.set_blocking(read_events, False)
            return process, read_events
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            log = os.open(self.root / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            null = os.open(os.devnull, os.O_RDONLY)
            for new, old in ((null, 0), (write_events, 1), (log, 2)):
                os.dup2(new, old)
            from peekaboo_engine import __main__ as engine

            signal.signal(signal.SIGTERM, engine._interrupt)
            engine.app(["generate", str(self.job), "--out", str(out), "--events"], standalone_mode=True)
        except SystemExit as end:
            os._exit(int(end.code or 0))
        finally:
            os._exit(70)

    def kill(self, number: int, draw: random.Random, most: float) -> tuple[str, str, str]:
        """Kill one engine; returns the phase that it was in, the signal, and what it left."""
        take, following = self.root / f"take_{number}", self.root / f"following_{number}"
        (take / "job").mkdir(parents=True)
        if number % 2:
            for name in RESULTS:
                shutil.copy(self.earlier / name, take / name)
        before = {path.name: path.read_bytes() for path in self.job.iterdir()}
        how = draw.choice(SIGNALS)
        process, events = self.start(take)
        time.sleep(draw.uniform(0, most))
        os.kill(process, how)
        os.waitpid(process, 0)
        phase = _phase(events)
        left = self.state(take, following, process)
        if {path.name: path.read_bytes() for path in self.job.iterdir()} != before:
            left = "WRONG: the job folder has changed"
        shutil.rmtree(take)
        shutil.rmtree(following)
        return phase, how.name, left

    def state(self, take: Path, following: Path, process: int) -> str:
        """What is left after the next engine's start."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while _lives(process):
            if time.monotonic() > deadline:
                os.killpg(process, signal.SIGKILL)
                return "WRONG: a process lives on"
            time.sleep(0.02)
        left = left_in(take, following)
        if left != "a whole clip":
            return left
        old = json.loads((self.earlier / "clip.json").read_text())
        return "the earlier clip" if json.loads((take / "clip.json").read_text()) == old else "the new clip"


def left_in(take: Path, following: Path) -> str:
    """What a dead engine left in a take, after the next engine's start in one beside it."""
    with drafting(following):
        pass
    names = {path.name for path in take.iterdir()} - {"job", "engine.log"}
    if not names:
        return "nothing"
    if names != set(RESULTS):
        return f"WRONG: {sorted(names)}"
    clip, record = (take / "clip.mp4").read_bytes(), json.loads((take / "clip.json").read_text())
    if hashlib.sha256(clip).hexdigest() != record["clip_sha256"]:
        return "WRONG: the record is of another clip"
    return "a whole clip"


def _lives(session: int) -> bool:
    """Whether a process of a session that was led by an engine is there."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def _phase(events: int) -> str:
    """The phase that the last event tells of."""
    told = b""
    while block := os.read(events, 65536):
        told += block
    os.close(events)
    phase = "start"
    for line in told.splitlines():
        event = json.loads(line) if line.endswith(b"}") else {}
        phase = event.get("phase", "answered" if event.get("event") in {"result", "error"} else phase)
    return phase


if __name__ == "__main__":
    main()
