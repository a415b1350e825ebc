# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as Blender runs it: a process, its event lines, its exit code, its files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile import Answer
from tiny.unet3d import HEIGHT, WIDTH

from peekaboo_engine.placement import Placement
from peekaboo_engine.video import read_clip
from peekaboo_engine.worker import Worker

ROOT = Path(__file__).parents[2]
ROOTS = [str(ROOT)]


def start(job: Path, *arguments: str, limits=None) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-s", "-m", "peekaboo_engine", "generate", str(job), *arguments]
    if limits:  # on the size of files, which would cut the bytecode that Python caches, without a word
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, env=environment, text=True, preexec_fn=limits, **pipes)


def run(job: Path, *arguments: str, limits=None) -> tuple[int, list[dict], str]:
    """Exit code, events, and what went to the log."""
    with start(job, "--events", *arguments, limits=limits) as process:
        lines = process.stdout.read().splitlines()  # stdin stays open meanwhile, as with a living parent
        log = process.stderr.read()
    return process.returncode, [json.loads(line) for line in lines], log


def test_a_job_becomes_a_clip(make_job):
    job = make_job()
    code, events, log = run(job)
    assert code == 0, log
    kinds = [event["event"] for event in events]
    assert kinds == ["start", "hello", "phase", "phase", *["progress"] * 3, "phase", "phase", "result"]
    assert [event["phase"] for event in events if "phase" in event] == ["load", "denoise", "decode", "write"]
    assert [event["step"] for event in events if "step" in event] == [1, 2, 3]
    hello, result = events[1], events[-1]
    assert (hello["protocol"], hello["device"]) == (1, "cpu")
    clip = read_clip(Path(result["clip"]))
    assert clip.shape == (12, HEIGHT, WIDTH, 3)  # the scene's frames, not the model's
    info = json.loads(Path(result["info"]).read_text())
    assert info["job"] == json.loads((job / "job.json").read_text())
    assert info["settings"] == {
        "num_inference_steps": 3,
        "guidance_scale": 5.0,
        "masked_steps": 2,
        "method": "peekaboo",
        "schedule": None,
    }
    assert len(info["model"]["sha256"]) == 64
    assert {"load", "denoise", "decode"} == set(info["seconds"])
    assert sorted(path.name for path in job.parent.iterdir()) == [
        "clip.json",
        "clip.mp4",
        "job",
        "thumbnail.png",
    ]


@pytest.mark.slow
def test_the_same_job_gives_the_same_frames(make_job, tmp_path):
    job, folders = make_job(), [tmp_path / "one", tmp_path / "two"]
    processes = [start(job, "--events", "--out", str(folder)) for folder in folders]
    for process in processes:
        with process:
            process.stdout.read()  # stdin stays open meanwhile
        assert process.returncode == 0
    np.testing.assert_array_equal(*(read_clip(folder / "clip.mp4") for folder in folders))


@pytest.mark.slow
def test_a_person_sees_the_result(make_job):
    with start(make_job()) as process:
        shown = process.stdout.read()
    assert process.returncode == 0
    assert "denoise" in shown
    assert "clip.mp4 in" in shown


@pytest.mark.slow
def test_a_job_that_cannot_work_ends_the_engine_with_one_sentence(make_job):
    job = make_job(subjects=[{"name": "Ball", "phrase": "a green ball"}])
    exit_code, events, log = run(job)
    assert exit_code == 1
    assert events[-1]["event"] == "error"
    assert events[-1]["code"] == "phrase_not_in_prompt"
    assert "Traceback" not in log
    assert [path.name for path in job.parent.iterdir()] == ["job"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {"subjects": [{"name": "A", "phrase": "a red ball"}, {"name": "B", "phrase": "red ball"}]},
            "phrases_overlap",
        ),
        ({"model": "sora"}, "unknown_model"),
        ({"schema_version": 9}, "newer_schema"),
        ({"labels": np.zeros((5, 64, 96), np.uint8)}, "subject_never_visible"),
    ],
)
def test_a_job_that_cannot_work_is_one_sentence(make_job, changes, code, caplog):
    job, answer = make_job(**changes), Answer()
    assert not Worker(Placement(device="cpu")).run(job, job.parent, answer, lambda: False)
    assert answer.code == code
    assert "Traceback" not in caplog.text
    assert [path.name for path in job.parent.iterdir()] == ["job"]


@pytest.mark.slow
def test_a_person_sees_the_sentence_and_nothing_else(make_job):
    with start(make_job(model="sora")) as process:
        shown, errors = process.communicate()
    assert process.returncode == 1
    assert errors.startswith('There is no model "sora"')
    assert "Traceback" not in shown + errors


