# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written for OpenJD, held against its own model; tests/blender runs it."""

import json

import pytest
import yaml
from house.environments import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from openjd.model import DocumentType, decode_job_template, document_string_to_object

from blender_addon.farm import openjd
from blender_addon.farm.plan import MOST_CLIPS, Clip, Plan, Shot, steps

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
DATA = st.recursive(
    TEXT | st.integers() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[A-Za-z]{1,9}", fullmatch=True), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(DATA)
def test_yaml_says_what_it_was_given(data):
    assert yaml.safe_load(openjd.yaml(data)) == data


def plan(clips=1, *models):
    made = [
        Clip(f"Scene_{model.strip('/').replace('/', '_')}_seed_{seed}", model, seed)
        for model in models or ["shapes"]
        for seed in range(clips)
    ]
    return Plan("0123abcd", "shot.blend", (Shot("Scene", "Scene", "", 1, 8, 24, 1.0, tuple(made)),))


def decoded(of):
    text = openjd.yaml(openjd.template(of, "a night"))
    stated = document_string_to_object(document=text, document_type=DocumentType.YAML)
    assert str(ROOT) not in text
    return decode_job_template(template=stated), stated


def test_a_template_is_valid_and_has_a_step_for_each_model():
    job, stated = decoded(plan(2, "shapes", "zeroscope", "wan2.2-t2v-a14b", "//../models/own one"))
    assert [step.name for step in job.steps] == [
        "Masks",
        "Generate shapes",
        "Generate zeroscope",
        "Generate wan2.2-t2v-a14b",
        "Generate own_one",
        "Gather",
    ]
    least = {
        step["name"]: {each["name"]: each["min"] for each in step["hostRequirements"]["amounts"]}
        for step in stated["steps"]
        if "hostRequirements" in step
    }
    catalogue = json.loads((ROOT / "peekaboo_engine" / "models.json").read_text("utf-8"))
    zeroscope = catalogue["zeroscope"]
    assert least["Generate zeroscope"] == {
        "amount.worker.gpu": 1,
        "amount.worker.gpu.memory": round(zeroscope["measured_gb"] * 1e9 / 2**20),
        "amount.worker.memory": round(zeroscope["weights_gb"]["bf16"] * 1e9 / 2**20),
    }
    assert least["Generate own_one"] == {"amount.worker.gpu": 1}  # of which nothing else is known
    assert not {"Masks", "Generate shapes", "Gather"} & set(least)  # which need no GPU


def test_as_many_clips_as_a_plan_may_have_are_a_valid_job():
    decoded(plan(MOST_CLIPS))


def test_each_task_waits_for_what_it_reads_and_the_last_for_all():
    planned = plan(2, "shapes", "zeroscope")
    masks, *making, last = steps(planned)
    assert [task.needs for step in making for task in step.tasks] == [(("masks", "Scene"),)] * 4
    assert last.tasks[0].needs == tuple(("generate", clip.name) for clip in planned.shots[0].clips)
    assert last.needs == tuple(step.title for step in making) and not masks.needs


@pytest.mark.parametrize("document", [openjd.parameter_values(), openjd.asset_references(["../a"], [])])
def test_no_path_beside_the_template_is_absolute(document):
    assert not any(
        text.startswith(("/", "\\")) or text[1:2] == ":"
        for text in _texts(yaml.safe_load(openjd.yaml(document)))
    )


def _texts(data):
    if isinstance(data, str):
        yield data
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _texts(each)
