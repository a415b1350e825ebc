# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend's shots as a job for a farm, and the task that makes masks of it, which a farm calls."""

import errno
import json
import re
import threading
from pathlib import Path

import bpy
import numpy as np
import pytest
from scenes import add_camera, add_mesh, small_shot

from blender_addon import saving
from blender_addon.borders import places
from blender_addon.command import cli
from blender_addon.engine import job_schema
from blender_addon.errors import PeekabooError
from blender_addon.farm import bundle, files, mapping, scenes, tasks
from blender_addon.farm import plan as plans
from blender_addon.farm.scenes import Wanted
from blender_addon.shot import shots


@pytest.fixture
def blend(scene, tmp_path):
    """An open file with the shots Wide and Close, of 4 frames each."""
    small_shot(scene, frames=8)
    for frame, title in ((1, "Wide"), (5, "Close")):
        scene.timeline_markers.new(title, frame=frame).camera = add_camera(scene)
    scene.peekaboo.seed_mode, scene.peekaboo.seed = "FIXED", 4
    path = tmp_path / "show" / "shot.blend"
    path.parent.mkdir()
    saving.save_blend(path)
    bpy.ops.wm.open_mainfile(filepath=str(path))
    return path


def wanted(*seeds):
    scene = bpy.context.scene
    return [Wanted(scene, shot, seeds or (4,)) for shot in shots.enabled(scene)]


def export(folder, *seeds, models=()):
    return bundle.write(wanted(*seeds), models, folder).plan


def names(plan):
    return [clip.name for shot in plan.shots for clip in shot.clips]


def refused(match, *arguments):
    with pytest.raises(PeekabooError, match=match) as raised:
        bundle.write(*arguments)
    assert str(raised.value).endswith(".")


def do(folder, name, out=None, *arguments):
    """What a farm's machine does with a bundle: the command, on the copy of the file."""
    bpy.ops.wm.open_mainfile(filepath=str(folder / "shot.blend"))
    out = folder / "clips" if out is None else out
    return cli.run(["farm-masks", str(folder / "plan.json"), name, "--out", str(out), *map(str, arguments)])


def test_a_plan_is_what_the_engine_reads(blend, tmp_path, agree):
    plan = export(tmp_path / "farm")
    assert plans.read(tmp_path / "farm" / "plan.json") == plan
    agree("plan", plan.stated() | {"id": "0123456789abcdef", "peekaboo": "0.1.0"})


def test_scenes_shots_seeds_and_models_are_multiplied(blend, tmp_path, capsys):
    second = bpy.data.scenes.new("Second")
    small_shot(second, frames=4)
    saving.save_blend(blend)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    out = tmp_path / "farm"
    asked = ["bundle", "--scene", "Scene", "--scene", "Second", "--seeds", "1,2", "--out", str(out), "--json"]
    assert cli.run([*asked, "--model", "shapes", "--model", "zeroscope", "--steps", "7"]) == 0
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    parts = [(shot, model, seed) for shot in ("Scene_Wide", "Scene_Close", "Second") for model in
             ("shapes", "zeroscope") for seed in (1, 2)]  # fmt: skip
    assert told["clips"] == ["{}_{}_seed_{}".format(*each) for each in parts]
    assert sorted(path.name for path in out.iterdir()) == [
        "asset_references.yaml",
        "parameter_values.yaml",
        "plan.json",
        "shot.blend",
        "template.yaml",
    ]
    bpy.ops.wm.open_mainfile(filepath=str(out / "shot.blend"))
    assert bpy.data.scenes["Second"].peekaboo.num_inference_steps == 7  # what the command said is in the copy
    assert not any(str(tmp_path) in (out / name).read_text() for name in
                   ("template.yaml", "plan.json", "asset_references.yaml"))  # fmt: skip


def test_names_are_plain_and_of_one_clip_alone(blend, tmp_path):
    for marker, title in zip(bpy.context.scene.timeline_markers, ("{{Param.X}}", "{{Param X}}"), strict=True):
        marker.name = title
    made = names(export(tmp_path / "farm", 1, 2))
    assert len(set(made)) == 4 and all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in made)
    assert do(tmp_path / "farm", plans.read(tmp_path / "farm" / "plan.json").shots[1].name) == 0


@pytest.mark.parametrize("called", ["-s", "場面", "Łódź", "Scène"])
def test_names_of_all_languages_become_names_that_tasks_take(blend, tmp_path, called):
    bpy.context.scene.name = called
    for marker, title in zip(bpy.context.scene.timeline_markers, ("Общий", "Крупный"), strict=True):
        marker.name = title
    made = names(export(tmp_path / "farm"))
    assert len(set(made)) == 2 and all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name) for name in made)
    planned = plans.read(tmp_path / "farm" / "plan.json")
    assert (planned.shots[0].scene, planned.shots[0].title) == (called, "Общий")
    assert do(tmp_path / "farm", planned.shots[1].name) == 0


