# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender shot.blend --command peekaboo``, as the installed extension brings it."""

import json
import os
import signal
import subprocess

import imageio.v2 as imageio
import numpy as np
import pytest
import tiny_model
from house.environments import ENGINE
from local_hub import LocalHub, lay_out, serving
from strangers import Traps

SHOT = """
import bpy
bpy.context.scene.frame_end = 8
bpy.context.view_layer.update()
bpy.ops.peekaboo.add_subject()
bpy.context.object.peekaboo.phrase = "a red ball"
bpy.context.scene.peekaboo.prompt = "a red ball on grass"
bpy.ops.wm.save_as_mainfile(filepath={path!r})
"""


@pytest.fixture
def shot(profile, tmp_path):
    path = tmp_path / "shot.blend"
    profile.python(SHOT.format(path=str(path)))
    return path


def found(run):
    """What a program reads of the output: Blender's own lines are no JSON."""
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def command(profile, shot, *arguments, python=str(ENGINE.python)):
    return profile.blender(shot, "--command", "peekaboo", *arguments, check=False, PEEKABOO_PYTHON=python)


def test_clips_are_made_beside_the_file_and_saved_in_it(profile, shot, model):
    run = command(profile, shot, "generate", "--model", model, "--seeds", "4,6", "--save", "--json")
    assert run.returncode == 0 and "step 3/3" in run.stdout
    *clips, saved = found(run)
    takes = [shot.parent / "peekaboo" / name / "clip.mp4" for name in ("Scene_001", "Scene_002")]
    assert [(clip["seed"], clip["clip"]) for clip in clips] == [(4, str(takes[0])), (6, str(takes[1]))]
    assert saved["file"] == str(shot) and all(take.is_file() for take in takes)
    names = "[s.name for s in getattr(E, 'strips' if hasattr(E, 'strips') else 'sequences')]"
    wanted = ["Scene 001 · seed 4", "Scene 002 · seed 6"]
    found_in = "bpy.data.scenes['Scene Takes'].sequence_editor"
    profile.python(f"import bpy; E = {found_in}; assert {names} == {wanted}", shot)


def test_a_picture_becomes_an_image_strip(profile, shot, tmp_path):
    model = tiny_model.save(tmp_path / "pictures", "stable_diffusion", num_frames=1)
    set_up = """
import bpy
scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y = 96, 64
bpy.ops.wm.save_mainfile()
"""
    profile.python(set_up, shot)
    run = command(profile, shot, "generate", "--model", model, "--seed", "4", "--save", "--json")
    clip, _ = found(run)
    assert run.returncode == 0 and clip["clip"] == str(shot.parent / "peekaboo" / "Scene_001" / "clip.png")
    code = """
import bpy
takes = bpy.data.scenes["Scene Takes"]
editor = takes.sequence_editor
(strip,) = getattr(editor, "strips" if hasattr(editor, "strips") else "sequences")
assert (strip.type, strip.frame_final_start, strip.frame_final_end) == ("IMAGE", 1, 9), strip.type
pictures = takes.render.image_settings  # of one frame, where the takes' own scene renders a movie
if hasattr(pictures, "media_type"):
    pictures.media_type = "IMAGE"
pictures.file_format = "PNG"
takes.render.filepath = {path!r}
takes.frame_set(6)
bpy.ops.render.render(write_still=True, scene=takes.name)
"""
    profile.python(code.format(path=str(tmp_path / "seen.png")), shot)
    seen, made = (imageio.imread(path)[..., :3].astype(int) for path in (tmp_path / "seen.png", clip["clip"]))
    assert seen.shape == made.shape and abs(seen - made).max() <= 1  # what the sequencer shows is the picture


