# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks are what Blender's renderer shows: scenes from public reports, each held against Cycles."""

import math

import bpy
import numpy as np
import pytest
from scenes import add_camera, add_mesh
from truth import render_labels, render_seen

from blender_addon.errors import PeekabooError
from blender_addon.masks import sampling
from blender_addon.shot import subjects
from blender_addon.shot.layout import read_layout, read_shot

WIDTH, HEIGHT = 96, 64
WALL = [(-4, 0, -4), (0, 0, -4), (0, 0, 4), (-4, 0, 4)]


@pytest.fixture
def stage(scene):
    """A scene whose camera looks at the origin."""
    add_camera(scene)
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.frame_start, scene.frame_end = 1, 12
    return scene


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


def zones(*links):
    """A group of geometry nodes with its input and output, and the nodes of these types between them."""
    group = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    return group, *(group.nodes.new(kind) for kind in ("NodeGroupInput", "NodeGroupOutput", *links))


def show_otherwise_in_viewport(obj):
    group, _, out, viewport, switch, small, large = zones(
        "GeometryNodeIsViewport", "GeometryNodeSwitch", "GeometryNodeMeshCube", "GeometryNodeMeshUVSphere"
    )
    switch.input_type = "GEOMETRY"
    small.inputs["Size"].default_value = (0.5, 0.5, 0.5)
    for source, target in (
        (viewport.outputs[0], switch.inputs["Switch"]),
        (large.outputs["Mesh"], switch.inputs["False"]),
        (small.outputs["Mesh"], switch.inputs["True"]),
        (switch.outputs[0], out.inputs[0]),
    ):
        group.links.new(source, target)
    obj.modifiers.new("Nodes", "NODES").node_group = group
    # The material of the truth is set on the object's own mesh, which the nodes replace
    return obj


def test_what_only_a_render_shows_is_masked(stage):
    show_otherwise_in_viewport(subject(primitive("cube", "Ball", size=0.4)))
    assert np.count_nonzero(mask(stage)) > 300  # the large ball, not the small cube


def test_curves_have_the_resolution_of_a_render(stage):
    bpy.ops.curve.primitive_bezier_circle_add(rotation=(math.pi / 2, 0, 0))
    ring = subject(bpy.context.object)
    ring.data.dimensions, ring.data.fill_mode = "2D", "BOTH"
    ring.data.resolution_u, ring.data.render_resolution_u = 1, 24
    found = mask(stage)
    assert agree(found, rendered(stage, ring))


def test_the_simplification_of_a_render_counts(stage):
    ball = subject(primitive("cube", "Ball"))
    ball.modifiers.new("Subdivision", "SUBSURF").render_levels = 3
    smooth = mask(stage)
    stage.render.use_simplify, stage.render.simplify_subdivision_render = True, 0
    found = mask(stage)
    assert np.count_nonzero(found) > np.count_nonzero(smooth)
    assert agree(found, rendered(stage, ball))


@pytest.mark.parametrize("marked", [0, 1])
def test_metaballs_of_one_family_are_one_surface(stage, marked):
    balls = []
    for place in (-0.8, 0, 0.8):
        data = bpy.data.metaballs.new("Blob")
        data.render_resolution = 0.15
        data.elements.new().radius = 0.9
        balls.append(bpy.data.objects.new("Blob", data))
        balls[-1].location.x = place
        stage.collection.objects.link(balls[-1])
    subject(balls[marked])
    found = mask(stage)
    assert agree(found, rendered(stage, *balls))


@pytest.mark.parametrize("marked", ["instancer", "child"])
@pytest.mark.parametrize("shown", [True, False])
def test_what_is_instanced_on_elements_is_seen_there(stage, marked, shown):
    frame = primitive("plane", "Frame", size=3, rotation=(math.pi / 2, 0, 0))
    lamp = primitive("uv_sphere", "Lamp", radius=0.4)
    lamp.parent = frame
    frame.instance_type = "VERTS"
    frame.show_instancer_for_render = shown
    frame.show_instancer_for_viewport = not shown
    subject(frame if marked == "instancer" else lamp)
    found = mask(stage)
    if marked == "child":  # the truth: its own, seen through a frame that is not there
        frame.show_instancer_for_render = False
    assert agree(found, rendered(stage, frame, lamp))


