# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts as users run them with the bpy module, with the real engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
import stand_in
import tiny_model
from one_job import Engine
from scenes import small_shot, write_shot

from blender_addon import compat, saving
from blender_addon.command import program
from blender_addon.engine import process, whereabouts
from blender_addon.takes import strips

SCRIPTS = Path(program.__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.save(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def blend(scene, tmp_path):
    """A saved shot with two subjects."""
    small_shot(scene, frames=8)
    saving.save_blend(tmp_path / "shot.blend")
    return tmp_path / "shot.blend"


def run(script, *arguments):
    command = [sys.executable, SCRIPTS / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def assert_refused(done, problem, blend=None, content=None):
    """One sentence, an exit code that is not 0, and nothing changed."""
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stdout + done.stderr
    (sentence,) = [
        line for line in done.stderr.splitlines() if line.startswith("Error: ") and line != "Blender"
    ]
    assert problem in sentence
    if blend is not None:
        assert blend.read_bytes() == content


@pytest.mark.slow
def test_batch_render_makes_the_clip_and_saves_the_strip(blend, model, tmp_path):
    done = run("batch_render.py", blend, "--out", tmp_path / "out", "--model", model, "--seed", "5", "--save")
    assert done.returncode == 0, done.stderr
    assert "masks 4/4" in done.stdout and "step 3/3" in done.stdout
    info = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert info["job"]["seed"] == 5 if "job" in info else info
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    (strip,) = compat.strips(bpy.data.scenes["Scene Takes"].sequence_editor)
    assert compat.strip_range(strip) == (1, 9)
    assert strip.filepath == "//out/clip.mp4"
    assert json.loads(strip[strips.JOB_PROPERTY])["seed"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shot.blend"]


@pytest.mark.slow
def test_without_save_the_file_is_left_alone(blend, model, tmp_path):
    content = blend.read_bytes()
    done = run(
        "batch_render.py",
        blend,
        "--out",
        tmp_path / "out",
        "--model",
        model,
        "--prompt",
        "a red ball, a blue cube",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "clip.mp4").is_file() and blend.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--prompt", "nothing"], "does not occur in the prompt"),
        (["--model", "nothing"], 'no model "nothing"'),
        (["--python", "/nowhere/python"], "does not exist"),
    ],
)
def test_bad_arguments_cost_nothing(blend, tmp_path, arguments, problem):
    content = blend.read_bytes()
    done = run("batch_render.py", blend, "--out", tmp_path / "out", "--save", *arguments)
    assert_refused(done, problem, blend, content)
    assert not (tmp_path / "out").exists()


def test_an_unwritable_output_costs_nothing(blend, tmp_path):
    content = blend.read_bytes()
    (tmp_path / "file").touch()
    done = run("batch_render.py", blend, "--out", tmp_path / "file" / "out", "--save")
    assert_refused(done, "cannot be written", blend, content)


@pytest.mark.parametrize("name", ["missing.blend", "broken.blend"])
def test_a_file_that_cannot_be_opened(tmp_path, name):
    (tmp_path / "broken.blend").write_bytes(b"BLENDER?")
    done = run("batch_render.py", tmp_path / name, "--out", tmp_path)
    assert done.returncode == 1 and name in done.stderr and "Traceback" not in done.stderr


def test_an_engine_killed_in_mid_run_leaves_the_file_unharmed(blend, tmp_path):
    content = blend.read_bytes()
    engine = stand_in.write(tmp_path, stand_in.HELLO + "os.kill(os.getpid(), signal.SIGKILL)", out=False)
    done = run("batch_render.py", blend, "--out", tmp_path / "out", "--save", "--python", engine)
    assert_refused(done, "killed by SIGKILL", blend, content)


@pytest.mark.slow
def test_the_real_engine_killed_in_mid_run_leaves_no_clip(blend, model, tmp_path):
    from blender_addon.errors import PeekabooError

    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    scene.peekaboo.model = str(model)
    scene.peekaboo.num_inference_steps = 50
    write_shot(scene, tmp_path / "out" / "job")
    engine = Engine(tmp_path / "out" / "job", tmp_path / "out", whereabouts.find_python())

    def kill(event):
        if isinstance(event, process.Progress):
            os.kill(engine.process.pid, 9)

    with pytest.raises(PeekabooError, match="killed by SIGKILL"):
        engine.run(kill)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["job"]


def test_a_layout_becomes_a_file(tmp_path):
    entry = {"id": "7", "caption": "A deer on grass", "subject": "Deer", "bboxes": [[0.2, 0.2, 0.6, 0.7]] * 3}
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    done = run("layout_to_blend.py", tmp_path / "a.json", "--id", "7", "--out", tmp_path / "shot.blend")
    assert done.returncode == 0, done.stderr
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bpy.context.scene.peekaboo.prompt == "A deer on grass"
    assert run("layout_to_blend.py", tmp_path / "a.json", "--check").returncode == 0
    assert_refused(run("layout_to_blend.py", tmp_path / "a.json", "--id", "8", "--out", "x"), 'no layout "8"')


def test_masks_are_written_with_pictures_and_boxes(blend, tmp_path):
    out, layout = tmp_path / "masks.npz", tmp_path / "layout.json"
    done = run(
        "export_masks.py",
        blend,
        "--out",
        out,
        "--preview",
        tmp_path / "seen",
        "--layout",
        layout,
        "--coverage",
    )
    assert done.returncode == 0, done.stderr
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["labels"].shape == (16, 160, 288) and set(np.unique(arrays["labels"])) == {0, 1, 2}
        assert arrays["names"].tolist() == ["Cube Subject", "Sphere Subject"]
        assert arrays["frames"][:3].tolist() == [1, 1.5, 2]  # 16 masks over 8 frames
        assert arrays["coverage"].shape == (16, 2, 20, 36)
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {"masks.png", "masks.mp4"}
    assert [record["subject"] for record in json.loads(layout.read_text())] == ["a blue cube", "a red ball"]


def test_masks_of_each_frame_between_markers(scene, tmp_path):
    small_shot(scene, frames=20)
    scene.frame_step = 2
    for name, frame in (("in", 5), ("out", 11)):
        scene.timeline_markers.new(name, frame=frame)
    saving.save_blend(tmp_path / "shot.blend")
    options = ["--every-frame", "--from-marker", "in", "--to-marker"]
    done = run("export_masks.py", tmp_path / "shot.blend", "--out", tmp_path / "a.npz", *options, "out")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["frames"].tolist() == [5, 7, 9]
    done = run("export_masks.py", tmp_path / "shot.blend", "--out", tmp_path / "b.npz", *options, "in")
    assert_refused(done, "no frame between these markers")
    done = run("export_masks.py", tmp_path / "shot.blend", "--out", tmp_path / "b.npz", *options, "none")
    assert_refused(done, 'no marker "none"')


def test_masks_that_cannot_be_written_are_one_sentence(blend, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    assert_refused(run("export_masks.py", blend, "--out", tmp_path / "file" / "a.npz"), "cannot be written")
    assert run("export_masks.py", blend, "--out", tmp_path / "new" / "a.npz").returncode == 0