def test_an_interrupt_stops_the_engine_and_leaves_no_clip(profile, shot, model, tmp_path):
    arguments = ["--model", model, "--steps", "300", "--out", tmp_path / "out", "--json"]
    process = subprocess.Popen(
        [os.environ["BLENDER"], shot, "--command", "peekaboo", "generate", *arguments],
        env=profile.variables | {"PEEKABOO_PYTHON": str(ENGINE.python)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("step "):
            break
    process.send_signal(signal.SIGINT)
    printed = process.stdout.read()
    assert process.wait() == 130 and "Interrupted" in printed and "Traceback" not in printed, printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["job"]


def test_masks_are_written_without_an_engine(profile, shot, tmp_path):
    out = tmp_path / "out"
    run = command(profile, shot, "masks", "--out", out, "--pictures", "--json", python="/nowhere")
    (job,) = found(run)
    assert run.returncode == 0 and job["warnings"] == []
    assert (out / "job" / "masks.npz").is_file() and len(list((out / "masks").glob("*.png"))) == 16


WITH_COMPOSITOR = """
import bpy
scene = bpy.context.scene
scene.render.engine, scene.cycles.samples = "CYCLES", 1
if hasattr(scene, "compositing_node_group"):
    tree = scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    end = tree.nodes.new("NodeGroupOutput")
else:
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    end = tree.nodes.new("CompositorNodeComposite")
layers, invert = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeInvert")
writes = tree.nodes.new("CompositorNodeOutputFile")
if hasattr(writes, "directory"):
    writes.directory = {folder!r}
    writes.file_output_items.new("RGBA", "Image")
else:
    writes.base_path = {folder!r}
for source, target in ((layers, invert), (invert, end), (layers, writes)):
    tree.links.new(source.outputs[0], next(one for one in target.inputs if one.type == "RGBA"))
bpy.ops.wm.save_mainfile()
"""


def test_a_rendered_frame_is_composited_and_writes_nothing_else(profile, shot, tmp_path):
    model = tmp_path / "model"
    (model / "vae").mkdir(parents=True)
    (model / "vae" / "config.json").write_text("{}")
    (model / "model_index.json").write_text('{"_class_name": "WanVACEPipeline"}')
    (model / "peekaboo.json").write_text('{"width": 96, "height": 64, "num_frames": 5}')
    pictures = []
    for name in ("plain", "composited"):
        if pictures:
            profile.python(WITH_COMPOSITOR.format(folder=str(tmp_path / "written")), shot)
        else:
            cycles = "import bpy; scene = bpy.context.scene; scene.render.engine = 'CYCLES'"
            profile.python(f"{cycles}; scene.cycles.samples = 1; bpy.ops.wm.save_mainfile()", shot)
        arguments = [
            "--model",
            model,
            "--start-from",
            "rendered",
            "--size",
            "model",
            "--out",
            tmp_path / name,
        ]
        run = command(profile, shot, "masks", *arguments)
        assert run.returncode == 0, run.stdout
        job = json.loads((tmp_path / name / "job" / "job.json").read_text())
        pictures.append(imageio.imread(tmp_path / name / "job" / job["first_frame"]).astype(int))
    plain, inverted = pictures
    assert plain.shape == (64, 96, 3) and np.ptp(plain) > 50
    assert np.corrcoef(plain.ravel(), inverted.ravel())[0, 1] < -0.5
    assert not (tmp_path / "written").exists()
    profile.python(WITHOUT_OUTPUT.format(path=str(tmp_path / "nothing.png")), shot)


WITHOUT_OUTPUT = """
import bpy, pathlib, sys
tree = getattr(bpy.context.scene, "compositing_node_group", None)
if tree is not None:
    tree.nodes.remove(next(node for node in tree.nodes if node.type == "GROUP_OUTPUT"))
    still = sys.modules["bl_ext.user_default.peekaboo.masks.still"]
    try:
        still.render_still(bpy.context.scene, 1.0, (96, 64), pathlib.Path({path!r}))
    except Exception as error:
        assert "has no Group Output" in str(error), error
    else:
        raise AssertionError("a picture of nothing")
"""
"""Before 5.0 Blender refuses that itself."""


def test_a_picture_that_is_none_is_a_sentence(profile, shot, tmp_path):
    (tmp_path / "text.png").write_text("a text")
    for name, part in (("text.png", "neither PNG nor JPEG"), ("missing.png", "cannot be read")):
        run = command(profile, shot, "masks", "--model", "wan2.2-ti2v-5b", "--picture", tmp_path / name)
        assert run.returncode == 1 and part in run.stdout and "Traceback" not in run.stdout
    run = command(profile, shot, "masks", "--start-from", "rendered")
    assert run.returncode == 1 and "takes no first frame" in run.stdout


def test_what_fails_is_a_sentence_and_an_exit_code(profile, shot):
    run = command(profile, shot, "generate", "--prompt", "nothing")
    assert run.returncode == 1 and "does not occur in the prompt" in run.stdout
    assert "Traceback" not in run.stdout
    run = command(profile, shot, "sing", "--json")
    assert run.returncode == 2 and "invalid choice: 'sing'" in found(run)[0]["error"]
    run = command(profile, shot.with_name("missing.blend"), "generate")
    assert run.returncode == 1 and "could not open" in run.stdout and "Traceback" not in run.stdout


def test_the_engine_is_checked(profile, shot):
    run = command(profile, shot, "check")
    assert run.returncode == 0 and "Ready: torch" in run.stdout
    assert "8 scene frames at 24 fps → 16 model frames" in run.stdout
    run = command(profile, shot, "check", python="/nowhere/python")
    assert run.returncode == 1 and "does not exist" in run.stdout


def test_the_set_up_asks_to_be_online_first(profile, shot):
    run = profile.blender("--offline-mode", "--command", "peekaboo", "setup", "--json", check=False)
    assert run.returncode == 1 and "--online-mode" in found(run)[0]["error"]


def test_the_set_up_says_what_there_is_no_build_for(profile, shot):
    arguments = ("--online-mode", "--command", "peekaboo", "setup", "--device", "mps", "--json")
    run = profile.blender(*arguments, check=False)
    assert run.returncode == 1 and "no build of torch for MPS on Linux" in found(run)[0]["error"]


def test_what_lies_beside_a_blend_never_runs(profile, shot, model, tmp_path, monkeypatch):
    folder = tmp_path / "stranger"
    folder.mkdir()
    shot = shot.rename(folder / shot.name)
    traps = Traps(folder, tmp_path / "sprung")
    monkeypatch.chdir(folder)
    assert "Ready: torch" in command(profile, shot, "check").stdout
    assert command(profile, shot, "generate", "--model", model).returncode == 0
    options = {"PIP_NO_INDEX": "1", "PYTHONPATH": str(folder)}
    setting_up = profile.blender(
        shot, "--online-mode", "--command", "peekaboo", "setup", check=False, **options
    )
    assert "Making the environment" in setting_up.stdout and "No matching distribution" in setting_up.stdout
    assert traps.sprung() == []


def test_a_sentence_becomes_keyframes_of_the_file_and_is_changed(profile, tmp_path):
    path = tmp_path / "draft.blend"
    profile.python(f"import bpy; bpy.ops.wm.save_as_mainfile(filepath={str(path)!r})")
    made = command(profile, path, "draft", "a red ball rolls from left to right behind a blue cube", "--json")
    assert made.returncode == 0, made.stdout
    assert found(made)[-1]["subjects"] == ["Red ball", "Blue cube"]
    changed = command(profile, path, "draft", "make the ball wait until the middle", "--change", "--json")
    assert changed.returncode == 0, changed.stdout
    look = (
        "import bpy; scene = bpy.context.scene; ball = bpy.data.objects['Red ball']; places = []\n"
        "for frame in (scene.frame_start, scene.frame_start + 100, scene.frame_end):\n"
        "    scene.frame_set(frame); places.append(ball.matrix_world.translation.copy())\n"
        "assert (places[1] - places[0]).length < 1e-4 < (places[2] - places[0]).length, places\n"
        "assert scene.peekaboo.prompt == 'a red ball rolls from left to right behind a blue cube'\n"
    )
    profile.python(look, path)
    refused = command(profile, path, "draft", "a dog gallumphs")
    assert refused.returncode == 1 and "gallumphs" in refused.stdout


def test_a_model_is_downloaded_once_its_licence_is_accepted(profile, tmp_path):
    def download(*before, accept=()):
        arguments = (*before, "--command", "peekaboo", "download", "zeroscope", *accept, "--json")
        return profile.blender(
            *arguments,
            check=False,
            PEEKABOO_PYTHON=str(ENGINE.python),
            HF_ENDPOINT=hub.address,
            HF_HUB_CACHE=str(tmp_path / "cache"),
            HF_HUB_OFFLINE="0",
        )

    with serving(LocalHub(lay_out(tmp_path / "hub"), "cerspense/zeroscope_v2_576w")) as hub:
        asked = download("--online-mode")
        assert asked.returncode == 1 and "CC-BY-NC-4.0" in asked.stdout
        offline = download("--offline-mode", accept=["--accept-licence"])
        assert offline.returncode == 1 and "Allow Online Access" in offline.stdout
        assert hub.asked == []
        done = download("--online-mode", accept=["--accept-licence"])
        assert done.returncode == 0 and found(done)[-1]["model"] == "zeroscope"
    assert len(list((tmp_path / "cache").glob("models--*/snapshots/*/*/*.safetensors"))) == 3
