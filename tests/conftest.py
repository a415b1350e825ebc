# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: no downloads, no time limits, and what becomes of tests whose program is missing."""

import os
from pathlib import Path

import hypothesis
import pytest

# Tests build or ship what they load; one that reaches for a model hub is wrong and should fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

IN_CI = os.environ.get("CI", "").lower() == "true"
PROGRAM_TESTS = Path(__file__).parent / "blender"

# A slow machine is no failure, and what fails in CI fails again at the next run.
hypothesis.settings.register_profile("house", deadline=None, derandomize=IN_CI)
hypothesis.settings.load_profile("house")


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
