# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine process for many jobs, spoken to over its pipes."""

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from peekaboo_engine import inbox
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

pytestmark = pytest.mark.slow  # each starts an engine: 5 to 11 s of processor time

ROOT = Path(__file__).parents[2]


class Server:
    """The engine's end of a conversation."""

    def __init__(self, *arguments: str):
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-m", "peekaboo_engine", "serve", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request) -> None:
        print(json.dumps(request), file=self.process.stdin, flush=True)

    def until(self, *kinds: str) -> list[dict]:
        """Events up to the first of these kinds."""
        events = []
        for line in self.process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] in kinds:
                return events
        raise AssertionError(f"the engine ended before {kinds}: {events}\n{self.process.stderr.read()}")

    def close(self) -> int:
        self.process.stdin.close()
        code = self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def server():
    server = Server()
    yield server
    if server.process.poll() is None:
        server.close()


@pytest.fixture(scope="module")
def warm():
    """One engine for several tests, each of which leaves it up and idle."""
    server = Server()
    yield server
    assert server.close() == 0


def find_in(job):
    return json.loads((Path(job) / "job.json").read_text())["model"]


def test_a_second_job_finds_the_model_loaded_until_it_is_freed(server, make_job, tmp_path):
    job = str(make_job())
    for name in ("one", "two"):
        server.ask(request="generate", id=name, job=job, out=str(tmp_path / name))
    first, second = server.until("result"), server.until("result")
    assert [event["event"] for event in first[:2]] == ["start", "hello"]
    assert {event["id"] for event in first[2:]} == {"one"}
    assert {event["id"] for event in second} == {"two"}
    phases = [[event["phase"] for event in events if "phase" in event] for events in (first, second)]
    assert phases == [["load", "denoise", "decode", "write"], ["denoise", "decode", "write"]]
    long = "a red ball on grass " * 30
    server.ask(request="read", model=find_in(job), prompt=long)
    assert server.until("read")[-1] == {"event": "read", "tokens": 152, "most": 77, "end": 299}
    server.ask(request="read", model=find_in(job), prompt="a red ball")
    assert server.until("read")[-1] == {"event": "read", "tokens": 5, "most": 77, "end": None}
    server.ask(request="read", model="zeroscope", prompt=long)
    assert server.until("read")[-1]["most"] is None
    server.ask(request="free")
    server.until("freed")
    server.ask(request="read", model=find_in(job), prompt=long)
    assert server.until("read")[-1]["end"] == 299  # by its tokenizer alone
    server.ask(request="generate", id="three", job=job, out=str(tmp_path / "three"))
    assert "load" in [event.get("phase") for event in server.until("result")]
    assert server.close() == 0
    clips = {(tmp_path / name / "clip.mp4").read_bytes() for name in ("one", "two", "three")}
    assert len(clips) == 1


def test_a_cancelled_job_ends_and_the_next_one_runs(warm, make_job, tmp_path):
    job = make_job(num_inference_steps=300)
    warm.ask(request="generate", id="long", job=str(job), out=str(tmp_path / "long"))
    warm.ask(request="generate", id="waiting", job=str(job), out=str(tmp_path / "waiting"))
    warm.until("progress")
    short = json.loads((job / "job.json").read_text()) | {"num_inference_steps": 2}
    warm.ask(request="cancel", id="waiting")
    warm.ask(request="cancel", id="long")
    ended = [warm.until("error", "result")[-1], warm.until("error", "result")[-1]]
    assert [(event["id"], event["code"]) for event in ended] == [
        ("long", "cancelled"),
        ("waiting", "cancelled"),
    ]
    (job / "job.json").write_text(json.dumps(short))
    warm.ask(request="generate", id="short", job=str(job), out=str(tmp_path / "short"))
    assert warm.until("error", "result")[-1]["event"] == "result"
    assert not list((tmp_path / "long").iterdir())


