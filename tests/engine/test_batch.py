# SPDX-License-Identifier: GPL-3.0-or-later
"""A night of jobs: all that can be made is made once, whatever becomes of the rest."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from peekaboo_engine import batch, batch_report
from peekaboo_engine.__main__ import generate
from peekaboo_engine.batch import tasks_of
from peekaboo_engine.errors import EngineError
from peekaboo_engine.existing import existing_clip
from peekaboo_engine.placement import Placement
from peekaboo_engine.places import Folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def jobs(make_job, tmp_path):
    """Job folders that differ by their seeds; made by copying one."""
    first = make_job()

    def make(count):
        folders = []
        for seed in range(count):
            folder = tmp_path / "night" / f"shot_{seed}"
            shutil.copytree(first, folder)
            change(folder, seed=seed)
            folders.append(folder)
        return folders

    return make


def change(folder, **values):
    path = folder / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def command(*arguments):
    return [sys.executable, "-s", "-m", "peekaboo_engine", "generate", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def run(*arguments):
    return subprocess.run(
        command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )


def outcomes(report):
    return [job["outcome"] for job in json.loads(report.read_text())["jobs"]]


@pytest.mark.slow
def test_a_night_goes_on_past_a_bad_job_and_the_next_makes_only_what_is_missing(jobs, tmp_path):
    folders, out, report = jobs(4), tmp_path / "out", tmp_path / "night.json"
    good = json.loads((folders[1] / "job.json").read_text())["prompt"]
    change(folders[1], prompt="nothing of that")
    (folders[2] / "masks.npz").write_bytes(b"no masks")
    first = run(*folders, "--out", out, "--devices", "cpu,cpu", "--report", report)
    assert first.returncode == 3, first.stdout + first.stderr
    assert outcomes(report) == ["made", "failed", "failed", "made"]
    failed = json.loads(report.read_text())["jobs"][1]
    assert "a red ball" in failed["message"] and failed["code"] == "phrase_not_in_prompt"
    page = report.with_suffix(".html").read_text()
    assert page.count("<video") == 2 and "out/shot_0/clip.mp4" in page and "a red ball" in page
    before = (out / "shot_0" / "clip.json").stat().st_mtime_ns

    change(folders[1], prompt=good)
    shutil.copy(folders[0] / "masks.npz", folders[2])
    second = run(*folders, "--out", out, "--report", report)
    assert second.returncode == 0, second.stdout + second.stderr
    assert outcomes(report) == ["kept", "made", "made", "kept"]
    assert {job["device"] for job in json.loads(report.read_text())["jobs"]} == {"", "cpu"}
    assert (out / "shot_0" / "clip.json").stat().st_mtime_ns == before

    third = run(folders[0], "--out", out / "shot_0", "--force", "--report", report)
    assert third.returncode == 0
    assert outcomes(report) == ["made"]


@pytest.mark.slow
def test_a_job_may_have_any_name_that_a_folder_has(jobs, tmp_path):
    (folder, other), report = jobs(2), tmp_path / "night.json"
    (tmp_path / "of [").mkdir()
    odd = folder.rename(tmp_path / "of [" / ("b] #1 <script>50% :smile: " + "x" * 200))
    done = run(odd, other, "--out", tmp_path / "out", "--report", report)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(tmp_path / "out" / odd.name / "clip.mp4") in done.stdout
    page = report.with_suffix(".html").read_text()
    source, _ = re.findall('src="([^"]*)"', page)
    assert (tmp_path / unquote(source)).samefile(tmp_path / "out" / odd.name / "clip.mp4")
    assert "<script" not in page


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["line\nfeed", "\x1b]0;title", os.fsdecode(b"\xff")])
def test_a_job_that_no_engine_would_answer_for_fails_with_its_name(make_job, tmp_path, name, capsys):
    folder = make_job().rename(tmp_path / name)
    tasks, said = batch.tasks_of([folder], tmp_path / "out"), []
    batch.run(tasks, ["cpu"], Placement(), False, said.append)
    assert (tasks[0].outcome, tasks[0].code) == ("failed", "bad_path")
    assert "rename" in said[0]
    report = tmp_path / "night.json"
    batch_report.write(batch.report(tasks, 0), report)
    batch_report.show(batch.report(tasks, 0))
    assert "rename" in report.with_suffix(".html").read_text()
    assert "\x1b]0" not in capsys.readouterr().out


def test_the_page_has_a_whole_figure_for_each_clip(tmp_path):
    made = {"outcome": "made", "message": "", "seconds": 1.0, "device": "cpu"}
    jobs = [
        {**made, "job": name, "out": str(tmp_path / name), "clip": clip}
        for name, clip in (("one", "clip.mp4"), ("two", "clip.png"))
    ]
    counts = {"made": 2, "kept": 0, "failed": 0, "left": 0, "seconds": 2.0}
    batch_report.write({"jobs": jobs, **counts}, tmp_path / "night.json")
    page = (tmp_path / "night.html").read_text()
    assert '<figure><video src="one/clip.mp4" controls loop muted></video><figcaption>' in page
    assert '<figure><img src="two/clip.png"><figcaption>' in page


def test_no_clip_of_a_night_replaces_another(tmp_path):
    one, other = tmp_path / "night" / "one", tmp_path / "night" / "other"
    with pytest.raises(EngineError, match="--out") as raised:
        batch.tasks_of([one, other], None)
    assert raised.value.code == "one_folder"
    places = [task.out.name for task in batch.tasks_of([one, other, one.parent / "." / "one"], tmp_path)]
    assert places == ["one", "other"]
    (task,) = batch.tasks_of([one], tmp_path / "out")
    assert task.out == tmp_path / "out"  # as without a batch
    with pytest.raises(EngineError, match="would both be") as raised:
        batch.tasks_of([one, tmp_path / "day" / "one"], tmp_path / "out")
    assert raised.value.code == "one_folder"


def test_events_are_of_one_job_and_never_left_out_in_silence():
    one = Path("one")
    for batch_of in ({"jobs": [one, one]}, *({"jobs": [one]} | how for how in BATCHES)):
        with pytest.raises(typer.BadParameter, match="of one job"):
            generate(**batch_of, events=True)


BATCHES = ({"devices": "cpu"}, {"report": Path("night.json")}, {"force": True})


@pytest.mark.parametrize("name", ["night.html", "."])
def test_a_report_that_cannot_be_one_is_said_before_all_work(tmp_path, name):
    done = run(tmp_path / "no_job", "--report", tmp_path / name)
    assert done.returncode == 1
    assert "report" in done.stderr and "no_job" not in done.stdout


@pytest.mark.slow
def test_a_night_without_a_clip_is_exit_code_1(jobs, tmp_path):
    folders = jobs(2)
    for folder in folders:
        change(folder, model="no_such_model")
    done = run(*folders, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "no_such_model" in done.stdout


@pytest.mark.slow
def test_a_killed_night_goes_on_where_it_was(jobs, tmp_path):
    folders, out, report = jobs(3), tmp_path / "out", tmp_path / "night.json"
    process = subprocess.Popen(command(*folders, "--out", out), env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list(out.glob("*/clip.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = len(list(out.glob("*/clip.json")))
    assert made >= 1
    time.sleep(0.2)
    again = run(*folders, "--out", out, "--report", report)
    assert again.returncode == 0, again.stdout + again.stderr
    assert outcomes(report).count("kept") >= 1
    assert sorted(path.name for path in out.iterdir()) == ["shot_0", "shot_1", "shot_2"]


@pytest.mark.slow
def test_a_folder_that_a_dying_engine_still_holds_is_tried_again(jobs, tmp_path, monkeypatch):
    """A batch that was killed and starts again at once meets the engine of the one before."""
    monkeypatch.setattr(batch, "BUSY_SECONDS", 0.0)
    folders, said = jobs(2), []
    tasks = batch.tasks_of(folders, tmp_path / "out")
    with ExitStack() as lock:
        assert lock.enter_context(Folder.opened(tasks[0].out, make=True)).lock()

        def say(line):
            said.append(line)
            if line.startswith("later"):
                lock.close()

        batch.run(tasks, ["cpu"], Placement(), False, say)
    assert [task.outcome for task in tasks] == ["made", "made"], said
    assert "Another engine is making a clip" in said[0] and [task.tries for task in tasks] == [2, 1]


@pytest.mark.slow
def test_an_interrupt_leaves_the_rest_and_says_so(jobs, tmp_path):
    folders, report = jobs(2), tmp_path / "night.json"
    for folder in folders:
        change(folder, num_inference_steps=300)
    arguments = [*folders, "--out", tmp_path / "out", "--report", report]
    process = subprocess.Popen(command(*arguments), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert outcomes(report) == ["left", "left"], text
    assert not list((tmp_path / "out").glob("*/clip*"))


def test_jobs_whose_clips_would_lie_in_one_folder_are_refused(tmp_path):
    """The second would take the first one's place, and both would be told as made."""
    takes = [tmp_path / "one" / "job", tmp_path / "two" / "job"]
    assert [task.out for task in tasks_of(takes, None)] == [tmp_path / "one", tmp_path / "two"]
    shots = [tmp_path / "night" / "shot_1", tmp_path / "night" / "shot_2"]
    with pytest.raises(EngineError, match=r"shot_1 and .*shot_2 .* give a folder with --out") as caught:
        tasks_of(shots, None)
    assert caught.value.code == "one_folder"
    assert len({task.out for task in tasks_of(shots, tmp_path / "out")}) == 2
    done = run(*shots)
    assert done.returncode == 1 and "--out" in done.stderr + done.stdout


