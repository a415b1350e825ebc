# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs, masks, takes, models, lines and events as strangers may make them.

Each case is answered in one sentence within ten seconds, writes nothing outside of the output folder, and
takes at most twice the memory of a good job. Some 200 cases here, the same at each run;
``scripts/measure/fuzz.py`` runs 5,000 and records what came of them.
"""

import gc
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import hostile
import pytest
import torch
from hostile import ANSWER_SECONDS, KINDS, World, archives, damaged, documents, not_a_file
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from peekaboo_engine.drafts import RESULTS
from peekaboo_engine.events import JsonLines, Terminal
from peekaboo_engine.inbox import Generate, Inbox

CASES = int(os.environ.get("PEEKABOO_FUZZ_CASES", "200"))
RECORD = os.environ.get("PEEKABOO_FUZZ_RECORD")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="pipes, links and limits of POSIX"),
    pytest.mark.filterwarnings("ignore"),
]


def cases(share: float):
    """So many of all cases, the same ones at each run; nothing is kept, nor made smaller in the end."""
    return settings(
        max_examples=max(10, round(CASES * share)),
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def world(request, tmp_path_factory, model_folder):
    """The world after one good job, whose memory is what others are measured by."""
    root = tmp_path_factory.mktemp("world")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what is computed here is too small to share
    (root / "tmp").mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(root / "tmp")
    model = root / "model"
    shutil.copytree(model_folder, model)
    made = World(root, model)
    made.fresh()
    answer = made.play(patience=600)  # it imports, too
    assert answer.code == "result", answer.message
    made.baseline_mb = hostile.resident_mb("VmRSS")
    made.most_mb, made.slowest = 0.0, 0.0
    made.codes.clear()
    made.counts = {}
    begun = time.monotonic()
    yield made
    tempfile.tempdir = before
    torch.set_num_threads(threads)
    if RECORD and not request.session.testsfailed:
        record = {
            "cases": sum(made.counts.values()),
            "answers": dict(made.codes),
            "slowest_answer_cpu_seconds": round(made.slowest, 2),
            "memory_mb": round(made.baseline_mb),
            "added_mb": round(made.most_mb),
            "minutes": round((time.monotonic() - begun) / 60, 1),
        }
        Path(RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def counted(world, kind):
    world.counts[kind] = world.counts.get(kind, 0) + 1
    if world.counts[kind] % 50 == 0:
        gc.collect()


JOBS = documents(hostile.JOB | {"model": "MODEL"})
JOB_TEXT = json.dumps(hostile.JOB | {"model": "shapes", "prompt": "nothing of it"}).encode()


@cases(0.46)
@given(st.one_of(JOBS, JOBS, JOBS, damaged(JOB_TEXT), KINDS))
def test_jobs(world, job):
    world.fresh()
    path = world.job / "job.json"
    if isinstance(job, bytes):
        path.write_bytes(job)
    elif isinstance(job, str) and job in {"pipe", "device", "link", "loop", "folder", "nothing"}:
        not_a_file(path, job, world.victims / "clip.json")
    else:
        if isinstance(job, dict) and job.get("model") == "MODEL":
            job = job | {"model": str(world.model)}
        world.write_job(job)
    world.play()
    counted(world, "jobs")


@cases(0.30)
@given(st.data())
def test_masks(world, data):
    world.fresh()
    path = world.job / "masks.npz"
    masks = data.draw(st.one_of(damaged(path.read_bytes()), archives(), KINDS))
    if isinstance(masks, str):
        not_a_file(path, masks, world.good_masks)
    else:
        path.write_bytes(masks)
    world.play()
    counted(world, "masks")


NAMES = st.sampled_from(
    [
        *RESULTS,
        ".peekaboo-0000",
        ".peekaboo-0000.whole",
        ".peekaboo-0000.undone",
        f".clip.{os.getpid()}.mp4",
        ".clip.json",
        "job",
        "engine.log",
    ]
)
TRAPS = st.sampled_from(
    ["link to file", "link to folder", "broken link", "folder", "full folder", "pipe", "file"]
)


@cases(0.02)
@given(st.lists(st.tuples(NAMES, TRAPS), max_size=4), st.lists(st.tuples(NAMES, TRAPS), max_size=2))
def test_takes(world, traps, inner):
    """Whatever lies in the output folder, the victims beside it stay as they are."""
    world.fresh()
    lay(world, world.out, traps)
    for folder in list(world.out.iterdir()):
        if folder.is_dir() and not folder.is_symlink():
            lay(world, folder, inner)
    lay(world, world.job, [("preview.png", "link to file"), (".preview.png", "link to file")])
    answer = world.play(patience=ANSWER_SECONDS / 2)
    assert answer.code in {"result", "not_written", "cancelled"}, answer.message
    assert {path.read_text() for path in world.victims.iterdir()} == {"mine"}
    counted(world, "takes")


def lay(world, folder, traps):
    for name, trap in traps:
        path = folder / name
        if path.is_symlink() or path.exists():
            continue
        match trap:
            case "link to file":
                path.symlink_to(world.victims / "clip.mp4")
            case "link to folder":
                path.symlink_to(world.victims)
            case "broken link":
                path.symlink_to(world.victims / "not there")
            case "folder":
                path.mkdir()
            case "full folder":
                path.mkdir()
                for result in RESULTS:
                    (path / result).write_text("of a stranger")
            case "pipe":
                os.mkfifo(path)
            case "file":
                path.write_text("of a stranger")


MODEL_JSON = [
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
    "peekaboo.json",
]
WEIGHTS = [
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
]


@cases(0.015)
@given(st.data())
def test_models(world, data):
    world.fresh()
    folder = world.out.parent / "take" / "hostile"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.model, folder)
    (folder / "peekaboo.json").write_text(
        json.dumps({"num_frames": 2, "guidance_scale": 3, "masked_steps": 1})
    )
    name = data.draw(st.sampled_from(MODEL_JSON + WEIGHTS))
    path = folder / name
    content = path.read_bytes()
    kinds = [damaged(content[:4000]).map(lambda start: start + content[4000:]), KINDS]
    if name in MODEL_JSON:
        kinds += 4 * [documents(json.loads(content))]
    new = data.draw(st.one_of(kinds))
    if isinstance(new, bytes):
        path.write_bytes(new)
    elif isinstance(new, str):
        not_a_file(path, new, world.victims / "clip.json")
    else:
        path.write_text(json.dumps(new))
    world.write_job(hostile.JOB | {"model": str(folder)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world.play()
    world.worker.free()
    counted(world, "models")


REQUEST = {"request": "generate", "id": "a", "job": "/tmp/job", "out": "/tmp/out"}
LINES = st.one_of(
    documents(REQUEST).map(lambda request: json.dumps(request).encode()),
    documents({"request": "cancel", "id": "b"}).map(lambda request: json.dumps(request).encode()),
    damaged(json.dumps(REQUEST).encode()),
    st.sampled_from([b"x" * 200_000, b"[" * 60_000, b"\0" * 100, b"", b"\r", b"null", b"\xed\xa0\x80"]),
)


@pytest.fixture(scope="module")
def channel():
    """An inbox that reads a pipe in the place of standard input, and the pipe's other end."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    yield Inbox(), writing
    os.dup2(kept, 0)
    for descriptor in (reading, kept):  # not the other end: closing that ends the process
        os.close(descriptor)


