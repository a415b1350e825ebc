# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of making a shot: run inside Blender."""

import bpy
from hands import Hands


def scenario_outlines(hands: Hands):
    """Look through the camera at three subjects; switch the outlines off and on; put a wall before one."""
    scene = bpy.context.scene
    with hands.context():
        bpy.ops.object.select_all(action="SELECT")
        bpy.ops.object.delete()
        bpy.ops.object.camera_add(location=(0, -10, 2), rotation=(1.4, 0, 0))
        scene.camera = bpy.context.object
        bpy.context.view_layer.update()
        for shape, size in (("SPHERE", 1.2), ("CUBE", 1.0), ("CONE", 0.8)):
            bpy.ops.peekaboo.add_subject(shape=shape, size=size)
        bpy.context.object.location = (-1.0, 0.5, 0.5)
        bpy.ops.view3d.view_camera()
    yield from hands.open_tab()
    yield 0.5
    bpy.context.view_layer.objects.active = None
    for obj in scene.objects:
        obj.select_set(False)  # selected objects are drawn in a colour of their own
    colors = [tuple(obj.peekaboo.color) for obj in scene.objects if obj.peekaboo.is_subject]
    seen = []
    for name in ("outlines", "no-outlines"):
        yield from hands.picture(name)
        seen.append([hands.count(name, color) for color in colors])
        yield from hands.press("show_outlines")
    with hands.context():
        bpy.ops.mesh.primitive_cube_add(size=1, location=(-1.4, -0.8, 0.5))
        bpy.context.object.select_set(False)
    for name in ("through-wall", "behind-wall"):
        yield 0.5
        yield from hands.picture(name)
        seen.append([hands.count(name, color) for color in colors])
        yield from hands.press("occluded_by_scene")
    return dict(zip(("on", "off", "through_wall", "behind_wall"), seen, strict=True))
