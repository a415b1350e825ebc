# SPDX-License-Identifier: GPL-3.0-or-later
"""One clip by several processes: the same as by one, masked or not, and whoever is lost loses no other."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import hunyuan15, ltx, wan

from peekaboo_engine import splitting
from peekaboo_engine.control import peekaboo
from peekaboo_engine.errors import EngineError
from peekaboo_engine.events import Terminal
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

PHRASES = ["a red ball", "a blue cube"]
WORDS, BOTH = {"kinds": ("cross",)}, {"kinds": ("cross", "full")}
MODELS = (
    (partial(wan.pipeline, experts=2), (WORDS, BOTH, BOTH | {"push": 2.0})),
    (wan.pasted_in, (BOTH,)),  # each token has a timestep of its own
    (wan.seen_by_clip, (BOTH,)),  # words and the picture are two calls of attention
)
"""Models, and the ways in which each is masked."""
TWO = "cpu+cpu"
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
ENVIRONMENT["PYTHONPATH"] = str(Path(__file__).parents[2])


def labels():
    labels = np.zeros((wan.FRAMES, wan.HEIGHT, wan.WIDTH), np.uint8)
    labels[:, 16:48, 8:40], labels[:, 16:48, 56:80] = 1, 2
    return labels


def runs(make, ways, prepare=lambda pipe: None):
    """What a model makes free, then masked in each way."""
    pipe = make()
    prepare(pipe)
    made = [wan.latents(pipe)]
    for way in ways:
        with peekaboo(pipe, labels(), PHRASES, masked_steps=2, **way):
            made.append(wan.latents(pipe))
    return made


def runs_by_two(number: int, meeting: Path):
    """What each model makes with two processes, this being one."""
    torch.set_num_threads(1)
    placement = Placement(device=TWO, number=number)
    splitting.join(placement, meeting)

    def split(pipe):
        denoisers = [pipe.transformer, pipe.transformer_2]
        splitting.split("Tiny", [each for each in denoisers if each is not None], placement)

    torch.save([runs(*model, split) for model in MODELS], meeting.with_suffix(f".{number}"))
    splitting.leave()


@pytest.fixture
def alone_after(monkeypatch):
    """Whatever this process joins, it leaves."""
    for library in ("GLOO", "NCCL"):
        monkeypatch.setenv(f"{library}_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(splitting, "PATIENCE", timedelta(minutes=2))
    threads = torch.get_num_threads()
    yield
    splitting.leave()
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path, alone_after):
    """Each has half of the tokens in cross-attention, and half of the heads in full attention."""
    command = [sys.executable, __file__, "1", str(tmp_path / "meeting")]
    with subprocess.Popen(command, env=ENVIRONMENT) as other:
        try:
            torch.set_num_threads(1)
            alone = [runs(*model) for model in MODELS]  # while the other starts
            runs_by_two(0, tmp_path / "meeting")
            assert other.wait(120) == 0
        finally:
            other.kill()
    for number in range(2):
        together = torch.load(tmp_path / f"meeting.{number}", weights_only=True)
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    for free, *masked in alone:
        assert all((each - free).abs().max() > 0.01 for each in masked)  # masks do something


@pytest.fixture
def job(tmp_path, make_job):
    model = tmp_path / "model"
    wan.pipeline().save_pretrained(model)
    (model / "peekaboo.json").write_text(json.dumps({"max_sequence_length": wan.TEXT_LENGTH}))
    times = {"frame_start": 1, "frame_count": wan.FRAMES, "fps": 16, "fps_base": 1.0}
    return make_job(
        labels(),
        model=str(model),
        width=wan.WIDTH,
        height=wan.HEIGHT,
        num_frames=wan.FRAMES,
        timing={**times, "scene_frames": [float(frame) for frame in range(wan.FRAMES)]},
        control={},
    )


def engine(*arguments, **options):
    command = [sys.executable, "-s", "-m", "peekaboo_engine", *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, **options)


@pytest.mark.slow
def test_the_engine_starts_the_others_and_outlives_them(job, tmp_path):
    """Two jobs: the second after a companion was killed in the middle of nothing, which costs one job."""
    serving = engine("serve", "--device", TWO, stdin=subprocess.PIPE)
    told = []

    def ask(name, meanwhile=lambda: None):
        request = {"request": "generate", "id": name, "job": str(job), "out": str(tmp_path / name)}
        serving.stdin.write(json.dumps(request) + "\n")
        serving.stdin.flush()
        meanwhile()
        for line in serving.stdout:
            told.append(json.loads(line))
            if told[-1]["event"] in ("result", "error") and told[-1].get("id") == name:
                return told[-1]
        raise AssertionError(told)

    def alone():
        assert Worker(Placement(device="cpu")).run(job, tmp_path / "alone", Terminal(), lambda: False)

    assert ask("together", alone)["event"] == "result", told
    records = [json.loads((tmp_path / name / "clip.json").read_text()) for name in ("alone", "together")]
    assert records[0]["clip_sha256"] == records[1]["clip_sha256"]
    assert [record["device"] for record in records] == ["cpu", TWO]
    [companion] = companions(serving.pid)
    os.kill(companion, signal.SIGKILL)
    time.sleep(0.5)
    assert ask("lost")["code"] == "device_lost"
    assert ask("again")["event"] == "result", told
    [companion] = companions(serving.pid)
    serving.stdin.close()
    assert serving.wait(30) == 0
    for _ in range(100):
        if not Path(f"/proc/{companion}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{companion}").exists()


def companions(engine_id):
    """Processes of engines that were started by one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == engine_id and b"--meeting" in words:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("device", "options", "part"),
    [
        ("cuda:0+cuda:0", {}, "give GPUs that differ"),
        ("cuda+cuda:1", {}, "give GPUs that differ"),
        ("cpu+cuda:0", {}, "give GPUs that differ"),
        ("mps+mps", {}, "give GPUs that differ"),
        ("cuda:0+cuda:1", {"offload": True}, "leave --offload"),
        ("cuda:0+cuda:1", {"savings": ("fp8",)}, "leave --offload"),
    ],
)
def test_what_several_devices_cannot_do_is_a_sentence(device, options, part):
    with pytest.raises(EngineError, match=part) as caught:
        Placement(device=device, **options)
    assert caught.value.code == "bad_option"


def test_models_and_sizes_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    for pipe, device, part in (
        (hunyuan15.pipeline(), TWO, "cannot be split over several devices"),
        (ltx.pipeline(), TWO, "cannot be split over several devices"),  # its text would be, with its mask
        (wan.pipeline(), "cpu+cpu+cpu", "2 heads of attention, which 3 devices cannot share equally; give 2"),
    ):
        with pytest.raises(EngineError, match=part):
            splitting.split("Tiny", [pipe.transformer], Placement(device=device))
    splitting.check_tokens(72, 2)
    with pytest.raises(EngineError, match="35 tokens, which 8 devices cannot share equally; give 7"):
        splitting.check_tokens(35, 8)
    monkeypatch.undo()
    with pytest.raises(EngineError, match="generate, refine and serve"):
        splitting.split("Tiny", [wan.pipeline().transformer], Placement(device=TWO))


if __name__ == "__main__":
    runs_by_two(int(sys.argv[1]), Path(sys.argv[2]))
