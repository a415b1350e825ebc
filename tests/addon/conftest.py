# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests inside Blender's Python."""

import bpy
import pytest

import blender_addon


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
