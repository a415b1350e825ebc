# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: no downloads, no time limits, and what becomes of tests whose program is missing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Tests build or ship what they load; one that reaches for a model hub is wrong and should fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

IN_CI = os.environ.get("CI", "").lower() == "true"
PROGRAM_TESTS = Path(__file__).parent / "blender"
GOLDENS = Path(__file__).parent / "goldens"

# A slow machine is no failure, and what fails in CI fails again at the next run.
hypothesis.settings.register_profile("house", deadline=None, derandomize=IN_CI)
hypothesis.settings.load_profile("house")


@pytest.fixture
def agree(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Hold plain data against the golden of a name, which the tests of the border's other side read.

    The engine and the add-on live in two Pythons and share no code. What one makes and the other takes is
    kept as JSON in tests/goldens: this fixture writes it (with ``--write-goldens``) and finds changes,
    ``agreed`` reads it.
    """

    def hold(name: str, data: Any) -> None:
        path = GOLDENS / f"{name}.json"
        if request.config.getoption("--write-goldens"):
            lines = ",\n ".join(json.dumps(entry, ensure_ascii=False) for entry in data)
            text = f"[\n {lines}\n]" if isinstance(data, list) else json.dumps(data, indent=1)
            path.write_text(text + "\n", encoding="utf-8")
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert json.loads(json.dumps(data)) == kept, f"if this is meant, run it with --write-goldens: {path}"

    return hold


@pytest.fixture
def agreed() -> Callable[[str], Any]:
    """Read the golden of a name, which the tests of the border's other side wrote."""
    return lambda name: json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.hookimpl(tryfirst=True)  # marks come before -m is read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the real program, and skip them where there is none, but not in CI."""
    skip = pytest.mark.skip(reason="needs a real Blender 4.2 or newer: set BLENDER or put it on PATH")
    for item in items:
        if item.path.is_relative_to(PROGRAM_TESTS):
            item.add_marker(pytest.mark.program)
            if not os.environ.get("BLENDER") and not IN_CI:
                item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail the tests of the real program in CI where there is none, before any of their fixtures run."""
    if IN_CI and not os.environ.get("BLENDER") and item.get_closest_marker("program"):
        pytest.fail("BLENDER is not set: CI has to test the real program", pytrace=False)