@pytest.mark.slow
def test_a_job_in_a_folder_of_a_long_name_is_made(jobs, tmp_path):
    (job,) = jobs(1)
    named = job.rename(job.with_name("a" * 240))
    report = tmp_path / "night.json"
    done = run(named, "--out", tmp_path / "out", "--report", report)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(report) == ["made"]


def test_a_clip_of_a_model_that_was_set_up_anew_is_made_again(jobs, finished, tmp_path):
    """Steps, guidance, method and noise schedule that a job leaves open are in the model's folder."""
    (job,) = jobs(1)
    data = json.loads((job / "job.json").read_text())
    folder = shutil.copytree(data["model"], tmp_path / "own" / Path(data["model"]).name)
    change(job, model=str(folder))
    out = shutil.copytree(finished(job), tmp_path / "finished")
    assert existing_clip(job, out) == out / "clip.mp4"
    (folder / "peekaboo.json").write_text(json.dumps({"guidance_scale": 2.0}))
    assert existing_clip(job, out) is None
    (folder / "peekaboo.json").unlink()
    assert existing_clip(job, out) == out / "clip.mp4"
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.02}))
    assert existing_clip(job, out) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job, out: change(job, seed=99),
        lambda job, out: (out / "clip.mp4").write_bytes(b"short"),
        lambda job, out: (out / "clip.mp4").unlink(),
        lambda job, out: (out / "clip.json").write_text("[]"),
        lambda job, out: changed_record(out, lambda record: record["versions"].update(torch="1.0")),
        lambda job, out: changed_record(out, lambda record: record["model"].update(sha256="0" * 64)),
        lambda job, out: changed_record(out, lambda record: record.update(labels_sha256="0" * 64)),
        lambda job, out: changed_record(out, lambda record: record.update(loras=[{"file": "x"}])),
        lambda job, out: changed_record(out, lambda record: record.update(dtype="bfloat16")),
        lambda job, out: changed_record(out, lambda record: record.update(memory=["fp8"])),
    ],
)
def test_a_clip_is_kept_only_if_all_of_it_is_the_same(jobs, finished, tmp_path, spoil):
    (job,) = jobs(1)
    out = tmp_path / "finished"
    shutil.copytree(finished(job), out)
    assert existing_clip(job, out) == out / "clip.mp4"
    spoil(job, out)
    assert existing_clip(job, out) is None