@pytest.mark.slow
def test_an_output_folder_that_cannot_be_written_is_one_sentence(make_job, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    code, events, log = run(make_job(), "--out", str(blocked))
    assert (code, events[-1]["code"]) == (1, "not_written")
    assert "phase" not in [event["event"] for event in events]  # told before the work, not after
    assert "Traceback" not in log


def small_files_only():
    """Let this process write no file over 2 kB; it stops the writing as a full disk does."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a process's files")
def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_clip(make_job):
    job = make_job()
    earlier = {job.parent / name: name.encode() for name in ("clip.mp4", "clip.json", "thumbnail.png")}
    for path, content in earlier.items():
        path.write_bytes(content)
    code, events, log = run(job, limits=small_files_only)
    assert (code, events[-1]["code"]) == (1, "not_written")
    assert "Traceback" not in log
    assert {path: path.read_bytes() for path in job.parent.iterdir() if path.is_file()} == earlier


def wait_for(process: subprocess.Popen, kind: str) -> None:
    for line in process.stdout:
        if json.loads(line)["event"] == kind:
            return
    raise AssertionError(f"no {kind} before the end")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["close", "ask"])
def test_closing_the_pipe_or_asking_cancels_within_a_step(make_job, how):
    job = make_job(num_inference_steps=300)
    process = start(job, "--events")
    wait_for(process, "progress")
    if how == "close":
        process.stdin.close()
    else:
        print(json.dumps({"request": "cancel"}), file=process.stdin, flush=True)
    last = [json.loads(line) for line in process.stdout][-1]
    assert process.wait() == 1
    assert (last["event"], last["code"]) == ("error", "cancelled")
    assert [path.name for path in job.parent.iterdir()] == ["job"]
    process.stderr.close()


@pytest.mark.slow
def test_a_job_whose_parent_is_gone_does_not_load_its_model(make_job):
    process = start(make_job(), "--events")
    process.stdin.close()
    events = [json.loads(line) for line in process.stdout]
    assert process.wait() != 0
    assert not any("phase" in event for event in events)
    # On a machine too busy to get as far as the job in time, the engine is ended before it says so.
    assert {event["code"] for event in events if event["event"] == "error"} <= {"cancelled"}
    process.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_engine_that_is_killed_leaves_no_clip(make_job, sent):
    job = make_job(num_inference_steps=300)
    with start(job, "--events") as process:
        wait_for(process, "progress")
        process.send_signal(sent)
        process.communicate()
    assert process.returncode != 0
    assert [path.name for path in job.parent.iterdir()] == ["job"]


LEAVING = """
import atexit, runpy, sys, time
atexit.register(lambda: (print("leaving", flush=True), time.sleep(60)))
sys.argv = ["peekaboo_engine", "models", "list"]
runpy.run_module("peekaboo_engine", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_an_engine_that_is_told_to_end_while_it_leaves_says_nothing(sent):
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-s", "-c", LEAVING], cwd=ROOT, text=True, **pipes) as process:
        while process.stdout.readline() != "leaving\n":
            assert process.poll() is None
        process.send_signal(sent)
        _, log = process.communicate()
    assert process.returncode == -sent and not log


@pytest.mark.slow
def test_an_earlier_clip_survives_a_failed_generation(make_job):
    job = make_job(num_inference_steps=300)
    earlier = job.parent / "clip.mp4"
    earlier.write_bytes(b"earlier")
    process = start(job, "--events")
    wait_for(process, "progress")
    process.kill()
    process.communicate()
    assert earlier.read_bytes() == b"earlier"


@pytest.mark.slow
def test_what_libraries_print_stays_off_the_event_stream(make_job, tmp_path, monkeypatch):
    """A library that prints when it is imported, from Python and past Python's own stream."""
    chatty = tmp_path / "chatty"
    chatty.mkdir()
    (chatty / "tokenizers.py").write_text(
        "import os, sys\n"
        "print('hello from Python')\n"
        "os.write(1, b'hello from C\\n')\n"
        "sys.path.remove(os.path.dirname(__file__))\n"
        "del sys.modules['tokenizers']\n"
        "import tokenizers\n"
    )
    job = make_job()
    monkeypatch.setattr(f"{__name__}.ROOTS", [str(chatty), *ROOTS])
    code, events, log = run(job)
    assert code == 0
    assert all("event" in event for event in events)
    assert log.count("hello from") == 2


def test_the_models_are_listed():
    command = [sys.executable, "-m", "peekaboo_engine", "models", "list"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "zeroscope" in shown
