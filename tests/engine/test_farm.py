# SPDX-License-Identifier: GPL-3.0-or-later
"""A farm's tasks without Blender: one clip each, and the last one, which gathers them."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest
from PIL import Image
from typer.testing import CliRunner

from peekaboo_engine.errors import EngineError
from peekaboo_engine.farm.command import app
from peekaboo_engine.farm.gathering import gather
from peekaboo_engine.farm.messages import Messages
from peekaboo_engine.farm.plan import Clip, read_plan
from peekaboo_engine.farm.results import is_job_of
from peekaboo_engine.job import load_job
from peekaboo_engine.video import write_clip

ROOT = Path(__file__).parents[2]
START = ROOT / "peekaboo_engine" / "start.py"


SHOT = {
    "name": "a",
    "scene": "S",
    "title": "",
    "first": 1,
    "last": 2,
    "fps": 24,
    "fps_base": 1.0,
    "clips": [],
}


def stated(*shots, scene="Scene", **values):
    """A plan of shots, each a name, its first frame, and its seeds."""
    return {
        "version": 2,
        "id": "0123abcd",
        "blend": "shot.blend",
        "shots": [
            {
                "name": name,
                "scene": scene,
                "title": name,
                "first": first,
                "last": first + 11,
                "fps": 24,
                "fps_base": 1.001,
                "clips": [{"name": f"{name}_seed_{seed}", "model": "shapes", "seed": seed} for seed in seeds],
            }
            for name, first, seeds in shots
        ],
        **values,
    }


@pytest.fixture
def bundle(tmp_path):
    """Writes a plan; returns its file and the output folder."""

    def write(*shots, **values):
        path = tmp_path / "farm" / "plan.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(stated(*shots, **values)))
        out = tmp_path / "farm" / "clips"
        out.mkdir(exist_ok=True)
        shutil.copy(path, out)
        return path, out

    return write


@pytest.fixture
def finish(make_job):
    """Puts a clip into its folder as an engine leaves it, without one."""
    first = make_job()

    def put(out, name, grey=128, **finish):
        folder = out / name
        shutil.copytree(first, folder / "job")
        stated = json.loads((folder / "job" / "job.json").read_text())
        stated |= {"model": "shapes", "seed": int(name.rpartition("_")[2])}
        (folder / "job" / "job.json").write_text(json.dumps(stated | ({"finish": finish} if finish else {})))
        job, labels = load_job(folder / "job")
        frames = np.full((job.num_frames, job.height, job.width, 3), grey, np.uint8)
        shown = job.timing.held_frames(job.num_frames)
        write_clip(folder / "clip.mp4", frames, shown, Fraction(24))
        record = {
            "job": job.model_dump(exclude_unset=True),
            "labels_sha256": hashlib.sha256(labels.tobytes()).hexdigest(),
            "clip_sha256": hashlib.sha256((folder / "clip.mp4").read_bytes()).hexdigest(),
            "seconds": {"load": 1.5, "denoise": 2.0},
            "device": "cuda:0",
            "versions": {},
        }
        if finish:
            shutil.copy(folder / "clip.mp4", folder / "smooth.mp4")
            made = {"width": job.width, "height": job.height, "sha256": record["clip_sha256"]}
            record["finished"] = {"smooth.mp4": made}
        (folder / "clip.json").write_text(json.dumps(record))

    return put


def said(*arguments):
    """Exit code of a task in this process, and what it prints."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.output


