# SPDX-License-Identifier: GPL-3.0-or-later
"""Random scenes to compare with Cycles: subjects of all shapes, cameras of all kinds, rigs of all sorts.

Each subject has a twin: a mesh that is where the subject's outline should be, for Cycles to render.
"""

import itertools
import math
import random

import bpy
import numpy as np
from mathutils import Vector
from scenes import add_camera, add_empty, add_mesh

from blender_addon.masks.geometry import convex_hull

BOX_CORNERS = list(itertools.product((-1, 1), repeat=3))
BOX_FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
BOXES = ("CUBE", "PLAIN_AXES", "ARROWS", "IMAGE", "CONE")
"""Kinds of empty whose twins are polyhedra, which Cycles renders without approximation."""
CURVED = ("SPHERE", "CIRCLE")
MESHES = ("SUZANNE", "CURVE", "ARMATURE", "INSTANCES")


def new_scene(width: int, height: int):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = width, height
    return scene


def build(seed: int, kinds, width: int = 96, height: int = 64):
    """Make a scene from a seed; returns it, its subjects, and a time to look at it."""
    choose = random.Random(seed)
    scene = new_scene(*choose.choice([(width, height), (height, width), (width, width)]))
    scene.frame_start, scene.frame_end = 1, 20
    add_random_camera(scene, choose)
    subjects = []
    for _ in range(choose.randint(1, 5)):
        kind = choose.choice(kinds)
        subject = (
            add_random_mesh(scene, choose, kind) if kind in MESHES else add_random_empty(scene, choose, kind)
        )
        animate(scene, choose, subject)
        subjects.append(subject)
    return scene, subjects, choose.choice([1, 7.25, 13.5, 20])


def add_random_camera(scene, choose):
    render = scene.render
    if choose.random() < 0.3:
        render.pixel_aspect_x, render.pixel_aspect_y = choose.choice([(2, 1), (1, 1.5), (1.3, 1)])
    if choose.random() < 0.3:
        render.resolution_percentage = choose.choice([50, 75, 130])
    if choose.random() < 0.3:
        render.use_border = render.use_crop_to_border = True
        render.border_min_x, render.border_max_x = choose.uniform(0, 0.3), choose.uniform(0.6, 1)
        render.border_min_y, render.border_max_y = choose.uniform(0, 0.3), choose.uniform(0.6, 1)
    near = choose.choice([0.1, 1, choose.uniform(3, 8)])
    camera = add_camera(
        scene,
        location=(choose.uniform(-1, 1), choose.uniform(-9, -5), choose.uniform(-1, 1)),
        rotation=(choose.uniform(1.3, 1.8), choose.uniform(-0.5, 0.5), choose.uniform(-0.2, 0.2)),
        type=choose.choice(["PERSP", "PERSP", "ORTHO"]),
        lens=choose.uniform(18, 80),
        ortho_scale=choose.uniform(4, 12),
        shift_x=choose.choice([0, choose.uniform(-0.4, 0.4)]),
        shift_y=choose.choice([0, choose.uniform(-0.4, 0.4)]),
        sensor_fit=choose.choice(["AUTO", "HORIZONTAL", "VERTICAL"]),
        clip_start=near,
        clip_end=choose.choice([100, choose.uniform(9, 14)]),
    )
    if choose.random() < 0.4:
        camera.data.keyframe_insert("lens", frame=1)
        camera.data.keyframe_insert("ortho_scale", frame=1)
        camera.data.lens *= 1.4
        camera.data.ortho_scale *= 1.4
        camera.data.keyframe_insert("lens", frame=20)
        camera.data.keyframe_insert("ortho_scale", frame=20)
    if choose.random() < 0.3:
        parent = add_pivot(scene, choose)
        parent.scale = [choose.choice([0.6, 1.7])] * 3  # unequal, it would shear: see docs/reference/masks.md
        parent.rotation_euler = (0, 0, choose.uniform(-0.1, 0.1))
        camera.parent = parent
        camera.scale = (2, 0.7, 1.2)
    if choose.random() < 0.3:
        other = add_camera(scene, location=(0, -8, 0), lens=40)
        scene.timeline_markers.new("other", frame=10).camera = other
        scene.timeline_markers.new("first", frame=1).camera = camera
    return camera


