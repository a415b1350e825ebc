# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill engines, and what started them, at random moments, and look at what is left.

    python scripts/measure/kills.py [--engine 100] [--client 100] [--command 25] [--script 25] [--json FILE]

``engine``: the engine is killed by a random signal, and the add-on's client has to say one sentence.
``client``: a program with the add-on's client is killed, ``command`` and ``script``: Blender is, and the
engine has to end. All of it is real: the engine with a tiny model, the client class, and Blender ($BLENDER).
Linux only. A kill that a clip was faster than counts too. Nothing may be left but whole clips and what the
next engine removes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "addon"))  # for the tiny model
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from house import installed
from house.environments import ENGINE

from blender_addon.engine import process

ROOT = Path(__file__).resolve().parents[2]
MARK = "PEEKABOO_KILLS"
"""Environment variable by which all processes of one kill are found."""
SIGNALS = ("KILL", "TERM", "INT", "HUP", "QUIT", "ABRT", "SEGV", "BUS", "FPE", "USR1", "PIPE")
KINDS = ("engine", "client", "command", "script")
AT_ONCE = 4
LONGEST = 30.0
"""Seconds after which a process that is still there counts as left behind."""
CLIENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from blender_addon.engine import process
python, job, out, log = map(Path, sys.argv[2:])
engine = process.WarmEngine(process.EngineSettings(python, False, 900.0, "cpu"), log)
engine.generate("1", job, out)
for event in engine.events():
    print(type(event).__name__, flush=True)
    if isinstance(event, process.Result):
        break
engine.cancel()
"""
SHOT = """
import bpy
scene = bpy.context.scene
scene.frame_end = 8
bpy.context.view_layer.update()
bpy.ops.peekaboo.add_subject()
bpy.context.object.peekaboo.phrase = "a red ball"
scene.peekaboo.prompt, scene.peekaboo.model = "a red ball on grass", {model!r}
bpy.ops.wm.save_as_mainfile(filepath={path!r})
"""


def marked(mark: str) -> dict[int, str]:
    """The processes with a mark that have not ended: the command line of each."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found


def wait_until_gone(mark: str) -> float:
    """Seconds that processes with a mark were still there, at most :data:`LONGEST`; then they are killed."""
    began = time.monotonic()
    while left := marked(mark):
        if time.monotonic() > began + LONGEST:
            for number in left:
                os.kill(number, signal.SIGKILL)
            return LONGEST
        time.sleep(0.05)
    return time.monotonic() - began


def state_of(out: Path) -> str:
    """What is in an output folder: a whole clip, none, or something by halves."""
    there = {name for name in ("clip.mp4", "clip.json", "thumbnail.png") if (out / name).exists()}
    if not there:
        return "no clip"
    if there != {"clip.mp4", "clip.json", "thumbnail.png"} or not (out / "clip.mp4").stat().st_size:
        return "half a clip"
    try:
        json.loads((out / "clip.json").read_text(encoding="utf-8"))
    except ValueError:
        return "half a clip"
    return "a clip"


def kill_engine(settings: process.EngineSettings, job: Path, out: Path, moment: float, name: str) -> dict:
    """Kill the engine; the client that started it is this process."""
    out.mkdir()
    os.environ[MARK] = out.name  # one at a time in this process
    engine = process.WarmEngine(settings, out / "engine.log")
    engine.generate("1", job, out)
    events: list[process.Event] = []
    at, sent = time.monotonic() + moment, False
    while not engine.ended and not any(isinstance(event, process.Result) for event in events):
        events += engine.poll()
        if not sent and time.monotonic() >= at:
            engine.process.send_signal(getattr(signal, f"SIG{name}"))
            sent = True
        time.sleep(0.01)
    told = [event for event in events if isinstance(event, process.Failure)]
    after = time.monotonic() - at
    engine.cancel()
    sentence = told[-1].message if told else ""
    if sentence and (not sentence.endswith(".") or "\n" in sentence or "Traceback" in sentence):
        raise AssertionError(f"no sentence: {sentence}")
    said = told[-1].code if told else "Result"
    return {"said": said, "told_after": round(max(0.0, after), 2)}


def kill_starter(command: list, mark: str, moment: float, name: str, log: Path, **variables: str) -> dict:
    """Kill a program that starts an engine, some time after there is one; the engine is left to itself."""
    with log.open("wb") as printed:
        starter = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **variables, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        while starter.poll() is None and not any("start.py" in line for line in marked(mark).values()):
            time.sleep(0.02)
        time.sleep(moment)
        for number, line in marked(mark).items():
            if "start.py" not in line and "ffmpeg" not in line:  # Blender may be behind a script
                os.kill(number, getattr(signal, f"SIG{name}"))
        ended = time.monotonic() + LONGEST
        while any("start.py" not in line for line in marked(mark).values()) and time.monotonic() < ended:
            time.sleep(0.02)
    return {"outlived": round(wait_until_gone(mark), 2), "exit": starter.wait()}