def test_cancelling_all_spares_what_comes_later(warm, make_job, tmp_path):
    job = make_job(num_inference_steps=300)
    for name in ("a", "b"):
        warm.ask(request="generate", id=name, job=str(job), out=str(tmp_path / name))
    warm.until("progress")
    warm.ask(request="cancel")
    ended = [warm.until("error", "result"), warm.until("error", "result")]
    assert [(events[-1]["id"], events[-1]["code"]) for events in ended] == [
        ("a", "cancelled"),
        ("b", "cancelled"),
    ]
    assert [event["event"] for event in ended[1]] == ["error"]  # b never began
    short = json.loads((job / "job.json").read_text()) | {"num_inference_steps": 2}
    (job / "job.json").write_text(json.dumps(short))
    warm.ask(request="generate", id="a", job=str(job), out=str(tmp_path / "a"))
    assert warm.until("error", "result")[-1]["event"] == "result"


def test_closing_the_input_ends_a_waiting_job_before_it_begins(server, make_job, tmp_path):
    job = make_job(num_inference_steps=300)
    for name in ("a", "b"):
        server.ask(request="generate", id=name, job=str(job), out=str(tmp_path / name))
    server.until("progress")
    server.process.stdin.close()
    events = [json.loads(line) for line in server.process.stdout]
    assert server.process.wait() == 0
    assert [event["code"] for event in events if event["event"] == "error"] == ["cancelled", "cancelled"]
    assert [event["event"] for event in events if event.get("id") == "b"] == ["error"]


def test_a_failed_job_leaves_the_engine_up(warm, make_job, tmp_path):
    warm.ask(request="generate", id="bad", job=str(tmp_path / "nothing"), out=str(tmp_path))
    assert warm.until("error")[-1]["code"] == "bad_job"
    warm.ask(request="generate", id="good", job=str(make_job()), out=str(tmp_path / "out"))
    assert warm.until("error", "result")[-1]["event"] == "result"


def test_a_request_that_makes_no_sense_is_ignored_and_logged(server):
    server.until("hello")
    print("not json", file=server.process.stdin, flush=True)
    server.process.stdin.buffer.write(b"\xff\n")
    server.ask(request="dance")
    server.ask(request="free")
    assert server.until("freed")
    server.process.stdin.close()
    assert server.process.wait() == 0
    assert server.process.stderr.read().count("ignored a request") == 3
    server.process.stdout.close()
    server.process.stderr.close()


def test_an_idle_engine_ends_by_itself():
    server = Server("--idle", "0.2")
    server.until("hello")
    assert server.process.wait() == 0
    server.close()


@pytest.mark.parametrize("busy", [True, False])
def test_a_request_to_terminate_ends_it_without_a_trace(server, make_job, tmp_path, busy):
    server.ask(request="free")
    server.until("freed")
    if busy:
        job = make_job(num_inference_steps=300)
        server.ask(request="generate", id="a", job=str(job), out=str(tmp_path / "out"))
        server.until("progress")
    server.process.terminate()
    ended = [json.loads(line) for line in server.process.stdout]
    assert server.process.wait() == 0
    assert [event.get("code") for event in ended[-1:]] == ["cancelled"] * busy
    assert "Traceback" not in server.process.stderr.read()
    if busy:
        assert not list((tmp_path / "out").iterdir())


def test_one_that_does_not_listen_ends_all_the_same_when_its_parent_is_gone(tmp_path):
    """In the place of a long step: a call of C that holds the main thread."""
    code = (
        "import time; from peekaboo_engine.inbox import Inbox; Inbox(); print(1, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(inbox.INTERRUPT_SECONDS + inbox.EXIT_SECONDS + 30)
    process.stdout.close()


def test_a_gpu_that_is_too_small_is_tried_again_with_offloading(make_job, tmp_path, monkeypatch):
    """There is no GPU here, so the first call of the denoiser fails as it does on a full one."""
    told = []

    class Listener:
        def __getattr__(self, kind):
            return lambda *args, **fields: told.append((kind, args or fields))

    seen = []
    call = torch.nn.Module.__call__

    def out_of_memory_once(module, *args, **kwargs):
        if type(module).__name__ == "UNet3DConditionModel":
            if not seen:
                seen.append(weakref.ref(module))
                raise torch.OutOfMemoryError("CUDA out of memory")
            assert seen[0]() is None, "the first model still takes memory"
        return call(module, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "__call__", out_of_memory_once)
    worker = Worker(Placement(device="cpu"))
    assert worker.run(make_job(), tmp_path / "out", Listener(), lambda: False), told
    [notice] = [args[0] for kind, args in told if kind == "notice"]
    assert "offloading" in notice
    assert [args[0] for kind, args in told if kind == "phase"].count("load") == 2