def test_a_job_is_called_as_the_file_in_any_language(blend, tmp_path):
    saving.save_blend(tmp_path / "Käse {{場}}.blend")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "Käse {{場}}.blend"))
    folder = bundle.own_folder(tmp_path)
    assert folder.name == "Käse___場___farm"
    export(folder)
    assert 'name: "Käse___場__"' in (folder / "template.yaml").read_text("utf-8")


def test_an_export_again_keeps_the_id_and_takes_no_other_folder(blend, tmp_path):
    first = export(tmp_path / "farm")
    assert export(tmp_path / "farm", 1, 2).id == first.id != export(tmp_path / "other").id
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    refused("of no farm job", wanted(), (), tmp_path / "full")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "farm" / "shot.blend"))
    refused("the copy that a farm job has", wanted(), (), tmp_path / "farm")


def test_what_keeps_a_job_from_being_written_is_a_sentence(blend, tmp_path, capsys):
    many = range(plans.MOST_CLIPS)
    refused("1024 at most", wanted(*many), (), tmp_path / "farm")
    refused("no model", wanted(), ("sora",), tmp_path / "farm")
    (tmp_path / "file").write_text("")
    refused("cannot be written", wanted(), (), tmp_path / "file" / "farm")
    for marker in bpy.context.scene.timeline_markers:
        marker.peekaboo.enabled = False
    assert cli.run(["bundle", "--out", str(tmp_path / "farm")]) == 1
    assert "turned off" in capsys.readouterr().err
    assert not (tmp_path / "farm").exists()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    small_shot(bpy.context.scene)
    refused("never saved", wanted(), (), tmp_path / "farm")


def linked(path):
    """Let the open file link a mesh of another one, a subject, beside an image that nothing needs."""
    library = path.parent / "library.blend"
    mesh = add_mesh(bpy.context.scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Wedge")
    bpy.data.libraries.write(str(library), {mesh}, path_remap="NONE")
    bpy.data.objects.remove(mesh)
    bpy.ops.wm.save_mainfile()
    with bpy.data.libraries.load(str(library), link=True, relative=True) as (_, into):
        into.objects = ["Wedge"]
    bpy.context.scene.collection.objects.link(into.objects[0])
    bpy.data.images.new("Sky", 4, 4).filepath = "//sky.png"
    bpy.data.images["Sky"].source = "FILE"
    bpy.data.images["Sky"].use_fake_user = True
    bpy.ops.wm.save_mainfile()
    return library


def test_linked_files_are_found_from_the_copy_and_missing_ones_listed(blend, tmp_path):
    library = linked(blend)
    written = bundle.write(wanted(), (), tmp_path / "farm" / "one")
    assert len(written.notes) == 1 and "sky.png" in written.notes[0]
    assert "../../show/library.blend" in (tmp_path / "farm" / "one" / "asset_references.yaml").read_text()
    assert bpy.data.libraries[0].filepath == "//library.blend"  # of the open file nothing has changed
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "farm" / "one" / "shot.blend"))
    assert bpy.data.objects["Wedge"].data.vertices

    library.rename(tmp_path / "elsewhere.blend")
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    refused(r"not there: .*library\.blend", wanted(), (), tmp_path / "farm" / "two")
    assert do(tmp_path / "farm" / "one", "Scene_Wide") == 1


@pytest.mark.skipif(bpy.app.version < (5, 0), reason="data-blocks of libraries are packed since 5.0")
def test_a_library_whose_data_are_packed_need_not_be_there(blend, tmp_path):
    library = linked(blend)
    bpy.data.images.remove(bpy.data.images["Sky"])
    bpy.data.objects.remove(bpy.data.objects["Wedge"])
    with bpy.data.libraries.load(str(library), link=True, relative=True, pack=True) as (_, into):
        into.objects = ["Wedge"]
    bpy.context.scene.collection.objects.link(into.objects[0])
    bpy.ops.wm.save_mainfile()
    library.unlink()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert bpy.data.objects["Wedge"].data.vertices
    export(tmp_path / "farm")
    assert do(tmp_path / "farm", "Scene_Wide") == 0


