# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts in the real program: its Python, its exit codes, its files."""

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BATCH = ROOT / "scripts" / "batch_render.py"
LAYOUT = ROOT / "scripts" / "layout_to_blend.py"
MASKS = ROOT / "scripts" / "export_masks.py"
AGREEMENT = ROOT / "tests" / "addon" / "agreement.py"
RECORD = {
    "id": "7",
    "caption": "a red ball on grass",
    "subject": "Red ball",
    "bboxes": [[0.1 + i / 20, 0.2, 0.4 + i / 20, 0.8] for i in range(8)],
}


@pytest.fixture
def shot(blender, tmp_path):
    """A .blend of one keyframed subject, made by the program."""
    (tmp_path / "layouts.json").write_text(json.dumps([RECORD]))
    out = tmp_path / "shot.blend"
    done = blender("-P", LAYOUT, "--", tmp_path / "layouts.json", "--id", "7", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_a_shot_becomes_a_strip(blender, model, shot, tmp_path):
    done = blender(
        shot, "-P", BATCH, "--", "--out", tmp_path / "out", "--model", model, "--seed", "3", "--save"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "step 3/3" in done.stdout
    assert (tmp_path / "out" / "clip.mp4").is_file() and (tmp_path / "out" / "clip.json").is_file()
    seen = blender(shot, "-P", Path(__file__).with_name("describe_strips.py"))
    (line,) = [line for line in seen.stdout.splitlines() if line.startswith("STRIPS ")]
    (strip,) = json.loads(line.removeprefix("STRIPS "))
    assert strip == {"type": "MOVIE", "range": [1, 9], "channel": 1, "exists": True, "seed": 3}


@pytest.mark.parametrize(
    ("family", "size", "options"),
    [
        ("ltx", {"width": 192, "height": 128, "num_frames": 9}, ["--start-from", "rendered"]),
        ("hunyuan15", {"width": 96, "height": 64, "num_frames": 5}, []),
    ],
)
def test_a_shot_becomes_a_clip_by_a_transformer(blender, shot, tmp_path, family, size, options):
    import tiny_model

    model = tiny_model.save(tmp_path / "model", family, **size)
    done = blender(
        shot, "-P", BATCH, "--", "--out", tmp_path / "out", "--model", model, "--seed", "3", *options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "step 3/3" in done.stdout
    record = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert {name: record["job"][name] for name in size} == size and record["job"]["seed"] == 3
    assert record["settings"]["method"] == "strong"
    assert ("first_frame" in record) == bool(options)


def test_layouts_come_back(blender, tmp_path):
    (tmp_path / "layouts.json").write_text(json.dumps([RECORD]))
    done = blender("-P", LAYOUT, "--", tmp_path / "layouts.json", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 records" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["--prompt", "nothing"], 1, "does not occur in the prompt"),
        (["--python", "/nowhere/python"], 1, "does not exist"),
        (["--seed", "red"], 2, "are no seeds"),
    ],
)
def test_what_fails_does_not_exit_with_success(blender, shot, tmp_path, arguments, code, problem):
    content = shot.read_bytes()
    done = blender(shot, "-P", BATCH, "--", "--out", tmp_path / "out", "--save", *arguments)
    assert done.returncode == code
    assert problem in done.stderr and "Traceback" not in done.stdout + done.stderr
    assert shot.read_bytes() == content and not (tmp_path / "out").exists()


def test_an_empty_scene_is_refused(blender, tmp_path):
    done = blender("--factory-startup", "-P", BATCH, "--", "--out", tmp_path / "out", "--prompt", "a cube")
    assert done.returncode == 1
    assert "has no subject" in done.stderr and "Traceback" not in done.stdout + done.stderr


def test_masks_are_exported(blender, shot, tmp_path):
    out = tmp_path / "masks.npz"
    done = blender(shot, "-P", MASKS, "--", "--out", out, "--preview", tmp_path / "seen")
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["labels"].any(axis=(1, 2)).all() and arrays["names"].tolist() == ["Red ball"]
    assert (tmp_path / "seen" / "masks.mp4").is_file() and (tmp_path / "seen" / "masks.png").is_file()


def test_masks_are_what_this_blenders_cycles_renders(blender, tmp_path):
    done = blender("-P", AGREEMENT, "--", "--cases", "16", "--out", tmp_path / "agreement.json")
    assert done.returncode == 0, done.stdout + done.stderr
    families = json.loads((tmp_path / "agreement.json").read_text())["families"]
    assert all(family["scenes"] == 4 and family["far"] == 0 for family in families.values())
    assert families["polyhedra"]["wrong_elsewhere"] == families["meshes"]["wrong_elsewhere"] == 0
    assert families["rendered"]["wrong_elsewhere"] == 0


def test_an_interrupt_stops_the_engine_and_leaves_no_clip(model, shot, tmp_path):
    out = tmp_path / "out"
    command = [
        os.environ["BLENDER"],
        "-b",
        shot,
        "-P",
        BATCH,
        "--",
        "--out",
        out,
        "--model",
        model,
        "--steps",
        "300",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if line.startswith("step "):
            break
    process.send_signal(signal.SIGINT)
    printed = process.stdout.read()
    assert process.wait() == 130, printed
    assert "Interrupted" in printed and "Traceback" not in printed
    assert [path.name for path in out.iterdir()] == ["job"]
