# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's scene shows what it says: both subjects all the time, one passing behind the other."""

import demo_scene
import numpy as np
from house import demo_shot

from blender_addon.shot import prompt
from blender_addon.shot.layout import read_layout


def test_the_cube_passes_behind_the_ball_and_both_stay_in_view(scene):
    demo_scene.build(scene)
    labels = read_layout(scene, 288, 160, 16).labels
    ball, cube = ((labels == label).sum(axis=(1, 2)) for label in (1, 2))
    assert ball.min() > 0.05 * 288 * 160
    assert cube.min() > 0
    assert cube.min() < 0.5 * np.median(cube), "hidden in part"
    assert ball.min() > 0.8 * np.median(ball), "never hidden"

    def middles(label):
        return [np.argwhere(frame == label)[:, 1].mean() for frame in labels]

    assert middles(1)[0] < middles(2)[0] and middles(1)[-1] > middles(2)[-1], "the paths cross"


def test_the_camera_moves_and_the_prompt_names_each_subject(scene):
    demo_scene.build(scene)
    prompt.check_prompt(scene)
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, 48, 24)
    first, last = (position for _, position in demo_shot.CAMERA_PATH)
    places = []
    for frame in (scene.frame_start, scene.frame_end):
        scene.frame_set(frame)
        places.append(tuple(scene.camera.matrix_world.translation))
    assert np.allclose(places, [first, last])
