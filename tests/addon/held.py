# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the masks of a small scene against what a render of it shows."""

import bpy
import numpy as np
from truth import render_labels

from blender_addon.masks import sampling
from blender_addon.shot import subjects
from blender_addon.shot.layout import read_layout

WIDTH, HEIGHT = 96, 64


def primitive(kind, name, **how):
    getattr(bpy.ops.mesh, f"primitive_{kind}_add")(**how)
    bpy.context.object.name = name
    return bpy.context.object


def subject(obj, outline="SURFACE"):
    obj.peekaboo.is_subject, obj.peekaboo.outline = True, outline
    return obj


def mask(scene, time=1):
    """Where a scene's only subject is seen."""
    roles = subjects.roles_of(scene)
    return sampling.sample(scene, roles, [time], lambda sampler: sampler.label_map(time, WIDTH, HEIGHT)) > 0


def layout(scene):
    return read_layout(scene, WIDTH, HEIGHT, 12).labels > 0


def rendered(scene, *shining):
    """Where a render shows these objects, the first of which is labelled, at the scene's frame."""
    return render_labels(scene, dict.fromkeys(shining, 1)) > 0


def agree(found, truth):
    """Cycles takes its sample a little beside the pixel's centre: at an edge, that may decide."""
    assert truth.any()
    return np.count_nonzero(found != truth) <= 0.02 * np.count_nonzero(truth)


def compositor(scene):
    """A scene's compositor with its last node and nothing else; since 5.0 a group of nodes."""
    if hasattr(scene, "compositing_node_group"):
        tree = scene.compositing_node_group = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        return tree, tree.nodes.new("NodeGroupOutput")
    scene.use_nodes = True
    scene.node_tree.nodes.clear()
    return scene.node_tree, scene.node_tree.nodes.new("CompositorNodeComposite")


def zones(*links):
    """A group of geometry nodes with its input and output, and the nodes of these types between them."""
    group = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    return group, *(group.nodes.new(kind) for kind in ("NodeGroupInput", "NodeGroupOutput", *links))
