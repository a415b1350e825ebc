# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRAs of a shot: the list, its text, jobs, and back."""

import json

import bpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import small_shot

from blender_addon.command import options
from blender_addon.engine import catalogue, job_schema
from blender_addon.errors import PeekabooError, UsageError
from blender_addon.shot import loras, restoring
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_layout

SOURCES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=30
).filter(lambda text: text.splitlines() == [text])
STATED = st.fixed_dictionaries(
    {
        "source": SOURCES.map(lambda text: f"{text}.safetensors"),
        "weight": st.integers(-100_000, 100_000).map(lambda tenths: tenths / 10_000),
        "expert": st.sampled_from(loras.EXPERTS),
        "distils": st.booleans(),
    }
)


@given(st.lists(STATED, max_size=4))
def test_a_text_says_all_that_a_job_states(stated):
    assert loras.parse(loras.text_of(stated)) == stated
    assert loras.problem(loras.text_of(stated)) is None


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("a.safetensors", ("a.safetensors", 1.0, "both", False)),
        ("a.safetensors:0.8", ("a.safetensors", 0.8, "both", False)),
        (r"C:\loras\a.safetensors:-1:high", (r"C:\loras\a.safetensors", -1.0, "high", False)),
        ("o/n/a.safetensors:low:distils", ("o/n/a.safetensors", 1.0, "low", True)),
        (":0.5", (":0.5", 1.0, "both", False)),
    ],
)
def test_what_may_be_left_out_is_as_usual(text, stated):
    [parsed] = loras.parse(f"\n {text} \n")
    assert tuple(parsed.values()) == stated


def test_a_weight_out_of_range_is_a_sentence():
    assert loras.problem("a.safetensors:11").endswith("cannot be 11: give a number from -10 to 10.")


@pytest.fixture
def shot(scene):
    small_shot(scene)
    scene.peekaboo.lora_list.clear()
    return scene


def job_of(scene):
    return make_job(scene, read_layout(scene, 48, 32, 5), 0)


def test_a_job_has_those_that_are_on_and_restoring_brings_them_back(shot, tmp_path):
    file = tmp_path / "style.safetensors"
    file.write_bytes(b"")
    bpy.ops.peekaboo.add_lora(filepath=str(file))
    bpy.ops.peekaboo.add_lora(filepath="owner/name/few.safetensors")
    first, second = shot.peekaboo.lora_list
    first.weight, second.expert, second.distils = 0.3, "low", True
    job = job_of(shot)
    assert job["loras"] == [
        {"source": str(file), "weight": 0.3, "expert": "both", "distils": False},
        {"source": "owner/name/few.safetensors", "weight": 1.0, "expert": "low", "distils": True},
    ]
    first.enabled = False
    second.weight = 2
    assert [each["source"] for each in job_of(shot)["loras"]] == ["owner/name/few.safetensors"]
    assert restoring.restore(shot, job) == []
    assert job_of(shot) == job and len(shot.peekaboo.lora_list) == 2
    restoring.restore(shot, {**job, "loras": []})
    assert job_of(shot)["loras"] == [] and len(shot.peekaboo.lora_list) == 2  # off, not lost
    bpy.ops.peekaboo.remove_lora(index=0)
    assert [each.source for each in shot.peekaboo.lora_list] == ["owner/name/few.safetensors"]


def test_a_file_beside_the_blend_is_told_by_its_whole_path(shot, tmp_path):
    shot.peekaboo.loras = "//style.safetensors"
    with pytest.raises(PeekabooError, match="save"):
        job_of(shot)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert job_of(bpy.context.scene)["loras"][0]["source"] == str(tmp_path / "style.safetensors")


