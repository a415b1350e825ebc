# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow of a public CI: what it may do, and that its steps are scripts which are there."""

import re

import pytest
import yaml
from house.environments import HOST_PYTHONS, ROOT
from house.missing_libraries import DEBIAN_PACKAGES

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def workflow(request):
    return yaml.safe_load(request.param.read_text("utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_it_may_read_and_nothing_else(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    assert "pull_request_target" not in workflow[True]  # YAML takes the key "on" for a truth
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert not any("secrets." in str(step) for step in steps(workflow))


def test_the_actions_of_others_are_pinned_to_a_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in used)


def test_each_script_that_it_runs_is_there(workflow):
    commands = "\n".join(step["run"] for step in steps(workflow) if "run" in step)
    scripts = re.findall(r"\bscripts/[\w/.]+", commands)
    assert scripts and all((ROOT / script).is_file() for script in scripts)
    assert not re.search(r"\$\{\{", commands), "text of a pull request must not become part of a command"


def test_it_installs_the_libraries_and_takes_pythons_that_blender_has(workflow):
    (libraries,) = [step["run"] for step in steps(workflow) if "apt-get install" in step.get("run", "")]
    assert set(DEBIAN_PACKAGES.values()) <= set(libraries.split())
    rows = workflow["jobs"]["checks"]["strategy"]["matrix"]["include"]
    assert {row["python"] for row in rows} == {f"{major}.{minor}" for major, minor in HOST_PYTHONS}
    assert {row["system"].partition("-")[0] for row in rows} == {"ubuntu", "windows", "macos"}