def test_a_file_of_another_system_is_found_by_the_farms_rules(blend, tmp_path, capsys):
    library = linked(blend)
    bpy.data.images.remove(bpy.data.images["Sky"])
    export(tmp_path / "farm")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "farm" / "shot.blend"))
    bpy.data.libraries[0].filepath = "P:\\show\\library.blend"
    bpy.ops.wm.save_mainfile()
    assert do(tmp_path / "farm", "Scene_Wide", None, "--openjd") == 1
    assert "openjd_fail: Files that the scene links are not on this machine" in capsys.readouterr().out
    rules = tmp_path / "rules.json"
    rule = {
        "source_path_format": "WINDOWS",
        "source_path": "p:\\Show",
        "destination_path": str(library.parent),
    }
    rules.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]}))
    assert do(tmp_path / "farm", "Scene_Wide", None, "--path-mapping", rules) == 0
    assert bpy.data.objects["Wedge"].data.vertices
    library.write_text("no .blend")
    capsys.readouterr()
    assert do(tmp_path / "farm", "Scene_Wide", None, "--path-mapping", rules) == 1
    assert 'library.blend" cannot be read on this machine' in capsys.readouterr().err
    library.unlink()
    assert do(tmp_path / "farm", "Scene_Wide", None, "--path-mapping", rules) == 1
    assert "not on this machine" in capsys.readouterr().err


def link(path, windows, **wanted):
    """Let the open file link data of another one, by a path of Windows."""
    with bpy.data.libraries.load(str(path), link=True) as (_, into):
        for kind, names in wanted.items():
            setattr(into, kind, names)
    bpy.data.libraries[path.name].filepath = windows


def save_anew(path, **objects):
    """Save a scene of objects of these data, and begin an empty one."""
    for name, data in objects.items():
        bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, data))
    bpy.ops.wm.save_as_mainfile(filepath=str(path), relative_remap=False)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_the_rules_find_what_libraries_link_too(tmp_path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    add_mesh(bpy.context.scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Wedge").data.name = "Wedge"
    save_anew(tmp_path / "inner.blend")
    link(tmp_path / "inner.blend", "P:\\show\\inner.blend", meshes=["Wedge"])
    smoke = bpy.data.volumes.new("Smoke")
    smoke.filepath = "P:\\show\\smoke.vdb"
    save_anew(tmp_path / "outer.blend", Wedge=bpy.data.meshes["Wedge"], Smoke=smoke)
    link(tmp_path / "outer.blend", "P:\\show\\outer.blend", objects=["Wedge"], volumes=["Smoke"])
    bpy.context.scene.collection.objects.link(bpy.data.objects["Wedge"])
    save_anew(tmp_path / "shot.blend", Smoke=bpy.data.volumes["Smoke"])
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    rule = {"source_path_format": "WINDOWS", "source_path": "P:\\show", "destination_path": str(tmp_path)}
    mapping.apply([rule], [])
    assert len(bpy.data.objects["Wedge"].data.vertices) == 3
    assert Path(bpy.data.volumes["Smoke"].filepath) == tmp_path / "smoke.vdb"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/proj/a/b.blend", "/mnt/a/b.blend"),
        ("/project/a", None),
        ("//a", None),
        ("Z:\\Proj\\a\\b.blend", "/z/a/b.blend"),
        ("z:/proj/a", "/z/a"),
        ("/proj/deep/x", "/deep/x"),
        ("\\\\host\\share\\x", "/share/x"),
    ],
)
def test_the_longest_rule_counts(path, place):
    rules = [
        {"source_path_format": system, "source_path": source, "destination_path": destination}
        for system, source, destination in (
            ("POSIX", "/proj", "/mnt"),
            ("POSIX", "/proj/deep", "/deep"),
            ("WINDOWS", "Z:\\proj", "/z"),
            ("WINDOWS", "\\\\HOST\\share", "/share"),
        )
    ]
    assert mapping.mapped(path, rules) == (place and str(Path(place)))


def test_simulations_that_lie_beside_the_file_go_with_it(blend, tmp_path):
    cache = blend.parent / "blendcache_shot"
    cache.mkdir()
    (cache / "cloth_000001_00.bphys").write_bytes(b"frame")
    (cache / "elsewhere").symlink_to(tmp_path / "show" / "shot.blend")
    copy = tmp_path / "farm" / "blendcache_shot"
    for _ in range(2):
        (note,) = bundle.write(wanted(), (), tmp_path / "farm").notes
        assert note.startswith("Links are not followed") and note.endswith(": elsewhere.")
    assert (copy / "cloth_000001_00.bphys").read_bytes() == b"frame"
    assert not (copy / "elsewhere").exists()
    assert '- "blendcache_shot"' in (tmp_path / "farm" / "asset_references.yaml").read_text()
    (cache / "elsewhere").unlink()
    (cache / "cloth_000001_00.bphys").unlink()
    cache.rmdir()
    export(tmp_path / "farm")
    assert not copy.exists()  # of a bake that was freed, no frame is played


