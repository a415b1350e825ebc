# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``peekaboo`` as Blender calls it, in this process; tests/blender has the real command line."""

import argparse
import json
from pathlib import Path

import bpy
import numpy as np
import pytest
import stand_in
import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from scenes import PROMPT, small_shot

from blender_addon import compat, saving
from blender_addon.command import cli, options
from blender_addon.command.console import Console
from blender_addon.engine import environment
from blender_addon.errors import PeekabooError
from blender_addon.making import set_up
from blender_addon.shot.layout import Timing, mapping_in_words
from blender_addon.takes import reels

USAGE = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model.save(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def blend(scene, tmp_path):
    """An open file with two shots, "Scene" and "Second"."""
    for shown in (scene, bpy.data.scenes.new("Second")):
        small_shot(shown, frames=8)
    saving.save_blend(tmp_path / "shot.blend")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    return tmp_path / "shot.blend"


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def refused(capsys, *arguments):
    """The one sentence and the exit code that a command line ends with, the same for people and programs."""
    code = cli.run([*map(str, arguments)])
    printed = capsys.readouterr()
    (sentence,) = [line for line in printed.err.splitlines() if line.startswith("Error: ")]
    assert cli.run([*map(str, arguments), "--json"]) == code != 0
    assert lines(capsys.readouterr().out)[-1] == {"error": sentence.removeprefix("Error: ")}
    assert sentence.endswith(".") and "Traceback" not in printed.out + printed.err
    return sentence, code


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 40)), min_size=1, max_size=5))
def test_seeds_are_read_once_each_in_their_order(ranges):
    text = ",".join(f"{low}-{low + more}" if more else str(low) for low, more in ranges)
    wanted = dict.fromkeys(seed for low, more in ranges for seed in range(low, low + more + 1))
    assert options.seed_list(text) == list(wanted)


@pytest.mark.parametrize(
    "text", ["", "red", "1-", "-1", "8-1", "1,,3", "1.5", "0-1000000", "2147483648", "²"]
)
def test_what_are_no_seeds_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"seeds"):
        options.seed_list(text)


@pytest.mark.slow
def test_a_clip_for_each_seed(blend, model, tmp_path, capfd):
    asked = ["generate", "--scene", "Second", "--seeds", "3,5", "--model", str(model), "--save", "--json"]
    assert cli.run([*asked, "--out", str(tmp_path / "out")]) == 0
    printed = capfd.readouterr()
    assert "step 3/3" in printed.err and "step" not in printed.out
    assert printed.err.count("engine 0.") == 1  # which made both
    *clips, saved = lines(printed.out)
    folders = [tmp_path / "out" / f"Second_seed_{seed}" for seed in (3, 5)]
    assert [(clip["result"], clip["scene"], clip["seed"], clip["clip"]) for clip in clips] == [
        ("clip", "Second", seed, str(folder / "clip.mp4"))
        for seed, folder in zip((3, 5), folders, strict=True)
    ]
    assert saved == {"result": "file", "file": str(blend)}
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert strips() == {"Second Takes": ["Second · seed 3", "Second · seed 5"]}
    assert bpy.data.scenes["Second"].peekaboo.model == "shapes"  # the command's model was for this once
    assert all(json.loads((folder / "clip.json").read_text()) for folder in folders)


@pytest.mark.slow
def test_a_picture_of_the_current_frame(blend, tmp_path, capfd):
    model = tiny_model.save(tmp_path / "pictures", "stable_diffusion", num_frames=1)
    asked = ["generate", "--scene", "Scene", "--seed", "3", "--model", str(model), "--save", "--json"]
    assert cli.run([*asked, "--out", str(tmp_path / "out")]) == 0
    clip, _ = lines(capfd.readouterr().out)
    assert clip["clip"] == str(tmp_path / "out" / "clip.png")
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    (strip,) = compat.strips(bpy.data.scenes["Scene Takes"].sequence_editor)
    assert strip.type == "IMAGE" and strip.elements[0].filename == "clip.png"
    picture = bpy.data.images.load(clip["clip"])
    assert tuple(picture.size) == (tiny_model.SIZE["width"], tiny_model.SIZE["height"])


