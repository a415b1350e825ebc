# SPDX-License-Identifier: GPL-3.0-or-later
"""A white model: all that a render shows, and the empties that are subjects, as if made of grey clay.

Cycles renders it, on the processor, so that it needs no window and no graphics card. The clay is lit from the
camera, and casts no shadow: it shines the more, the more a surface faces the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np

from .. import compat, paths
from . import cameras, outlines, sampling
from .cast import Cast, Role, render_parts
from .geometry import convex_hull
from .stage import render_copy
from .unfollowed import is_smoke

DARKEST, BRIGHTEST = 0.05, 0.8
"""Linear grey of clay that is seen edge on, and of clay that faces the camera."""
SAMPLES = 16
"""Of a pixel; there is no noise in them, they smooth edges."""
SUBDIVISIONS = 5
"""Of a ball that stands for a sphere empty."""
RIM = 128
"""Corners of a disc that stands for a circle empty."""


class WhiteModel:
    """Writes ``Scene_white/Scene_white.0001.png`` for each frame; nothing is black."""

    def __init__(self, scene, roles: Sequence[Role], folder: Path):
        """Write the white model of a scene, with its subjects' empties as solids."""
        self._scene, self._roles = scene, roles
        self._title = f"{paths.file_names([scene.name])[0]}_white"
        self._folder = folder / self._title

    def draw(self, frames: Sequence[int], on_frame: Callable[[], None]) -> None:
        """See :class:`.mattes.Writer`."""
        scene = self._scene
        seen_by = {frame: cameras.camera_at(scene, frame) for frame in frames}
        *_, aspect = cameras.picture_size(scene.render)

        def look(sampler: sampling.Sampler) -> None:
            """See whether all can be seen: Cycles leaves out what cannot, and is silent.

            Clay has no displacement, so that nothing else may have any.
            """
            for frame in frames:
                sampler.check_clay(frame, aspect)

        sampling.sample(scene, self._roles, frames, look, hides=True)
        shown, held_out = render_parts(scene)
        files = {frame: self._folder / f"{self._title}.{frame:04}.png" for frame in frames}
        cast = Cast(scene, self._roles)
        with _clay() as material, _twins(cast.drawn) as twins, _collected(held_out) as holes:
            objects = dict.fromkeys([*cast.objects, *shown, *twins, *seen_by.values()])
            visible = [obj for obj in objects if _is_clay(obj) and obj not in held_out]

            def prepare(copy) -> None:
                _set_up(copy, material, scene.render)
                copy.collection.children.link(holes)
                copy.view_layers[0].layer_collection.children[holes.name].holdout = True

            render_copy(scene, visible, seen_by, prepare, files, on_frame)

    def finish(self) -> list[str]:
        """See :class:`.mattes.Writer`."""
        return [self._title]


def _is_clay(obj) -> bool:
    """Whether an object may be shown in clay: no light, and no smoke, whose domain would be a solid box."""
    return obj.type != "LIGHT" and not is_smoke(obj)


def _set_up(copy, material, users) -> None:
    """Let Cycles render a copy of a scene as clay, at the size that the user's settings say."""
    render, cycles = copy.render, copy.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = cameras.render_size(users)
    render.use_border = users.use_border and users.use_crop_to_border
    render.film_transparent, render.dither_intensity = True, 0
    cycles.device = "CPU"
    cycles.samples = SAMPLES
    cycles.use_adaptive_sampling = cycles.use_denoising = False
    cycles.max_bounces = 0
    cycles.film_exposure = 1
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 1
    compat.set_picture_output(render)
    copy.world = None
    copy.view_layers[0].material_override = material
    copy.display_settings.display_device = "sRGB"
    view = copy.view_settings
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0, 1
    view.use_curve_mapping = False


@contextmanager
def _clay() -> Iterator[Any]:
    """A material that shines the more, the more it faces the camera."""
    material: Any = bpy.data.materials.new("Peekaboo Clay")
    try:
        if material.node_tree is None:  # from 5.0 on there always is one
            material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        nodes.clear()
        facing, shade = nodes.new("ShaderNodeLayerWeight"), nodes.new("ShaderNodeMapRange")
        shine, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
        shade.inputs["To Min"].default_value, shade.inputs["To Max"].default_value = BRIGHTEST, DARKEST
        links.new(facing.outputs["Facing"], shade.inputs["Value"])
        links.new(shade.outputs["Result"], shine.inputs["Strength"])
        links.new(shine.outputs["Emission"], output.inputs["Surface"])
        yield material
    finally:
        bpy.data.batch_remove([material])


@contextmanager
def _collected(objects) -> Iterator[Any]:
    """A collection of objects."""
    collection = bpy.data.collections.new("Peekaboo Holdout")
    try:
        for obj in objects:
            collection.objects.link(obj)
        yield collection
    finally:
        bpy.data.batch_remove([collection])


@contextmanager
def _twins(empties) -> Iterator[list]:
    """Meshes that are where Blender draws empties, and follow them."""
    twins: list = []
    try:
        for empty in empties:
            mesh = _mesh_of(empty)
            twin: Any = bpy.data.objects.new("Peekaboo Solid", mesh)
            twins.append(twin)
            twin.parent = empty
            _follow(twin, "hide_render", empty, "hide_render")
            for axis in range(3):
                _follow(twin, "scale", empty, "empty_display_size", axis)
        yield twins
    finally:
        bpy.data.batch_remove([*(twin.data for twin in twins), *twins])


def _follow(obj, name: str, leader, path: str, index: int = -1) -> None:
    """Drive a property by another's, without an expression, which a file might not be allowed to run."""
    driver = obj.driver_add(name, index).driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.targets[0].id, variable.targets[0].data_path = leader, path


def _mesh_of(empty):
    """What an empty of display size 1 looks like, as a mesh."""
    mesh = bpy.data.meshes.new("Peekaboo Solid")
    if empty.empty_display_type in {"SPHERE", "CIRCLE"}:
        work = bmesh.new()
        if empty.empty_display_type == "SPHERE":
            bmesh.ops.create_icosphere(work, subdivisions=SUBDIVISIONS, radius=1)
        else:
            turn = 2 * np.pi * np.arange(RIM) / RIM
            work.faces.new([work.verts.new((np.cos(a), 0, np.sin(a))) for a in turn])
        work.to_mesh(mesh)
        work.free()
        return mesh
    corners = outlines.empty_shape(empty, np.eye(4), size=1).bounds
    hull = convex_hull(corners[:, :3] / corners[:, 3:])
    mesh.from_pydata(hull.vertices.tolist(), [], hull.triangles.tolist())
    return mesh