def test_what_a_bundle_links_to_is_neither_followed_nor_taken_away(blend, tmp_path):
    (blend.parent / "blendcache_shot").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("mine")
    export(tmp_path / "farm")
    (tmp_path / "farm" / "blendcache_shot").rmdir()
    (tmp_path / "farm" / "blendcache_shot").symlink_to(tmp_path / "mine")
    export(tmp_path / "farm")
    assert not (tmp_path / "farm" / "blendcache_shot").is_symlink()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_sequences_and_tiles_are_brought_along_whole(tmp_path):
    names = ("smoke_1.vdb", "smoke_0002.vdb", "smoke_old_3.vdb", "wall[a].1001.png", "wall[a].1002.png")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    smoke = files.Linked(tmp_path / "smoke_1.vdb", is_shape=True, is_sequence=True)
    assert [path.name for path in smoke.files()] == ["smoke_0002.vdb", "smoke_1.vdb"]
    wall = files.Linked(tmp_path / "wall[a].<UDIM>.png", is_shape=False)
    assert [path.name for path in wall.files()] == ["wall[a].1001.png", "wall[a].1002.png"]
    assert files.Linked(tmp_path / "none_1.vdb", is_shape=True, is_sequence=True).is_missing
    assert files.Linked(tmp_path / "gone" / "wall.<UDIM>.png", is_shape=False).is_missing


def test_what_settings_say_of_files_holds_in_the_copy(blend, tmp_path):
    settings = bpy.context.scene.peekaboo
    (blend.parent / "tiny.safetensors").write_bytes(b"")
    settings.loras = "//tiny.safetensors"
    settings.start_from, settings.picture = "picture", "//first.png"
    with scenes.located([bpy.context.scene], tmp_path / "farm"):
        assert settings.picture == "//../show/first.png"
        assert settings.lora_list[0].source == "//../show/tiny.safetensors"
    assert settings.picture == "//first.png"


def test_a_task_writes_the_jobs_of_its_shot(blend, tmp_path, capsys):
    plan = export(tmp_path / "farm", 1, 2)
    assert do(tmp_path / "farm", "Scene_Close", None, "--openjd") == 0
    said = capsys.readouterr().out
    assert "openjd_progress: 100.0" in said and "openjd_status: Masks are there" in said
    out = tmp_path / "farm" / "clips"
    assert sorted(each.name for each in out.iterdir()) == [
        "Scene_Close_seed_1",
        "Scene_Close_seed_2",
        "plan.json",
    ]
    jobs = [job_schema.read(out / clip.name / "job" / "job.json") for clip in plan.shots[1].clips]
    assert [job["seed"] for job in jobs] == [1, 2] and jobs[0]["timing"]["frame_start"] == 5
    labels = [np.load(out / clip.name / "job" / "masks.npz")["labels"] for clip in plan.shots[1].clips]
    assert labels[0].any() and np.array_equal(*labels)


def test_what_is_wrong_with_a_shot_is_kept_and_no_error(blend, tmp_path, capsys):
    export(tmp_path / "farm")
    assert do(tmp_path / "farm", "Scene_Wide") == 0
    kept = (tmp_path / "farm" / "clips" / "plan.json").stat().st_ino
    for obj in bpy.data.objects:
        if obj.peekaboo.is_subject:
            obj.location = (0, 500, 900)
    bpy.ops.wm.save_mainfile()
    capsys.readouterr()
    assert do(tmp_path / "farm", "Scene_Wide", None, "--openjd") == 0
    clip = tmp_path / "farm" / "clips" / "Scene_Wide_seed_4"
    problem = json.loads((clip / "problem.json").read_text())
    assert problem["code"] == tasks.NO_MASKS and "in view" in problem["message"]
    assert "openjd_status: No masks, and so no clip" in capsys.readouterr().out
    assert not (clip / "job" / "job.json").exists()  # of the masks from before no clip is made
    assert (clip.parent / "plan.json").stat().st_ino == kept  # which tasks of other machines may be reading


def test_a_link_in_the_output_folder_is_not_followed(blend, tmp_path, capsys):
    export(tmp_path / "farm")
    mine = tmp_path / "mine" / "job" / "job.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    (tmp_path / "farm" / "clips").mkdir()
    (tmp_path / "farm" / "clips" / "Scene_Wide_seed_4").symlink_to(tmp_path / "mine")
    assert do(tmp_path / "farm", "Scene_Wide") == 1
    assert "is a link to another folder" in capsys.readouterr().err
    assert mine.read_text() == "mine" and len(list((tmp_path / "mine").rglob("*"))) == 2


