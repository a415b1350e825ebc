# SPDX-License-Identifier: GPL-3.0-or-later
"""The job type of Flamenco, compiled as Manager would; what its commands do is seen in tests/blender."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flamenco import RefusedError, compiled

from blender_addon.farm import flamenco, plan
from blender_addon.farm.plan import Clip, Places, Plan, Shot

JOB_TYPE = Path(flamenco.__file__).with_name(flamenco.JOB_TYPE)
FOLDER = "/farm/night 3"
PLACES = Places(
    blender="{blender}",
    python="{peekabooPython}",
    start="{peekabooStart}",
    blend=f"{FOLDER}/shot.blend",
    plan=f"{FOLDER}/plan.json",
    out=f"{FOLDER}/clips",
    faults="fail",
)


def shot(name, *clips):
    return Shot(name, "Scene", "", 1, 8, 24, 1.0, tuple(clips))


PLAN = Plan(
    "1f",
    "shot.blend",
    (
        shot("one", Clip("one_seed_1", "shapes", 1), Clip("one_seed_2", "shapes", 2)),
        shot("two", Clip("two_seed_1", "wan2.1-t2v-1.3b", 1)),
    ),
)
SEVERAL = Plan(
    "1f",
    "shot.blend",
    (
        replace(shot("one", Clip("a", "shapes", 1, "all")), task="one_and_1_more"),
        replace(shot("two", Clip("b", "shapes", 1, "all")), task="one_and_1_more"),
        shot("three", Clip("c", "shapes", 1, "all")),
    ),
)


def job(**settings):
    made = flamenco.job(PLAN, "A night", Path(FOLDER), "linux")
    return made | {"settings": made["settings"] | settings}


def test_each_task_waits_for_those_that_it_needs_and_calls_what_the_plan_says():
    tasks = compiled(JOB_TYPE, job())["tasks"]
    assert [(task["name"], task["type"], task["dependencies"]) for task in tasks] == [
        ("masks one", "blender", []),
        ("masks two", "blender", []),
        ("generate one_seed_1", "peekaboo", [0]),
        ("generate one_seed_2", "peekaboo", [0]),
        ("generate two_seed_1", "peekaboo", [1]),
        ("gather", "misc", [2, 3, 4]),
    ]
    for task in tasks:
        kind, _, name = task["name"].partition(" ")
        (command,) = task["commands"]
        wanted, given = plan.command(kind, name, PLACES), command["parameters"]
        if kind == "masks":
            assert command["name"] == "blender-render" and given["exeArgs"] == "{blenderArgs}"
            assert [given["exe"], given["blendfile"], *given["args"]] == wanted
        else:
            assert command["name"] == "exec" and [given["exe"], *given["args"]] == wanted


def test_a_task_of_several_clips_waits_for_the_masks_of_all():
    tasks = compiled(JOB_TYPE, flamenco.job(SEVERAL, "A night", Path(FOLDER), "linux"))["tasks"]
    assert [(task["name"], task["dependencies"]) for task in tasks] == [
        ("masks one_and_1_more", []),
        ("masks three", []),
        ("generate all", [0, 1]),
        ("gather", [2]),
    ]


def test_who_submits_decides_which_workers_generate_and_where_clips_go():
    other = job(
        machine_faults="keep", generate_task_type="gpu-24", output_folder="S:\\clips\\", folder="S:\\night\\"
    )
    tasks = compiled(JOB_TYPE, other)["tasks"]
    assert {task["type"] for task in tasks} == {"blender", "gpu-24", "misc"}
    arguments = tasks[2]["commands"][0]["parameters"]["args"]
    assert "S:\\night/plan.json" in arguments and arguments[-4:] == ["--out", "S:\\clips", "--faults", "keep"]


def test_what_blender_fills_in_for_the_job_is_what_was_exported(tmp_path, monkeypatch):
    """As Flamenco's own add-on evaluates it, in the .blend that was exported."""
    import bpy

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    documents = flamenco.documents(PLAN, "A night", tmp_path)
    for name, text in documents.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert documents[flamenco.JOB_TYPE] == JOB_TYPE.read_text("utf-8")
    exported = json.loads(documents[flamenco.FILE])
    settings = compiled(tmp_path / flamenco.JOB_TYPE, exported)["jobType"]["settings"]
    found = {
        setting["key"]: eval(setting["eval"], {}, {"bpy": bpy, "Path": Path})
        if "eval" in setting
        else setting["default"]
        for setting in settings
    }
    assert found == exported["settings"]


def test_a_job_of_a_newer_version_is_refused_in_a_sentence():
    newer = json.dumps({**flamenco.tasks(PLAN), "version": flamenco.VERSION + 1})
    with pytest.raises(RefusedError, match="A newer Peekaboo exported this job: copy the"):
        compiled(JOB_TYPE, job(tasks=newer))
    older = json.dumps({**flamenco.tasks(PLAN), "version": 1})
    with pytest.raises(RefusedError, match="An older Peekaboo exported this job"):
        compiled(JOB_TYPE, job(tasks=older))
    with pytest.raises(RefusedError, match="not what Export Farm Job wrote: export it again"):
        compiled(JOB_TYPE, job(tasks="masks, then clips"))


def test_a_job_without_a_needed_setting_is_refused():
    made = job()
    del made["settings"]["folder"]
    with pytest.raises(RefusedError, match="the settings lacks folder"):
        compiled(JOB_TYPE, made)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("author.task('a', 'misc')", "author has no task"),
        ("author.Command('run', {exe: 'a', args: []})", "workers have no command run"),
        ("author.Command('exec', {exe: 'a', args: [1]})", "args of exec"),
        ("author.Command('exec', {exe: 'a'})", "exec lacks args"),
        ("author.Command('exec', {exe: 'a', args: [], cwd: '/'})", "exec has no cwd"),
        ("job.settings.nothing", "job.settings has no nothing"),
        ("job.addTask({})", "that is no task"),
        ("job.addTask(author.Task('a', 'misc'))", "has no command"),
        ("job.addTask(one); one.addCommand(echo)", "Manager has a copy"),
        ("one.addDependency(author.Task('b', 'misc')); job.addTask(one)", "waits for ever"),
        ("require('fs')", "require is not defined"),
    ],
)
def test_the_compiler_of_the_tests_refuses_what_manager_has_not(tmp_path, script, problem):
    """A harness that takes anything would prove nothing."""
    path = tmp_path / "peekaboo.js"
    path.write_text(
        "const JOB_TYPE = {label: 'A', settings: []};\n"
        "function compileJob(job) {\n"
        "const one = author.Task('a', 'misc'), echo = author.Command('echo', {message: 'a'});\n"
        f"one.addCommand(echo);\n{script};\n}}\n"
    )
    with pytest.raises(RefusedError, match=problem):
        compiled(path, {**job(), "settings": {}})


@pytest.mark.parametrize(("system", "platform"), [("win32", "windows"), ("darwin", "darwin")])
def test_manager_is_told_whose_paths_these_are(system, platform):
    assert flamenco.job(PLAN, "A", Path(FOLDER), system)["submitter_platform"] == platform
