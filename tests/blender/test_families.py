# SPDX-License-Identifier: GPL-3.0-or-later
"""A shot becomes a clip with each family of models that people run: from its scene to a strip, in one run."""

import hashlib
import json
from pathlib import Path

import imageio.v3 as iio
import pytest
import tiny_families
from test_command import SHOT, command, found

SCENES = """
import bpy, json
shot = bpy.context.scene
shot.render.engine, shot.cycles.samples = "CYCLES", 1
for name, (model, start_from, lora) in json.loads({cases!r}).items():
    scene = shot.copy()
    scene.use_fake_user = True  # else it is not saved
    scene.name, settings = name, scene.peekaboo
    settings.model, settings.start_from, settings.num_inference_steps = model, start_from, 2
    settings.size = "model"
    if lora:
        item = settings.lora_list.add()
        item.source, item.weight = lora, 0.5
bpy.ops.wm.save_mainfile()
"""

CASES = {
    "wan from text": ("wan", "text"),
    "wan from a rendered frame": ("wan", "rendered"),
    "ltx from text": ("ltx", "text"),
    "ltx from a rendered frame": ("ltx", "rendered"),
    "hunyuan from text": ("hunyuan", "text"),
    "hunyuan from a rendered frame": ("hunyuan_started", "rendered"),
    "a picture": ("picture", "text"),
}
"""The names of their scenes."""


@pytest.fixture(scope="module")
def made(profile, tmp_path_factory):
    """All cases as scenes of one file, made by one command; what it printed of each, and the saved file."""
    folder = tmp_path_factory.mktemp("families")
    models, shot = folder / "models", folder / "shot.blend"
    tiny_families.save(models)
    cases = {
        name: (str(models / model), start, str(models / f"{model}.safetensors"))
        for name, (model, start) in CASES.items()
    }
    scenes = SCENES.format(cases=json.dumps(cases))
    profile.python(SHOT.format(path=str(shot)) + scenes)
    asked = [word for name in CASES for word in ("--scene", name)]
    run = command(profile, shot, "generate", *asked, "--seed", "3", "--save", "--json")
    assert run.returncode == 0, run.stdout
    return {clip["scene"]: clip for clip in found(run) if "scene" in clip}, shot, models


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("case", CASES)
def test_a_shot_becomes_a_clip_that_says_how_it_was_made(made, case):
    clips, _, models = made
    (model, start_from), clip = CASES[case], Path(clips[case]["clip"])
    record, job = json.loads(Path(clips[case]["info"]).read_text()), clip.parent / "job"
    stated = json.loads((models / model / "peekaboo.json").read_text())
    frames = iio.imread(clip)
    size = stated["height"], stated["width"], 3
    assert frames.shape == (size if model == "picture" else (8, *size))
    assert record["clip_sha256"] == sha256(clip)
    assert record["model"]["folder"] == model and record["job"]["start_from"] == start_from
    assert (record["settings"]["num_inference_steps"], record["job"]["seed"]) == (2, 3)
    loras = [(each["file"], each["sha256"], each["weight"]) for each in record["loras"]]
    lora = models / f"{model}.safetensors"
    assert loras == [(lora.name, sha256(lora), 0.5)]
    if start_from == "rendered":
        picture = job / record["first_frame"]["name"]
        assert record["first_frame"]["sha256"] == sha256(picture)
        assert iio.imread(picture).shape == size and iio.imread(picture).std() > 10
    else:
        assert "first_frame" not in record


def test_each_clip_is_a_strip_of_its_scene(profile, made):
    clips, shot, _ = made
    code = """
import bpy, json
for name, clip in json.loads({clips!r}).items():
    editor = bpy.data.scenes[name + " Takes"].sequence_editor
    (strip,) = getattr(editor, "strips" if hasattr(editor, "strips") else "sequences")
    assert (strip.frame_final_start, strip.frame_final_end) == (1, 9), name
    path = strip.filepath if strip.type == "MOVIE" else strip.directory + strip.elements[0].filename
    assert bpy.path.abspath(path) == clip, (path, clip)
"""
    told = json.dumps({name: clip["clip"] for name, clip in clips.items()})
    profile.python(code.format(clips=told), shot)
