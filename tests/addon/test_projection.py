# SPDX-License-Identifier: GPL-3.0-or-later
"""Label maps against Cycles, which is what the user's camera really sees."""

import dataclasses
import itertools
import math

import bpy
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import add_camera, add_empty, add_mesh
from truth import render_labels

from blender_addon import cameras, projection, subjects

WIDTH, HEIGHT = 96, 64
NUDGE = 0.01
"""In pixels: the width of the disc in which Cycles takes its sample, with some room for 32-bit floats."""
CUBE_CORNERS = list(itertools.product((-1, 1), repeat=3))
CUBE_FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def view_and_shapes(scene, objects):
    """What the scene's camera sees of some objects, in the full frame of a render."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    width, height = cameras.render_size(scene.render)
    aspect = width * scene.render.pixel_aspect_x / (height * scene.render.pixel_aspect_y)
    view = cameras.view(scene.camera.evaluated_get(depsgraph), depsgraph, scene.render, aspect)
    return view, [subjects.shapes_of(obj.evaluated_get(depsgraph), depsgraph) for obj in objects]


def disagreement(scene, objects, truth):
    """Pixels that differ from the truth, and pixels with an outline next to their centre: two bool maps.

    Cycles scatters its sample over a hundredth of a pixel, so that it decides nothing on an outline.
    """
    height, width = truth.shape
    view, shapes = view_and_shapes(scene, objects)
    labels = projection.label_map(view, shapes, width, height)
    on_outline = np.zeros_like(labels, bool)
    for x, y in itertools.product((-NUDGE, NUDGE), repeat=2):
        nudge = np.eye(4)
        nudge[:2, 3] = 2 * x / width, 2 * y / height
        nudged = dataclasses.replace(view, world_to_clip=nudge @ view.world_to_clip)
        on_outline |= projection.label_map(nudged, shapes, width, height) != labels
    return labels != truth, on_outline


def twin(scene, empty):
    """A mesh cube where a cube empty is drawn."""
    size = empty.empty_display_size
    mesh = add_mesh(scene, [[size * c for c in corner] for corner in CUBE_CORNERS], CUBE_FACES)
    mesh.matrix_world = empty.matrix_world
    return mesh


def new_scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    return scene


angles = st.floats(-math.pi, math.pi)
places = st.tuples(st.floats(-3, 3), st.floats(-4, 8), st.floats(-2, 2))
scales = st.tuples(*[st.floats(0.2, 2) | st.floats(-2, -0.2)] * 3)
boxes = st.tuples(places, st.tuples(angles, angles, angles), scales, st.floats(0.3, 1.5))
lenses = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["PERSP", "ORTHO"]),
        "lens": st.floats(15, 90),
        "ortho_scale": st.floats(2, 12),
        "shift_x": st.floats(-0.4, 0.4),
        "shift_y": st.floats(-0.4, 0.4),
        "sensor_fit": st.sampled_from(["AUTO", "HORIZONTAL", "VERTICAL"]),
        "clip_start": st.floats(0.05, 9),
        "clip_end": st.floats(10, 30),
    }
)


@settings(max_examples=30)
@given(st.lists(boxes, min_size=1, max_size=5), lenses, st.floats(0.5, 2))
def test_boxes_are_what_cycles_renders(placed, lens, pixel_aspect):
    scene = new_scene()
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = max(1, pixel_aspect), max(1, 1 / pixel_aspect)
    add_camera(scene, location=(0.3, -7, 0.5), rotation=(1.5, 0.1, 0.05), **lens)
    empties = []
    for i, (place, turn, scale, size) in enumerate(placed):
        turn = np.add(turn, [0.013 * i, 0.007 * i, 0.011 * i])  # faces that coincide have no nearest one
        empties.append(add_empty(scene, size=size, location=place, rotation=turn, scale=scale))
    bpy.context.view_layer.update()
    truth = render_labels(scene, {twin(scene, empty): i + 1 for i, empty in enumerate(empties)})
    wrong, on_outline = disagreement(scene, empties, truth)
    assert not (wrong & ~on_outline).any(), f"{np.count_nonzero(wrong & ~on_outline)} pixels differ"
    assert on_outline.mean() < 0.005