def strips():
    """Names of strips, by the names of the scenes that have some."""
    found = {
        scene.name: [strip.name for strip in compat.strips(scene.sequence_editor)]
        for scene in bpy.data.scenes
        if scene.sequence_editor
    }
    return {name: names for name, names in found.items() if names}


def test_clips_that_are_done_are_saved_when_a_later_one_fails(blend, tmp_path, capfd):
    engine = stand_in.write(
        tmp_path,
        f"""{stand_in.HELLO}
import json
from pathlib import Path
for line in sys.stdin:
    request = json.loads(line)
    if request["job"].count("Scene_") == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    open(clip := os.path.join(request["out"], "clip.mp4"), "w").close()
    about = {{"id": request["id"], "clip": clip, "info": clip, "seconds": 1}}
    print(json.dumps({{"event": "result"}} | about), flush=True)
""",
        out=False,
    )
    scenes = ["--scene", "Scene", "--scene", "Second"]
    assert cli.run(["generate", *scenes, "--seed", "1", "--save", "--python", str(engine), "--json"]) == 1
    clip, saved, error = lines(capfd.readouterr().out)
    assert (clip["scene"], saved["result"]) == ("Scene", "file") and "killed by SIGKILL" in error["error"]
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert strips() == {"Scene Takes": ["Scene 001 · seed 1"]}