def test_an_instanced_object_that_is_itself_hidden_from_render_is_seen(stage):
    source = primitive("uv_sphere", "Source", radius=0.5)
    source.hide_render = True
    scatter = subject(primitive("plane", "Scatter", size=3, rotation=(math.pi / 2, 0, 0)))
    group, entry, out, points, info = zones("GeometryNodeInstanceOnPoints", "GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = source
    group.links.new(entry.outputs[0], points.inputs["Points"])
    group.links.new(info.outputs["Geometry"], points.inputs["Instance"])
    group.links.new(points.outputs[0], out.inputs[0])
    scatter.modifiers.new("Nodes", "NODES").node_group = group
    found = mask(stage)
    assert agree(found, rendered(stage, source))


@pytest.mark.parametrize("where", ["scene", "set", "set of the set"])
def test_a_background_set_hides_subjects(stage, where):
    ball = subject(primitive("uv_sphere", "Ball", radius=1))
    stage.peekaboo.occluded_by_scene = True
    home = stage
    for _ in range(["scene", "set", "set of the set"].index(where)):
        home.background_set = bpy.data.scenes.new("Set")
        home = home.background_set
    wall = add_mesh(home, WALL, [(0, 1, 2, 3)])
    wall.location.y = -3
    found = mask(stage)
    assert found.any() and not found[:, : WIDTH // 2].any()
    wall.is_holdout = True
    assert agree(found, rendered(stage, ball))


def test_a_subject_of_a_background_set_is_seen(stage):
    stage.background_set = bpy.data.scenes.new("Set")
    wall = subject(add_mesh(stage.background_set, WALL, [(0, 1, 2, 3)]))
    assert agree(mask(stage), rendered(stage, wall))


@pytest.mark.parametrize(
    ("setting", "hides"),
    [("holdout", True), ("indirect_only", False), ("exclude", False)],
)
def test_collections_are_in_a_render_as_its_view_layer_says(stage, setting, hides):
    subject(primitive("uv_sphere", "Ball", radius=1))
    whole = mask(stage)
    collection = bpy.data.collections.new("Walls")
    stage.collection.children.link(collection)
    wall = add_mesh(stage, WALL, [(0, 1, 2, 3)])
    stage.collection.objects.unlink(wall)
    collection.objects.link(wall)
    wall.location.y = -3
    setattr(bpy.context.view_layer.layer_collection.children["Walls"], setting, True)
    stage.peekaboo.occluded_by_scene = True
    found = mask(stage)
    assert np.array_equal(found[:, WIDTH // 2 :], whole[:, WIDTH // 2 :])
    assert not found[:, : WIDTH // 2].any() if hides else np.array_equal(found, whole)
    subject(wall)
    bpy.data.objects["Ball"].peekaboo.is_subject = False
    with pytest.raises(PeekabooError, match="has no subject"):
        mask(stage)


@pytest.mark.parametrize("what", ["wall", "subject"])
def test_what_the_camera_does_not_see_is_not_there(stage, what):
    ball = subject(primitive("uv_sphere", "Ball", radius=1))
    wall = add_mesh(stage, WALL, [(0, 1, 2, 3)])
    wall.location.y = -3
    stage.peekaboo.occluded_by_scene = True
    half = np.count_nonzero(mask(stage))
    (wall if what == "wall" else ball).visible_camera = False
    found = np.count_nonzero(mask(stage))
    assert found == 0 if what == "subject" else found > 1.8 * half


def cloth(stage):
    """A flag that hangs down from one corner."""
    flag = primitive("grid", "Flag", x_subdivisions=8, y_subdivisions=8, size=3, rotation=(math.pi / 2, 0, 0))
    pin = flag.vertex_groups.new(name="pin")
    pin.add([v.index for v in flag.data.vertices if v.co.x < -1.4 and v.co.y > 1.0], 1, "REPLACE")
    simulation = flag.modifiers.new("Cloth", "CLOTH")
    simulation.settings.vertex_group_mass = "pin"
    simulation.point_cache.frame_start, simulation.point_cache.frame_end = 1, 12
    flag.modifiers.new("Subdivision", "SUBSURF")  # of two levels in a render and one in a viewport
    return flag, lambda: bake(simulation.point_cache, stage)


def soft_body(stage):
    ball = primitive("uv_sphere", "Ball", radius=1)
    simulation = ball.modifiers.new("Softbody", "SOFT_BODY")
    simulation.settings.use_goal = False
    simulation.point_cache.frame_start, simulation.point_cache.frame_end = 1, 12
    return ball, lambda: bake(simulation.point_cache, stage)


def particles(_stage):
    source = primitive("uv_sphere", "Source", radius=0.2, location=(0, 0, 50))
    emitter = primitive("plane", "Emitter", size=2)
    emitter.show_instancer_for_render = False
    system = emitter.modifiers.new("Particles", "PARTICLE_SYSTEM").particle_system
    system.settings.count, system.settings.frame_start, system.settings.frame_end = 20, 1, 2
    system.settings.render_type, system.settings.instance_object = "OBJECT", source
    system.settings.particle_size = 1
    system.point_cache.frame_start, system.point_cache.frame_end = 1, 12
    return emitter, lambda: bake(system.point_cache, _stage)


def zone(stage):
    """Nodes that move their mesh a little further each frame."""
    ball = primitive("uv_sphere", "Ball", radius=0.6, location=(-2, 0, 0))
    group, entry, out, begin, end, move = zones(
        "GeometryNodeSimulationInput", "GeometryNodeSimulationOutput", "GeometryNodeTransform"
    )
    begin.pair_with_output(end)
    move.inputs["Translation"].default_value = (0.3, 0, 0)
    for source, target in (
        (entry.outputs[0], begin.inputs["Geometry"]),
        (begin.outputs["Geometry"], move.inputs["Geometry"]),
        (move.outputs[0], end.inputs["Geometry"]),
        (end.outputs["Geometry"], out.inputs[0]),
    ):
        group.links.new(source, target)
    ball.modifiers.new("Nodes", "NODES").node_group = group
    return ball, lambda: bpy.ops.object.simulation_nodes_cache_calculate_to_frame(selected=False)


def bake(cache, scene):
    with bpy.context.temp_override(scene=scene, point_cache=cache):
        bpy.ops.ptcache.bake(bake=True)


@pytest.mark.parametrize("baked", [True, False])
@pytest.mark.parametrize("kind", [cloth, soft_body, particles, zone])
def test_simulations_are_where_a_render_has_them(stage, kind, baked):
    obj, bake_it = kind(stage)
    subject(obj)
    obj.location.z = 0.5
    obj.keyframe_insert("location", frame=1)
    if baked:
        bake_it()
    stage.frame_set(3)
    obj.location.z = 0.9  # not keyed, and the user's
    found = layout(stage)
    assert stage.frame_current == 3 and obj.location.z == pytest.approx(0.9)
    for frame in range(1, 13):  # as a render of the animation does
        stage.frame_set(frame)
        if frame in (2, 7, 12):
            assert agree(found[frame - 1], render_seen(stage)), frame
    assert (found[1] != found[11]).any()


def test_playing_for_simulations_tells_how_far_it_is(stage):
    obj, _ = zone(stage)
    subject(obj)
    told = []
    read_layout(stage, WIDTH, HEIGHT, 12, on_play=lambda *numbers: told.append(numbers))
    assert told == [(number, 12) for number in range(1, 13)]


@pytest.mark.parametrize("how", ["kinematic", "baked", "no world"])
def test_rigid_bodies_whose_place_is_known_are_accepted(stage, how):
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6, location=(-2, 0, 2)))
    for frame, place in ((1, -2), (12, 2)):
        ball.location.x = place
        ball.keyframe_insert("location", frame=frame)
    bpy.ops.rigidbody.object_add()
    ball.rigid_body.kinematic = how == "kinematic"
    stage.rigidbody_world.enabled = how != "no world"
    if how == "baked":
        stage.rigidbody_world.point_cache.frame_end = 12
        bake(stage.rigidbody_world.point_cache, stage)
    found = layout(stage)
    for frame in range(1, 13):
        stage.frame_set(frame)
    assert agree(found[11], rendered(stage, ball))


@pytest.mark.parametrize("values", [(True, False), (False, False)])
def test_a_rigid_body_that_is_simulated_at_any_time_is_refused(stage, values):
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6))
    bpy.ops.rigidbody.object_add()
    for frame, kinematic in zip((1, 6), values, strict=True):
        ball.rigid_body.kinematic = kinematic
        ball.rigid_body.keyframe_insert("kinematic", frame=frame)
    stage.frame_set(1)
    with pytest.raises(PeekabooError, match='simulation of "Ball" has not been baked'):
        layout(stage)


def scene_property(driver, scene):
    variable = driver.variables.new()
    variable.name, variable.type = "f", "SINGLE_PROP"
    variable.targets[0].id_type, variable.targets[0].id = "SCENE", scene
    variable.targets[0].data_path = "frame_current"


def context_property(driver, _scene):
    variable = driver.variables.new()
    variable.name, variable.type = "f", "CONTEXT_PROP"
    variable.targets[0].context_property = "ACTIVE_SCENE"
    variable.targets[0].data_path = "frame_current"


def animated_property(driver, scene):
    for frame in (1, 12):
        scene["speed"] = float(frame)
        scene.keyframe_insert('["speed"]', frame=frame)
    for curve in (
        scene.animation_data.action.fcurves if hasattr(scene.animation_data.action, "fcurves") else ()
    ):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    scene_property(driver, scene)
    driver.variables[0].targets[0].data_path = '["speed"]'


@pytest.mark.parametrize("kind", [scene_property, context_property, animated_property])
def test_drivers_that_read_the_scene_see_the_time_that_is_sampled(stage, kind):
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6))
    driver = ball.driver_add("location", 0).driver
    kind(driver, stage)
    driver.expression = "f / 3 - 2"
    targets = [variable.targets[0].id for variable in driver.variables]
    stage.frame_set(5)
    found = layout(stage)
    assert [variable.targets[0].id for variable in driver.variables] == targets and stage.frame_current == 5
    for frame in (1, 12):
        stage.frame_set(frame)
        assert agree(found[frame - 1], rendered(stage, ball)), frame


