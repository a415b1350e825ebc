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
from peekaboo_engine.farm.plan import read_plan
from peekaboo_engine.job import load_job
from peekaboo_engine.video import write_clip

ROOT = Path(__file__).parents[2]
START = ROOT / "peekaboo_engine" / "start.py"


def stated(*shots, scene="Scene", **values):
    """A plan of shots, each a name, its first frame, and its seeds."""
    return {
        "version": 1,
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
            shutil.copy(folder / "clip.mp4", folder / "finished.mp4")
            record["finish"] = {"smooth": False, "enlarge": False, "sha256": record["clip_sha256"], **finish}
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
        ({"version": 2}, "newer Peekaboo"),
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
        "A_seed_1/finished.mp4",
        "B_seed_1/clip.mp4",
    ]
    assert "A_seed_1/finished.mp4" in (out / "report.html").read_text()


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
    assert done.returncode == 1 and "Traceback" not in done.stdout and "choose another" in done.stdout
    assert sorted(out.rglob("*")) == before


@pytest.mark.slow
def test_a_shots_fault_ends_its_task_well_and_a_machines_fails_it(bundle, make_job):
    path, out = bundle(("A", 1, [8, 9]))
    first = make_job()
    for seed, wrong in ((8, {"num_frames": 0}), (9, {"model": "zeroscope"})):
        folder = shutil.copytree(first, out / f"A_seed_{seed}" / "job")
        job = json.loads((folder / "job.json").read_text())
        (folder / "job.json").write_text(json.dumps(job | wrong))
    code, text = said("generate", path, "A_seed_8", "--out", out, "--openjd")
    assert code == 0 and text.startswith("openjd_status: No clip: ")
    assert json.loads((out / "A_seed_8" / "problem.json").read_text())["code"] == "bad_job"
    machine = task("generate", path, "A_seed_9", "--out", out, "--openjd")
    (line,) = [line for line in machine.stdout.splitlines() if line.startswith("openjd_fail: ")]
    assert machine.returncode == 1 and "models download zeroscope" in line


@pytest.mark.slow
def test_a_task_that_is_ended_leaves_nothing_of_its_clip(bundle, make_job):
    path, out = bundle(("A", 1, [7]))
    folder = shutil.copytree(make_job(num_inference_steps=300), out / "A_seed_7" / "job")
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
