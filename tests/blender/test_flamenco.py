# SPDX-License-Identifier: GPL-3.0-or-later
"""A job for Flamenco on the way that a studio goes: exported by Blender, compiled, and done by workers."""

import json

import pytest
from flamenco import Farm, compiled
from house.environments import ENGINE, ROOT

SHOT = """
import bpy
scene = bpy.context.scene
scene.frame_end = 8
bpy.context.view_layer.update()
bpy.ops.peekaboo.add_subject()
bpy.context.object.peekaboo.phrase = "a red ball"
scene.peekaboo.prompt = "a red ball on grass"
bpy.ops.wm.save_as_mainfile(filepath={path!r})
"""


@pytest.mark.slow
def test_workers_make_the_clips_of_an_exported_job(profile, tmp_path, model):
    shot, out = tmp_path / "shot.blend", tmp_path / "on the farm"
    profile.python(SHOT.format(path=str(shot)))
    exporting = ("bundle", "--farm", "flamenco", "--model", model, "--seed", "4", "--out", out)
    profile.blender(shot, "--command", "peekaboo", *exporting)
    job = json.loads((out / "flamenco.json").read_text("utf-8"))
    farm = Farm(
        compiled(out / "peekaboo.js", job)["tasks"],
        {
            "blender": profile.variables["BLENDER"],
            "blenderArgs": "-b -y",
            "peekabooPython": str(ENGINE.python),
            "peekabooStart": str(ROOT / "peekaboo_engine" / "start.py"),
        },
        profile.variables | {"OMP_NUM_THREADS": "1"},
    )
    assert farm.work("blender", "ffmpeg", "file-management", "misc") == ["masks Scene"]
    assert farm.work("peekaboo") == ["generate Scene_seed_4"]
    assert farm.work("misc") == ["gather"] and not farm.failed
    report = json.loads((out / "clips" / "report.json").read_text("utf-8"))
    assert [job["outcome"] for job in report["jobs"]] == ["made"]
    assert (out / "clips" / "Scene_seed_4" / "clip.mp4").is_file()
    assert (out / "clips" / "edit.otio").is_file()