@pytest.mark.parametrize("when", ["frame_change_pre", "frame_change_post"])
@pytest.mark.parametrize(
    "place",
    [
        lambda scene: scene.frame_current / 3 - 2,
        lambda scene: bpy.context.scene.frame_current / 3 - 2,
        lambda scene: scene["speed"] * scene.frame_current - 2,
    ],
)
def test_handlers_of_frames_are_told_and_leave_nothing_moved(stage, when, place):
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6))
    stage["speed"] = 1 / 3
    scenes, renders = set(), []

    def move(scene, _depsgraph=None):
        scenes.add(scene.name)
        scene.objects["Ball"].location.x = place(scene)

    def tell(*_):
        renders.append(1)

    handlers = getattr(bpy.app.handlers, when)
    handlers.append(move)
    bpy.app.handlers.render_complete.append(tell)
    try:
        stage.frame_set(5)
        before = ball.location.x
        found = layout(stage)
        assert (ball.location.x, stage.frame_current) == (before, 5) and move in handlers and not renders
        assert tell in bpy.app.handlers.render_complete
        for frame in (1, 12):
            stage.frame_set(frame)
            assert agree(found[frame - 1], rendered(stage, ball)), frame
    finally:
        handlers.remove(move)
        bpy.app.handlers.render_complete.remove(tell)