def main() -> int:
    """Kill, print a table, and write it; the exit code is 1 where anything was left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for kind, count in zip(KINDS, (100, 100, 25, 25), strict=True):
        parser.add_argument(f"--{kind}", type=int, default=count, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--span", type=float, default=8.0, help="seconds in which a kill may fall")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peekaboo-kills-") as name:
        kills = run(Path(name), asked)
    table = summed_up(kills)
    print(json.dumps(table, indent=2))
    if asked.json:
        how = "python scripts/measure/kills.py " + " ".join(f"--{k} {getattr(asked, k)}" for k in KINDS)
        facts = {"command": f"{how} --seed {asked.seed} --span {asked.span:g}", "load": os.getloadavg()[0]}
        asked.json.write_text(json.dumps(facts | {"kinds": table}, indent=1) + "\n", encoding="utf-8")
    wrong = sum(row["half_clips"] + row["left_behind"] + row["outlived_5_s"] for row in table.values())
    return 1 if wrong else 0


def run(folder: Path, asked: argparse.Namespace) -> list[dict]:
    """Kill each kind as often as asked; returns what came of it."""
    import tiny_model  # type: ignore[import-not-found]  # of the tests

    model, pick = tiny_model.save(folder / "tiny"), random.Random(asked.seed)
    profile = installed.install(folder)
    blend = folder / "shot.blend"
    profile.python(SHOT.format(model=str(model), path=str(blend)))
    profile.blender(blend, "--command", "peekaboo", "masks", "--out", folder / "made")
    job = folder / "made" / "job"
    variables = profile.variables | {"PEEKABOO_PYTHON": str(ENGINE.python)}

    def one(kind: str, number: int, moment: float, name: str) -> dict:
        out = folder / f"{kind}{number}"
        log = folder / f"{kind}{number}.log"
        if kind == "engine":
            facts = kill_engine(
                process.EngineSettings(ENGINE.python, False, 900.0, "cpu"), job, out, moment, name
            )
            facts["outlived"] = round(wait_until_gone(out.name), 2)
        else:
            commands = {
                "client": [sys.executable, "-c", CLIENT, ROOT, ENGINE.python, job, out, f"{out}.engine.log"],
                "command": [os.environ["BLENDER"], blend, "--command", "peekaboo", "generate", "--out", out],
                "script": [
                    os.environ["BLENDER"],
                    "-b",
                    blend,
                    "-P",
                    ROOT / "scripts" / "batch_render.py",
                    "--",
                    "--out",
                    out,
                ],
            }
            facts = kill_starter(commands[kind], out.name, moment, name, log, **variables)
            printed = log.read_text(errors="replace")
            facts["traceback"] = "Traceback" in printed and name not in {"INT"}
        return {"kind": kind, "signal": name, "moment": round(moment, 2), "left": state_of(out)} | facts

    tasks = [
        (kind, number, pick.uniform(0, asked.span), pick.choice(SIGNALS))
        for kind in KINDS
        for number in range(getattr(asked, kind))
    ]
    with ThreadPoolExecutor(AT_ONCE) as others:
        waiting = [others.submit(one, *task) for task in tasks if task[0] != "engine"]
        kills = [one(*task) for task in tasks if task[0] == "engine"]
        return kills + [task.result() for task in waiting]


def summed_up(kills: list[dict]) -> dict[str, dict]:
    """A row for each kind."""
    table = {}
    for kind in KINDS:
        rows = [kill for kill in kills if kill["kind"] == kind]
        if rows:
            table[kind] = {
                "kills": len(rows),
                "signals": dict(sorted(Counter(row["signal"] for row in rows).items())),
                "left": dict(sorted(Counter(row["left"] for row in rows).items())),
                "half_clips": sum(row["left"] == "half a clip" for row in rows),
                "left_behind": sum(row["outlived"] >= LONGEST for row in rows),
                "outlived_5_s": sum(row["outlived"] > 5 for row in rows),
                "longest_outlived_seconds": max(row["outlived"] for row in rows),
                "longest": sorted(rows, key=lambda row: -row["outlived"])[:5],
                "tracebacks": sum(bool(row.get("traceback")) for row in rows),
                "said": dict(sorted(Counter(row["said"] for row in rows if "said" in row).items())),
            }
    return table


if __name__ == "__main__":
    raise SystemExit(main())