@cases(0.105)
@given(st.lists(LINES, min_size=1, max_size=5))
def test_lines(world, channel, lines):
    """Whatever came before, a good request is heard."""
    inbox, writing = channel
    number = world.counts.get("lines", 0)
    good = json.dumps(REQUEST | {"id": f"good {number}"}).encode()
    log, before = io.StringIO(), sys.stderr
    sys.stderr = log  # also that of the inbox's thread
    try:
        sent = threading.Thread(target=os.write, args=(writing, b"\n".join([*lines, good]) + b"\n"))
        sent.start()
        begun = time.process_time()
        heard = None
        while heard != f"good {number}":
            request = inbox.next(hostile.HANG_SECONDS)
            assert request is not None, "a good request was not heard"
            if isinstance(request, Generate):
                inbox.finished(request.id)
                heard = request.id
        sent.join()
    finally:
        sys.stderr = before
    assert time.process_time() - begun < ANSWER_SECONDS
    assert "Traceback" not in log.getvalue() and "\x1b" not in log.getvalue()
    world.codes["heard"] += 1
    counted(world, "lines")


@cases(0.10)
@given(st.one_of(hostile.TEXTS, st.text()), hostile.TEXTS, st.sampled_from(["notice", "error", "result"]))
def test_events(world, capfd, text, other, kind):
    """An event is one line of JSON; on a terminal it steers nothing."""
    path = Path(other.replace("\0", ""))
    for make in (JsonLines, Terminal):
        kept = os.dup(1)  # which JsonLines moves
        events = make()
        match kind:
            case "notice":
                events.notice(text)
            case "error":
                events.error(other, text)
            case "result":
                events.result(path, path, 1.0, 2.0)
        if make is JsonLines:
            events._stream.close()
            os.dup2(kept, 1)
        os.close(kept)
        seen = "".join(capfd.readouterr())
        if make is JsonLines:
            assert seen.endswith("\n") and seen.count("\n") == 1 and seen.isascii()
            assert json.loads(seen)["event"] == kind
        else:
            assert not any(
                (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\u2066" for c in seen
            )
    world.codes["shown"] += 1
    counted(world, "events")
