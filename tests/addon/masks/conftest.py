# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests of masks."""

import pytest
from held import HEIGHT, WIDTH
from scenes import add_camera


@pytest.fixture
def stage(scene):
    """A scene whose camera looks at the origin."""
    add_camera(scene)
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.frame_start, scene.frame_end = 1, 12
    return scene