def test_what_is_not_keyed_and_the_users_pictures_stay(stage):
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6))
    ball.keyframe_insert("location", frame=1)
    ball.location.x = 1.5
    bpy.context.view_layer.update()
    known = [len(collection) for collection in (bpy.data.scenes, bpy.data.objects, bpy.data.images)]
    layout(stage)
    assert ball.location.x == 1.5
    assert known == [len(collection) for collection in (bpy.data.scenes, bpy.data.objects, bpy.data.images)]


def parts():
    """A character of four meshes."""
    return [
        primitive("cylinder", "Body", radius=0.5, depth=1.4),
        primitive("uv_sphere", "Head", radius=0.4, location=(0, 0, 1.2)),
        primitive("cube", "Left", size=0.4, location=(-0.9, 0, 0.2)),
        primitive("cube", "Right", size=0.4, location=(0.9, 0, 0.2)),
    ]


def as_children(scene, meshes):
    root = bpy.data.objects.new("Root", None)
    scene.collection.objects.link(root)
    for mesh in meshes:
        mesh.parent = root
    return [root]


def as_rig(_scene, meshes):
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    for mesh in meshes[:2]:
        mesh.modifiers.new("Armature", "ARMATURE").object = rig
    for mesh in meshes[2:]:
        mesh.parent = rig
    return [rig]


