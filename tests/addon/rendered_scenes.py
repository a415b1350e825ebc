# SPDX-License-Identifier: GPL-3.0-or-later
"""Random scenes of what only a render shows as it is, for Cycles to render the subjects themselves.

Modifiers that a viewport leaves out, instancers, metaballs of one name, characters of several objects,
library overrides after their file was opened anew, baked simulations, visibility by keyframes, walls, sets.
"""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path
from typing import NamedTuple

import bpy
from held import zones
from random_scenes import (
    BOX_CORNERS,
    BOX_FACES,
    add_bent_mesh,
    add_hiders,
    add_pivot,
    add_random_camera,
    animate,
    new_scene,
    scatter,
)
from scenes import add_mesh
from truth import label_material

from blender_addon.masks.cast import Role
from blender_addon.shot.layout import timing_of

STILL = ("SUBDIVIDED", "ARRAY", "NODES", "ON_VERTICES", "ON_FACES", "ON_POINTS", "CHARACTER", "PAIR")
LINKED = ("OVERRIDE",)
SIMULATED = ("CLOTH", "SOFT_BODY", "PARTICLES", "RIGID_BODY")
KINDS = (*STILL, "METABALLS", *LINKED, *SIMULATED)
"""Of subjects that a viewport shows otherwise, or that are several objects."""
WALLS = ("SCENE", "SET", "HOLDOUT", "HELD_OUT_COLLECTION")
"""Where something is that hides subjects."""

_files = count()


class Rendered(NamedTuple):
    """A scene.

    Attributes:
        scene: that is current.
        roles: of its subjects.
        time: to look at it.
        labels: of each object that a render shows.
    """

    scene: bpy.types.Scene
    roles: list[Role]
    time: float
    labels: dict


def build(seed: int, hidden: bool = False, width: int = 96, height: int = 64) -> Rendered:
    """Make a scene from a seed, with its simulations baked; with objects of all sorts before it, or not."""
    choose = random.Random(seed)
    scene = new_scene(width, height)
    scene.frame_start, scene.frame_end = 1, choose.choice([1, 5, 20])
    add_random_camera(scene, choose)
    roles, labels = [], {}
    for _ in range(choose.randint(1, 3)):
        kind = choose.choice(KINDS)
        marked, shown = add_subject(scene, choose, kind)
        for subject in marked:
            scatter(choose, subject)
            subject.scale = [abs(axis) for axis in subject.scale]
            if kind != "RIGID_BODY":  # which moves by itself
                animate(scene, choose, subject)
            subject.peekaboo.is_subject, subject.peekaboo.outline = True, "SURFACE"
        if choose.random() < 0.3:  # of an instanced child it is refused
            key_visibility(scene, choose, choose.choice(marked if kind.startswith("ON_") else shown))
        roles.append(Role(tuple(marked)))
        labels |= dict.fromkeys(shown, len(roles))
    scene.peekaboo.occluded_by_scene = choose.random() < 0.5
    wall = add_wall(scene, choose, choose.choice(WALLS))
    wall.visible_camera = scene.peekaboo.occluded_by_scene
    labels[wall] = 0
    if hidden:
        scene.peekaboo.occluded_by_scene = wall.visible_camera = True
        labels |= dict.fromkeys(add_hiders(scene, choose), 0)
    times = [1, 3.25, scene.frame_end, *timing_of(scene, 16).scene_frames]
    made = Rendered(scene, roles, choose.choice(times), labels)
    if any(obj.override_library for obj in labels):
        made = _opened_anew(made)
    bake(made.scene)
    return made


def _opened_anew(made: Rendered) -> Rendered:
    """The scene after its file was opened again."""
    names = [[obj.name for obj in role.objects] for role in made.roles]
    labels = {obj.name_full: label for obj, label in made.labels.items()}
    scene = opened_anew()
    return Rendered(
        scene,
        [Role(tuple(scene.objects[name] for name in group)) for group in names],
        made.time,
        {obj: labels[obj.name_full] for obj in bpy.data.objects if obj.name_full in labels},
    )


def opened_anew():
    """Save the file and open it again; returns the current scene."""
    path = _new_file()
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    bpy.ops.wm.open_mainfile(filepath=str(path))
    path.unlink()
    return bpy.context.scene


def _new_file() -> Path:
    return Path(bpy.app.tempdir) / f"scene {next(_files)}.blend"


