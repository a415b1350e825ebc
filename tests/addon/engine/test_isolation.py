# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that lies beside a .blend, in the current folder, or on a PYTHON variable's path runs."""

import ensurepip
import os
import subprocess
import sys

import bpy
import pytest
from house import inside_blender
from strangers import Traps

from blender_addon.engine import environment, process, whereabouts
from blender_addon.errors import PeekabooError
from blender_addon.making import engine_choice
from blender_addon.shot.model import model_of


@pytest.fixture
def traps(tmp_path, monkeypatch):
    """Traps beside the open .blend, which is also the current folder and on Python's path."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    monkeypatch.chdir(folder)
    for name in ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, str(folder))
    return Traps(folder, tmp_path / "sprung")


def test_the_traps_catch_a_python_that_is_not_isolated(scene, traps):
    subprocess.run([sys.executable, "-s", "-c", "pass"], capture_output=True)
    assert traps.sprung()


@pytest.mark.slow
def test_a_check_runs_none(scene, traps):
    assert environment.check(whereabouts.find_python()).startswith("Ready: torch")
    assert traps.sprung() == []


def test_the_engine_runs_none(scene, traps, tmp_path):
    settings = process.EngineSettings(whereabouts.find_python(), False, 60.0)
    engine = process.WarmEngine(settings, tmp_path / "engine.log")
    hello = next(event for event in engine.events() if not isinstance(event, process.Start))
    engine.cancel()
    assert isinstance(hello, process.Hello), (hello, engine.log.read_text())
    assert traps.sprung() == []


@pytest.mark.slow
def test_a_set_up_runs_none(scene, traps, tmp_path):
    locks = tmp_path / "locks"
    locks.mkdir()
    for name in ("pip", "engine"):
        (locks / f"{name}.txt").write_text(f"pip=={ensurepip.version()} --hash=sha256:{'0' * 64}\n")
    home = tmp_path / "engine"
    for _ in range(2):  # the second one finds the first one's pip
        task = environment.Task(lambda task: environment.install(task, home, locks))
        task.join(300)
        ended = task.poll()[-1]
        assert "lacks torch" in ended.text, ended
    assert traps.sprung() == []


def test_an_existing_python_beside_the_blend_is_refused(scene, traps, monkeypatch):
    class Stated:
        python = "//bin/python"

    monkeypatch.setattr(engine_choice, "preferences", lambda: Stated)
    for Stated.python in ("//python", "python", "bin/python"):
        with pytest.raises(PeekabooError, match=r"depends on which .* is open: choose it by its whole"):
            engine_choice.engine_python()
    monkeypatch.setattr(engine_choice, "preferences", lambda: None)
    monkeypatch.setenv("PEEKABOO_PYTHON", "bin/python")
    with pytest.raises(PeekabooError, match="depends on the current folder: set it to a whole path"):
        engine_choice.engine_python()


def test_a_model_is_told_to_the_engine_by_its_whole_path(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model_index.json").touch()
    for stated, meant in (("tiny", str(tmp_path / "tiny")), ("shapes", "shapes"), ("nothing", "nothing")):
        scene.peekaboo.model = stated
        assert model_of(scene) == meant


@pytest.mark.skipif(os.name == "nt", reason="there, paths of Windows are paths")
def test_a_models_folder_may_lie_beside_the_blend_and_be_written_as_on_windows(scene, tmp_path):
    scene.peekaboo.model = r"//models\tiny"
    with pytest.raises(PeekabooError, match="never saved"):
        model_of(scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    for stated, meant in (
        ("//models/tiny", str(tmp_path / "models" / "tiny")),
        (r"//models\tiny", str(tmp_path / "models" / "tiny")),
        (r"C:\models\tiny", "/c/models/tiny"),
    ):
        scene.peekaboo.model = stated
        assert model_of(scene) == meant


def test_a_blend_that_a_script_opens_runs_nothing(scene, tmp_path):
    record = tmp_path / "ran"
    text = bpy.data.texts.new("run.py")
    text.write(f"open({str(record)!r}, 'w')")
    text.use_module = True
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.context.preferences.filepaths.use_scripts_auto_execute = True
    try:
        inside_blender.open_blend(path)
    finally:
        bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    assert not record.exists()