def add_pivot(scene, choose):
    pivot = bpy.data.objects.new("Pivot", None)
    scene.collection.objects.link(pivot)
    pivot.location = [choose.uniform(-0.5, 0.5) for _ in range(3)]
    return pivot


def scatter(choose, obj):
    obj.location = (choose.uniform(-2, 2), choose.uniform(-4, 5), choose.uniform(-1.3, 1.3))
    obj.rotation_euler = [choose.uniform(-math.pi, math.pi) for _ in range(3)]
    obj.scale = [choose.uniform(0.3, 1.6) * choose.choice([1, 1, -1]) for _ in range(3)]


def add_random_empty(scene, choose, kind):
    empty = add_empty(scene, display=kind, size=choose.uniform(0.3, 1.5))
    scatter(choose, empty)
    if kind == "IMAGE":
        empty.data = bpy.data.images.new("Image", choose.randint(10, 90), choose.randint(10, 90))
        empty.empty_image_offset = (choose.uniform(-1, 0), choose.uniform(-1, 0))
    return empty


def add_random_mesh(scene, choose, kind):
    """A subject with geometry of its own, by hull or by surface."""
    if kind == "SUZANNE":
        bpy.ops.mesh.primitive_monkey_add()
        obj = bpy.context.object
        subdivide = obj.modifiers.new("Subdivide", "SUBSURF")
        subdivide.levels = subdivide.render_levels = 1  # the twin is made as a viewport shows it
    elif kind == "CURVE":
        bpy.ops.curve.primitive_bezier_circle_add()
        obj = bpy.context.object
        obj.data.bevel_depth = 0.2
    elif kind == "ARMATURE":
        obj = add_bent_mesh(scene, choose)
    else:
        obj = add_instances(scene)
    scatter(choose, obj)
    obj.peekaboo.is_subject = True
    obj.peekaboo.outline = choose.choice(["HULL", "SURFACE"])
    return obj