def test_what_is_wrong_with_the_machine_fails_the_task(blend, tmp_path, capsys):
    export(tmp_path / "farm")
    export(tmp_path / "other")
    assert do(tmp_path / "farm", "Scene_Wide", tmp_path / "out") == 0
    assert do(tmp_path / "other", "Scene_Wide", tmp_path / "out") == 1
    assert "another farm job" in capsys.readouterr().err
    assert do(tmp_path / "farm", "Scene_Far") == 1
    stated = json.loads((tmp_path / "farm" / "plan.json").read_text())
    (tmp_path / "farm" / "plan.json").write_text(json.dumps(stated | {"version": 3}))
    assert do(tmp_path / "farm", "Scene_Wide") == 1
    stated["shots"][0]["last"] += 1
    (tmp_path / "farm" / "plan.json").write_text(json.dumps(stated))
    assert do(tmp_path / "farm", "Scene_Wide") == 1
    said = capsys.readouterr().err
    for part in ("no shot", "newer Peekaboo", "in frames 1 to 5"):
        assert part in said
    assert "Traceback" not in said


def test_machines_of_a_newer_version_leave_the_job_to_those_of_its_own(blend, tmp_path, monkeypatch):
    export(tmp_path / "farm")
    with monkeypatch.context() as newer:
        newer.setattr(plans.whereabouts, "engine_version", lambda: "99.1")
        assert do(tmp_path / "farm", "Scene_Wide") == 0
    assert do(tmp_path / "farm", "Scene_Close") == 0


def test_the_panel_exports_as_the_command_does(blend, tmp_path):
    assert bpy.ops.peekaboo.export_farm_job.poll()
    folder = tmp_path / "farm"
    assert bpy.ops.peekaboo.export_farm_job(directory=str(folder), count=2) == {"FINISHED"}
    assert names(plans.read(folder / "plan.json")) == [
        "Scene_Wide_seed_4",
        "Scene_Wide_seed_5",
        "Scene_Close_seed_4",
        "Scene_Close_seed_5",
    ]
    assert (folder / "template.yaml").is_file()
    assert bpy.ops.peekaboo.export_farm_job(directory=str(folder), farm="flamenco") == {"FINISHED"}
    assert {each.name for each in folder.iterdir()} == {
        "shot.blend",
        "plan.json",
        "flamenco.json",
        "peekaboo.js",
    }
    for _ in range(2):  # where the browser opens, and there once more
        assert bpy.ops.peekaboo.export_farm_job(directory=str(blend.parent)) == {"FINISHED"}
    assert sorted(path.name for path in blend.parent.iterdir()) == ["shot.blend", "shot_farm"]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert not bpy.ops.peekaboo.export_farm_job.poll()


def cloth(scene, name, folder=None):
    """A baked cloth in files: beside the .blend, or in a folder of the user's."""
    grid = add_mesh(scene, [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2, 3)], name)
    modifier = grid.modifiers.new("Cloth", "CLOTH")
    cache = modifier.point_cache
    cache.use_disk_cache, cache.frame_start, cache.frame_end = True, 1, 3
    bpy.context.view_layer.update()
    with bpy.context.temp_override(scene=scene, point_cache=cache):
        bpy.ops.ptcache.bake(bake=True)
    if folder is not None:
        beside = Path(bpy.data.filepath).parent / "blendcache_shot"
        folder.mkdir(parents=True)
        prefix = "".join(f"{byte:02X}" for byte in name.encode())
        for file in beside.glob(f"{prefix}_*"):
            file.rename(folder / f"own_{file.name.removeprefix(f'{prefix}_')}")
        cache.use_external, cache.name = True, "own"
        cache.filepath = bpy.path.relpath(str(folder))
    return grid


def height(name, frame):
    bpy.context.scene.frame_set(frame)
    grid = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get())
    return grid.data.vertices[0].co.z


