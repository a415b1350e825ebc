# SPDX-License-Identifier: GPL-3.0-or-later
"""A job bundle on the way that a studio goes: written by Blender, checked and run by OpenJD's own command."""

import json
import os
import subprocess
import sys

import opentimelineio as otio
import pytest
from house.environments import ENGINE, ROOT
from PIL import Image

SHOTS = """
import bpy
scene = bpy.context.scene
scene.frame_end = 16
bpy.context.view_layer.update()
bpy.ops.peekaboo.add_subject()
bpy.context.object.peekaboo.phrase = "a red ball"
scene.peekaboo.prompt = "a red ball on grass"
away = bpy.data.objects.new("Away", bpy.data.cameras.new("Away"))
away.location = (0, 0, 500)
away.rotation_euler = (3.14, 0, 0)
scene.collection.objects.link(away)
for frame, title, camera in ((1, "Away", away), (9, "Wide", scene.camera)):
    scene.timeline_markers.new(title, frame=frame).camera = camera
bpy.ops.wm.save_as_mainfile(filepath={path!r})
"""


@pytest.fixture
def farm(profile, tmp_path):
    """A bundle of two shots, of which one has nothing in view, two seeds, and two models, of which one is not
    here."""
    shots = ["--python-exit-code", 3, "--python-expr", SHOTS.format(path=str(tmp_path / "shot.blend"))]
    small = ["--seeds", "4,5", "--steps", "1", "--size", "custom", "--width", "96", "--height", "64"]
    models = ["--model", "shapes", "--model", "zeroscope"]
    run = profile.blender(
        "-b", *shots, "--command", "peekaboo", "bundle", *small, *models, "--out", tmp_path / "farm"
    )
    assert "farm job of 8 clips" in run.stdout
    return tmp_path / "farm"


def openjd(profile, *arguments):
    """OpenJD's command, which the tests' requirements bring; returns its exit code and what it printed."""
    run = subprocess.run(
        [sys.executable, "-c", "from openjd.cli import main; main()", *map(str, arguments)],
        env=profile.variables | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(run.stdout)
    return run.returncode, run.stdout


@pytest.mark.slow
def test_a_bad_shot_stops_no_other_and_a_second_run_makes_what_is_missing(profile, farm):
    template = farm / "template.yaml"
    assert openjd(profile, "check", template)[0] == 0
    programs = {
        "Blender": profile.variables["BLENDER"],
        "EnginePython": ENGINE.python,
        "EngineStart": ROOT / "peekaboo_engine" / "start.py",
    }
    given = [part for name, value in programs.items() for part in ("-p", f"{name}={value}")]
    code, said = openjd(profile, "run", template, *given, "-p", "MachineFaults=keep")
    assert code != 0 and "openjd_fail: 6 of 8 clips are missing: Scene_Away_shapes_seed_4, " in said
    assert "openjd_status: No masks, and so no clip" in said and "openjd_progress: 100.0" in said
    out = farm / "clips"
    report = json.loads((out / "report.json").read_text())
    assert [(job["outcome"], job["code"]) for job in report["jobs"]] == [
        *[("failed", "no_masks")] * 4,
        *[("made", "")] * 2,
        *[("failed", "not_downloaded")] * 2,
    ]
    assert "in view" in report["jobs"][0]["message"]
    edit = otio.adapters.read_from_file(str(out / "edit.otio"))
    assert [
        (clip.name, clip.enabled, clip.range_in_parent().start_time.value) for clip in edit.find_clips()
    ] == [("Scene_Wide_shapes_seed_4", True, 8), ("Scene_Wide_shapes_seed_5", False, 8)]
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 1000

    lost, kept = (out / f"Scene_Wide_shapes_seed_{seed}" for seed in (4, 5))
    (lost / "clip.json").unlink()
    (out / "report.json").unlink()
    before = (kept / "clip.json").stat().st_mtime_ns
    os.utime(kept / "job" / "job.json", (2**31, 2**31))  # a clock that differs decides nothing
    code, said = openjd(profile, "run", template, *given, "--step", "Generate shapes")
    assert code == 0 and (lost / "clip.json").is_file()
    assert f"{kept.name}/clip.mp4 was there" in said and f"{lost.name}/clip.mp4 was there" not in said
    assert (kept / "clip.json").stat().st_mtime_ns == before
    code, said = openjd(profile, "run", template, *given, "--step", "Gather")  # by hand
    assert code != 0 and "6 of 8 clips are missing" in said and (out / "report.json").is_file()