def add_subject(scene, choose, kind) -> tuple[list, list]:
    """Add a subject of one of the kinds; returns the objects that are marked, and those with its surfaces."""
    match kind:
        case "METABALLS":
            return add_metaballs(scene, choose)
        case "CHARACTER":
            root = add_pivot(scene, choose)
            return [root], [add_limb(scene, choose, root) for _ in range(3)]
        case "PAIR":
            pair = [add_box(scene), add_box(scene)]
            return pair, pair
        case "ON_VERTICES" | "ON_FACES":
            frame, child = add_box(scene), add_box(scene)
            child.parent = frame
            child.scale = [0.3] * 3
            frame.instance_type = "VERTS" if kind == "ON_VERTICES" else "FACES"
            frame.show_instancer_for_render = choose.random() < 0.5
            return [frame], [frame, child]
        case "NODES" | "ON_POINTS":
            return add_nodes(scene, choose, kind == "ON_POINTS")
        case "OVERRIDE":
            return add_override(scene, choose)
        case "CLOTH":
            return add_flag(scene, choose)
        case "PARTICLES":
            return add_particles(scene, choose)
    obj = add_box(scene)
    if kind == "ARRAY":
        array = obj.modifiers.new("Array", "ARRAY")
        array.show_viewport, array.count = False, 3
    elif kind == "SOFT_BODY":
        settings = obj.modifiers.new("Softbody", "SOFT_BODY").settings
        settings.use_goal = False
        obj.modifiers.new("Subdivide", "SUBSURF").render_levels = choose.choice([0, 2])
    elif kind == "RIGID_BODY":
        bpy.context.view_layer.objects.active = obj
        bpy.ops.rigidbody.object_add()
    else:
        obj.modifiers.new("Subdivide", "SUBSURF").render_levels = choose.choice([0, 2, 3])
    return [obj], [obj]


def add_box(scene, name="Box"):
    return add_mesh(scene, BOX_CORNERS, BOX_FACES, name)


def add_limb(scene, choose, root):
    limb = add_box(scene)
    limb.parent = root
    limb.location = [choose.uniform(-1, 1) for _ in range(3)]
    limb.scale = [choose.uniform(0.3, 0.8)] * 3
    return limb


def add_metaballs(scene, choose):
    name = f"Ball {len(scene.objects)} family"
    balls = [bpy.data.objects.new(name, bpy.data.metaballs.new(name)) for _ in range(3)]
    for ball in balls:
        ball.data.resolution, ball.data.render_resolution = 0.4, 0.2
        ball.data.elements.new().radius = choose.uniform(0.6, 1)
        ball.location.x = choose.uniform(-0.3, 0.3)
        scene.collection.objects.link(ball)
    for ball in balls[1:]:
        ball.parent = balls[0]
    return [balls[0]], balls


def add_nodes(scene, choose, instances: bool):
    """Nodes that make a cube in a viewport, and in a render a ball, or cubes at a grid's points."""
    group, _, out, viewport, switch, cube, material = zones(
        "GeometryNodeIsViewport", "GeometryNodeSwitch", "GeometryNodeMeshCube", "GeometryNodeSetMaterial"
    )
    switch.input_type = "GEOMETRY"
    material.inputs["Material"].default_value = label_material()
    links = group.links
    if instances:
        grid, points = (
            group.nodes.new("GeometryNodeMeshGrid"),
            group.nodes.new("GeometryNodeInstanceOnPoints"),
        )
        grid.inputs["Size X"].default_value = grid.inputs["Size Y"].default_value = choose.uniform(1, 3)
        points.inputs["Scale"].default_value = [choose.uniform(0.2, 0.4)] * 3
        links.new(grid.outputs["Mesh"], points.inputs["Points"])
        links.new(cube.outputs["Mesh"], points.inputs["Instance"])
        in_render = points.outputs["Instances"]
    else:
        ball = group.nodes.new("GeometryNodeMeshUVSphere")
        ball.inputs["Radius"].default_value = choose.uniform(0.6, 1.2)
        in_render = ball.outputs["Mesh"]
    for source, target in (
        (viewport.outputs[0], switch.inputs["Switch"]),
        (in_render, switch.inputs["False"]),
        (cube.outputs["Mesh"], switch.inputs["True"]),
        (switch.outputs[0], material.inputs["Geometry"]),
        (material.outputs[0], out.inputs[0]),
    ):
        links.new(source, target)
    obj = add_box(scene)
    obj.modifiers.new("Nodes", "NODES").node_group = group
    return [obj], [obj]