def test_masks_need_no_engine_and_warn(blend, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PEEKABOO_PYTHON", "/nowhere/python")
    bpy.context.scene.objects["Cube Subject"].scale = (0.03,) * 3
    out = tmp_path / "out"
    assert cli.run(["masks", "--out", str(out), "--seed", "9", "--pictures", "--json"]) == 0
    (job,) = lines(capsys.readouterr().out)
    assert job["job"] == str(out / "job") and len(job["pictures"]) == 16
    assert json.loads((out / "job" / "job.json").read_text())["seed"] == 9
    with np.load(out / "job" / "masks.npz", allow_pickle=False) as arrays:
        labels = arrays["labels"]
    picture = bpy.data.images.load(job["pictures"][0])
    pixels = np.array(picture.pixels).reshape(160, 288, 4)[::-1]
    assert ((pixels[..., :3].max(axis=2) > 0) == (labels[0] > 0)).all()
    assert job["warnings"] == [
        '"a blue cube" is too small for the model at frames 1–8: bring it nearer, or make it larger.'
    ]
    assert sorted(path.name for path in out.iterdir()) == ["job", "masks"]


@pytest.fixture
def cuts(blend):
    """The scene of the file, of 8 frames, cut into the shots "Wide", which is turned off, and "Close"."""
    scene = bpy.context.scene
    for frame, title in ((1, "Wide"), (5, "Close")):
        scene.timeline_markers.new(title, frame=frame).camera = scene.camera
    scene.timeline_markers["Wide"].peekaboo.enabled = False
    scene.timeline_markers["Close"].peekaboo.prompt = "a blue cube"
    return scene


@pytest.mark.parametrize(
    ("asked", "titles"),
    [
        ([], ["Close"]),
        (["--shots", "all"], ["Wide", "Close"]),
        (["--shots", "Wide"], ["Wide"]),
        (["--shots", "Close", "--shots", "Wide"], ["Wide", "Close"]),
    ],
)
def test_shots_are_asked_for_by_name(cuts, tmp_path, capsys, asked, titles):
    assert cli.run(["masks", "--out", str(tmp_path / "out"), *asked, "--json"]) == 0
    found = lines(capsys.readouterr().out)
    assert [each["shot"] for each in found] == titles
    prompts = {"Wide": PROMPT, "Close": "a blue cube"}
    for each in found:
        job = json.loads((Path(each["job"]) / "job.json").read_text())
        assert job["prompt"] == prompts[each["shot"]] and job["timing"]["frame_count"] == 4
    if len(titles) > 1:
        assert [Path(each["job"]).parent.name for each in found] == [
            f"Scene_{title}_seed_0" for title in titles
        ]


@pytest.mark.parametrize("titles", [("Wide", "Wide"), ("Wide", "wide"), ("a/b", "a?b")])
def test_shots_of_one_name_do_not_replace_each_other(cuts, tmp_path, capsys, titles):
    for marker, title in zip(cuts.timeline_markers, titles, strict=True):
        marker.name = title
    assert cli.run(["masks", "--out", str(tmp_path / "out"), "--shots", "all", "--json"]) == 0
    first, second = (Path(each["job"]) for each in lines(capsys.readouterr().out))
    assert first.parent.name.casefold() != second.parent.name.casefold()  # on disks that know no capitals
    starts = [json.loads((job / "job.json").read_text())["timing"]["frame_start"] for job in (first, second)]
    assert starts == [1, 5]


def test_a_prompt_of_the_command_line_is_that_of_all_shots(cuts, tmp_path, capsys):
    asked = ["--prompt", f"{PROMPT} at night", "--shots", "all"]
    assert cli.run(["masks", "--out", str(tmp_path / "out"), *asked, "--json"]) == 0
    for each in lines(capsys.readouterr().out):
        job = json.loads((Path(each["job"]) / "job.json").read_text())
        assert job["prompt"] == f"{PROMPT} at night" and len(job["subjects"]) == 2


def test_an_unknown_shot_is_refused_with_those_that_there_are(cuts, tmp_path, capsys):
    assert cli.run(["masks", "--out", str(tmp_path / "out"), "--shots", "Night"]) == 1
    assert 'has no shot "Night": choose of "Wide", "Close".' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_shot_and_the_engine_are_checked(blend, capsys):
    assert cli.run(["check", "--scene", "Second", "--json"]) == 0
    engine, scene = lines(capsys.readouterr().out)
    assert engine["text"].startswith("Ready: torch")
    assert scene["frames"] == "8 scene frames at 24 fps → 16 model frames, of which 8 are used"
    assert scene["warnings"] == []


def test_a_shot_is_checked_where_no_engine_is(blend, capsys):
    assert cli.run(["check", "--scene", "Second", "--python", "/nowhere", "--json"]) == 1
    scene, error = lines(capsys.readouterr().out)
    assert (scene["result"], scene["scene"]) == ("scene", "Second")
    assert "/nowhere" in error["error"]


@pytest.mark.parametrize(
    ("arguments", "problem", "code"),
    [
        (["sing"], "invalid choice: 'sing'", USAGE),
        ([], "required", USAGE),
        (["generate", "--seeds", "8-1"], "no range of seeds", USAGE),
        (["generate", "--seed", "1", "--seeds", "1-2"], "not allowed with", USAGE),
        (["generate", "--scene", "Third"], 'no scene "Third": choose one of "Scene", "Second"', 1),
        (["generate", "--prompt", "nothing"], "does not occur in the prompt", 1),
        (["generate", "--model", "nothing"], 'no model "nothing"', 1),
        (["generate", "--python", "/nowhere"], "does not exist", 1),
        (["generate", "--steps", "-3"], "Steps cannot be -3: give a number from 0 to 300.", USAGE),
        (["masks", "--guidance", "-2"], "Guidance cannot be -2: give a number from 0 on.", USAGE),
        (["masks", "--masked-steps", "-2"], "Masked Steps cannot be -2: give a number from -1 on.", USAGE),
        (["masks", "--model", "nothing"], 'no model "nothing"', 1),
        (["check", "--python", "/nowhere"], "does not exist", 1),
    ],
)
def test_bad_input_is_one_sentence_and_costs_nothing(blend, tmp_path, capsys, arguments, problem, code):
    sentence, exit_code = refused(capsys, *arguments)
    assert problem in sentence and exit_code == code
    assert [path.name for path in tmp_path.iterdir()] == ["shot.blend"]


def test_scenes_of_takes_are_no_scenes_to_choose_of(blend):
    reel = reels.prepare_reel(bpy.data.scenes["Second"])
    with pytest.raises(PeekabooError, match=r'choose one of "Scene", "Second"\.$'):
        options.chosen_scenes(["Third"])
    assert options.chosen_scenes([reel.name]) == [bpy.data.scenes["Second"]]


def test_a_file_in_the_place_of_the_folder(blend, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(capsys, "masks", "--out", tmp_path / "file" / "out")[0]


@pytest.mark.parametrize("command", ["generate", "masks"])
def test_an_output_folder_that_cannot_be_written_is_told_before_any_work(blend, tmp_path, capsys, command):
    (tmp_path / "file").touch()
    for scene in bpy.data.scenes:
        scene.peekaboo.output_folder = "//file/clips"
    code = cli.run([command])
    printed = capsys.readouterr()
    assert code == 1 and "masks 1/" not in printed.out + printed.err
    assert f'Error: The output folder "{tmp_path / "file" / "clips"}" cannot be written' in printed.err
    assert "choose another one" in printed.err


@pytest.mark.parametrize(
    "command",
    [["generate", "--save", "--out", "{elsewhere}"], ["draft", "a red ball rolls from left to right"]],
)
def test_a_blend_whose_folder_cannot_be_written_is_told_before_any_work(
    blend, tmp_path_factory, capsys, monkeypatch, command
):
    folder, elsewhere = blend.parent, tmp_path_factory.mktemp("elsewhere")
    folder.rename(folder.with_name(f"{folder.name} away"))
    folder.touch()  # stands where the folder was
    for work in ("command.cli.read_shot", "making.drafting.wait"):
        monkeypatch.setattr(f"blender_addon.{work}", None)
    sentence, _ = refused(capsys, *(part.format(elsewhere=elsewhere) for part in command))
    assert f'"{blend}" cannot be written' in sentence and "choose a folder that can be" in sentence
    assert not list(elsewhere.iterdir())


def test_the_folder_of_a_blend_is_made_for_it(scene, tmp_path):
    path = tmp_path / "new" / "one" / "shot.blend"
    saving.check_savable(path)
    assert not path.parent.exists()
    saving.save_blend(path)
    assert path.is_file() and len(list(path.parent.iterdir())) == 1


def test_a_file_that_was_never_saved(scene, tmp_path, capsys):
    small_shot(scene)
    assert "never saved" in refused(capsys, "generate", "--save")[0]
    assert "never saved" in refused(capsys, "masks")[0]


def test_the_set_up_is_waited_for(capsys):
    console = Console()

    def work(task):
        task.step("Downloading torch")
        return "Ready."

    assert set_up.wait(environment.Task(work), console.say) == "Ready."
    assert "Downloading torch" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "held"), [(1, ""), (48, ", held for 48 scene frames")])
