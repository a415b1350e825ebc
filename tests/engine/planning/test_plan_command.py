# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `plan` as a person and as a program runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from planning import language_server as lm

from peekaboo_engine.benchmark.layouts import read_layouts
from peekaboo_engine.planning.plan import Plan
from peekaboo_engine.planning.planner import plan_text

ROOT = Path(__file__).parents[3]
TEXT = "a red ball rolls from left to right behind a blue cube"


def run(*arguments, request=None, **environment):
    return subprocess.run(
        [sys.executable, "-s", "-m", "peekaboo_engine", "plan", *map(str, arguments)],
        input=None if request is None else json.dumps(request) + "\n",
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_person_gets_a_plan_changes_it_and_evaluates_its_boxes(tmp_path):
    plan, boxes = tmp_path / "plan.json", tmp_path / "boxes.json"
    made = run(TEXT, "--out", plan, "--layouts", boxes)
    assert made.returncode == 0, made.stderr
    assert Plan.model_validate_json(plan.read_text()) == plan_text(TEXT)
    layouts = read_layouts(boxes).layouts
    assert [layout.tracks[0].subject for layout in layouts] == ["red ball", "blue cube"]
    assert layouts[0].tracks[0].boxes.shape == (16, 4)
    changed = run("remove the cube", "--change", plan, "--out", plan)
    assert changed.returncode == 0, changed.stderr
    assert len(Plan.model_validate_json(plan.read_text()).shots[0].subjects) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a dog gallumphs"], "gallumphs"),
        ([""], "nothing to plan"),
        (["a ball", "--change", "nowhere.json"], "Cannot read the plan"),
        (["a ball", "--change", __file__], "is not a plan"),
        (["a ball", "--out", f"{__file__}/plan.json"], "Cannot write"),
        (["a ball", "--endpoint", "http://localhost:1"], "add --model"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, words):
    failed = run(*arguments)
    assert failed.returncode == 1
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_program_sends_a_request_and_reads_events():
    done = run("--events", request={"text": TEXT, "aspect": 1.0})
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["start", "hello", "plan"]
    assert Plan.model_validate(events[-1]["plan"]) == plan_text(TEXT, 1.0)
    assert events[-1]["notes"] == []


def test_a_program_asks_a_language_model_and_the_key_is_in_no_output():
    answer = json.dumps({"reasoning": "", "shots": plan_text(TEXT).model_dump(mode="json")["shots"]})
    with lm.serving(lm.says(answer)) as (server, url):
        request = {"text": TEXT, "endpoint": {"url": url, "model": "tiny", "key": "sk-secret"}}
        done = run("--events", request=request)
    assert done.returncode == 0, done.stderr
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "request_",
    [
        {"text": "a ball", "endpoint": {"url": "http://localhost", "model": 3, "key": "sk-secret"}},
        {"text": "a ball", "key": "sk-secret"},
        {"text": "a ball", "plan": {"version": 9}},
        ["a ball"],
    ],
)
def test_requests_that_cannot_be_read_are_one_sentence_without_the_key(request_):
    done = run("--events", request=request_)
    last = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert (last["event"], last["code"]) == ("error", "bad_request")
    assert "sk-secret" not in done.stdout + done.stderr


def test_a_plan_needs_no_torch():
    code = "import sys, peekaboo_engine.planning.command; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