def add_bent_mesh(scene, choose):
    """A column that a bone bends."""
    bpy.ops.object.armature_add()
    armature = bpy.context.object
    corners = [(0.4 * x, 0.4 * y, z) for z in (0, 0.5, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    sides = [
        (4 * k + i, 4 * k + (i + 1) % 4, 4 * k + 4 + (i + 1) % 4, 4 * k + 4 + i)
        for k in (0, 1)
        for i in range(4)
    ]
    obj = add_mesh(scene, corners, [(3, 2, 1, 0), *sides, (8, 9, 10, 11)])
    group = obj.vertex_groups.new(name=armature.pose.bones[0].name)
    group.add(range(8, 12), 1.0, "REPLACE")
    obj.modifiers.new("Armature", "ARMATURE").object = armature
    armature.pose.bones[0].rotation_mode = "XYZ"
    armature.pose.bones[0].rotation_euler = (choose.uniform(-1, 1), 0, choose.uniform(-1, 1))
    return obj


def add_instances(scene):
    """An empty that instances a collection of two boxes."""
    collection = bpy.data.collections.new("Set")
    for x in (-1, 1):
        mesh = bpy.data.meshes.new("Part")
        mesh.from_pydata([(x + 0.4 * a, 0.4 * b, 0.4 * c) for a, b, c in BOX_CORNERS], [], BOX_FACES)
        part = bpy.data.objects.new("Part", mesh)
        part.rotation_euler.x = x
        collection.objects.link(part)
    empty = bpy.data.objects.new("Instances", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", collection
    scene.collection.objects.link(empty)
    return empty


def animate(scene, choose, subject):
    """Move a subject by keyframes, a sheared parent, a constraint or a driver."""
    rig = choose.choice(["none", "keys", "parent", "constraint", "driver"])
    if rig == "keys":
        for frame in (1, 20):
            subject.location.x += choose.uniform(-1, 1)
            subject.rotation_euler.z += choose.uniform(-1, 1)
            subject.keyframe_insert("location", frame=frame)
            subject.keyframe_insert("rotation_euler", frame=frame)
    elif rig == "parent":  # of unequal scale, so that the turned child is sheared
        parent = add_pivot(scene, choose)
        parent.scale = (1.4, 0.6, 1)
        subject.parent = parent
        parent.keyframe_insert("rotation_euler", frame=1)
        parent.rotation_euler.z = 0.5
        parent.keyframe_insert("rotation_euler", frame=20)
    elif rig == "constraint":
        target = add_pivot(scene, choose)
        target.keyframe_insert("location", frame=1)
        target.location.z += 1
        target.keyframe_insert("location", frame=20)
        constraint = subject.constraints.new("COPY_LOCATION")
        constraint.target, constraint.use_offset = target, True
    elif rig == "driver":
        subject.driver_add("location", 2).driver.expression = "frame / 20 - 0.5"


def add_hiders(scene, choose) -> list:
    """Add objects of all sorts before and behind subjects and the camera; returns those with surfaces."""
    made: list = []
    for _ in range(choose.randint(3, 8)):
        kind = choose.choice(list(HIDERS))
        placed, shown = HIDERS[kind](scene, choose)
        scatter(choose, placed)
        placed.location.y += choose.choice([-12, -3, 0, 0, 4])
        placed.scale = [0.6 * abs(axis) for axis in placed.scale]
        if choose.random() < 0.3:
            for frame in (1, 20):
                placed.keyframe_insert("location", frame=frame)
                placed.location.x += choose.uniform(-4, 4)
        made += shown
    return made


def _one(obj):
    return obj, [obj]


def _hiding_box(scene, choose, modifier=None):
    obj = add_mesh(scene, BOX_CORNERS, BOX_FACES, "Hider")
    if modifier == "DISPLACE":
        move = obj.modifiers.new("Displace", "DISPLACE")
        move.direction, move.strength = "X", choose.uniform(-9, 9)
    elif modifier == "ARRAY":
        obj.modifiers.new("Array", "ARRAY").count = 4
    elif modifier == "KEYS":
        obj.shape_key_add(name="Basis")
        key = obj.shape_key_add(name="Key")
        key.data[0].co = [choose.uniform(-6, 6) for _ in range(3)]
        for frame, value in ((1, 0), (20, 1)):
            key.value = value
            key.keyframe_insert("value", frame=frame)
    return _one(obj)


def _hiding_curve(scene, choose):
    bpy.ops.curve.primitive_bezier_circle_add()
    obj = bpy.context.object
    obj.data.bevel_depth = choose.uniform(0.1, 0.5)
    if choose.random() < 0.5:
        obj.modifiers.new("Array", "ARRAY").count = 3
    return _one(obj)


def _hiding_text(scene, choose):
    bpy.ops.object.text_add()
    obj = bpy.context.object
    obj.data.body, obj.data.extrude = "Wall", choose.uniform(0.1, 0.6)
    return _one(obj)


def _hiding_surface(scene, choose):
    bpy.ops.surface.primitive_nurbs_surface_sphere_add()
    return _one(bpy.context.object)


def _hiding_balls(scene, choose):
    name = f"Balls {len(scene.objects)} of"
    balls = [bpy.data.objects.new(name, bpy.data.metaballs.new(name)) for _ in range(2)]
    for ball in balls:
        ball.data.resolution = ball.data.render_resolution = 0.4
        ball.data.elements.new().radius = 0.8
        scene.collection.objects.link(ball)
    balls[1].parent = balls[0]
    balls[1].location.x = choose.uniform(-1, 1)
    return balls[0], balls


def _hiding_instances(scene, choose):
    empty = add_instances(scene)
    return empty, list(empty.instance_collection.objects)


def _hiding_children(scene, choose):
    frame, (child, _) = _hiding_box(scene, choose)[0], _hiding_box(scene, choose)
    child.parent, child.scale = frame, [0.4] * 3
    frame.instance_type = choose.choice(["VERTS", "FACES"])
    return frame, [frame, child]


HIDERS = {
    "BOX": _hiding_box,
    "DISPLACED": lambda scene, choose: _hiding_box(scene, choose, "DISPLACE"),
    "ARRAY": lambda scene, choose: _hiding_box(scene, choose, "ARRAY"),
    "KEYS": lambda scene, choose: _hiding_box(scene, choose, "KEYS"),
    "CURVE": _hiding_curve,
    "TEXT": _hiding_text,
    "SURFACE": _hiding_surface,
    "BALLS": _hiding_balls,
    "INSTANCES": _hiding_instances,
    "CHILDREN": _hiding_children,
}
"""Makes what may hide subjects: what is to be placed, and the objects that have its surfaces."""


def add_twin(scene, depsgraph, subject):
    """A mesh where the subject's outline is at the depsgraph's time.

    Cycles renders it in the subject's place.
    """
    evaluated = subject.evaluated_get(depsgraph)
    matrix = evaluated.matrix_world.copy()
    if subject.type == "EMPTY" and subject.instance_type == "NONE":
        vertices, faces = empty_surface(subject)  # not placed by matrix_world, which cannot hold a shear
        return add_mesh(scene, [matrix @ Vector(vertex) for vertex in vertices], faces)
    vertices, faces = [], []
    for source, place in parts(depsgraph, evaluated):
        mesh = source.to_mesh()
        mesh.calc_loop_triangles()  # a bent quad has two ways to be cut in two; keep the subject's
        faces += [[len(vertices) + v for v in triangle.vertices] for triangle in mesh.loop_triangles]
        vertices += [place @ vertex.co for vertex in mesh.vertices]
        source.to_mesh_clear()
    if subject.peekaboo.outline == "HULL":
        local = matrix.inverted()
        hull = convex_hull(np.array([local @ vertex for vertex in vertices]))
        vertices, faces = (
            [matrix @ Vector(v) for v in hull.vertices],
            hull.triangles.tolist(),
        )
    return add_mesh(scene, vertices, faces)


def parts(depsgraph, evaluated):
    if evaluated.type != "EMPTY":
        yield evaluated, evaluated.matrix_world.copy()
    for instance in depsgraph.object_instances:
        if instance.is_instance and instance.parent.original == evaluated.original:
            yield instance.object, instance.matrix_world.copy()


def empty_surface(empty):
    """Vertices and faces of what an empty marks, in its own space."""
    size, kind = empty.empty_display_size, empty.empty_display_type
    if kind in {"CUBE", "PLAIN_AXES"}:
        return [[size * c for c in corner] for corner in BOX_CORNERS], BOX_FACES
    if kind == "ARROWS":
        return [[size * (c + 1) / 2 for c in corner] for corner in BOX_CORNERS], BOX_FACES
    if kind == "CONE":
        ring = [(size * math.cos(i * math.pi / 4), 0, size * math.sin(i * math.pi / 4)) for i in range(8)]
        return [*ring, (0, 2 * size, 0)], [tuple(range(8)), *[(i, (i + 1) % 8, 8) for i in range(8)]]
    if kind == "IMAGE":
        width, height = (size * n / max(empty.data.size) for n in empty.data.size)
        x, y = empty.empty_image_offset[0] * width, empty.empty_image_offset[1] * height
        return [(x, y, 0), (x + width, y, 0), (x + width, y + height, 0), (x, y + height, 0)], [(0, 1, 2, 3)]
    if kind == "CIRCLE":
        count = 720
        ring = [
            (size * math.cos(i * math.tau / count), 0, size * math.sin(i * math.tau / count))
            for i in range(count)
        ]
        return ring, [tuple(range(count))]
    return sphere(size)


def sphere(radius, segments=192, rings=96):
    def point(i, j):
        turn, rise = i * math.tau / segments, j * math.pi / rings
        return (
            radius * math.sin(rise) * math.cos(turn),
            radius * math.sin(rise) * math.sin(turn),
            radius * math.cos(rise),
        )

    vertices = [point(i, j) for j in range(rings + 1) for i in range(segments)]
    faces = [
        (
            j * segments + i,
            j * segments + (i + 1) % segments,
            (j + 1) * segments + (i + 1) % segments,
            (j + 1) * segments + i,
        )
        for j in range(rings)
        for i in range(segments)
    ]
    return vertices, faces
