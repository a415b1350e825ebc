# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulations, drivers and handlers of frames are where a render has them at the time that is sampled."""

import math

import bpy
import pytest
from held import HEIGHT, WIDTH, agree, layout, mask, primitive, rendered, subject, zones
from truth import render_seen

from blender_addon import saving
from blender_addon.errors import PeekabooError
from blender_addon.shot import check, shots
from blender_addon.shot.layout import read_layout, read_shot
from blender_addon.shot.mattes import KINDS, write_in_turns, write_mattes


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


def test_work_in_turns_plays_a_frame_a_turn_and_leaves_nothing_when_it_is_closed(stage, tmp_path):
    obj, _ = cloth(stage)
    subject(obj)
    obj.location.z = 0.25
    stage.frame_set(5)
    turns = write_in_turns(stage, "png", tmp_path / "out")
    for number in range(1, 13):
        assert next(turns) == ("Simulation", number, 12) and stage.frame_current == number
    assert next(turns) == ("Frame", 1, 12)
    turns.close()
    assert stage.frame_current == 5 and obj.location.z == 0.25
    assert not list((tmp_path / "out").iterdir())
    assert len(list(write_in_turns(stage, "png", tmp_path / "out"))) == 24
    known = write_mattes(stage, "png", tmp_path / "at once")
    for path in known[0].iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "at once")).read_bytes()


def test_a_shot_that_was_played_in_turns_is_known_then(stage):
    obj, _ = zone(stage)
    subject(obj)
    obj.peekaboo.phrase, stage.peekaboo.prompt = "a ball", "a ball"
    chosen = shots.shots_of(stage)
    span = check.span_to_play(stage, chosen)
    assert span[0] == 1 and 12 <= span[1] < 13
    read = []
    turns = list(check.read_in_turns(stage, chosen, span, lambda: read.append(check.read_shot(stage))))
    assert [what for what, *_ in turns[:13]] == ["Simulation"] * 13
    assert (read[0].labels == read_shot(stage).labels).all() and check.span_to_play(stage, chosen) == span


def test_playing_for_simulations_tells_how_far_it_is(stage):
    obj, _ = zone(stage)
    subject(obj)
    told = []
    read_layout(stage, WIDTH, HEIGHT, 12, on_play=lambda *numbers: told.append(numbers))
    assert told == [(number, 12) for number in range(1, 13)]


def read_by_driver(body, follower):
    target = follower.driver_add("location", 2).driver.variables.new()
    target.type, target.targets[0].id = "TRANSFORMS", body


def read_by_nodes(body, follower):
    group, _, out, info = zones("GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = body
    group.links.new(info.outputs["Geometry"], out.inputs[0])
    follower.modifiers.new("Nodes", "NODES").node_group = group


def held_by_a_bone(body, follower):
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.new("Bone").tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.pose.bones["Bone"].constraints.new("COPY_LOCATION").target = body
    follower.parent, follower.parent_type, follower.parent_bone = rig, "BONE", "Bone"


def instanced(body, follower):
    group = bpy.data.collections.new("Group")
    group.objects.link(body)
    empty = subject(bpy.data.objects.new("Copy", None))
    bpy.context.collection.objects.link(empty)
    empty.instance_type, empty.instance_collection = "COLLECTION", group
    subject(follower).peekaboo.is_subject = False


def looked_at(body, _follower):
    bpy.context.scene.camera.constraints.new("TRACK_TO").target = body


@pytest.mark.parametrize("follow", [read_by_driver, read_by_nodes, held_by_a_bone, instanced, looked_at])
def test_what_depends_on_a_body_that_is_not_baked_is_refused_by_its_name(stage, follow):
    body = primitive("cube", "Body", size=0.2)
    bpy.ops.rigidbody.object_add()
    follower = subject(primitive("uv_sphere", "Ball", radius=0.5))
    assert mask(stage).any()  # beside it, nothing is wrong
    follow(body, follower)
    with pytest.raises(PeekabooError, match='rigid body simulation of "Body" has not been baked'):
        mask(stage)


def hidden(body):
    body.hide_render = True


def in_focus(body):
    bpy.context.scene.camera.data.dof.focus_object = body
    body.hide_render = True


@pytest.mark.parametrize("how", [hidden, in_focus])
def test_a_body_that_is_not_seen_does_not_matter(stage, how):
    subject(primitive("uv_sphere", "Ball", radius=0.5))
    body = primitive("cube", "Body", size=0.2)
    bpy.ops.rigidbody.object_add()
    stage.peekaboo.occluded_by_scene = True
    with pytest.raises(PeekabooError, match='rigid body simulation of "Body" has not been baked'):
        mask(stage)
    how(body)
    assert mask(stage).any()
    body.keyframe_insert("hide_render", frame=1)
    with pytest.raises(PeekabooError, match='rigid body simulation of "Body" has not been baked'):
        mask(stage)


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


def test_a_body_that_is_not_dynamic_is_accepted_where_it_stands_still(stage):
    """Cycles shows it where it was as the simulation began, whatever its keyframes say."""
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6, location=(-2, 0, 2)))
    bpy.ops.rigidbody.object_add()
    ball.rigid_body.enabled = False
    found = layout(stage)
    for frame in range(1, 13):
        stage.frame_set(frame)
    assert agree(found[11], rendered(stage, ball))
    ball.keyframe_insert("location", frame=1)
    ball.location.x = 2
    ball.keyframe_insert("location", frame=12)
    with pytest.raises(PeekabooError, match='simulation of "Ball" has not been baked'):
        layout(stage)


@pytest.mark.parametrize("kind", KINDS)
def test_baked_rigid_bodies_stay_the_users(stage, kind, tmp_path):
    """Blender 5.2 crashed over the bodies' physics when another file was opened."""
    subject(primitive("uv_sphere", "Ball", radius=0.6))
    bpy.ops.rigidbody.object_add()
    stage.frame_end = stage.rigidbody_world.point_cache.frame_end = 3
    bake(stage.rigidbody_world.point_cache, stage)
    write_mattes(stage, kind, tmp_path)
    for _ in range(2):
        bpy.ops.wm.read_factory_settings(use_empty=True)
    assert len(list(tmp_path.iterdir())) == (3 if kind == "exr" else 1)


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


@pytest.mark.parametrize("moved", ["the subject", "its parent", "the camera"])
def test_a_driver_that_blender_does_not_run_is_refused(stage, tmp_path, moved):
    ball, parent = subject(primitive("uv_sphere", "Ball", radius=0.6)), bpy.data.objects.new("Rig", None)
    stage.collection.objects.link(parent)
    ball.parent = parent
    one = {"the subject": ball, "its parent": parent, "the camera": stage.camera}[moved]
    one.driver_add("location", 0).driver.expression = "bpy.context.scene.frame_current / 9"
    name = one.name
    saving.save_blend(tmp_path / "shot.blend")
    for allowed in (False, True):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"), use_scripts=allowed)
        if allowed:
            layout(bpy.context.scene)
        else:
            with pytest.raises(PeekabooError, match=f'driver of "location" of "{name}".* not allowed'):
                layout(bpy.context.scene)


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