def test_the_mapping_says_which_frame_a_picture_shows(count, held):
    assert mapping_in_words(Timing(1, count, 24, 1.0, (7.0,)), 1) == f"scene frame 7 → a picture{held}"


@given(st.integers(1, 200), st.integers(2, 40))
def test_the_mapping_of_frames_says_how_long_each_is_held(count, num_frames):
    timing = Timing(1, count, 24, 1.0, ())
    text = mapping_in_words(timing, num_frames)
    held = {
        int((i + 1) * count / num_frames + 1e-9) - int(i * count / num_frames + 1e-9)
        for i in range(num_frames)
    }
    if min(held) > 0:
        assert text.endswith("held " + " or ".join(map(str, sorted(held))))
    else:
        assert text.endswith(f"of which {count} are used")


@pytest.mark.parametrize("kind", ["png", "exr"])
def test_masks_for_other_programs_of_each_scene(blend, tmp_path, capfd, kind):
    asked = ["mattes", "--scene", "Scene", "--scene", "Second", "--format", kind, "--json"]
    assert cli.run([*asked, "--out", str(tmp_path / "out")]) == 0
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    told = {line["path"] for line in lines(capfd.readouterr().out)}
    found = {str(path.parent if kind == "png" else path) for path in files}
    assert told == found and {path.suffix for path in files} == {f".{kind}"}
    assert {path.relative_to(tmp_path / "out").parts[0] for path in files} == {"Scene", "Second"}