def task(*arguments, **options):
    """A task as a farm starts it."""
    return subprocess.run(
        # -B: a limit on the size of files would cut the bytecode that Python caches, without a word.
        [sys.executable, "-I", "-B", "-u", str(START), "farm", *map(str, arguments)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def test_what_the_add_on_writes_is_read(agreed, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(agreed("plan")))
    plan = read_plan(path)
    assert plan.model_dump() == agreed("plan")
    assert [clip.name for shot in plan.shots for clip in shot.clips] == [
        "Scene_Wide_seed_4",
        "Scene_Close_seed_4",
    ]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"version": 3}, "newer Peekaboo"),
        ({"peekaboo": "99.0.1"}, "newer Peekaboo has made the farm job"),
        ({"shots": [{**SHOT, "name": "a"}, {**SHOT, "name": "A"}]}, "A is there twice"),
        ({"shots": [{**SHOT, "clips": [{"name": "nul", "model": "shapes", "seed": 1}]}]}, "name of a device"),
        ({"id": "../x"}, "id"),
        ({"shots": [{"name": "a/b"}]}, "shots.0.name"),
        ({"shots": "none"}, "shots"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_a_sentence(bundle, change, part):
    path, out = bundle(("A", 1, [1]), **change)
    code, text = said("gather", path, "--out", out)
    assert code == 1 and part in text and text.count("\n") == 1


def test_a_clip_of_no_plan_and_one_without_masks_are_sentences(bundle):
    path, out = bundle(("A", 1, [1]))
    assert "no clip" in said("generate", path, "../A", "--out", out)[1]
    code, text = said("generate", path, "A_seed_1", "--out", out, "--openjd")
    assert code == 1 and text.startswith("openjd_fail: ") and "no masks" in text
    (out.parent / "mine").mkdir()
    shutil.rmtree(out / "A_seed_1")
    (out / "A_seed_1").symlink_to(out.parent / "mine")
    code, text = said("generate", path, "A_seed_1", "--out", out)
    assert code == 1 and "is a link to another folder" in text


def test_what_is_wrong_with_a_shot_fails_no_task_and_is_told_at_the_end(bundle, finish):
    path, out = bundle(("A", 1, [1, 2]), ("B", 20, [1]))
    finish(out, "A_seed_1")
    for name in ("A_seed_2", "B_seed_1"):
        (out / name).mkdir()
        (out / name / "problem.json").write_text(
            json.dumps({"code": "no_masks", "message": "The ball\nopenjd_env: A=B is never in view."})
        )
    code, text = said("generate", path, "B_seed_1", "--out", out, "--openjd")
    assert code == 0 and text.startswith("openjd_status: No masks") and text.count("\n") == 1
    code, text = said("gather", path, "--out", out, "--openjd")
    assert code == 3 and "openjd_fail: 2 of 3 clips are missing: A_seed_2, B_seed_1." in text.splitlines()
    report = json.loads((out / "report.json").read_text())
    assert [job["outcome"] for job in report["jobs"]] == ["made", "failed", "failed"]
    assert (report["jobs"][0]["seconds"], report["jobs"][0]["device"]) == (3.5, "cuda:0")
    assert "never in view" in (out / "report.html").read_text()


def test_the_edit_has_the_first_clip_of_each_shot_on_and_the_others_off(bundle, finish):
    path, out = bundle(("B", 20, [1, 2]), ("A", 1, [1, 2]), ("C", 32, [1, 2]))
    for name in ("A_seed_1", "A_seed_2", "B_seed_2", "C_seed_1"):
        finish(out, name)
    assert gather(read_plan(path), out, Messages(openjd=False)) == 3
    edit = otio.adapters.read_from_file(str(out / "edit.otio"))
    rate = edit.global_start_time.rate
    assert rate == pytest.approx(24 / 1.001) and edit.global_start_time.value == 1
    found = [
        (track.name, clip.name, clip.enabled, clip.range_in_parent().start_time.value, clip.duration().value)
        for track in edit.video_tracks()
        for clip in track.find_clips()
    ]
    assert found == [
        ("V1", "A_seed_1", True, 0, 12),
        ("V1", "C_seed_1", True, 31, 12),
        ("V2", "A_seed_2", False, 0, 12),
        ("V2", "B_seed_2", True, 19, 12),
    ]
    assert all(
        (out / clip.media_reference.target_url).is_file() and clip.metadata["peekaboo"]["seed"]
        for clip in edit.find_clips()
    )


def test_the_edit_has_clips_as_they_were_finished(bundle, finish):
    path, out = bundle(("A", 1, [1]), ("B", 20, [1]))
    finish(out, "A_seed_1", smooth=True)
    finish(out, "B_seed_1")
    assert gather(read_plan(path), out, Messages(openjd=False)) == 0
    edit = otio.adapters.read_from_file(str(out / "edit.otio"))
    assert [clip.media_reference.target_url for clip in edit.find_clips()] == [
        "A_seed_1/smooth.mp4",
        "B_seed_1/clip.mp4",
    ]
    assert "A_seed_1/smooth.mp4" in (out / "report.html").read_text()


def test_each_scene_has_an_edit_of_its_own(bundle, finish):
    path, out = bundle(("A", 1, [1]), ("B", 1, [1]))
    plan = stated(("A", 1, [1]), ("B", 1, [1]))
    plan["shots"][0]["scene"], plan["shots"][1]["scene"] = "Take/1", "Take:1"
    path.write_text(json.dumps(plan))
    for name in ("A_seed_1", "B_seed_1"):
        finish(out, name)
    assert gather(read_plan(path), out, Messages(openjd=False)) == 0
    edits = sorted(out.glob("*.otio"))
    assert [edit.name for edit in edits] == ["edit_Take_1.otio", "edit_Take_1_2.otio"]
    assert {otio.adapters.read_from_file(str(edit)).name for edit in edits} == {"Take/1", "Take:1"}


def test_the_sheet_shows_each_clip_and_why_others_are_not_there(bundle, finish):
    path, out = bundle(("A", 1, [1]), ("B", 20, [1]))
    finish(out, "A_seed_1", grey=200)
    gather(read_plan(path), out, Messages(openjd=False))
    with Image.open(out / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    left, right = np.array_split(pixels, 2, axis=1)
    shares = [(abs(half - 200).max(axis=2) < 6).mean() for half in (left, right)]
    assert shares[0] > 0.3 and shares[1] < 0.02  # letters have some such grey at their edges


def test_a_clip_of_other_masks_than_those_that_are_there_does_not_count(bundle, finish):
    path, out = bundle(("A", 1, [1]))
    finish(out, "A_seed_1")
    masks = out / "A_seed_1" / "job" / "masks.npz"
    np.savez_compressed(masks, labels=np.zeros_like(np.load(masks)["labels"]))
    assert gather(read_plan(path), out, Messages(openjd=False)) == 1


def test_another_farms_output_folder_is_refused(bundle, finish):
    path, out = bundle(("A", 1, [1]))
    finish(out, "A_seed_1")
    (out / "plan.json").write_text(json.dumps(stated(("A", 1, [1]), id="another", blend="other.blend")))
    for arguments in (("generate", path, "A_seed_1"), ("gather", path)):
        code, text = said(*arguments, "--out", out)
        assert code == 1 and "another farm job, made of other.blend" in text
    with pytest.raises(EngineError) as raised:
        gather(read_plan(path), out, Messages(openjd=False))
    assert raised.value.code == "other_job" and not (out / "report.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_is_a_sentence_and_leaves_nothing_half(bundle, finish):
    import resource  # Windows has none

    path, out = bundle(("A", 1, [1]))
    finish(out, "A_seed_1")
    before = sorted(out.rglob("*"))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))  # noqa: E731
    done = task("gather", path, "--out", out, preexec_fn=limit)
    assert done.returncode == 1 and "Traceback" not in done.stdout and "free some space" in done.stdout
    assert sorted(out.rglob("*")) == before


@pytest.mark.slow
def test_a_task_of_several_clips_goes_on_after_faults_and_makes_what_is_missing(
    bundle, make_job, model_folder
):
    path, out = bundle(("A", 1, [7, 8, 9, 6]))
    plan, first = json.loads(path.read_text()), make_job()
    wrong = [{"model": "zeroscope"}, {"num_frames": 0}, {}, {}]
    for clip, changes in zip(plan["shots"][0]["clips"], wrong, strict=True):
        folder = shutil.copytree(first, out / clip["name"] / "job")
        job = json.loads((folder / "job.json").read_text()) | {"seed": clip["seed"]} | changes
        (folder / "job.json").write_text(json.dumps(job))
        clip |= {"task": "A_all", "model": changes.get("model", f"//../models/{model_folder.name}")}
    path.write_text(json.dumps(plan))
    shutil.rmtree(out / "A_seed_6")
    done = task("generate", path, "A_all", "--out", out, "--openjd")
    lines = done.stdout.splitlines()
    (fault,) = [line for line in lines if line.startswith("openjd_fail: ")]
    assert done.returncode == 1 and "2 of 4 clips were not made" in fault and "A_seed_" in fault
    assert (
        any(line.startswith("openjd_progress: ") for line in lines)
        and (out / "A_seed_9" / "clip.mp4").is_file()
    )
    problems = {
        seed: json.loads((out / f"A_seed_{seed}" / "problem.json").read_text())["code"] for seed in (6, 7, 8)
    }
    assert problems == {6: "no_job", 7: "not_downloaded", 8: "bad_job"}
    shutil.rmtree(out / "A_seed_7")
    code, text = said("generate", path, "A_all", "--out", out, "--faults", "keep")
    assert code == 0 and "A_seed_9/clip.mp4 was there" in text and "no masks for A_seed_7" in text
    code, _ = said("gather", path, "--out", out)
    report = json.loads((out / "report.json").read_text())
    assert code == 3 and [job["outcome"] for job in report["jobs"]] == ["failed", "failed", "made", "failed"]


@pytest.mark.parametrize("planned", ["//wan", "//../wan", "//models/wan", "//../../models/wan/"])
@pytest.mark.parametrize("stated", ["/mnt/show/wan", "P:\\show\\wan"])
def test_a_model_in_a_folder_is_the_same_wherever_that_lies(planned, stated):
    clip = Clip(name="a", model=planned, seed=1)
    assert is_job_of(clip, {"model": stated, "seed": 1})
    assert not is_job_of(clip, {"model": f"{stated}2", "seed": 1})


def test_masks_of_another_seed_or_model_are_not_taken_for_those_of_the_plan(bundle, finish):
    path, out = bundle(("A", 1, [1]))
    finish(out, "A_seed_1")
    plan = json.loads(path.read_text())
    plan["shots"][0]["clips"][0]["seed"] = 5
    path.write_text(json.dumps(plan))
    code, text = said("generate", path, "A_seed_1", "--out", out)
    assert code == 1 and "masks of another model or seed" in text
    assert gather(read_plan(path), out, Messages(openjd=False)) == 1
    assert "another model or seed" in (out / "report.json").read_text()


def test_a_clip_that_cannot_be_decoded_is_told_and_ends_nothing(bundle, finish):
    path, out = bundle(("A", 1, [1]), ("B", 20, [1]))
    finish(out, "A_seed_1")
    finish(out, "B_seed_1")
    clip, record = out / "A_seed_1" / "clip.mp4", out / "A_seed_1" / "clip.json"
    clip.write_bytes(b"no movie")
    stated = json.loads(record.read_text()) | {"clip_sha256": hashlib.sha256(b"no movie").hexdigest()}
    record.write_text(json.dumps(stated))
    assert gather(read_plan(path), out, Messages(openjd=False)) == 3
    report = json.loads((out / "report.json").read_text())
    assert [job["code"] for job in report["jobs"]] == ["bad_clip", ""]
    assert [clip.name for clip in otio.adapters.read_from_file(str(out / "edit.otio")).find_clips()] == [
        "B_seed_1"
    ]


@pytest.mark.slow
def test_a_task_that_is_ended_leaves_nothing_of_its_clip(bundle, make_job, model_folder):
    path, out = bundle(("A", 1, [7]))
    folder = shutil.copytree(make_job(num_inference_steps=300), out / "A_seed_7" / "job")
    path.write_text(path.read_text().replace('"shapes"', json.dumps(f"//{model_folder.name}")))
    command = [sys.executable, "-I", "-u", str(START), "farm", "generate", str(path), "A_seed_7"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--openjd"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        if line.startswith("openjd_progress"):
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait() == 130 and "openjd_fail: The task was cancelled" in rest
    assert sorted(each.name for each in folder.parent.iterdir()) == ["job"]