def as_selection(_scene, meshes):
    return meshes


def as_one_selection(_scene, meshes):
    for mesh in meshes:
        mesh.select_set(True)
    bpy.context.view_layer.objects.active = meshes[1]
    bpy.ops.peekaboo.make_subjects(together=True)
    assert [mesh.peekaboo.is_subject for mesh in meshes] == [False, True, False, False]
    return meshes[1:2]


def as_body(_scene, meshes):
    for mesh in meshes[1:]:
        mesh.parent = meshes[0]
    return meshes[:1]


@pytest.mark.parametrize("how", [as_children, as_rig, as_selection, as_one_selection, as_body])
def test_a_character_of_several_meshes_is_one_subject(stage, how):
    stage.peekaboo.prompt = "a tin robot on grass"
    meshes = parts()
    for obj in how(stage, meshes):
        subject(obj).peekaboo.phrase = "a tin robot"
    read = read_shot(stage)
    assert [one.phrase for one in read.subjects] == ["a tin robot"]
    found = mask(stage)
    assert agree(found, rendered(stage, *meshes))


def test_what_is_a_subject_itself_is_no_part_of_another(stage):
    meshes = parts()
    as_body(stage, meshes)
    stage.peekaboo.prompt = "a robot with a red head"
    for obj, phrase in ((meshes[0], "a robot"), (meshes[1], "a red head")):
        subject(obj).peekaboo.phrase = phrase
    found = read_layout(stage, WIDTH, HEIGHT, 1).labels[0]
    truth = render_labels(stage, dict(zip(meshes, (1, 2, 1, 1), strict=True)))
    assert np.count_nonzero(found != truth) <= 0.02 * np.count_nonzero(truth)


def test_subjects_of_one_phrase_take_turns_where_the_prompt_has_it_for_each(stage):
    stage.peekaboo.prompt = "a ball and a ball"
    for place in (-1, 1):
        subject(primitive("uv_sphere", "Ball", radius=0.5, location=(place, 0, 0))).peekaboo.phrase = "a ball"
    assert len(read_shot(stage).subjects) == 2
    stage.peekaboo.prompt = "a ball in a mirror"
    assert len(read_shot(stage).subjects) == 1


def test_an_armature_that_deforms_nothing_has_no_extent(stage):
    bpy.ops.object.armature_add()
    subject(bpy.context.object)
    with pytest.raises(PeekabooError, match='"Armature" is of type armature, which has no extent'):
        mask(stage)


def test_empties_can_be_parts_and_go_with_the_subject(stage):
    body, head = (bpy.data.objects.new(name, None) for name in ("Body", "Head"))
    for empty, place in ((body, -1), (head, 1)):
        empty.empty_display_type, empty.location.x = "SPHERE", place
        stage.collection.objects.link(empty)
    subject(body)
    alone = np.count_nonzero(mask(stage))
    head.peekaboo.part_of = body
    assert np.count_nonzero(mask(stage)) == pytest.approx(2 * alone, rel=0.05)
    subjects.unmark(body)
    subject(body)
    assert np.count_nonzero(mask(stage)) == alone


def test_a_render_with_the_engine_of_masks_says_that_it_makes_no_picture(stage):
    stage.render.engine = "PEEKABOO_STAGE"
    with pytest.raises(RuntimeError, match="choose another render engine"):
        bpy.ops.render.render()
    assert layout_of_a_ball(stage).any()


def layout_of_a_ball(scene):
    subject(primitive("uv_sphere", "Ball", radius=1))
    return mask(scene)
