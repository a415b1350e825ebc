# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of settings: what a job states of a scene comes back from it, whatever the settings are."""

import bpy
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scenes import add_camera, add_empty, add_mesh

from blender_addon.shot import restoring, settings
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_layout

WIDTH, HEIGHT, FRAMES = 48, 32, 5
PYRAMID = [(-1, -1, -1), (1, -1, -1), (1, 1, -1), (-1, 1, -1), (0, 0, 1)]
DENT = [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4), (0, 1, 2, 3)]


def values(owner, name):
    """Any value that a property can have."""
    prop = owner.bl_rna.properties[name]
    match prop.type:
        case "BOOLEAN":
            return st.booleans()
        case "INT":
            return st.integers(prop.hard_min, prop.hard_max)
        case "FLOAT":
            return st.floats(prop.hard_min, min(prop.hard_max, 1e6), width=32)
        case "ENUM":
            return st.sampled_from(prop.enum_items.keys())
    return st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def of_jobs(table):
    """Names of the settings that a job holds."""
    return [name for name, setting in table.items() if setting.job]


def scramble(data, scene, subjects):
    """Give all settings that a job holds, and those that decide what it holds, some value each."""
    for name in [*of_jobs(settings.SHOT), "seed_mode"]:
        setattr(scene.peekaboo, name, data.draw(values(scene.peekaboo, name), name))
    if scene.peekaboo.model.replace("\\", "/").startswith("//"):  # beside a .blend that is not there
        scene.peekaboo.model = "shapes"
    for obj in subjects:
        for name in of_jobs(settings.SUBJECT):
            setattr(obj.peekaboo, name, data.draw(values(obj.peekaboo, name), name))
        obj.peekaboo.enabled = True
        if obj.animation_data:
            obj.animation_data_clear()
        keys = data.draw(st.dictionaries(st.integers(-5, 60), st.floats(0, 1, width=32), max_size=3))
        obj.peekaboo.strength = data.draw(st.floats(0, 1, width=32), "strength")
        for frame, strength in keys.items():
            obj.peekaboo.strength = strength
            obj.keyframe_insert("peekaboo.strength", frame=frame)
    scene.frame_start = data.draw(st.integers(0, 30))
    scene.frame_end = scene.frame_start + data.draw(st.integers(0, 40))
    scene.render.fps = data.draw(st.integers(1, 120))
    scene.render.fps_base = data.draw(st.sampled_from([1.0, 1.001]))


def read(scene):
    """The job and the labels of a scene as it is; prompt and phrases need not fit each other."""
    layout = read_layout(scene, WIDTH, HEIGHT, FRAMES)
    return make_job(scene, layout, scene.peekaboo.seed), layout.labels


@pytest.mark.slow
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_setting_of_a_job_comes_back_with_the_same_masks(data):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    add_camera(scene, lens=30)
    mesh = add_mesh(scene, PYRAMID, DENT)
    mesh.location = (-1.5, 2, 0)
    mesh.peekaboo.is_subject = True
    empty = add_empty(scene, "a ball", "SPHERE", location=(1.2, 0, 0.5))
    add_mesh(scene, [(-3, -1, -3), (0, -1, -3), (0, -1, 3)], [(0, 1, 2)], "Occluder")
    for frame, x in ((0, 0.5), (60, 2.0)):
        empty.location.x = x
        empty.keyframe_insert("location", frame=frame)
    scramble(data, scene, [mesh])
    before, labels = read(scene)
    scramble(data, scene, [mesh])
    assert restoring.restore(scene, before) == []
    after, same_labels = read(scene)
    assert after == before
    np.testing.assert_array_equal(same_labels, labels)