def test_simulations_in_folders_play_from_the_copy_and_missing_ones_are_told(blend, tmp_path, capsys):
    scene = bpy.context.scene
    cloth(scene, "Flag")
    cloth(scene, "Sail", blend.parent / "caches" / "sail")
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    fallen = height("Flag", 3), height("Sail", 3)
    assert fallen[0] < -0.01 and fallen[0] == fallen[1]
    farm = tmp_path / "farm"
    plan = export(farm)
    assert {cache.path for cache in plan.caches} == {"//../show/caches/sail"}
    assert bpy.data.objects["Sail"].modifiers[0].point_cache.filepath == "//caches/sail"
    assert '- "../show/caches/sail"' in (farm / "asset_references.yaml").read_text()
    assert do(farm, "Scene_Wide") == 0
    assert (height("Flag", 3), height("Sail", 3)) == fallen
    (blend.parent / "caches").rename(tmp_path / "away")
    assert do(farm, "Scene_Wide") == 1
    said = capsys.readouterr().err
    assert "not on this machine" in said and 'caches/sail" (cache of modifier "Cloth" of "Sail")' in said
    (farm / "blendcache_shot").rename(tmp_path / "gone")
    (tmp_path / "away").rename(blend.parent / "caches")
    assert do(farm, "Scene_Wide") == 1
    assert 'blendcache_shot" (cache of modifier "Cloth" of "Flag")' in capsys.readouterr().err
    (blend.parent / "blendcache_shot").rename(tmp_path / "gone too")
    (blend.parent / "blendcache_shot").symlink_to(tmp_path / "gone too")
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    refused("is a link to another folder", wanted(), (), tmp_path / "another")
    (blend.parent / "blendcache_shot").unlink()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    refused('blendcache_shot" .*bake simulations again', wanted(), (), tmp_path / "another")


def nodes(obj, path):
    """Geometry nodes with a simulation zone whose bake lies in a folder, and one that imports a file."""
    modifier = obj.modifiers.new("Nodes", "NODES")
    modifier.node_group = tree = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    entry, end = (tree.nodes.new(f"GeometryNodeSimulation{name}") for name in ("Input", "Output"))
    entry.pair_with_output(end)
    tree.interface.new_socket("File", in_out="INPUT", socket_type="NodeSocketString").subtype = "FILE_PATH"
    tree.nodes.new("GeometryNodeImportOBJ").inputs[0].default_value = path
    bpy.context.view_layer.update()
    return modifier


def test_the_files_that_masks_depend_on_are_known_with_what_uses_them(blend):
    scene, beside = bpy.context.scene, blend.parent
    obj = add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Wedge")
    obj.modifiers.new("Mesh Cache", "MESH_CACHE").filepath = "//wedge.mdd"
    modifier = nodes(obj, "//wedge.obj")
    modifier["Socket_0"] = "//input.ply"
    bake = modifier.bakes[0]
    modifier.bake_target, bake.use_custom_path, bake.directory = "DISK", True, "//bakes/nodes"
    for name, path in (("Bumps", "//bumps.png"), ("Wood", "//wood.png"), ("Card", "//card.png")):
        image = bpy.data.images.new(name, 4, 4)
        image.source, image.filepath, image.use_fake_user = "FILE", path, True
    texture = bpy.data.textures.new("Bumps", "IMAGE")
    texture.image = bpy.data.images["Bumps"]
    obj.modifiers.new("Displace", "DISPLACE").texture = texture
    card = bpy.data.objects.new("Card", None)
    card.empty_display_type, card.data = "IMAGE", bpy.data.images["Card"]
    scene.collection.objects.link(card)
    bpy.data.sounds.load(str(beside / "noise.wav"))
    found = {file.path.relative_to(beside).as_posix(): file for file in files.linked_files()}
    assert {name for name, file in found.items() if file.is_shape} == {
        "wedge.mdd",
        "wedge.obj",
        "input.ply",
        "bakes/nodes",
        "bumps.png",
        "card.png",
    }
    assert {name for name, file in found.items() if not file.is_shape} == {"wood.png"}
    assert [name for name, file in found.items() if not file.is_missing] == ["bakes/nodes"]  # is computed
    assert found["wedge.mdd"].of == 'modifier "Mesh Cache" of "Wedge"'
    modifier["Socket_0"] = obj.modifiers["Mesh Cache"].filepath = bake.directory = "/show/x"
    mapping.apply([{"source_path_format": "POSIX", "source_path": "/show", "destination_path": "/there"}], [])
    assert modifier["Socket_0"] == obj.modifiers["Mesh Cache"].filepath == bake.directory == "/there/x"