def test_where_blender_was_started_decides_nothing(shot, tmp_path, monkeypatch):
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder in (here, beside):
        (folder / "owner" / "name").mkdir(parents=True)
    (here / "owner" / "name" / "style.safetensors").write_bytes(b"")
    monkeypatch.chdir(here)
    shot.peekaboo.loras = "owner/name/style.safetensors"
    assert job_of(shot)["loras"][0]["source"] == "owner/name/style.safetensors"
    bpy.ops.wm.save_as_mainfile(filepath=str(beside / "shot.blend"))
    shot = bpy.context.scene
    assert job_of(shot)["loras"][0]["source"] == "owner/name/style.safetensors"
    file = beside / "owner" / "name" / "style.safetensors"
    file.write_bytes(b"")
    assert job_of(shot)["loras"][0]["source"] == str(file)
    parser = options.Parser()
    options.add_shot(parser)
    typed = parser.parse_args(["--lora", "owner/name/style.safetensors:0.5"])  # in the folder of the shell
    with options.overridden([shot], typed):
        assert job_of(shot)["loras"][0]["source"] == str(here / "owner" / "name" / "style.safetensors")


def test_the_command_line_has_its_own_for_a_run(shot):
    shot.peekaboo.loras = "owner/name/style.safetensors:0.5"
    shot.peekaboo.num_inference_steps, shot.peekaboo.guidance_scale = 30, 7
    bpy.ops.peekaboo.add_lora(filepath="owner/name/b.safetensors")
    shot.peekaboo.lora_list[1].expert, shot.peekaboo.lora_list[1].enabled = "low", False
    before = loras.listed(shot.peekaboo)
    parser = options.Parser()
    options.add_shot(parser)
    asked = ["--lora", "owner/name/a.safetensors:0.8:high", "--lora", "owner/name/b.safetensors:low:distils"]
    with options.overridden([shot], parser.parse_args([*asked, "--schedule", "distilled-8"])):
        job = job_of(shot)
        assert sorted((each["source"][-13:], each["weight"], each["expert"]) for each in job["loras"]) == [
            ("a.safetensors", 0.8, "high"),
            ("b.safetensors", 1.0, "low"),
        ]
        assert (job["schedule"], job["num_inference_steps"]) == ("distilled-8", None)
    assert [each["source"] for each in job_of(shot)["loras"]] == ["owner/name/style.safetensors"]
    assert loras.listed(shot.peekaboo) == before  # nothing of the run is saved
    assert (shot.peekaboo.num_inference_steps, shot.peekaboo.guidance_scale) == (30, 7)
    with (
        pytest.raises(UsageError, match="cannot be 99: give a number from -10 to 10"),
        options.overridden([shot], parser.parse_args(["--lora", "a.safetensors:99"])),
    ):
        pass


def test_a_schedule_has_its_own_numbers_until_others_are_typed(shot):
    settings = shot.peekaboo
    settings.num_inference_steps, settings.guidance_scale = 30, 7
    settings.schedule = "guided-head"
    job = job_of(shot)
    assert (job["schedule"], job["num_inference_steps"], job["guidance_scale"]) == ("guided-head", None, None)
    settings.guidance_scale = 4
    job = job_of(shot)
    settings.schedule = "auto"
    settings.guidance_scale = 0
    assert job_of(shot)["schedule"] is None
    restoring.restore(shot, job)
    assert job_of(shot) == job and settings.guidance_scale == 4


AWAY = [
    "../a.safetensors",
    "a/b/../../c.safetensors",
    r"..\x",
    r"\\server\share\x.safetensors",
    "//server/x",
    "..",
]


@pytest.mark.parametrize("source", AWAY)
def test_a_job_that_leads_to_another_machine_or_up_is_refused_before_anything_is_opened(shot, source):
    job = {**job_of(shot), "loras": [{"source": source, "weight": 1.0, "expert": "both"}]}
    with pytest.raises(job_schema.Damaged, match="leads up or to another machine"):
        job_schema.check(json.loads(json.dumps(job)))
    assert catalogue.lora_state(source) == "downloaded"  # nothing to download, nothing to look for


def test_a_file_of_the_user_s_above_the_blend_is_stated_by_its_whole_path(shot, tmp_path):
    shot.peekaboo.loras = f"{tmp_path}/a/../style.safetensors"
    assert [each["source"] for each in job_of(shot)["loras"]] == [f"{tmp_path}/style.safetensors"]
