# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the real program: $BLENDER, which scripts/test finds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from house import installed

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "addon"))  # for the tiny model


@pytest.fixture
def blender(tmp_path):
    """Call the program without a window and with a fresh profile; returns the finished process."""

    def call(*arguments):
        profile = tmp_path.parent / f"{tmp_path.name}-profile"
        profile.mkdir(exist_ok=True)
        return subprocess.run(
            [os.environ["BLENDER"], "-b", *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "BLENDER_USER_RESOURCES": str(profile)},
        )

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    import tiny_model

    return tiny_model.save(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    """A Blender with the extension, which no test may take away from the others."""
    return installed.install(tmp_path_factory.mktemp("installed"))