def test_inputs_of_one_name_keep_a_file_each(blend, tmp_path):
    obj = add_mesh(bpy.context.scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Wedge")
    modifier = nodes(obj, "")
    tree = modifier.node_group
    tree.interface.new_socket("File", in_out="INPUT", socket_type="NodeSocketString").subtype = "FILE_PATH"
    for name, socket in (("one", "Socket_0"), ("two", "Socket_1")):
        (blend.parent / f"{name}.obj").write_text("v 0 0 0\n")
        modifier[socket] = f"//{name}.obj"
    bpy.ops.wm.save_mainfile()
    plan = export(tmp_path / "farm")
    assert len({cache.of for cache in plan.caches}) == 2
    assert do(tmp_path / "farm", "Scene_Wide") == 0
    modifier = bpy.data.objects["Wedge"].modifiers[0]
    assert (modifier["Socket_0"], modifier["Socket_1"]) == ("//../show/one.obj", "//../show/two.obj")


def test_a_bake_of_nodes_that_was_there_has_to_be_on_the_farm(blend, tmp_path, capsys):
    obj = add_mesh(bpy.context.scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Wedge")
    modifier = nodes(obj, "")
    bake = modifier.bakes[0]
    modifier.bake_target, bake.use_custom_path, bake.directory = "DISK", True, "//bakes/nodes"
    meta = blend.parent / "bakes" / "nodes" / "meta"
    meta.mkdir(parents=True)
    (meta / "00001_00000.json").write_text("{}")
    bpy.ops.wm.save_mainfile()
    plan = export(tmp_path / "farm")
    assert [cache.path for cache in plan.caches] == ["//../show/bakes/nodes"]
    assert do(tmp_path / "farm", "Scene_Wide") == 0
    assert bpy.data.objects["Wedge"].modifiers[0].bakes[0].directory == "//../show/bakes/nodes"
    (blend.parent / "bakes").rename(tmp_path / "away")
    assert do(tmp_path / "farm", "Scene_Wide") == 1
    assert "bakes/nodes" in capsys.readouterr().err


def test_simulations_that_write_files_are_played_by_one_task(blend, tmp_path):
    assert not export(tmp_path / "farm").shots[0].task
    grid = add_mesh(bpy.context.scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Flag")
    grid.modifiers.new("Cloth", "CLOTH").point_cache.use_disk_cache = True
    bpy.context.view_layer.update()
    written = bundle.write(wanted(), (), tmp_path / "farm")
    assert {shot.task for shot in written.plan.shots} == {"Scene_Wide_and_1_more"}
    assert "bake them" in written.notes[0]
    assert do(tmp_path / "farm", "Scene_Wide_and_1_more") == 0
    assert all(
        (tmp_path / "farm" / "clips" / name / "job" / "job.json").is_file() for name in names(written.plan)
    )


def test_a_task_makes_as_many_clips_as_fit_in_its_time(blend, tmp_path):
    def tasks_of(seconds, clips_a_task=None):
        own = [
            Wanted(bpy.context.scene, shot, range(20), {"shapes": seconds} if seconds else {})
            for shot in shots.enabled(bpy.context.scene)
        ]
        plan = scenes.plan_of(own, ["shapes", "zeroscope"], "id", tmp_path, clips_a_task)
        made = {}
        for clip in (clip for shot in plan.shots for clip in shot.clips):
            made.setdefault((clip.task or clip.name, clip.model), []).append(clip.name)
        assert len({task for task, _ in made}) == len(made)
        return [len(own) for (_, model), own in made.items() if model == "shapes"]

    assert tasks_of(60.0) == [10] * 4
    assert tasks_of(3600.0) == [1] * 40
    assert tasks_of(0.5) == [32, 8]
    assert tasks_of(None) == [4] * 10
    assert tasks_of(60.0, 15) == [15, 15, 10]


def test_a_copy_of_simulations_that_is_left_leaves_no_half_of_a_job(blend, tmp_path, monkeypatch):
    cache = blend.parent / "blendcache_shot"
    cache.mkdir()
    for frame in range(4):
        (cache / f"cloth_{frame:06}_00.bphys").write_bytes(b"frame" * 300)
    farm = tmp_path / "farm"
    export(farm)
    monkeypatch.setattr(bundle, "A_TURN", 1024)
    work = bundle.write_in_turns(wanted(), (), farm)
    turns = [next(work) for _ in range(3)]
    assert {what for what, _, _ in turns} == {"Copying simulations, MiB"}
    work.close()
    assert not (farm / "template.yaml").exists() and not (farm / "blendcache_shot").exists()
    export(farm)
    assert (farm / "template.yaml").exists() and len(list((farm / "blendcache_shot").iterdir())) == 4


def test_simulations_that_change_while_they_are_copied_are_no_job(blend, tmp_path, monkeypatch):
    cache = blend.parent / "blendcache_shot"
    cache.mkdir()
    for frame in range(4):
        (cache / f"cloth_{frame:06}_00.bphys").write_bytes(b"frame" * 300)
    monkeypatch.setattr(bundle, "A_TURN", 1024)
    farm = tmp_path / "farm"

    def changed_by(change):
        work = bundle.write_in_turns(wanted(), (), farm)
        next(work)
        change()
        with pytest.raises(PeekabooError, match="changed while they were copied: export the job again"):
            list(work)
        assert not (farm / "template.yaml").exists() and not (farm / "blendcache_shot").exists()

    changed_by(lambda: (cache / "cloth_000000_00.bphys").write_bytes(b"baked" * 301))
    changed_by(lambda: [path.unlink() for path in cache.iterdir()])


def no_link(*_, **__):
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def test_a_claim_that_is_damaged_says_what_to_remove(blend, tmp_path, capsys):
    export(tmp_path / "farm")
    (tmp_path / "farm" / "clips").mkdir()
    (tmp_path / "farm" / "clips" / "plan.json").write_text("\n")
    assert do(tmp_path / "farm", "Scene_Wide") == 1
    assert "is damaged: it is no JSON): remove it if the folder" in capsys.readouterr().err


def test_a_machines_fault_can_be_kept_for_the_last_task(blend, tmp_path, capsys):
    library = linked(blend)
    export(tmp_path / "farm")
    library.unlink()
    assert do(tmp_path / "farm", "Scene_Wide", None, "--faults", "keep") == 0
    clip = tmp_path / "farm" / "clips" / "Scene_Wide_seed_4"
    assert "library.blend" in json.loads((clip / "problem.json").read_text())["message"]
    rules = tmp_path / "rules.json"
    rules.write_text("no rules")
    assert do(tmp_path / "farm", "Scene_Close", None, "--faults", "keep", "--path-mapping", rules) == 0
    clip = clip.with_name("Scene_Close_seed_4")
    assert "rules.json" in json.loads((clip / "problem.json").read_text())["message"]


@pytest.mark.parametrize(("faults", "code"), [("keep", 0), ("fail", 1)])
def test_what_a_machine_lacks_for_a_shot_of_a_task_costs_no_other(blend, tmp_path, capsys, faults, code):
    second = bpy.data.scenes.new("Second")
    small_shot(second, frames=4)
    second.peekaboo.seed_mode, second.peekaboo.seed = "FIXED", 4
    picture = blend.parent / "first.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    second.peekaboo.model = "wan2.1-i2v-14b-480p"
    second.peekaboo.start_from, second.peekaboo.picture = "picture", "//first.png"
    grid = add_mesh(bpy.context.scene, [(0, 0, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], "Flag")
    grid.modifiers.new("Cloth", "CLOTH").point_cache.use_disk_cache = True  # one task for all
    bpy.context.view_layer.update()
    own = [
        Wanted(scene, shot, (4,)) for scene in (second, bpy.context.scene) for shot in shots.enabled(scene)
    ]
    plan = bundle.write(own, (), tmp_path / "farm").plan
    picture.unlink()
    capsys.readouterr()
    assert do(tmp_path / "farm", plan.shots[0].task, None, "--faults", faults) == code
    assert "first.png" in "".join(capsys.readouterr())
    first, *others = names(plan)
    out = tmp_path / "farm" / "clips"
    assert (out / first / "problem.json").is_file() == (faults == "keep")
    assert others and all((out / name / "job" / "job.json").is_file() for name in others)


@pytest.mark.parametrize("links", [True, False])
def test_of_plans_that_claim_a_folder_at_once_one_has_it(blend, tmp_path, monkeypatch, links):
    if not links:  # as on exFAT and some network drives
        monkeypatch.setattr(places.os, "link", no_link)
    rivals = [export(tmp_path / name) for name in ("one", "two", "three", "four")]
    for round in range(20):
        out, had, start = tmp_path / f"out{round}", [], threading.Barrier(len(rivals))

        def claim(plan, out=out, had=had, start=start):
            start.wait()
            try:
                tasks.claim(plan, out)
            except PeekabooError as error:
                assert "another farm job" in str(error)
            else:
                had.append(plan.id)

        threads = [threading.Thread(target=claim, args=(plan,)) for plan in rivals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert had == [plans.read(out / "plan.json").id]
        assert [path.name for path in out.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"version": 3}, "newer Peekaboo"),
        ({"peekaboo": "99.1"}, "newer Peekaboo has made .*99.1"),
        ({"peekaboo": "new"}, "is no version"),
        ({"clips": ["a", "A"]}, "is there twice"),
        ({"clips": ["nul"]}, "name of a device"),
        ({"caches": [{"of": "x", "path": "/home"}]}, "not relative to the .blend"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_a_sentence(blend, tmp_path, change, part):
    path = tmp_path / "farm" / "plan.json"
    stated = export(path.parent).stated()
    for number, name in enumerate(change.pop("clips", ())):
        stated["shots"][number]["clips"][0]["name"] = name
    path.write_text(json.dumps(stated | change))
    with pytest.raises(PeekabooError, match=part):
        plans.read(path)