def test_a_clip_of_another_precision_is_another(jobs, finished):
    (job,) = jobs(1)
    out = finished(job)

    def kept(**placement):
        return existing_clip(job, out, placement=Placement(**placement)) is not None

    assert kept() and kept(dtype="float32") and kept(device="cuda") and kept(savings=("groups",))
    assert not kept(dtype="bfloat16") and not kept(savings=("tiles",))


def changed_record(out, change):
    record = json.loads((out / "clip.json").read_text())
    change(record)
    (out / "clip.json").write_text(json.dumps(record))


def take_for(job, out):
    """Let the clip that is there be that of a job as it is now."""
    changed_record(out, lambda record: record.update(job=json.loads((job / "job.json").read_text())))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Makes the clip of a job, once for all that ask."""
    out = tmp_path_factory.mktemp("made") / "take"

    def make(job):
        if not out.is_dir():
            done = run(job, "--out", out)
            assert done.returncode == 0, done.stderr
        else:  # the model's folder has another path in each test
            take_for(job, out)
        return out

    return make


def test_a_clip_whose_finishing_failed_is_finished_and_not_made_again(jobs, finished, tmp_path):
    (job,) = jobs(1)
    out = shutil.copytree(finished(job), tmp_path / "out")
    change(job, finish={"enlarge": True, "width": 384, "height": 256})
    take_for(job, out)
    before, lines = (out / "clip.mp4").stat().st_mtime_ns, []
    (task,) = tasks_of([job], out)
    batch.run([task], ["no such device"], Placement(), False, lines.append)
    assert (task.outcome, task.clip, lines) == ("made", "enlarged.mp4", [f"finished {out / 'enlarged.mp4'}"])
    assert (out / "clip.mp4").stat().st_mtime_ns == before
    (again,) = tasks_of([job], out)
    batch.run([again], ["no such device"], Placement(), False, lines.append)
    assert (again.outcome, again.clip) == ("kept", "enlarged.mp4")


def test_a_clip_is_finished_while_others_are_made_and_left_where_these_are(
    jobs, finished, tmp_path, monkeypatch
):
    job, other = jobs(2)
    out, begun = tmp_path / "out", threading.Event()
    shutil.copytree(finished(job), out / job.name)
    change(job, finish={"smooth": True})
    take_for(job, out / job.name)

    def finishing(_take, _finish, stop_if_left, folder):
        begun.set()
        for _ in range(6000):
            stop_if_left()
            time.sleep(0.01)
        raise RuntimeError(f"{folder} was not left")

    def making(_crew):
        assert begun.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "finish_take", finishing)
    monkeypatch.setattr(batch._Crew, "work", making)
    tasks, lines = tasks_of([job, other], out), []
    with pytest.raises(KeyboardInterrupt):
        batch.run(tasks, ["no such device"], Placement(), False, lines.append)
    assert [task.outcome for task in tasks] == ["left", "left"] and not lines


def test_a_finishing_that_fails_stops_no_other_job(jobs, finished, tmp_path, monkeypatch):
    job, other = jobs(2)
    out = tmp_path / "out"
    shutil.copytree(finished(job), out / job.name)
    change(job, finish={"smooth": True})
    take_for(job, out / job.name)
    (other / "masks.npz").unlink()

    def failing(*_, **__):
        raise RuntimeError("ffmpeg has made 3 pictures, and 9 are needed")

    monkeypatch.setattr(batch, "finish_take", failing)
    tasks, lines = tasks_of([job, other], out), []
    batch.run(tasks, ["no such device"], Placement(), False, lines.append)
    assert [task.code for task in tasks] == ["unexpected", "bad_masks"]
    assert "ffmpeg has made 3 pictures" in tasks[0].message and (out / job.name / "clip.mp4").is_file()