def add_override(scene, choose):
    """A rigged character of two meshes from another file, in an override that can be edited."""
    known = set(bpy.data.objects)
    column = add_bent_mesh(scene, choose)
    armature = column.modifiers["Armature"].object
    column.parent = armature
    column.modifiers.new("Subdivide", "SUBSURF").render_levels = choose.choice([0, 2])
    limb = add_limb(scene, choose, armature)
    own = [obj for obj in bpy.data.objects if obj not in known]
    collection = bpy.data.collections.new("Character")
    for obj in own:
        collection.objects.link(obj)
    for obj in (column, limb):
        obj.data.materials.append(label_material())
    path = _new_file()
    bpy.data.libraries.write(str(path), {collection}, fake_user=True)
    bpy.data.batch_remove([*own, collection])
    with bpy.data.libraries.load(str(path), link=True) as (there, wanted):
        wanted.collections = there.collections
    scene.collection.children.link(wanted.collections[0])
    made = wanted.collections[0].override_hierarchy_create(
        scene, bpy.context.view_layer, do_fully_editable=True
    )
    for linked in [child for child in scene.collection.children if child.library]:
        scene.collection.children.unlink(linked)
    rig = next(obj for obj in made.all_objects if obj.type == "ARMATURE")
    rig.pose.bones[0].rotation_euler.y = choose.uniform(-1, 1)
    return [rig], [obj for obj in made.all_objects if obj.type == "MESH"]


def add_flag(scene, choose):
    """A cloth that hangs from one edge."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=6, y_subdivisions=6, size=2)
    flag = bpy.context.object
    pin = flag.vertex_groups.new(name="pin")
    pin.add([vertex.index for vertex in flag.data.vertices if vertex.co.x < -0.9], 1, "REPLACE")
    flag.modifiers.new("Cloth", "CLOTH").settings.vertex_group_mass = "pin"
    flag.modifiers.new("Subdivide", "SUBSURF").render_levels = choose.choice([0, 2])
    return [flag], [flag]


def add_particles(scene, choose):
    """Boxes that fall out of another one."""
    emitter, grain = add_box(scene), add_box(scene, "Grain")
    scene.collection.objects.unlink(grain)
    emitter.show_instancer_for_render = choose.random() < 0.5
    settings = emitter.modifiers.new("Particles", "PARTICLE_SYSTEM").particle_system.settings
    settings.count, settings.frame_start, settings.frame_end = 12, 1, 5
    settings.render_type, settings.instance_object = "OBJECT", grain
    settings.particle_size = choose.uniform(0.1, 0.3)
    return [emitter], [emitter, grain]


def key_visibility(scene, choose, obj):
    """Hide an object from render from one frame on, or up to one."""
    hidden = choose.random() < 0.5
    for frame in (1, choose.randint(1, scene.frame_end)):
        obj.hide_render = hidden
        obj.keyframe_insert("hide_render", frame=frame)
        hidden = not hidden


def caches_of(scene):
    """The caches of a scene's simulations."""
    for obj in scene.objects:
        for modifier in obj.modifiers:
            if modifier.type in {"CLOTH", "SOFT_BODY"}:
                yield modifier.point_cache
            elif modifier.type == "PARTICLE_SYSTEM":
                yield modifier.particle_system.point_cache
    if scene.rigidbody_world:
        yield scene.rigidbody_world.point_cache


def bake(scene):
    """Bake all simulations of a scene to the frame after its last, once nothing is changed any more."""
    last = scene.frame_end
    scene.frame_end += 1  # beyond which Blender bakes nothing
    for cache in caches_of(scene):
        cache.frame_start, cache.frame_end = 1, scene.frame_end
        with bpy.context.temp_override(scene=scene, point_cache=cache):
            bpy.ops.ptcache.bake(bake=True)
    scene.frame_end = last


def add_wall(scene, choose, where):
    """A wall before some of the picture."""
    home = scene
    if where == "SET":
        home = scene.background_set = bpy.data.scenes.new("Set")
    wall = add_mesh(home, [(-4, 0, -4), (0, 0, -4), (0, 0, 4), (-4, 0, 4)], [(0, 1, 2, 3)], "Wall")
    wall.location = (choose.uniform(-1, 2), choose.uniform(-3, 4), 0)
    wall.is_holdout = where == "HOLDOUT"
    if where == "HELD_OUT_COLLECTION":
        collection = bpy.data.collections.new("Held Out")
        scene.collection.children.link(collection)
        collection.objects.link(wall)
        scene.collection.objects.unlink(wall)
        bpy.context.view_layer.layer_collection.children[collection.name].holdout = True
    return wall
