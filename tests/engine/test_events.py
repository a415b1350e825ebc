# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that a program reads."""

import json
import os
import subprocess
import sys

import pytest

from peekaboo_engine.events import JsonLines

EVERY_EVENT = """
from pathlib import Path
from peekaboo_engine.errors import EngineError
from peekaboo_engine.events import JsonLines
print("printed by a library")
engine = JsonLines()
print("printed later")
engine.start()
engine.hello(engine="0.1.0", torch="2.13.0", diffusers="0.42.1", device="cpu")
job = engine.about("a job")
job.phase("denoise")
job.progress(3, 25)
job.preview(Path("take") / "preview.png")
job.notice("The masks act until a noise level.")
job.result(Path("take") / "clip.mp4", Path("take") / "clip.json", 41.2, 2900.0)
job.error("unknown_model", 'There is no model "sora"; choose one of these.')
engine.refuse("another job", EngineError("bad_job", "job.json is not a valid job; correct it."))
engine.freed()
engine.read(92, 77, 310)
engine.read(12, 77, None)
engine.read(None, None, None)
engine.model("zeroscope", "downloaded", "ZeroScope v2 576w is in a folder.")
"""


def test_what_each_event_looks_like_is_agreed_with_the_addon(agree):
    run = subprocess.run([sys.executable, "-c", EVERY_EVENT], capture_output=True, text=True, check=True)
    printed, *lines = run.stdout.splitlines()
    assert printed == "printed by a library"  # before; from then on standard output is the events' alone
    assert "printed later" in run.stderr
    events = [json.loads(line) for line in lines]
    public = {name for name in vars(JsonLines) if not name.startswith("_")}
    assert {event["event"] for event in events} == public - {
        "about",
        "refuse",
        "plan",
    }  # the former send an error
    agree("events", events)


@pytest.mark.parametrize(
    "command", [["plan", "a red ball rolls"], ["models", "describe", "shapes", "--json"]]
)
def test_a_command_ends_without_a_word_where_nobody_reads_on(command):
    """As behind ``| head``."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        arguments = [sys.executable, "-m", "peekaboo_engine", *command]
        run = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (1, "")
