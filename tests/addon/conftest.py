# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests inside Blender's Python."""

import os
import sys

import bpy
import pytest

import blender_addon

_exit_status: int | None = None


def pytest_sessionfinish(exitstatus: int) -> None:
    """Note how the tests ended."""
    global _exit_status
    _exit_status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End when all is written: the bpy module may hang in its destructors (4.5, in a thread of sound)."""
    if _exit_status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status)


@pytest.fixture(scope="session", autouse=True)
def addon():
    blender_addon.register()
    yield
    blender_addon.unregister()  # else the bpy module hangs at exit


@pytest.fixture
def scene():
    """The scene of a new, empty file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene
