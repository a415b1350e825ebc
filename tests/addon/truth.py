# SPDX-License-Identifier: GPL-3.0-or-later
"""The truth that projection is held to: Blender's own renderer, one sample at each pixel's centre."""

import tempfile
from pathlib import Path

import bpy
import numpy as np


def render_labels(scene, objects: dict) -> np.ndarray:
    """Render which object is seen at each pixel's centre.

    Args:
        scene: rendered with its camera and at its size.
        objects: object with a surface -> label; other objects are left out of the picture. Linked data has
            :func:`label_material` already.

    Returns:
        uint8 (height, width), 0 where there is none; row 0 is the top.
    """
    for obj, label in objects.items():
        obj.pass_index = label
        if obj.data.library is None:
            obj.data.materials.clear()
            obj.data.materials.append(label_material())
    return np.rint(_render(scene)[..., 0]).astype(np.uint8)


def render_seen(scene) -> np.ndarray:
    """Render where anything is seen at each pixel's centre: bool (height, width), row 0 at the top.

    Changes no object, so that a simulation that was played goes on.
    """
    return _render(scene)[..., 3] > 0.5


def _render(scene) -> np.ndarray:
    """The pixels of a picture: float32 (height, width, 4), row 0 at the top."""
    _set_up(scene)
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder) / "labels.exr")
        bpy.ops.render.render(write_still=True, scene=scene.name)
        image = bpy.data.images.load(scene.render.filepath)
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1]


def label_material():
    """The material that shines with the number of its object."""
    name = "Label"
    if (known := bpy.data.materials.get((name, None))) is not None:
        return known
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    index, shader, output = (
        nodes.new(f"ShaderNode{kind}") for kind in ("ObjectInfo", "Emission", "OutputMaterial")
    )
    links.new(index.outputs["Object Index"], shader.inputs["Color"])
    links.new(shader.outputs["Emission"], output.inputs["Surface"])
    return material


def _set_up(scene):
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.film_transparent = True
    render.use_motion_blur = False
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "32"
    render.image_settings.color_mode = "RGBA"
    cycles.samples = 1
    cycles.use_denoising = False
    cycles.use_adaptive_sampling = False
    cycles.pixel_filter_type = "BOX"
    cycles.filter_width = 0.01
    cycles.max_bounces = 0
    scene.display_settings.display_device = "sRGB"
    scene.view_settings.view_transform = "Raw"
